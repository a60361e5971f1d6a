package main

import (
	"context"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"damselfly/pieces"
)

// What a terminal is told: to show its second page, and no cursor; to begin in
// the corner; to clear the rest of a line, or of the page.
const (
	enterPage = "\x1b[?1049h\x1b[?25l"
	leavePage = "\x1b[?25h\x1b[?1049l"
	toCorner  = "\x1b[H"
	endLine   = "\x1b[K"
	endPage   = "\x1b[J"
)

// screen is a terminal that shows one page at a time. What is drawn overwrites
// what was there, so that nothing flickers.
type screen struct {
	in, out *os.File
	// before is how the keyboard was; nil if in is none.
	before *term.State
}

// terminal returns w as a terminal; false: it is none.
func terminal(w io.Writer) (*os.File, bool) {
	f, ok := w.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// openScreen takes the terminal over; close gives it back. Keys are read from
// in, unless that is no terminal.
func openScreen(in, out *os.File) (*screen, error) {
	s := &screen{in: in, out: out}
	if term.IsTerminal(int(in.Fd())) {
		before, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return nil, pieces.WithKind(pieces.Internal, err, "reading keys")
		}
		s.before = before
	}
	if _, err := io.WriteString(out, enterPage); err != nil {
		s.close()
		return nil, pieces.WithKind(pieces.Internal, err, "drawing")
	}
	return s, nil
}

func (s *screen) close() {
	_, _ = io.WriteString(s.out, leavePage) // it is gone, or takes this
	if s.before != nil {
		_ = term.Restore(int(s.in.Fd()), s.before)
	}
}

// size returns columns and rows as they are now.
func (s *screen) size() (width, height int) {
	width, height, err := term.GetSize(int(s.out.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}

// draw shows lines, which must fit, with one write.
func (s *screen) draw(lines []string) error {
	_, err := io.WriteString(s.out, toCorner+strings.Join(lines, endLine+"\r\n")+endLine+endPage)
	return pieces.WithKind(pieces.Internal, err, "drawing")
}

// keyPoll is how often a wait for a key looks whether it was ended otherwise.
const keyPoll = 50 * time.Millisecond

// quit waits for d and reports whether it was ended by q, Ctrl-C, Ctrl-D or ctx.
func (s *screen) quit(ctx context.Context, d time.Duration) bool {
	for end := time.Now().Add(d); ; {
		left := time.Until(end)
		if ctx.Err() != nil {
			return true
		}
		if left <= 0 {
			return false
		}
		if s.before == nil {
			sleep(ctx, min(left, keyPoll))
			continue
		}
		fds := []unix.PollFd{{Fd: int32(s.in.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(min(left, keyPoll)/time.Millisecond)+1)
		if err != nil || n == 0 {
			continue
		}
		var key [16]byte
		if n, err := s.in.Read(key[:]); err != nil || strings.ContainsAny(string(key[:n]), "qQ\x03\x04") {
			return true
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
