package fetch

import (
	"time"

	"golang.org/x/sys/unix"
)

// Bytes of a piece are of no use before all of them are here. So the kernel is
// told to wake us for a fair amount (SO_RCVLOWAT), not for each packet: with
// eight servers sharing a link of 100 Mbit/s that is six wake-ups for a piece
// of 256 KiB instead of thirty, each with its system calls and the switch to us
// and back.
const (
	// mostPerWake bytes are waited for at most, and no more than come in
	// wakeTime at the rate so far.
	mostPerWake  = 64 << 10
	wakeTime     = 100 * time.Millisecond
	leastPerWake = 8 << 10
)

// pacer paces the wake-ups of one answer's reader.
type pacer struct {
	c     *conn
	start time.Time
	got   int64
}

// pace begins with the body of an answer.
func (c *conn) pace() *pacer {
	p := &pacer{c: c, start: time.Now()}
	p.set()
	return p
}

// read notes n bytes and sets how many the next wake-up is for.
func (p *pacer) read(n int) {
	p.got += int64(n)
	p.c.rate = float64(p.got) / max(time.Since(p.start), time.Millisecond).Seconds()
	p.set()
}

func (p *pacer) set() {
	low := int(min(mostPerWake, p.c.left, int64(p.c.rate*wakeTime.Seconds())))
	switch {
	case low < leastPerWake:
		p.c.wakeFor(1)
	case int64(p.c.low) > p.c.left || low >= 2*p.c.low || low <= p.c.low/2:
		p.c.wakeFor(low)
	}
}

// wakeFor makes the kernel wake the reader for low bytes, or for the end.
func (c *conn) wakeFor(low int) {
	if c.raw == nil || low == c.low {
		return
	}
	c.low = low
	_ = c.raw.Control(func(fd uintptr) {
		// A refusal leaves it as it was: wake-ups for less.
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, low)
	})
}
