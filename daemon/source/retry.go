package source

import (
	"context"
	"io"
	"math/rand/v2"
	"time"

	"github.com/sirupsen/logrus"

	"damselfly/pieces"
)

// RetryOptions says how often and how patiently. The zero value is good.
type RetryOptions struct {
	// Tries in all without progress; default 4.
	Tries int
	// Base is the first pause, doubled after each failure up to Max, and made
	// up to half shorter at random. Defaults 100 ms and 2 s.
	Base, Max time.Duration
	// Rand draws from [0,1); default math/rand/v2.
	Rand func() float64
	Log  *logrus.Entry // nil discards
}

// progress is how many bytes of a range make a new start for Tries.
const progress = 64 << 10

// WithRetry tries again what failed with an Origin, Unavailable or Timeout
// error that is not permanent, and resumes a range whose body broke off where
// it broke off. Throttled is left to whoever knows who else is asking; the body
// of ReadAll can't be resumed.
func WithRetry(o Origin, r RetryOptions) Origin {
	set(&r.Tries, 4)
	set(&r.Base, 100*time.Millisecond)
	set(&r.Max, 2*time.Second)
	if r.Rand == nil {
		r.Rand = rand.Float64
	}
	if r.Log == nil {
		silent := logrus.New()
		silent.SetOutput(io.Discard)
		r.Log = logrus.NewEntry(silent)
	}
	return &retried{o, r}
}

type retried struct {
	o Origin
	r RetryOptions
}

func (d *retried) Stat(ctx context.Context, t *pieces.Task) (st Stat, err error) {
	err = d.try(ctx, func() error {
		st, err = d.o.Stat(ctx, t)
		return err
	})
	return st, err
}

func (d *retried) ReadAll(ctx context.Context, t *pieces.Task) (body io.ReadCloser, st Stat, err error) {
	err = d.try(ctx, func() error {
		body, st, err = d.o.ReadAll(ctx, t)
		return err
	})
	return body, st, err
}

func (d *retried) ReadRange(ctx context.Context, t *pieces.Task, f pieces.Facts, off, n int64) (io.ReadCloser, error) {
	b := &resumed{d: d, left: n}
	b.open = func() (err error) {
		b.body, err = d.o.ReadRange(ctx, t, f, off+n-b.left, b.left)
		return err
	}
	b.ctx = ctx
	if err := d.try(ctx, b.open); err != nil {
		return nil, err
	}
	return b, nil
}

// try runs f until it succeeds, fails for good, or Tries are used up.
func (d *retried) try(ctx context.Context, f func() error) error {
	for failures := 0; ; {
		err := f()
		if err == nil {
			return nil
		}
		if failures++; !d.again(ctx, err, failures) {
			return err
		}
	}
}

// again reports whether to try once more after that many failures, having
// paused.
func (d *retried) again(ctx context.Context, err error, failures int) bool {
	if failures >= d.r.Tries || ctx.Err() != nil || !transient(err) {
		return false
	}
	pause := min(d.r.Base<<min(failures-1, 16), d.r.Max)
	pause -= time.Duration(d.r.Rand() * float64(pause) / 2)
	d.r.Log.WithError(err).WithField("pause", pause).Debug("origin failed, trying again")
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func transient(err error) bool {
	if pieces.IsPermanent(err) {
		return false
	}
	switch pieces.KindOf(err) {
	case pieces.Origin, pieces.Unavailable, pieces.Timeout:
		return true
	}
	return false
}

// resumed is the body of a range that goes on with another request after a
// failure.
type resumed struct {
	d    *retried
	ctx  context.Context
	open func() error // sets body to the left bytes
	body io.ReadCloser
	left int64
	// failures since the last progress bytes came, and what came since then.
	failures int
	came     int64
	err      error // sticky
}

func (b *resumed) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	for {
		n, err := b.body.Read(p)
		b.left -= int64(n)
		if b.came += int64(n); b.came >= progress {
			b.came, b.failures = 0, 0
		}
		if err == nil {
			return n, nil
		}
		if b.left == 0 { // complete, whatever else went wrong
			b.err = io.EOF
			return n, io.EOF
		}
		if err = b.resume(err); err != nil {
			b.err = err
			return n, err
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
}

// resume opens the rest, or returns why not.
func (b *resumed) resume(err error) error {
	if err == io.EOF {
		err = pieces.WithKind(pieces.Origin, io.ErrUnexpectedEOF, "range")
	}
	_ = b.body.Close()
	for {
		if b.failures++; !b.d.again(b.ctx, err, b.failures) {
			return err
		}
		if err = b.open(); err == nil {
			return nil
		}
	}
}

func (b *resumed) Close() error {
	if b.body == nil {
		return nil
	}
	return b.body.Close()
}
