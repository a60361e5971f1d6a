package manager

import (
	"context"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"

	"damselfly/manager/rest"
	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

// admin is the Admin service: what people and scripts do.
type admin struct {
	managerpb.UnimplementedAdminServer
	*Server
}

// RegisterAdmin offers the Admin service on r. Of each call the caller must be
// known and have the right that package people asks for it; what it changes goes
// into the audit log.
func (s *Server) RegisterAdmin(r grpc.ServiceRegistrar) {
	managerpb.RegisterAdminServer(guarded{r, s}, admin{Server: s})
}

// GetOverview answers counts of everything.
func (a admin) GetOverview(ctx context.Context, _ *managerpb.GetOverviewRequest) (*managerpb.Overview, error) {
	c, err := a.store.Count(ctx, a.nodes.activeSince())
	if err != nil {
		return nil, err
	}
	return &managerpb.Overview{
		Hosts: uint32(c.Hosts), Seeds: uint32(c.Seeds), KnownHosts: uint32(c.AllHosts), Schedulers: uint32(c.Schedulers),
		Tasks: uint32(c.Tasks), Jobs: uint32(c.Jobs), Version: a.opts.Version,
	}, nil
}

// APIPrefix is where what REST serves begins.
const APIPrefix = rest.Prefix

// REST serves the Admin service over HTTP; see package rest.
func (s *Server) REST() (http.Handler, error) { return rest.New(s.RegisterAdmin, s.opts.URL) }

// Bounds of lists.
const (
	defaultPage = 100
	maxPage     = 1000
	maxSearch   = 1024 // bytes
	maxToken    = 1024
)

// page checks what was asked for of a list; after is what the token holds.
func page(size uint32, token string, searched ...string) (limit int, after string, err error) {
	if size > maxPage {
		return 0, "", pieces.Errorf(pieces.Invalid, "page_size %d: want 1 to %d, or 0 for %d", size, maxPage, defaultPage)
	}
	for _, s := range searched {
		if len(s) > maxSearch {
			return 0, "", pieces.Errorf(pieces.Invalid, "a text to search for is longer than %d bytes", maxSearch)
		}
		if strings.ContainsRune(s, 0) {
			return 0, "", pieces.Errorf(pieces.Invalid, "a text to search for holds a zero byte")
		}
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(token) > maxToken || strings.ContainsRune(string(b), 0) {
		return 0, "", errToken
	}
	if size == 0 {
		size = defaultPage
	}
	return int(size), string(b), nil
}

var errToken = pieces.Errorf(pieces.Invalid, "page_token: not one that a list gave")

// tokenOf is the token of the page after the place; empty unless the page was
// full.
func tokenOf(n, limit int, place func() string) string {
	if n < limit {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString([]byte(place()))
}

// ifMatch is the metadata in which REST calls carry their If-Match header.
const ifMatch = "if-match"

// revision is the etag of an edit, from its request or from If-Match. any means
// that whatever is there may be overwritten.
func revision(ctx context.Context, etag string) (rev uint64, any bool, err error) {
	if etag == "" {
		if v := metadata.ValueFromIncomingContext(ctx, ifMatch); len(v) > 0 {
			etag = v[0]
		}
	}
	switch etag = strings.Trim(etag, `"`); etag {
	case "":
		return 0, false, pieces.Errorf(pieces.Invalid, `what is to be changed? send the etag that was read, in the request or in If-Match, or "*" to overwrite whatever is there`)
	case "*":
		return 0, true, nil
	}
	rev, err = strconv.ParseUint(etag, 10, 63)
	if err != nil {
		return 0, false, pieces.Errorf(pieces.Changed, "etag %.40q is of no state this had", etag)
	}
	return rev, false, nil
}

func etagOf(revision uint64) string {
	if revision == 0 {
		return ""
	}
	return strconv.FormatUint(revision, 10)
}

// stamp is a time as a message; absent for the zero time.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
