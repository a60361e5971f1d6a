package main

import (
	"context"
	"time"

	"damselfly/cmd/internal/boot/console"
	"damselfly/daemon/control"
	"damselfly/daemon/source"
	"damselfly/pieces"
)

// idleTimeout is when a daemon that dfget started leaves again.
const idleTimeout = "5m"

// runGet downloads what o asks for, and leaves no partial file if it fails.
func runGet(ctx context.Context, o options, show console.Console) (err error) {
	req, err := o.check()
	if err != nil {
		return err
	}
	ctx, end, err := traced(ctx, req.trace)
	if err != nil {
		return err
	}
	defer func() { end(err) }()
	out, err := openOutput(req.output, req.task.Digest)
	if err != nil {
		return err
	}
	defer out.abandon()
	began := time.Now()
	last, err := transfer(ctx, o, req, out, show)
	show.Stop()
	if err != nil {
		return err
	}
	if err := out.commit(); err != nil {
		return err
	}
	show.Summary(out.name(), out.written, time.Since(began), last.Traffic)
	return nil
}

// transfer fills out through the daemon, or without one.
func transfer(ctx context.Context, o options, req request, out *output, show console.Console) (control.Progress, error) {
	if o.direct {
		return readOrigin(ctx, req, out, show)
	}
	last, err := throughDaemon(ctx, req, out, show)
	if pieces.KindOf(err) != pieces.Unavailable || ctx.Err() != nil {
		return last, err
	}
	show.Note("%v; reading from the origin instead", err)
	if err := out.Restart(); err != nil {
		return last, err
	}
	return readOrigin(ctx, req, out, show)
}

func throughDaemon(ctx context.Context, req request, out *output, show console.Console) (control.Progress, error) {
	var last control.Progress
	c, started, err := req.target.Connect(ctx, "--idle-timeout", idleTimeout)
	if err != nil {
		return last, err
	}
	defer c.Close()
	if req.target.Chosen && !started {
		show.Note("a daemon runs already, so -o has no effect")
	}
	err = c.Download(ctx, req.url, req.task, req.rng, func(p control.Progress) {
		last = p
		show.Progress(p)
	}, out)
	return last, err
}

// newOrigin is how the origin is read without a daemon.
var newOrigin = func() (source.Origin, func() error) {
	h := source.NewHTTP(source.HTTPOptions{})
	return source.WithRetry(h, source.RetryOptions{}), h.Close
}

// readOrigin fills out from the origin itself.
func readOrigin(ctx context.Context, req request, out *output, show console.Console) (control.Progress, error) {
	var p control.Progress
	// Nobody shares what is read here, so the audience's secret can be empty.
	t, err := pieces.NewTask(req.url, req.task, nil)
	if err != nil {
		return p, err
	}
	origin, closeOrigin := newOrigin()
	defer closeOrigin()
	d := direct{origin: origin, task: t, out: out, tell: func(done, total int64) {
		p = control.Progress{Done: done, Total: total, Traffic: control.Traffic{Origin: done}}
		show.Progress(p)
	}}
	err = d.read(ctx, req.rng)
	return p, err
}
