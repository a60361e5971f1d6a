package rest

import (
	"context"
	"net"
	"net/netip"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	"damselfly/pieces"
)

// local is a gRPC server and a connection to it without a network between:
// services are registered on it, and calls reach their handlers directly.
// Unary calls only.
type local struct {
	methods map[string]method // by full name
}

type method struct {
	impl   any
	handle grpc.MethodHandler
}

// Connect returns a connection, without a network between, to the services that
// register puts on the server it is given. Unary calls only. What is called
// sees the outgoing metadata and the address of From.
func Connect(register func(grpc.ServiceRegistrar)) grpc.ClientConnInterface {
	conn := &local{methods: map[string]method{}}
	register(conn)
	return conn
}

// From returns ctx for calls of who is at addr, HOST:PORT.
func From(ctx context.Context, addr string) context.Context {
	return context.WithValue(ctx, callerKey{}, addr)
}

// RegisterService is for the start, before calls.
func (l *local) RegisterService(desc *grpc.ServiceDesc, impl any) {
	for _, m := range desc.Methods {
		l.methods["/"+desc.ServiceName+"/"+m.MethodName] = method{impl, m.Handler}
	}
}

// callerKey is the context key of where a call came from, HOST:PORT.
type callerKey struct{}

// Invoke makes one call. The handler sees the caller's address and what the
// call was sent with, as it would over a network.
func (l *local) Invoke(ctx context.Context, name string, args, reply any, _ ...grpc.CallOption) error {
	m, ok := l.methods[name]
	if !ok {
		return pieces.Errorf(pieces.Invalid, "there is no method %s", name)
	}
	sent, _ := metadata.FromOutgoingContext(ctx)
	ctx = metadata.NewIncomingContext(ctx, sent)
	if from, err := netip.ParseAddrPort(caller(ctx)); err == nil {
		ctx = peer.NewContext(ctx, &peer.Peer{Addr: net.TCPAddrFromAddrPort(from)})
	}
	out, err := m.handle(m.impl, ctx, func(to any) error {
		proto.Merge(to.(proto.Message), args.(proto.Message))
		return nil
	}, nil)
	if err != nil {
		return err
	}
	proto.Merge(reply.(proto.Message), out.(proto.Message))
	return nil
}

func caller(ctx context.Context) string {
	from, _ := ctx.Value(callerKey{}).(string)
	return from
}

// NewStream is part of the interface; REST has no streams.
func (l *local) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, pieces.Errorf(pieces.Invalid, "streams are for gRPC alone")
}
