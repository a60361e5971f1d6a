package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"damselfly/daemon/control"
	"damselfly/pieces/missing"
)

// pty is a terminal of 60 columns and 12 rows. What is written to it is
// collected.
type pty struct {
	tty    *os.File
	master *os.File
	shown  chan string
}

func newPTY(t *testing.T) *pty {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		missing.Skip(t, "no terminals here: ", err)
	}
	t.Cleanup(func() { master.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { tty.Close() })
	require.NoError(t, unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 12, Col: 60}))
	p := &pty{tty: tty, master: master, shown: make(chan string, 1)}
	go func() {
		var all strings.Builder
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			all.Write(buf[:n])
			if err != nil || strings.HasSuffix(all.String(), leavePage) {
				p.shown <- all.String()
				return
			}
		}
	}()
	return p
}

// live runs until the daemon was asked n times, then what ends it; it returns what
// the terminal showed.
func (p *pty) live(t *testing.T, n int, end func(cancel func())) string {
	t.Helper()
	before, err := term.GetState(int(p.tty.Fd()))
	require.NoError(t, err)
	a, b := twoSamples()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	asked := 0
	s, err := openScreen(p.tty, p.tty)
	require.NoError(t, err)
	require.NoError(t, live(ctx, s, time.Millisecond, func(context.Context) (control.Status, error) {
		if asked++; asked == n {
			end(cancel)
		}
		switch asked {
		case 1:
			return a.st, nil
		case 2:
			return control.Status{}, errors.New("it restarts")
		}
		return b.st, nil
	}))
	require.NoError(t, ctx.Err(), "it ended by itself")
	s.close()
	after, err := term.GetState(int(p.tty.Fd()))
	require.NoError(t, err)
	require.Equal(t, before, after, "the terminal is as it was")
	return <-p.shown
}

func TestLiveView(t *testing.T) {
	for _, key := range []string{"q", "\x03"} {
		p := newPTY(t)
		shown := p.live(t, 4, func(func()) {
			_, err := p.master.WriteString("x" + key)
			require.NoError(t, err)
		})
		require.True(t, strings.HasPrefix(shown, enterPage+toCorner), "%q", shown)
		pages := strings.Split(shown, toCorner)[1:]
		require.GreaterOrEqual(t, len(pages), 4)
		require.Contains(t, pages[0], "damselfly 1.0")
		require.Contains(t, pages[1], "it restarts")
		for _, page := range pages {
			lines := strings.Split(strings.TrimSuffix(page, leavePage), "\r\n")
			require.LessOrEqual(t, len(lines), 12)
			for _, l := range lines {
				l = strings.NewReplacer(endLine, "", endPage, "").Replace(l)
				require.LessOrEqual(t, len([]rune(l)), 60, "%q", l)
				require.NotContains(t, l, "\x1b", "nothing is cleared before it is drawn anew")
			}
		}
	}
}

// Without a keyboard it ends with its context.
func TestLiveViewWithoutKeys(t *testing.T) {
	p := newPTY(t)
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer null.Close()
	s, err := openScreen(null, p.tty)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	a, _ := twoSamples()
	require.NoError(t, live(ctx, s, time.Hour, func(context.Context) (control.Status, error) {
		time.AfterFunc(10*time.Millisecond, cancel)
		return a.st, nil
	}))
	s.close()
	require.Contains(t, <-p.shown, "origin")
}
