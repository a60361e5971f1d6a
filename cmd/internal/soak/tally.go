package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Deadlines of operations: what DESIGN promises, and a second or two for a
// busy machine.
const (
	openDeadline = 22 * time.Second // a lookup and an open, 10 s each
	readDeadline = 33 * time.Second // 30 s without a verified byte
	getDeadline  = 2 * time.Minute
	healDeadline = 30 * time.Second
)

// tally counts operations and collects what may not be. Safe for concurrent
// use.
type tally struct {
	mu     sync.Mutex
	ops    int64
	bytes  int64
	errors map[string]int64
	worst  map[string]time.Duration
	// open are the operations under way.
	open   map[*op]struct{}
	wrong  int64 // bytes read that were not right
	missed int64 // deadlines
	faults []string
	round  string
}

// op is one operation, timed.
type op struct {
	what     string
	began    time.Time
	deadline time.Duration
	told     bool
}

func newTally() *tally {
	return &tally{errors: map[string]int64{}, worst: map[string]time.Duration{}, open: map[*op]struct{}{}}
}

func (t *tally) setRound(r string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.round = r
}

// begin starts the clock of an operation; kind is its first word.
func (t *tally) begin(deadline time.Duration, format string, args ...any) *op {
	o := &op{what: fmt.Sprintf(format, args...), began: time.Now(), deadline: deadline}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open[o] = struct{}{}
	return o
}

// end stops it and counts err, which it returns.
func (t *tally) end(o *op, err error) error {
	took := time.Since(o.began)
	kind, _, _ := strings.Cut(o.what, " ")
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, o)
	t.ops++
	t.worst[kind] = max(t.worst[kind], took)
	t.late(o, took)
	if err != nil {
		t.errors[kind+": "+reason(err)]++
	}
	return err
}

// late needs mu.
func (t *tally) late(o *op, took time.Duration) {
	if took > o.deadline && !o.told {
		o.told = true
		t.missed++
		t.fail("%s took %.1f s or more, deadline %v", o.what, took.Seconds(), o.deadline)
	}
}

// watch finds those that are late and still under way.
func (t *tally) watch() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for o := range t.open {
		t.late(o, time.Since(o.began))
	}
}

// reason is a short name of an error, by which it is counted.
func reason(err error) string {
	var no syscall.Errno
	switch {
	case errors.As(err, &no):
		return no.Error()
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "short read"
	}
	s := err.Error()
	return s[:min(len(s), 60)]
}

// fail needs mu.
func (t *tally) fail(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	if t.round != "" {
		s += "\n      in " + t.round
	}
	t.faults = append(t.faults, time.Now().Format("15:04:05 ")+s)
}

// failed records that something was not as promised.
func (t *tally) failed(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fail(format, args...)
}

// wrongBytes records the one thing that may never be.
func (t *tally) wrongBytes(n int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wrong += int64(n)
	t.fail("WRONG BYTES: %v", err)
}

func (t *tally) read(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes += int64(n)
}

// bad returns what was not as promised.
func (t *tally) bad() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.faults)
}

func (t *tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%d operations, %d MiB checked, %d wrong bytes, %d missed deadlines\n", t.ops, t.bytes>>20, t.wrong, t.missed)
	for _, k := range slices.Sorted(maps.Keys(t.worst)) {
		fmt.Fprintf(&b, "  slowest %-6s %v\n", k, t.worst[k].Round(time.Millisecond))
	}
	for _, k := range slices.Sorted(maps.Keys(t.errors)) {
		fmt.Fprintf(&b, "  error   %-50s %d\n", k, t.errors[k])
	}
	return b.String()
}
