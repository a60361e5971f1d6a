package daemon

import (
	"container/list"
	"context"
	"path/filepath"
	"sync"
	"time"

	"damselfly/daemon/engine"
	"damselfly/pieces"
	"damselfly/proto/trace"
)

// current returns the facts of t's current Version. Known facts are answered at
// once; when they are older than FactsFresh they are looked at again beside.
// When a reader has met another Version, the new facts are waited for. An origin
// that asks to be left alone is waited for, too, up to FactsTimeout.
func (t *task) current(ctx context.Context) (pieces.Facts, error) {
	late := time.Now().Add(t.d.o.FactsTimeout)
	for looked := false; ; looked = true {
		doubted := !looked && t.inDoubt()
		t.mu.Lock()
		if t.facts != nil && !doubted {
			f := *t.facts
			if time.Since(t.checked) > t.fresh(f) && t.flight == nil {
				t.learn("", trace.Of(ctx))
			}
			t.mu.Unlock()
			return f, nil
		}
		if t.facts == nil && t.err != nil && time.Now().Before(t.errTo) {
			err, until, fresh := t.err, t.errTo, time.Now().After(t.tired)
			t.mu.Unlock()
			if pieces.KindOf(err) != pieces.Throttled {
				return pieces.Facts{}, err
			}
			if !fresh {
				late = time.Time{}
			}
			if err := t.outwait(ctx, err, until, late); err != nil {
				return pieces.Facts{}, err
			}
			continue
		}
		if t.flight == nil {
			t.learn("", trace.Of(ctx))
		}
		flight := t.flight
		t.mu.Unlock()
		select {
		case <-flight.done:
			if err := t.unknown(flight); err != nil && pieces.KindOf(err) != pieces.Throttled {
				return pieces.Facts{}, err
			}
		case <-ctx.Done():
			return pieces.Facts{}, ctx.Err()
		}
	}
}

// outwait waits until an origin that answered with err may be asked again, at
// until; after late, or when ctx ends, it returns the error for whoever asked,
// unless the facts have come another way. Who asks again at once, as the kernel
// does, is told the same without waiting.
func (t *task) outwait(ctx context.Context, err error, until, late time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, late)
	defer cancel()
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
	}
	kind := pieces.KindOf(ctx.Err())
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.facts != nil {
		return nil
	}
	if now := time.Now(); kind == pieces.Timeout && now.After(t.tired) {
		t.tired = now.Add(t.d.o.FailureMemo)
	}
	return pieces.WithKind(kind, err, "waiting for the origin of task "+t.id.Short())
}

// inDoubt reports whether a reader found another Version than the known one at
// the origin, and the facts were not looked at since.
func (t *task) inDoubt() bool {
	t.mu.Lock()
	doubted, facts := t.doubted, t.facts
	t.mu.Unlock()
	if doubted || facts == nil {
		return doubted
	}
	c := t.d.engine.Lookup(pieces.Key{Task: t.id, Version: facts.VersionID()})
	return c != nil && c.Replaced()
}

func (t *task) fresh(f pieces.Facts) time.Duration {
	if f.Validator.Kind == pieces.ContentSum {
		return t.d.o.SumFresh
	}
	return t.d.o.FactsFresh
}

// flight is the learning of facts under way. err is set before done is closed.
type flight struct {
	done chan struct{}
	err  error
}

// unknown returns why f brought no facts, unless some are known.
func (t *task) unknown(f *flight) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.facts != nil {
		return nil
	}
	return f.err
}

// learn starts a flight; t.mu is held. The result is for everybody who waits,
// so it does not hang on anybody's context. scheduler, if not empty, is asked
// first; by is the span of who asks first, if there is one.
func (t *task) learn(scheduler string, by trace.Parent) {
	flight := &flight{done: make(chan struct{})}
	t.flight = flight
	spec, sets := t.entry.Task, t.sets
	t.d.wg.Go(func() {
		ctx, span := t.d.o.Tracer.Under(t.d.ctx, by, "daemon.facts", trace.Internal)
		span.Str("task", string(t.id))
		facts, err := t.d.learn(ctx, t, &spec, scheduler)
		span.End(err)
		t.mu.Lock()
		t.flight, t.doubted, flight.err = nil, false, err
		known := t.facts != nil
		// Facts that came meanwhile are newer than those we asked for.
		overtaken := known && t.sets != sets
		if err != nil {
			t.failed(err)
		}
		t.mu.Unlock()
		if err == nil && !overtaken {
			t.set(facts)
		} else if k := pieces.KindOf(err); err != nil && known && (k == pieces.NotFound || k == pieces.Denied) {
			t.d.o.Log.WithError(err).WithField("task", t.id.Short()).Warn("the origin no longer gives this content")
		}
		close(flight.done)
	})
}

// failed remembers why there are no facts: as long as the origin or the
// scheduler asks for, else longer each time while the origin is in trouble, but
// never longer than MaxMemo. t.mu is held.
func (t *task) failed(err error) {
	memo, asked := t.d.o.FailureMemo, pieces.RetryAfter(err)
	if !pieces.IsPermanent(err) {
		if asked == 0 { // else somebody paces us already: two waits would add up
			memo <<= min(t.fails, 4)
		}
		t.fails++
	}
	t.err, t.errTo = err, time.Now().Add(min(max(memo, asked), t.d.o.MaxMemo))
	if t.facts != nil {
		// The origin can't be reached: what is held is served.
		t.checked = time.Now()
	}
}

// set takes facts as the current ones and tells the contents of all Versions.
func (t *task) set(f pieces.Facts) {
	t.mu.Lock()
	t.facts, t.checked, t.err, t.fails = &f, time.Now(), nil, 0
	t.sets++
	checked, kept := t.checked, t.kept
	t.mu.Unlock()
	if kept {
		if err := t.d.store.PutFacts(t.id, f, checked); err != nil {
			t.d.o.Log.WithError(err).Warn("keeping facts")
		}
	}
	v := f.VersionID()
	for _, c := range t.d.engine.OfTask(t.id) {
		c.MarkReplaced(c.Key().Version != v)
	}
}

// replaced is told by the engine that a Version is not current any more; with
// zero facts the new ones have to be looked up.
func (d *Daemon) replaced(id pieces.TaskID, f pieces.Facts) {
	t, err := d.taskHere(id)
	if err != nil {
		return
	}
	if f.Validator.Kind != pieces.NoValidator {
		t.set(f)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if d.ctx.Err() != nil {
		return
	}
	t.doubted = true
	if t.flight == nil {
		t.learn("", trace.Parent{})
	}
}

// learn asks the scheduler for a Task's facts, or the origin where there is
// none.
func (d *Daemon) learn(ctx context.Context, t *task, spec *pieces.Task, scheduler string) (pieces.Facts, error) {
	if !spec.Public() || !d.announce.Enabled() {
		f, _, err := d.stat(ctx, t, spec)
		return f, err
	}
	for {
		f, err := d.ask(ctx, t, spec, scheduler)
		switch {
		case err == nil:
			return f, nil
		case pieces.KindOf(err) == pieces.Unavailable && t.canFetch():
			d.o.Log.WithError(err).WithField("task", t.id.Short()).Info("no scheduler answers: asking the origin for the facts")
			f, _, err = d.stat(ctx, t, spec)
			return f, err
		case pieces.KindOf(err) == pieces.Timeout && t.isSpooling():
			continue
		}
		return f, err
	}
}

// ask asks the scheduler once.
func (d *Daemon) ask(ctx context.Context, t *task, spec *pieces.Task, scheduler string) (pieces.Facts, error) {
	ctx, cancel := context.WithTimeout(ctx, d.o.FactsTimeout)
	defer cancel()
	return d.announce.StatTaskAt(ctx, scheduler, spec, t.canFetch(), func(ctx context.Context) (pieces.Facts, []byte, error) {
		return d.stat(ctx, t, spec)
	}, t.set)
}

// stat asks the origin. What came with the facts is kept: the whole content if
// it is small or had to be read to the end, else its first bytes. tiny is the
// content if it may travel inside messages.
func (d *Daemon) stat(ctx context.Context, t *task, spec *pieces.Task) (f pieces.Facts, tiny []byte, err error) {
	if !t.canFetch() {
		// Without them the origin may show something else: a login page.
		return f, nil, pieces.Errorf(pieces.Denied,
			"this host lacks the credentials or signed parameters of %s; add it again with them", spec)
	}
	st, err := d.origin.Stat(ctx, spec)
	if err != nil {
		return f, nil, err
	}
	if st.Spool {
		f, err := d.spool(ctx, t, spec)
		return f, nil, err
	}
	f = st.Facts
	if _, err := f.Geometry(); err != nil {
		return f, nil, err
	}
	if !st.Whole() {
		d.prefixes.put(pieces.Key{Task: spec.ID, Version: f.VersionID()}, st.Prefix)
		return f, nil, nil
	}
	c, err := d.engine.Content(spec, f, true)
	if err != nil {
		return f, nil, err
	}
	if err := c.TakeWhole(ctx, st.Prefix); err != nil {
		return f, nil, err
	}
	if pieces.ScopeOf(f.Size, spec.Public()) == pieces.ScopeTiny {
		tiny = st.Prefix
	}
	return f, tiny, nil
}

// spooling is the reading of a whole content under way.
type spooling struct {
	done  chan struct{}
	facts pieces.Facts
	err   error
}

// spool reads content whole to name its Version. The reading goes on when ctx
// ends; whoever asks next joins it.
func (d *Daemon) spool(ctx context.Context, t *task, spec *pieces.Task) (pieces.Facts, error) {
	t.mu.Lock()
	s := t.spooling
	if s == nil {
		s = &spooling{done: make(chan struct{})}
		t.spooling = s
		d.wg.Go(func() {
			s.facts, s.err = d.spoolNow(trace.Carry(d.ctx, ctx), spec)
			t.mu.Lock()
			t.spooling = nil
			t.mu.Unlock()
			close(s.done)
		})
	}
	t.mu.Unlock()
	select {
	case <-s.done:
		return s.facts, s.err
	case <-ctx.Done():
		return pieces.Facts{}, pieces.WithKind(pieces.KindOf(ctx.Err()), ctx.Err(), "reading the content whole")
	}
}

func (t *task) isSpooling() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.spooling != nil
}

func (d *Daemon) spoolNow(ctx context.Context, spec *pieces.Task) (pieces.Facts, error) {
	ctx, cancel := context.WithTimeout(ctx, d.o.SpoolTimeout)
	defer cancel()
	s, err := engine.Spool(ctx, d.origin, spec, filepath.Join(d.o.DataDir, spoolDir), engine.HasRoom(d.store))
	if err != nil {
		return pieces.Facts{}, err
	}
	defer s.Close()
	c, err := d.engine.Content(spec, s.Facts, true)
	if err != nil {
		return pieces.Facts{}, err
	}
	return s.Facts, c.Take(ctx, s)
}

// prefixes keeps the first bytes of content whose facts were read just now, so
// that they are not read again: the latest few.
type prefixes struct {
	mu    sync.Mutex
	max   int
	items map[pieces.Key]*list.Element
	order *list.List // of *prefix, oldest first
}

type prefix struct {
	key  pieces.Key
	data []byte
}

func newPrefixes(n int) *prefixes {
	return &prefixes{max: n, items: map[pieces.Key]*list.Element{}, order: list.New()}
}

func (p *prefixes) put(k pieces.Key, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.items[k]; e != nil {
		p.order.Remove(e)
	}
	p.items[k] = p.order.PushBack(&prefix{k, data})
	if p.order.Len() > p.max {
		o := p.order.Remove(p.order.Front()).(*prefix)
		delete(p.items, o.key)
	}
}

// get returns the prefix of k, or nil.
func (p *prefixes) get(k pieces.Key) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.items[k]; e != nil {
		return e.Value.(*prefix).data
	}
	return nil
}
