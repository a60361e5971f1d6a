package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"google.golang.org/protobuf/types/known/timestamppb"

	"damselfly/cmd/internal/boot"
	"damselfly/pieces"
)

// table lines up columns that are split by tabs.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer) table { return table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)} }

// row prints cells. What others wrote may hold control characters, which a
// terminal would obey: they are shown as \x….
func (t table) row(cells ...string) {
	for i, c := range cells {
		if c == "" {
			c = "-"
		}
		cells[i] = visible(c)
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

// line prints a sentence between rows, which does not widen their columns.
func (t table) line(text string) {
	t.w.Flush() // an error is the next flush's too
	fmt.Fprintln(t.w, visible(text))
	t.w.Flush()
}

func (t table) flush() error { return pieces.WithKind(pieces.Internal, t.w.Flush(), "printing") }

func visible(s string) string {
	if !strings.ContainsFunc(s, unicode.IsControl) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsControl(r) {
			fmt.Fprintf(&b, `\x%02x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// ago is how long a time lies back.
func ago(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	d := time.Since(t.AsTime())
	switch {
	case d < 0:
		return "in " + short(-d)
	case d < time.Second:
		return "now"
	}
	return short(d) + " ago"
}

func short(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	case d >= time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + "h"
	case d >= time.Minute:
		return strconv.Itoa(int(d/time.Minute)) + "m"
	}
	return strconv.Itoa(int(d/time.Second)) + "s"
}

func number[N uint32 | uint64 | int](n N) string { return fmt.Sprint(n) }

// bytesOf is a count of bytes; "-" for what is not known.
func bytesOf(n int64) string {
	if n < 0 {
		return ""
	}
	return boot.FormatBytes(n)
}

// shortID is the beginning of an id, as logs have it.
func shortID(id string) string { return id[:min(len(id), 12)] }

func yesNo(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}
