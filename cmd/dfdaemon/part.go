package main

import (
	"context"
	"errors"
)

// part is something that runs until it is stopped. Parts are stopped in the
// reverse order of their start.
type part struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // set before done is closed
}

// startPart runs run in a goroutine. If it returns before it was stopped, ended
// is called.
func startPart(run func(context.Context) error, ended func()) *part {
	ctx, cancel := context.WithCancel(context.Background())
	p := &part{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = run(ctx)
		if ctx.Err() == nil {
			ended()
		}
	}()
	return p
}

// stop ends the part, waits for it and returns its error.
func (p *part) stop() error {
	p.cancel()
	<-p.done
	return p.err
}

// stack is what has to be undone, last first.
type stack []func() error

func (s *stack) push(undo func() error) { *s = append(*s, undo) }

// unwind undoes all, and returns all errors.
func (s *stack) unwind() error {
	var errs []error
	for i := len(*s) - 1; i >= 0; i-- {
		errs = append(errs, (*s)[i]())
	}
	*s = nil
	return errors.Join(errs...)
}
