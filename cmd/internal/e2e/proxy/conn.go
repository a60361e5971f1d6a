package proxy

import (
	"net"
	"sync"
	"time"
)

// conn is one connection: two pumps, one each way.
type conn struct {
	p              *Proxy
	client, server net.Conn
	once           sync.Once
	done           chan struct{}
}

const maxChunk = 32 << 10

// backlog bounds the chunks that wait for their delay.
const backlog = 64

type chunk struct {
	data []byte
	at   time.Time
}

func (c *conn) run() {
	var wg sync.WaitGroup
	wg.Go(func() { c.pump(down, c.server, c.client) })
	wg.Go(func() { c.pump(up, c.client, c.server) })
	wg.Wait()
}

// cut resets both ends.
func (c *conn) cut() {
	c.once.Do(func() {
		close(c.done)
		for _, e := range []net.Conn{c.client, c.server} {
			if t, ok := e.(*net.TCPConn); ok {
				_ = t.SetLinger(0)
			}
			_ = e.Close()
		}
	})
}

// pump copies until either end closes; the end of one direction half-closes
// the other end, an error or a fault cuts both.
func (c *conn) pump(d direction, from, to net.Conn) {
	chunks := make(chan chunk, backlog)
	var wg sync.WaitGroup
	wg.Go(func() { c.send(d, to, chunks) })
	defer wg.Wait()
	defer close(chunks)
	buf := make([]byte, maxChunk)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			f, _ := c.p.fault(d)
			select {
			case chunks <- chunk{append([]byte(nil), buf[:n]...), time.Now().Add(f.Delay)}:
			case <-c.done:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (c *conn) send(d direction, to net.Conn, chunks <-chan chunk) {
	total := int64(0)
	for ch := range chunks {
		if !c.until(ch.at) || !c.unmuted(d) {
			c.spill(chunks)
			return
		}
		f, _ := c.p.fault(d)
		total += int64(len(ch.data))
		if c.p.chance(f.Cut) || f.CutAfter > 0 && total > f.CutAfter {
			c.p.counts.cut.Add(1)
			c.spill(chunks)
			return
		}
		if c.p.chance(f.Flip) {
			c.p.flip(ch.data)
			c.p.counts.flipped.Add(1)
		}
		if c.p.chance(f.Duplicate) {
			ch.data = append(ch.data, ch.data...)
			c.p.counts.duplicated.Add(1)
		}
		if !c.write(d, to, ch.data) {
			c.spill(chunks)
			return
		}
	}
	if t, ok := to.(*net.TCPConn); !ok || t.CloseWrite() != nil {
		c.cut()
	}
}

// spill cuts the connection and takes chunks until the pump has seen it.
func (c *conn) spill(chunks <-chan chunk) {
	c.cut()
	for range chunks {
	}
}

// write sends b at the direction's rate, as it is then.
func (c *conn) write(d direction, to net.Conn, b []byte) bool {
	for len(b) > 0 {
		f, _ := c.p.fault(d)
		n := len(b)
		if f.Rate > 0 {
			n = min(n, int(max(1, f.Rate/20)))
		}
		sent, err := to.Write(b[:n])
		c.p.counts.bytes.Add(int64(sent))
		if err != nil {
			return false
		}
		b = b[n:]
		if f.Rate > 0 && !c.until(time.Now().Add(time.Duration(n)*time.Second/time.Duration(f.Rate))) {
			return false
		}
	}
	return true
}

// until waits for a moment; false: the connection ended.
func (c *conn) until(at time.Time) bool {
	wait := time.Until(at)
	if wait <= 0 {
		return true
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.done:
		return false
	}
}

// unmuted waits while the direction is mute.
func (c *conn) unmuted(d direction) bool {
	for first := true; ; first = false {
		f, changed := c.p.fault(d)
		if !f.Mute {
			return true
		}
		if first {
			c.p.counts.held.Add(1)
		}
		select {
		case <-changed:
		case <-c.done:
			return false
		}
	}
}
