package fetch

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"
)

// keepIdle is how long a connection stays open without use.
const keepIdle = time.Minute

// pool keeps the connections to piece servers. One request has one of them for
// itself, writes and reads it in its own goroutine, and gives it back. Safe for
// concurrent use.
type pool struct {
	dialer  net.Dialer
	perHost int

	mu     sync.Mutex
	closed bool
	hosts  map[string]*server
}

// server is what is open to one address.
type server struct {
	addr string
	// places has one element for each connection in use.
	places chan struct{}
	// users are those who hold a place or wait for one.
	users int
	idle  []*conn
}

func newPool(dialTimeout time.Duration, perHost int) *pool {
	return &pool{dialer: net.Dialer{Timeout: dialTimeout}, perHost: perHost, hosts: map[string]*server{}}
}

// close ends idle connections; those in use end with their requests.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	var idle []*conn
	for _, s := range p.hosts {
		idle = append(idle, s.idle...)
		s.idle = nil
		p.forget(s)
	}
	p.mu.Unlock()
	for _, c := range idle {
		c.expiry.Stop()
		c.end()
	}
}

// get waits for one of the places of addr and returns a connection: the one used
// last, or a new one if there is none or fresh asks for it. put gives it back.
func (p *pool) get(ctx context.Context, addr string, fresh bool) (*conn, error) {
	s := p.enter(addr)
	select {
	case s.places <- struct{}{}:
	case <-ctx.Done():
		p.leave(s)
		return nil, ctx.Err()
	}
	if !fresh {
		if c := p.take(s); c != nil {
			return c, nil
		}
	}
	nc, err := p.dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		<-s.places
		p.leave(s)
		return nil, err
	}
	return newConn(nc, s), nil
}

// put gives a connection back, for the next request or because it is of no more
// use.
func (p *pool) put(c *conn, usable bool) {
	if !usable || !p.keep(c) {
		c.end()
	}
	<-c.at.places
	p.leave(c.at)
}

// keep makes a connection idle, unless the pool is closed.
func (p *pool) keep(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	c.expiry = time.AfterFunc(keepIdle, func() { p.expire(c) })
	c.at.idle = append(c.at.idle, c)
	return true
}

func (p *pool) enter(addr string) *server {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.hosts[addr]
	if s == nil {
		s = &server{addr: addr, places: make(chan struct{}, p.perHost)}
		p.hosts[addr] = s
	}
	s.users++
	return s
}

func (p *pool) leave(s *server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.users--
	p.forget(s)
}

// forget removes a server of which nothing is left. p.mu is held.
func (p *pool) forget(s *server) {
	if s.users == 0 && len(s.idle) == 0 {
		delete(p.hosts, s.addr)
	}
}

// take returns the connection that was used last, nil if none is idle.
func (p *pool) take(s *server) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(s.idle) - 1
	if last < 0 {
		return nil
	}
	c := s.idle[last]
	s.idle[last], s.idle = nil, s.idle[:last]
	c.expiry.Stop()
	return c
}

// expire ends a connection that nobody used for long, unless somebody has just
// taken it.
func (p *pool) expire(c *conn) {
	p.mu.Lock()
	i := slices.Index(c.at.idle, c)
	if i >= 0 {
		c.at.idle = slices.Delete(c.at.idle, i, i+1)
		p.forget(c.at)
	}
	p.mu.Unlock()
	if i >= 0 {
		c.end()
	}
}
