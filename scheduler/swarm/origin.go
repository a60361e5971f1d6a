package swarm

import (
	"time"

	"damselfly/pieces"
)

// originState is what the origin last said to anybody of this Task, shared by
// facts and extents like bytes.
type originState struct {
	// err answers for the origin until until. Transient errors with time left
	// mean: nobody asks before that.
	err   *pieces.Error
	until time.Time
	// fails counts transient errors since the origin last delivered.
	fails int
}

// ok: the origin delivered.
func (s *originState) ok() { *s = originState{} }

// resting reports whether the origin must not be asked now.
func (s *originState) resting(now time.Time) bool { return s.err != nil && now.Before(s.until) }

// failed notes an error and returns how long the origin is left alone.
func (s *originState) failed(now time.Time, err *pieces.Error, o *Options) time.Duration {
	wait := o.ErrorTTL
	if !err.Permanent {
		wait = o.BackoffMin << min(s.fails, 16)
		wait = min(wait, o.BackoffMax)
		s.fails++
	}
	wait = min(max(wait, err.RetryAfter), o.RestMax)
	if until := now.Add(wait); s.err == nil || until.After(s.until) || err.Permanent {
		s.err, s.until = err, until
	}
	return wait
}

// answer returns the error to hand out now, with the time left to wait.
func (s *originState) answer(now time.Time) *pieces.Error {
	e := *s.err
	if !e.Permanent {
		e.RetryAfter = s.until.Sub(now)
	}
	return &e
}

// final reports whether wants end in the error now, instead of waiting for the
// origin to recover.
func (s *originState) final(now time.Time, o *Options) bool {
	return s.resting(now) &&
		(s.err.Permanent || s.fails >= o.OriginTries || max(s.err.RetryAfter, s.until.Sub(now)) > o.Patience)
}

func (r OriginRest) resting(now time.Time) bool { return r.Err != nil && now.Before(r.Until) }

// resting reports whether the origin must not be asked now, as this Task has
// found or another one of the same origin.
func (t *Task) resting() bool { return t.origin.resting(t.now) || t.view.Origin.resting(t.now) }

// restError is what answers for a resting origin: this Task's own error unless
// that of others lasts longer.
func (t *Task) restError() *pieces.Error {
	r := t.view.Origin
	if t.origin.resting(t.now) && (t.origin.err.Permanent || !r.resting(t.now) || !r.Until.After(t.origin.until)) {
		return t.origin.answer(t.now)
	}
	e := *r.Err
	e.RetryAfter = r.Until.Sub(t.now)
	return &e
}

// troubled: the origin failed and has not delivered since; a few find out.
func (t *Task) troubled() bool { return t.origin.err != nil || t.view.Origin.Err != nil }

// originFailed notes an error of the origin and returns how long it is left
// alone; that it asks for that goes to all its Tasks.
func (t *Task) originFailed(err *pieces.Error) time.Duration {
	if err.Kind == pieces.Throttled {
		t.do(OriginRests{err})
	} else {
		t.originAnswers()
	}
	return t.origin.failed(t.now, err, t.opts())
}

// delivered notes that the origin delivered.
func (t *Task) delivered() {
	t.origin.ok()
	t.originAnswers()
}

// originAnswers tells other Tasks that the origin answers again.
func (t *Task) originAnswers() {
	if r := &t.view.Origin; r.Err != nil && !r.resting(t.now) {
		*r = OriginRest{}
		t.do(OriginAnswers{})
	}
}

// onOriginFailed ends a lease whose executor got an error from the origin.
// Canceled and Full give the lease back without blame on the origin.
func (v *version) onOriginFailed(p *peer, e OriginFailed) {
	t := v.t
	l, r := v.leaseByID(e.Lease), v.rereadByID(e.Lease)
	mine := l != nil && l.peer == p || r != nil && r.peer == p
	if !mine || e.Err == nil {
		return
	}
	switch e.Err.Kind {
	case pieces.Canceled, pieces.Full:
		p.rest = t.now.Add(t.opts().LeaseRest)
	case pieces.Changed:
		t.originAnswers()
		if v.confirmed {
			// The facts said once more that nothing has changed: the origin
			// contradicts itself, and is left alone for a while.
			t.originFailed(e.Err)
		}
		t.facts.doubted = true
		v.changed = e.Err
	default:
		wait := t.originFailed(e.Err)
		if e.Err.Kind == pieces.Integrity {
			// Not what was pinned: perhaps a page in place of the content.
			t.facts.doubted = true
		}
		if !e.Err.Permanent {
			// Somebody else tries first when the time has come.
			p.rest = t.now.Add(wait + t.opts().LeaseRest)
		}
	}
	if r != nil {
		v.endReread(r, "")
	} else {
		v.endLease(l, "")
	}
	if err := v.noLeases(); err != nil {
		v.failWants(err)
	}
}

// failWants ends in err every want that nobody can serve and no lease covers.
func (v *version) failWants(err *pieces.Error) {
	v.eachWanter(func(p *peer) {
		var es []pieces.Extent
		for c := range p.want {
			if p.want[c] == nil {
				continue
			}
			for e := range p.want[c].Extents() {
				for i := range e.All() {
					if !v.available(i) && !v.leased.Has(i) {
						es = appendPiece(es, i)
					}
				}
			}
		}
		v.failPeer(p, es, err)
	})
}

// failPeer ends p's wants for these extents in err.
func (v *version) failPeer(p *peer, es []pieces.Extent, err *pieces.Error) {
	if len(es) == 0 {
		return
	}
	v.cancel(p, es)
	for part := range chunks(es, v.t.opts().MaxExtents) {
		v.send(p, OriginError{err, part})
	}
}
