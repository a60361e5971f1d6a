package rest

import (
	"context"
	_ "embed"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

// Prefix is where the API begins.
const Prefix = "/api/v1/"

// Bounds of one call.
const (
	maxBody     = 8 << 20 // bytes
	callTimeout = 30 * time.Second
)

//go:embed openapi.json
var openAPI []byte

// New serves the Admin service that register puts on the server it is given.
// base is the URL by which browsers reach it, if that is known.
func New(register func(grpc.ServiceRegistrar), base string) (http.Handler, error) {
	gate, err := newGate(base)
	if err != nil {
		return nil, err
	}
	conn := Connect(register)
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.JSONPb{
			MarshalOptions: protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true},
		}),
		runtime.WithIncomingHeaderMatcher(headers),
		runtime.WithOutgoingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithMetadata(named),
		runtime.WithForwardResponseOption(setETag),
		runtime.WithForwardResponseOption(setCookie),
		runtime.WithErrorHandler(handleError),
		runtime.WithRoutingErrorHandler(handleRouting),
		runtime.WithDisablePathLengthFallback(),
	)
	runtime.SetQueryParameterParser(query{})(mux) // of the process, in fact
	if err := managerpb.RegisterAdminHandlerClient(context.Background(), mux, managerpb.NewAdminClient(conn)); err != nil {
		return nil, pieces.WithKind(pieces.Internal, err, "the REST API")
	}
	all := http.NewServeMux()
	all.HandleFunc("GET "+Prefix+"openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(openAPI) // the client went
	})
	all.Handle(Prefix, gate.checked(mux))
	return all, nil
}

// HostKey is the metadata in which a call has the host that the client thinks
// it speaks to: the Host header, which a web page can't choose.
const HostKey = "rest-host"

func named(_ context.Context, r *http.Request) metadata.MD { return metadata.Pairs(HostKey, r.Host) }

// headers says which headers reach the service; the gateway itself hands on
// Authorization.
func headers(name string) (string, bool) {
	switch name {
	case "If-Match", "Cookie":
		return strings.ToLower(name), true
	}
	return "", false
}

// setETag gives a reply that has an etag its header.
func setETag(_ context.Context, w http.ResponseWriter, m proto.Message) error {
	if e, ok := m.(interface{ GetEtag() string }); ok && e.GetEtag() != "" {
		w.Header().Set("ETag", `"`+e.GetEtag()+`"`)
	}
	return nil
}

// query reads the parameters of a URL, and refuses those that the request does
// not have.
type query struct{}

func (query) Parse(m proto.Message, values url.Values, filter *utilities.DoubleArray) error {
	fields := m.ProtoReflect().Descriptor().Fields()
	for name := range values {
		top, _, _ := strings.Cut(name, ".")
		top, _, _ = strings.Cut(top, "[")
		if fields.ByName(protoreflect.Name(top)) == nil {
			return pieces.Errorf(pieces.Invalid, "unknown parameter %.60q", name)
		}
	}
	if err := new(runtime.DefaultQueryParser).Parse(m, values, filter); err != nil {
		return pieces.Errorf(pieces.Invalid, "parameters: %w", err)
	}
	return nil
}
