package rpc

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"damselfly/pieces"
	"damselfly/proto/wire"
)

// clientCalls are the interceptors of one connection.
type clientCalls struct {
	addr    string
	timeout time.Duration
}

func (c clientCalls) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	ctx, cancel := withTimeout(ctx, c.timeout)
	defer cancel()
	ctx, span := outgoing(ctx, method)
	err := c.convert(call(ctx, method, req, reply, cc, opts...))
	span.End(err)
	return err
}

func (c clientCalls) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	ctx, span := outgoing(ctx, method)
	s, err := open(ctx, desc, cc, method, opts...)
	span.End(err)
	if err != nil {
		return nil, c.convert(err)
	}
	return clientStream{s, c}, nil
}

// convert gives back the kind of an error, and names the address where the
// transport itself failed.
func (c clientCalls) convert(err error) error {
	if err == nil {
		return nil
	}
	converted := wire.FromStatus(err)
	e, ok := converted.(*pieces.Error)
	if !ok || wire.HasDetail(err) {
		return converted
	}
	e.Err = &transportError{e.Msg}
	switch status.Code(err) {
	case codes.Unavailable:
		e.Msg = c.addr + " can't be reached"
	case codes.DeadlineExceeded:
		e.Msg, e.Err = c.addr, &transportError{"did not answer in time"}
	default:
		e.Msg = c.addr
	}
	return e
}

// transportError is the cause of errors that no handler of the other side made.
type transportError struct{ text string }

func (e *transportError) Error() string { return e.text }

// IsTransport reports whether err, from a connection of this package, was made
// on the way and not answered by the other side: nobody there, connection lost,
// no answer before the deadline.
func IsTransport(err error) bool {
	var t *transportError
	return errors.As(err, &t)
}

// clientStream is a grpc.ClientStream whose errors have kinds.
type clientStream struct {
	grpc.ClientStream
	calls clientCalls
}

func (s clientStream) SendMsg(m any) error { return s.calls.convert(s.ClientStream.SendMsg(m)) }
func (s clientStream) RecvMsg(m any) error { return s.calls.convert(s.ClientStream.RecvMsg(m)) }
func (s clientStream) CloseSend() error    { return s.calls.convert(s.ClientStream.CloseSend()) }

// withTimeout gives ctx a deadline if it has none and d is positive.
func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok || d <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d)
}
