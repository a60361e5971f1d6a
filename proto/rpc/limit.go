package rpc

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// MaxConns returns how many connections a listener that wants max of them may
// hold: no more than one in share of the descriptors that the process may open,
// so that a crowd at one port leaves room for files and the other ports.
func MaxConns(max, share int) int {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) == nil && l.Cur/uint64(share) < uint64(max) {
		max = int(l.Cur / uint64(share))
	}
	return max
}

// DefaultShare is the share of its descriptors that a listener gives to
// connections beside others: one in eight.
const DefaultShare = 8

// LimitConns returns lis with at most max open connections. One more takes the
// place of another: of those of the address that has most, one that never said
// anything, else the one silent for longest. So idle and half-open connections,
// however many, keep nobody out. Connections without an IP address count as of
// one address. max < 1 is no limit.
func LimitConns(lis net.Listener, max int) net.Listener {
	if max < 1 {
		return lis
	}
	return &limited{Listener: lis, max: max, from: map[netip.Addr]map[*limitedConn]struct{}{}}
}

type limited struct {
	net.Listener
	max int

	mu sync.Mutex
	// n is the number of connections in from, which has no empty sets.
	n    int
	from map[netip.Addr]map[*limitedConn]struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	lc := &limitedConn{Conn: c, of: l, addr: addrOf(c.RemoteAddr())}
	lc.active.Store(time.Now().UnixNano())
	if victim := l.add(lc); victim != nil {
		_ = victim.Close()
	}
	return lc, nil
}

func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// add puts c in and, if that is one too many, takes out the one that has to
// give way.
func (l *limited) add(c *limitedConn) (victim *limitedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n >= l.max {
		victim = l.silentest()
		l.remove(victim)
	}
	set := l.from[c.addr]
	if set == nil {
		set = map[*limitedConn]struct{}{}
		l.from[c.addr] = set
	}
	set[c] = struct{}{}
	l.n++
	return victim
}

// silentest needs mu and at least one connection.
func (l *limited) silentest() (victim *limitedConn) {
	var most map[*limitedConn]struct{}
	for _, set := range l.from {
		if len(set) > len(most) {
			most = set
		}
	}
	for c := range most {
		if victim == nil || c.before(victim) {
			victim = c
		}
	}
	return victim
}

// remove needs mu; c may be gone already.
func (l *limited) remove(c *limitedConn) {
	set := l.from[c.addr]
	if _, ok := set[c]; !ok {
		return
	}
	delete(set, c)
	if len(set) == 0 {
		delete(l.from, c.addr)
	}
	l.n--
}

// limitedConn is a connection that knows when it was last of use.
type limitedConn struct {
	net.Conn
	of   *limited
	addr netip.Addr
	// active is when bytes last went either way, Unix ns; at first the time of
	// its start. spoke: the other side has said something.
	active atomic.Int64
	spoke  atomic.Bool
}

// before reports whether c should give way before o.
func (c *limitedConn) before(o *limitedConn) bool {
	if a, b := c.spoke.Load(), o.spoke.Load(); a != b {
		return b
	}
	return c.active.Load() < o.active.Load()
}

func (c *limitedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.spoke.Store(true)
		c.active.Store(time.Now().UnixNano())
	}
	return n, err
}

func (c *limitedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.active.Store(time.Now().UnixNano())
	return n, err
}

// ReadFrom lets net/http reach the ReadFrom of the connection below, which may
// know sendfile.
func (c *limitedConn) ReadFrom(r io.Reader) (int64, error) {
	defer func() { c.active.Store(time.Now().UnixNano()) }()
	if f, ok := c.Conn.(io.ReaderFrom); ok {
		return f.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}

// CloseWrite lets net/http end an answer before the connection.
func (c *limitedConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

func (c *limitedConn) Close() error {
	c.of.mu.Lock()
	c.of.remove(c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}
