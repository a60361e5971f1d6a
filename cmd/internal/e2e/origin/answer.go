package origin

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// End is what happens on the connection where an answer stops.
type End int

// The ends. Stalled answers go on after Pause.
const (
	Close End = iota
	Reset
	Stall
)

// Answer is what is about to be sent; faults change it.
type Answer struct {
	Asked
	file *File
	// Version whose bytes are sent.
	Version int
	Status  int
	Header  http.Header
	// The body is content [Off, Off+N), past the end of the file made up; or
	// Body, if that is not nil.
	Off, N int64
	Body   []byte
	// Length is the Content-Length told; -1 = chunked.
	Length int64
	// Stop, if not negative: so many body bytes are sent, then comes End.
	Stop  int64
	End   End
	Pause time.Duration // of Stall; negative = for ever
	// Mute: nothing is ever sent. Bytes per second, 0 = unlimited, of the
	// header and of the body.
	Mute             bool
	HeadRate, Rate   int64
	ResetBeforeReply bool
}

// step is the most bytes of one Write.
const step = 64 << 10

// send returns false when the connection is over.
func (a *Answer) send(w *wire) bool {
	switch {
	case a.ResetBeforeReply:
		w.reset()
		return false
	case a.Mute:
		w.wait(-1)
		return false
	}
	if !trickle(w, []byte(a.head()), a.HeadRate) {
		return false
	}
	size := a.N
	if a.Body != nil {
		size = int64(len(a.Body))
	}
	buf := make([]byte, step)
	for done := int64(0); done < size; {
		if a.Stop >= 0 && done >= a.Stop {
			if !a.stop(w) {
				return false
			}
			a.Stop = -1
		}
		n := min(size-done, step)
		if a.Stop >= 0 {
			n = min(n, a.Stop-done)
		}
		a.fill(buf[:n], done)
		if !a.write(w, buf[:n]) {
			return false
		}
		done += n
	}
	if a.Length < 0 {
		_, err := fmt.Fprint(w, "0\r\n\r\n")
		return err == nil
	}
	return a.Stop < 0 && size == a.Length
}

func (a *Answer) head() string {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", a.Status, http.StatusText(a.Status))
	_ = a.Header.Write(&b)
	if a.Length >= 0 {
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", a.Length)
	} else {
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
	}
	return b.String()
}

func (a *Answer) fill(p []byte, done int64) {
	if a.Body != nil {
		copy(p, a.Body[done:])
		return
	}
	n, _ := a.file.Content(a.Version).ReadAt(p, a.Off+done)
	for i := n; i < len(p); i++ {
		p[i] = 'x' // what no version has there
	}
}

func (a *Answer) write(w *wire, p []byte) bool {
	if a.Length < 0 {
		if _, err := fmt.Fprintf(w, "%x\r\n", len(p)); err != nil {
			return false
		}
		defer fmt.Fprint(w, "\r\n")
	}
	if !trickle(w, p, a.Rate) {
		return false
	}
	a.file.sent.Add(int64(len(p)))
	return true
}

// stop is what happens at Stop; true: the answer goes on.
func (a *Answer) stop(w *wire) bool {
	switch a.End {
	case Reset:
		w.reset()
	case Stall:
		return w.wait(a.Pause)
	}
	return false
}

// trickle writes p at a rate; false: the client left.
func trickle(w *wire, p []byte, rate int64) bool {
	if rate == 0 {
		_, err := w.Write(p)
		return err == nil
	}
	per := max(1, rate/20)
	for len(p) > 0 {
		n := min(int64(len(p)), per)
		if _, err := w.Write(p[:n]); err != nil {
			return false
		}
		if p = p[n:]; !w.wait(time.Duration(n) * time.Second / time.Duration(rate)) {
			return false
		}
	}
	return true
}
