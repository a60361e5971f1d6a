// Package console shows a person how a transfer goes: a bar on a terminal,
// plain lines elsewhere.
package console

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"damselfly/cmd/internal/boot"
	"damselfly/daemon/control"
)

// Console tells how a transfer goes. Its methods are called from one
// goroutine.
type Console interface {
	// Note writes one line.
	Note(format string, args ...any)
	// Progress may be called as often as one likes.
	Progress(control.Progress)
	// Stop ends the display of progress.
	Stop()
	// Summary says what was transferred, how fast and from where.
	Summary(what string, bytes int64, took time.Duration, tr control.Traffic)
}

// New makes a Console on w: a bar if that is a terminal, else plain lines that
// begin with the program's name; nothing if quiet.
func New(w io.Writer, program string, quiet bool) Console {
	if quiet {
		w = io.Discard
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &bar{plain: plain{w: w, program: program, now: time.Now}}
	}
	return &plain{w: w, program: program, now: time.Now}
}

// The pauses between two plain lines of progress, and two pictures of the bar.
const (
	lineEvery = 2 * time.Second
	drawEvery = 100 * time.Millisecond
)

// plain writes a line now and then.
type plain struct {
	w       io.Writer
	program string
	now     func() time.Time
	last    time.Time
}

func (c *plain) Note(format string, args ...any) {
	fmt.Fprintf(c.w, c.program+": "+format+"\n", args...)
}

func (c *plain) Progress(p control.Progress) {
	now := c.now()
	if c.last.IsZero() {
		c.last = now
	}
	if now.Sub(c.last) < lineEvery {
		return
	}
	c.last = now
	c.Note("%s of %s, %s", boot.FormatBytes(p.Done), total(p.Total), sources(p.Traffic))
}

func (c *plain) Stop() {}

func (c *plain) Summary(file string, bytes int64, took time.Duration, tr control.Traffic) {
	rate := float64(bytes) / max(took.Seconds(), 1e-3)
	c.Note("%s: %s in %.1f s (%s/s), %s", file, boot.FormatBytes(bytes), took.Seconds(), boot.FormatBytes(int64(rate)), sources(tr))
}

func total(n int64) string {
	if n < 0 {
		return "unknown size"
	}
	return boot.FormatBytes(n)
}

// sources says where bytes came from, naming only what gave some.
func sources(tr control.Traffic) string {
	var parts []string
	for _, s := range []struct {
		name  string
		bytes int64
	}{{"cache", tr.Cache}, {"peers", tr.Peers}, {"seeds", tr.Seeds}, {"origin", tr.Origin}} {
		if s.bytes > 0 {
			parts = append(parts, s.name+" "+boot.FormatBytes(s.bytes))
		}
	}
	if len(parts) == 0 {
		return "nothing transferred"
	}
	return strings.Join(parts, ", ")
}

// bar draws a bar with speed, time left and sources.
type bar struct {
	plain
	drawn *progressbar.ProgressBar
}

func (c *bar) Progress(p control.Progress) {
	now := c.now()
	if now.Sub(c.last) < drawEvery {
		return
	}
	c.last = now
	if c.drawn == nil {
		c.drawn = progressbar.NewOptions64(p.Total,
			progressbar.OptionSetWriter(c.w),
			progressbar.OptionShowBytes(true),
			progressbar.OptionUseIECUnits(true),
			progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionSetElapsedTime(false),
			progressbar.OptionSetWidth(20),
			progressbar.OptionClearOnFinish(),
		)
	}
	c.drawn.Set64(p.Done)
	c.drawn.Describe(sources(p.Traffic))
}

func (c *bar) Note(format string, args ...any) {
	c.Stop()
	c.plain.Note(format, args...)
}

func (c *bar) Stop() {
	if c.drawn != nil {
		c.drawn.Clear()
		c.drawn = nil
	}
}
