package fetch

import (
	"net/http"
	"net/http/httptrace"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Bytes of a piece are of no use before all of them are here. So the kernel is
// told to wake us for a fair amount (SO_RCVLOWAT), not for each packet: with
// eight servers sharing a link of 100 Mbit/s that is one wake-up instead of
// five, each with its system calls and the switch to us and back.
const (
	// mostPerWake bytes are waited for at most, and no more than come in
	// wakeTime at the rate so far.
	mostPerWake = 64 << 10
	wakeTime    = 100 * time.Millisecond
	// readBuffer is what the HTTP client may have taken from the connection
	// beyond what it gave us: less than half of what is left when we wait for
	// more than one byte.
	readBuffer   = 4 << 10
	leastPerWake = 2 * readBuffer
)

// waker paces the wake-ups of one answer's reader, its only user.
type waker struct {
	conn  syscall.RawConn // nil: nothing to be done
	start time.Time
	got   int64
	left  int64 // of the answer
	low   int   // what the kernel was told, 1 at first
}

// watchConn makes req note its connection in w.
func (w *waker) watchConn(req *http.Request) *http.Request {
	return req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			if c, ok := i.Conn.(syscall.Conn); ok {
				w.conn, _ = c.SyscallConn()
			}
		},
	}))
}

// begin starts with the body of n bytes.
func (w *waker) begin(n int64) { w.start, w.left, w.low = time.Now(), n, 1 }

// read notes n bytes and sets how many the next wake-up is for.
func (w *waker) read(n int) {
	w.got += int64(n)
	w.left -= int64(n)
	rate := float64(w.got) / max(time.Since(w.start), time.Millisecond).Seconds()
	low := int(min(mostPerWake, float64(w.left/2), rate*wakeTime.Seconds()))
	switch {
	case low < leastPerWake:
		w.set(1)
	case low < w.low || low >= 2*w.low:
		w.set(low)
	}
}

// end makes the connection wake its next user for anything. It may be in use
// again already, whom this costs a few wake-ups.
func (w *waker) end() { w.set(1) }

func (w *waker) set(low int) {
	if w.conn == nil || low == w.low {
		return
	}
	w.low = low
	_ = w.conn.Control(func(fd uintptr) {
		// A refusal leaves it as it was: wake-ups for less.
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, low)
	})
}
