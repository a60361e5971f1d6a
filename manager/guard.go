package manager

import (
	"context"
	"net"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"damselfly/manager/rest"
	"damselfly/pieces"
)

// Authorize decides whether a call of the Admin service may go on: it gets the
// method's full name (/damselfly.manager.v1.Admin/ListHosts) and, in the
// context, the metadata of the call, which for REST holds the Authorization
// header. It returns the context that the method gets, or a Denied error.
type Authorize func(ctx context.Context, method string) (context.Context, error)

// localOnly allows every call that begins on this machine, and no other: who
// the caller is can't be known. A REST call must also name this machine as its
// host, so that a web page elsewhere can't make a browser here do it.
func localOnly(ctx context.Context, _ string) (context.Context, error) {
	p, ok := peer.FromContext(ctx)
	if !ok || !local(p.Addr.String()) {
		return nil, pieces.Errorf(pieces.Denied, "only callers on the manager's own machine may do this")
	}
	for _, host := range metadata.ValueFromIncomingContext(ctx, rest.HostKey) {
		if !local(host) {
			return nil, pieces.Errorf(pieces.Denied, "host %.100q is not this machine: use 127.0.0.1 or localhost", host)
		}
	}
	return ctx, nil
}

// local reports whether HOST or HOST:PORT is this machine.
func local(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = strings.Trim(addr, "[]")
	}
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// guarded registers services so that each of their calls passes authorize
// first, whatever server they are on. It is the one place that all routes of
// people pass: REST calls come through it too.
type guarded struct {
	grpc.ServiceRegistrar
	authorize Authorize
}

func (g guarded) RegisterService(desc *grpc.ServiceDesc, impl any) {
	own := *desc
	own.Methods = nil
	for _, m := range desc.Methods {
		own.Methods = append(own.Methods, grpc.MethodDesc{MethodName: m.MethodName, Handler: g.method(m)})
	}
	own.Streams = nil
	for _, s := range desc.Streams {
		s.Handler = g.stream("/"+desc.ServiceName+"/"+s.StreamName, s.Handler)
		own.Streams = append(own.Streams, s)
	}
	g.ServiceRegistrar.RegisterService(&own, impl)
}

// method puts authorize between the server's interceptor and the handler.
func (g guarded) method(m grpc.MethodDesc) grpc.MethodHandler {
	return func(srv any, ctx context.Context, decode func(any) error, server grpc.UnaryServerInterceptor) (any, error) {
		return m.Handler(srv, ctx, decode, func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			checked := func(ctx context.Context, req any) (any, error) {
				ctx, err := g.allowed(ctx, info.FullMethod)
				if err != nil {
					return nil, err
				}
				return handle(ctx, req)
			}
			if server == nil {
				return checked(ctx, req)
			}
			return server(ctx, req, info, checked)
		})
	}
}

func (g guarded) stream(method string, handle grpc.StreamHandler) grpc.StreamHandler {
	return func(srv any, stream grpc.ServerStream) error {
		ctx, err := g.allowed(stream.Context(), method)
		if err != nil {
			return err
		}
		return handle(srv, authorized{stream, ctx})
	}
}

func (g guarded) allowed(ctx context.Context, method string) (context.Context, error) {
	next, err := g.authorize(ctx, method)
	if err == nil && next == nil {
		return nil, pieces.Errorf(pieces.Internal, "%s was neither allowed nor refused", method)
	}
	return next, err
}

// authorized is a stream with the context that Authorize returned.
type authorized struct {
	grpc.ServerStream
	ctx context.Context
}

func (a authorized) Context() context.Context { return a.ctx }
