package main

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

// console tells a person how the download goes. Its methods are called from
// one goroutine.
type console interface {
	note(format string, args ...any)
	progress(control.Progress)
	// stop ends the display of progress.
	stop()
	summary(file string, bytes int64, took time.Duration, tr control.Traffic)
}

// newConsole makes a bar if w is a terminal, else plain lines.
func newConsole(w io.Writer, quiet bool) console {
	if quiet {
		w = io.Discard
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &barConsole{plainConsole: plainConsole{w: w, now: time.Now}}
	}
	return &plainConsole{w: w, now: time.Now}
}

// The pauses between two plain lines of progress, and two pictures of the bar.
const (
	lineEvery = 2 * time.Second
	drawEvery = 100 * time.Millisecond
)

// plainConsole writes a line now and then.
type plainConsole struct {
	w    io.Writer
	now  func() time.Time
	last time.Time
}

func (c *plainConsole) note(format string, args ...any) {
	fmt.Fprintf(c.w, "dfget: "+format+"\n", args...)
}

func (c *plainConsole) progress(p control.Progress) {
	now := c.now()
	if c.last.IsZero() {
		c.last = now
	}
	if now.Sub(c.last) < lineEvery {
		return
	}
	c.last = now
	c.note("%s of %s, %s", boot.FormatBytes(p.Done), total(p.Total), sources(p.Traffic))
}

func (c *plainConsole) stop() {}

func (c *plainConsole) summary(file string, bytes int64, took time.Duration, tr control.Traffic) {
	rate := float64(bytes) / max(took.Seconds(), 1e-3)
	c.note("%s: %s in %.1f s (%s/s), %s", file, boot.FormatBytes(bytes), took.Seconds(), boot.FormatBytes(int64(rate)), sources(tr))
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

// barConsole draws a bar with speed, time left and sources.
type barConsole struct {
	plainConsole
	bar *progressbar.ProgressBar
}

func (c *barConsole) progress(p control.Progress) {
	now := c.now()
	if now.Sub(c.last) < drawEvery {
		return
	}
	c.last = now
	if c.bar == nil {
		c.bar = progressbar.NewOptions64(p.Total,
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
	c.bar.Set64(p.Done)
	c.bar.Describe(sources(p.Traffic))
}

func (c *barConsole) note(format string, args ...any) {
	c.stop()
	c.plainConsole.note(format, args...)
}

func (c *barConsole) stop() {
	if c.bar != nil {
		c.bar.Clear()
		c.bar = nil
	}
}
