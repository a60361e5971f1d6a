// Package proxy stands between two TCP ends and spoils what goes through, as a
// bad link or a stopped machine does: later, slower, not at all, cut, with
// flipped bits or bytes sent twice. It needs no rights and no kernel help.
//
//	p, err := proxy.New("127.0.0.1:0", target, 1)
//	p.SetDown(proxy.Fault{Flip: 0.01})   // from the target to whoever dialled
//	… p.Counts().Flipped > 0 …
//	p.Close()
//
// Faults may change at any time; connections that are open feel the change
// with their next chunk (up to 32 KiB). A listener that is Behind a proxy
// announces the proxy's address as its own, so that a server which tells others
// its port sends them through the proxy.
package proxy

import (
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Fault is what happens to one direction. The zero Fault passes everything.
// Probabilities are per chunk.
type Fault struct {
	// Delay is added to every chunk; chunks under way overlap their delays.
	Delay time.Duration
	// Rate in bytes per second and connection; 0 = as fast as it goes.
	Rate int64
	// Cut ends the connection with a reset; so does reaching CutAfter bytes
	// (0 = never) of a connection.
	Cut      float64
	CutAfter int64
	// Flip turns one bit of the chunk over, Duplicate sends it twice.
	Flip, Duplicate float64
	// Mute passes nothing until the Fault is taken back. Connections stay open
	// and new ones are accepted, as with a stopped process.
	Mute bool
}

// Counts says what a proxy has done so far.
type Counts struct {
	Conns, Open, Bytes             int64
	Cut, Flipped, Duplicated, Held int64
}

// Proxy forwards connections. Its methods are safe for concurrent use.
type Proxy struct {
	lis    net.Listener
	dial   func() (net.Conn, error)
	wg     sync.WaitGroup
	counts struct {
		conns, open, bytes             atomic.Int64
		cut, flipped, duplicated, held atomic.Int64
	}

	mu     sync.Mutex
	rand   *rand.Rand
	faults [2]Fault
	// changed is closed and replaced when faults change.
	changed chan struct{}
	conns   map[*conn]struct{}
	closed  bool
}

type direction int

const (
	down direction = iota // from the target to whoever dialled
	up
)

// New listens at addr and forwards to target. Choices are drawn from seed.
func New(addr, target string, seed uint64) (*Proxy, error) {
	lis, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	return Between(lis, func() (net.Conn, error) { return net.Dial("tcp", target) }, seed), nil
}

// Between forwards what lis accepts to what dial opens, each where the caller
// made it: in other network namespaces, say. Close closes lis.
func Between(lis net.Listener, dial func() (net.Conn, error), seed uint64) *Proxy {
	p := &Proxy{
		lis: lis, dial: dial, rand: rand.New(rand.NewPCG(seed, 1)),
		changed: make(chan struct{}), conns: map[*conn]struct{}{},
	}
	p.wg.Go(p.accept)
	return p
}

// Addr is where to dial.
func (p *Proxy) Addr() string { return p.lis.Addr().String() }

// SetDown changes what happens to bytes from the target, SetUp to bytes to it.
func (p *Proxy) SetDown(f Fault) { p.set(down, f) }
func (p *Proxy) SetUp(f Fault)   { p.set(up, f) }

// Set changes both.
func (p *Proxy) Set(f Fault) {
	p.SetDown(f)
	p.SetUp(f)
}

func (p *Proxy) set(d direction, f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults[d] = f
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Proxy) fault(d direction) (Fault, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults[d], p.changed
}

// Cut resets every open connection.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.cut()
		p.counts.cut.Add(1)
	}
}

// Counts returns what was done so far.
func (p *Proxy) Counts() Counts {
	c := &p.counts
	return Counts{
		Conns: c.conns.Load(), Open: c.open.Load(), Bytes: c.bytes.Load(), Cut: c.cut.Load(),
		Flipped: c.flipped.Load(), Duplicated: c.duplicated.Load(), Held: c.held.Load(),
	}
}

// Close ends everything and waits for it.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		c.cut()
	}
	p.mu.Unlock()
	err := p.lis.Close()
	p.wg.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.lis.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of descriptors
			continue
		}
		p.wg.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := p.dial()
	if err != nil {
		return
	}
	defer server.Close()
	c := &conn{p: p, client: client, server: server, done: make(chan struct{})}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.conns[c] = struct{}{}
	p.mu.Unlock()
	p.counts.conns.Add(1)
	p.counts.open.Add(1)
	c.run()
	p.counts.open.Add(-1)
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

// chance reports true with probability x.
func (p *Proxy) chance(x float64) bool {
	if x <= 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rand.Float64() < x
}

// flip turns over one bit of b.
func (p *Proxy) flip(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b[p.rand.IntN(len(b))] ^= 1 << p.rand.IntN(8)
}

// Behind starts a proxy in front of lis and returns lis under the proxy's
// address. Closing the listener leaves the proxy alone.
func Behind(lis net.Listener, seed uint64) (*Proxy, net.Listener, error) {
	p, err := New("127.0.0.1:0", lis.Addr().String(), seed)
	if err != nil {
		return nil, nil, err
	}
	return p, At(lis, p.lis.Addr()), nil
}

// At returns lis with another address for its own.
func At(lis net.Listener, addr net.Addr) net.Listener { return elsewhere{lis, addr} }

type elsewhere struct {
	net.Listener
	addr net.Addr
}

func (e elsewhere) Addr() net.Addr { return e.addr }
