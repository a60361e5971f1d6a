package manager

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"damselfly/manager/people"
	"damselfly/pieces"
)

// authorize answers the context of a call, which knows its caller, or why the
// call is refused.
func (s *Server) authorize(ctx context.Context, method string) (context.Context, error) {
	who, err := s.identify(ctx)
	if right, _ := people.RightOf(method); right == people.Open {
		return people.With(ctx, who), nil
	}
	if err == nil {
		err = who.Check(method)
	}
	if err != nil {
		if who.Known() && people.Changes(method) {
			s.people.Audit(ctx, who, callerAddr(ctx), method, "", err)
		}
		return nil, err
	}
	return people.With(ctx, who), nil
}

// audited notes a call that was let through and has ended. Logins note
// themselves.
func (s *Server) audited(ctx context.Context, method string, req, reply any, err error) {
	if right, _ := people.RightOf(method); right == people.Open || !people.Changes(method) {
		return
	}
	sent, _ := req.(proto.Message)
	got, _ := reply.(proto.Message)
	s.people.Audit(ctx, people.From(ctx), callerAddr(ctx), method, objectOf(sent, got), err)
}

// guard is what each call passes: authorize before, audited after.
type guard interface {
	authorize(ctx context.Context, method string) (context.Context, error)
	audited(ctx context.Context, method string, req, reply any, err error)
}

// guarded registers services so that each of their calls passes the guard,
// whatever server they are on. It is the one place that all routes of people
// pass: REST calls and those of the console come through it too.
type guarded struct {
	grpc.ServiceRegistrar
	guard guard
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

// method puts the guard between the server's interceptor and the handler.
func (g guarded) method(m grpc.MethodDesc) grpc.MethodHandler {
	return func(srv any, ctx context.Context, decode func(any) error, server grpc.UnaryServerInterceptor) (any, error) {
		return m.Handler(srv, ctx, decode, func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			checked := func(ctx context.Context, req any) (any, error) {
				ctx, err := g.allowed(ctx, info.FullMethod)
				if err != nil {
					return nil, err
				}
				reply, err := handle(ctx, req)
				g.guard.audited(ctx, info.FullMethod, req, reply, err)
				return reply, err
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
		err = handle(srv, authorized{stream, ctx})
		g.guard.audited(ctx, method, nil, nil, err)
		return err
	}
}

func (g guarded) allowed(ctx context.Context, method string) (context.Context, error) {
	next, err := g.guard.authorize(ctx, method)
	if err == nil && next == nil {
		return nil, pieces.Errorf(pieces.Internal, "%s was neither allowed nor refused", method)
	}
	return next, err
}

// authorized is a stream with the context that authorize returned.
type authorized struct {
	grpc.ServerStream
	ctx context.Context
}

func (a authorized) Context() context.Context { return a.ctx }
