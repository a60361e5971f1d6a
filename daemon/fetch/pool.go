package fetch

import (
	"context"
	"net"
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
	defer p.mu.Unlock()
	p.closed = true
	for addr, s := range p.hosts {
		for _, c := range s.idle {
			c.end()
		}
		s.idle = nil
		p.forget(addr, s)
	}
}

// get waits for one of the places of addr and returns a connection: the one used
// last, or a new one if there is none or fresh asks for it. put or drop gives it
// back.
func (p *pool) get(ctx context.Context, addr string, fresh bool) (*conn, error) {
	s := p.enter(addr)
	select {
	case s.places <- struct{}{}:
	case <-ctx.Done():
		p.leave(addr, s)
		return nil, ctx.Err()
	}
	if c := p.take(s, fresh); c != nil {
		return c, nil
	}
	nc, err := p.dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		<-s.places
		p.leave(addr, s)
		return nil, err
	}
	return newConn(nc, addr), nil
}

// put gives a connection back for the next request.
func (p *pool) put(c *conn) {
	p.mu.Lock()
	s := p.hosts[c.addr]
	if p.closed {
		p.mu.Unlock()
		p.drop(c)
		return
	}
	c.expiry = time.AfterFunc(keepIdle, func() { p.expire(c) })
	s.idle = append(s.idle, c)
	<-s.places
	p.mu.Unlock()
	p.leave(c.addr, s)
}

// drop ends a connection that is of no more use.
func (p *pool) drop(c *conn) {
	c.end()
	p.mu.Lock()
	s := p.hosts[c.addr]
	p.mu.Unlock()
	<-s.places
	p.leave(c.addr, s)
}

func (p *pool) enter(addr string) *server {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.hosts[addr]
	if s == nil {
		s = &server{places: make(chan struct{}, p.perHost)}
		p.hosts[addr] = s
	}
	s.users++
	return s
}

func (p *pool) leave(addr string, s *server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.users--
	p.forget(addr, s)
}

// forget removes a server of which nothing is left. p.mu is held.
func (p *pool) forget(addr string, s *server) {
	if s.users == 0 && len(s.idle) == 0 {
		delete(p.hosts, addr)
	}
}

func (p *pool) take(s *server, fresh bool) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(s.idle) - 1
	if fresh || last < 0 {
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
	defer p.mu.Unlock()
	s := p.hosts[c.addr]
	if s == nil {
		return
	}
	for i, o := range s.idle {
		if o == c {
			s.idle = append(s.idle[:i], s.idle[i+1:]...)
			c.end()
			p.forget(c.addr, s)
			return
		}
	}
}
