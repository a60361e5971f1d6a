package upload

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/semaphore"

	"damselfly/proto/rpc"
)

// Server answers requests for bytes. Its methods may be called at any time
// from any goroutine.
type Server struct {
	opts    Options
	slots   *semaphore.Weighted
	bulk    *bulkSlots // in addition, for what is not urgent
	metrics *metrics

	sent  atomic.Int64 // bytes that went by sendfile
	inUse atomic.Int64 // slots

	mu sync.Mutex
	// Guarded by mu.
	requests  int       // under way, waiting ones included
	idleSince time.Time // when requests last became 0
}

// New returns a Server that serves nothing yet.
func New(o Options) (*Server, error) {
	o = o.withDefaults()
	if o.Backend == nil {
		return nil, errors.New("upload: no backend")
	}
	s := &Server{opts: o, slots: semaphore.NewWeighted(int64(o.Slots)), bulk: newBulkSlots(o.BulkSlots), idleSince: time.Now()}
	m, err := newMetrics(o.Registry, s)
	if err != nil {
		return nil, err
	}
	s.metrics = m
	return s, nil
}

// Uploads returns how many slots are in use.
func (s *Server) Uploads() int { return int(s.inUse.Load()) }

// Slots returns how many there are.
func (s *Server) Slots() int { return s.opts.Slots }

// IdleSince returns since when there was no request, or the zero time while
// there is one.
func (s *Server) IdleSince() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.requests > 0 {
		return time.Time{}
	}
	return s.idleSince
}

func (s *Server) begin() {
	s.mu.Lock()
	s.requests++
	s.mu.Unlock()
}

func (s *Server) end() {
	s.mu.Lock()
	if s.requests--; s.requests == 0 {
		s.idleSince = time.Now()
	}
	s.mu.Unlock()
}

// Serve answers on lis until ctx ends, then refuses what waits, lets answers
// under way go on for StopTimeout, and returns nil when every connection is
// closed. It closes lis.
func (s *Server) Serve(ctx context.Context, lis net.Listener) error {
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	conns := &connCount{}
	srv := &http.Server{
		Handler:           &handler{Server: s, stopping: ctx},
		ReadHeaderTimeout: s.opts.HeaderTimeout,
		IdleTimeout:       s.opts.IdleTimeout,
		MaxHeaderBytes:    8 << 10,
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnState:         conns.changed,
		ErrorLog:          log.New(logWriter{s.opts.Log}, "", 0),
	}
	failed := make(chan error, 1)
	limited := rpc.LimitConns(listener{lis, &s.sent}, rpc.MaxConns(s.opts.MaxConns, rpc.DefaultShare))
	go func() { failed <- srv.Serve(limited) }()
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
		grace, cancel := context.WithTimeout(base, s.opts.StopTimeout)
		_ = srv.Shutdown(grace)
		cancel()
		<-failed
	}
	cut()
	_ = srv.Close()
	conns.open.Wait()
	return err
}

// connCount lets Serve wait for its connections.
type connCount struct{ open sync.WaitGroup }

func (c *connCount) changed(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		c.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		c.open.Done()
	}
}

// logWriter passes what net/http logs to logrus.
type logWriter struct{ log *logrus.Entry }

func (w logWriter) Write(p []byte) (int, error) {
	w.log.Debug(string(p))
	return len(p), nil
}
