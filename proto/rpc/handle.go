package rpc

import (
	"context"
	"runtime/debug"
	"time"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"damselfly/pieces"
	"damselfly/proto/trace"
	"damselfly/proto/wire"
)

// serverCalls are the interceptors of a Server.
type serverCalls struct {
	log      *logrus.Entry
	timeout  time.Duration
	stopping context.Context
	metrics  *metrics
	tracer   *trace.Tracer
}

func (c serverCalls) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (reply any, err error) {
	start := time.Now()
	ctx, cancel := withTimeout(ctx, c.timeout)
	defer cancel()
	ctx, span := incoming(ctx, c.tracer, info.FullMethod)
	err = c.recovered(info.FullMethod, func() (err error) {
		reply, err = handle(ctx, req)
		return err
	})
	span.End(err)
	return reply, c.done(info.FullMethod, start, err)
}

func (c serverCalls) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	start := time.Now()
	ctx, cancel := context.WithCancel(ss.Context())
	defer cancel()
	defer context.AfterFunc(c.stopping, cancel)()
	ctx, span := incoming(ctx, c.tracer, info.FullMethod)
	err := c.recovered(info.FullMethod, func() error {
		return handle(srv, serverStream{ss, ctx})
	})
	span.End(err)
	if err != nil && c.stopping.Err() != nil {
		err = pieces.Errorf(pieces.Unavailable, "the server is stopping")
	}
	return c.done(info.FullMethod, start, err)
}

// recovered turns a panic of f into an error that tells the caller nothing and
// the log everything.
func (c serverCalls) recovered(method string, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			c.metrics.panicked()
			c.log.WithField("method", method).Errorf("panic: %v\n%s", r, debug.Stack())
			err = pieces.Errorf(pieces.Internal, "%s failed inside; see the server's log", method)
		}
	}()
	return f()
}

func (c serverCalls) done(method string, start time.Time, err error) error {
	err = wire.Status(err)
	c.metrics.handled(method, status.Code(err), time.Since(start))
	if err != nil {
		c.log.WithFields(logrus.Fields{"method": method, "error": err}).Debug("call failed")
	}
	return err
}

// serverStream is a grpc.ServerStream whose errors have kinds and whose
// context ends when the server stops.
type serverStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s serverStream) Context() context.Context { return s.ctx }
func (s serverStream) SendMsg(m any) error      { return wire.FromStatus(s.ServerStream.SendMsg(m)) }
func (s serverStream) RecvMsg(m any) error      { return wire.FromStatus(s.ServerStream.RecvMsg(m)) }
