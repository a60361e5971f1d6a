package source

import (
	"context"
	"io"
	"net/url"
	"sync"
	"time"

	"damselfly/pieces"
)

// RestOptions say how an origin is left alone. The zero value is good.
type RestOptions struct {
	// Off: each Task finds out for itself, as where one address serves what has
	// nothing to do with each other.
	Off bool
	// Base is the first pause after an answer of 429 or 503 without Retry-After,
	// doubled with each further one up to Max; defaults 500 ms and 20 s. A longer
	// Retry-After counts, up to RetryMax (default 20 s): then one request finds out.
	Base, Max, RetryMax time.Duration
	// Probe is how long the one request that finds out whether the origin has
	// recovered keeps others away; default 5 s.
	Probe time.Duration
	// Hosts bounds how many origins are remembered; default 1024.
	Hosts int
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// WithRest leaves an origin alone that answers 429 or 503: an origin is a scheme,
// host and port, whatever the Task. Until its time is over every call for it fails
// at once with its error and the time left; then one request finds out whether it
// has recovered. Redirects count for where they began.
func WithRest(o Origin, r RestOptions) Origin {
	if r.Off {
		return o
	}
	set(&r.Base, 500*time.Millisecond)
	set(&r.Max, 20*time.Second)
	set(&r.RetryMax, 20*time.Second)
	set(&r.Probe, 5*time.Second)
	set(&r.Hosts, 1024)
	if r.Now == nil {
		r.Now = time.Now
	}
	return &rested{o: o, r: r, origins: map[string]*rest{}}
}

type rested struct {
	o Origin
	r RestOptions

	mu      sync.Mutex
	origins map[string]*rest // guarded by mu
}

// rest is an origin in trouble.
type rest struct {
	err   *pieces.Error
	until time.Time
	fails int
	// probing: one request is finding out, or its time is over.
	probing bool
}

func originOf(t *pieces.Task) string {
	u, err := url.Parse(t.URL)
	if err != nil {
		return t.URL
	}
	return u.Scheme + "://" + u.Host // a canonical URL has no default port
}

// before returns the error that a call for t fails with now, or nil.
func (d *rested) before(t *pieces.Task) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	x := d.origins[originOf(t)]
	if x == nil {
		return nil
	}
	now := d.r.Now()
	if left := x.until.Sub(now); left > 0 {
		e := *x.err
		e.RetryAfter = left
		return &e
	}
	x.until, x.probing = now.Add(d.r.Probe), true
	return nil
}

// after notes how a call for t ended.
func (d *rested) after(ctx context.Context, t *pieces.Task, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key, now := originOf(t), d.r.Now()
	x := d.origins[key]
	if pieces.KindOf(err) != pieces.Throttled {
		switch {
		case x == nil || !x.probing: // it was asked before the trouble began
		case ctx.Err() != nil:
			x.until = now // nothing was learned
		default:
			delete(d.origins, key)
		}
		return
	}
	asked := min(pieces.RetryAfter(err), d.r.RetryMax)
	if x != nil && !x.probing {
		// Asked before the trouble began, too: the same failure.
		if until := now.Add(asked); until.After(x.until) {
			x.until = until
		}
		return
	}
	if x == nil {
		if len(d.origins) >= d.r.Hosts {
			d.forget(now)
		}
		x = &rest{}
		d.origins[key] = x
	}
	pause := max(min(d.r.Base<<min(x.fails, 16), d.r.Max), asked)
	x.fails++
	x.probing = false
	x.err, x.until = &pieces.Error{Kind: pieces.Throttled, Msg: err.Error()}, now.Add(pause)
}

// forget makes room: origins whose time is over, else the one whose time ends
// first. d.mu is held.
func (d *rested) forget(now time.Time) {
	first := ""
	for k, x := range d.origins {
		if !now.Before(x.until) {
			delete(d.origins, k)
		} else if first == "" || x.until.Before(d.origins[first].until) {
			first = k
		}
	}
	if len(d.origins) >= d.r.Hosts {
		delete(d.origins, first)
	}
}

func (d *rested) Stat(ctx context.Context, t *pieces.Task) (st Stat, err error) {
	if err := d.before(t); err != nil {
		return st, err
	}
	st, err = d.o.Stat(ctx, t)
	d.after(ctx, t, err)
	return st, err
}

func (d *rested) ReadRange(ctx context.Context, t *pieces.Task, f pieces.Facts, off, n int64) (body io.ReadCloser, err error) {
	if err := d.before(t); err != nil {
		return nil, err
	}
	body, err = d.o.ReadRange(ctx, t, f, off, n)
	d.after(ctx, t, err)
	return body, err
}

func (d *rested) ReadAll(ctx context.Context, t *pieces.Task) (body io.ReadCloser, st Stat, err error) {
	if err := d.before(t); err != nil {
		return nil, st, err
	}
	body, st, err = d.o.ReadAll(ctx, t)
	d.after(ctx, t, err)
	return body, st, err
}
