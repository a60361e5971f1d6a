package swarm

import (
	"slices"
	"time"

	"damselfly/pieces"
)

// factsState is what is known of the Task itself.
type factsState struct {
	// facts describe the current Version; nil = unknown.
	facts   *pieces.Facts
	version pieces.VersionID
	// checked is when the origin last confirmed them; zero = ask again soon.
	checked time.Time
	// doubted: a reader found that the origin has another Version. Questions
	// wait for the new facts, unless they can't be had.
	doubted bool
	// tiny is the whole content with its digest, if it is small and public.
	tiny []byte
	sum  pieces.SumRun

	// The lease to read the facts: one at a time for the whole swarm.
	lease      pieces.LeaseID
	leaseHost  pieces.HostID
	leaseUntil time.Time

	waiters []waiter
	// seedUntil is how long questions wait for the seed that was woken to
	// read the facts; zero = none was woken.
	seedUntil time.Time
}

// waiter is a Stat call that waits for somebody else's lease.
type waiter struct {
	call     uint64
	host     pieces.HostID
	canFetch bool
	until    time.Time
}

// distrust makes the next question revalidate.
func (f *factsState) distrust() { f.checked = time.Time{} }

func (f *factsState) stale(now time.Time, o *Options) bool {
	fresh := o.FactsFresh
	if f.facts.Validator.Kind == pieces.ContentSum {
		fresh = o.FactsFreshSum
	}
	return f.checked.IsZero() || now.Sub(f.checked) >= fresh
}

func (t *Task) stat(e Stat) {
	f := &t.facts
	mine := e.Lease != 0 && e.Lease == f.lease && e.Host == f.leaseHost
	if mine {
		f.lease = 0
	}
	switch {
	case e.Facts != nil && (mine || f.facts == nil):
		// A late answer is as good, while nothing is known.
		if err := t.learn(*e.Facts, t.now, e.Tiny, e.Host); err != nil {
			t.do(StatReply{Call: e.Call, Err: err})
			t.passLease()
			return
		}
		t.delivered()
		t.do(StatReply{Call: e.Call, Facts: f.facts})
		t.answerWaiters()
		return
	case e.Err != nil && mine:
		t.factsFailed(e)
		return
	case mine: // given up
		t.do(StatReply{Call: e.Call, Facts: f.facts})
		t.passLease()
		return
	}
	t.ask(waiter{e.Call, e.Host, e.CanFetch, t.now.Add(t.opts().FactsWait)})
}

// ask answers a question with what is known, or a lease, or lets it wait.
func (t *Task) ask(w waiter) {
	f := &t.facts
	rest := t.resting()
	doubted := f.doubted && !rest && (w.canFetch || f.lease != 0)
	switch {
	case f.facts != nil && !doubted:
		r := StatReply{Call: w.call, Facts: f.facts}
		if w.canFetch && f.lease == 0 && !rest && f.stale(t.now, t.opts()) {
			r.Lease = t.leaseFacts(w.host)
		}
		t.do(r)
	case rest:
		t.do(StatReply{Call: w.call, Err: t.restError()})
	case f.lease == 0 && w.canFetch && !t.leaveToSeed(w.host):
		t.do(StatReply{Call: w.call, Lease: t.leaseFacts(w.host)})
	case len(f.waiters) >= t.opts().MaxWaiters:
		t.do(StatReply{Call: w.call, Wait: t.opts().FactsWait})
	case f.lease == 0 && !w.canFetch && !slices.ContainsFunc(f.waiters, func(o waiter) bool { return !o.canFetch }) && !t.wakeForFacts():
		t.do(StatReply{Call: w.call, Err: pieces.Errorf(pieces.Unavailable,
			"task %s: its facts are unknown and no seed can read them: open it on a host that has the credential", t.id.Short())})
	default:
		f.waiters = append(f.waiters, w)
	}
}

// leaveToSeed reports whether the Task's seed shall read the facts, and with
// them the first bytes that it will serve, rather than host. The seed is woken
// once; if it has not asked within SeedWake, whoever waits reads them.
func (t *Task) leaveToSeed(host pieces.HostID) bool {
	f := &t.facts
	if h := t.view.Hosts.Get(host); h == nil || h.Type == pieces.SeedHost {
		return false
	}
	if f.seedUntil.IsZero() {
		if !t.wakeForFacts() {
			return false
		}
		f.seedUntil = t.now.Add(t.opts().SeedWake)
	}
	return t.now.Before(f.seedUntil)
}

func (t *Task) leaseFacts(host pieces.HostID) pieces.LeaseID {
	f := &t.facts
	f.lease, f.leaseHost = t.leaseID(), host
	f.leaseUntil = t.now.Add(t.opts().FactsLease)
	t.count(FactsLeases, 1)
	return f.lease
}

func (t *Task) leaseID() pieces.LeaseID {
	t.nextLease++
	return t.nextLease - 1
}

// wakeForFacts asks the Task's seed to call Stat itself.
func (t *Task) wakeForFacts() (woken bool) {
	if t.seedsCanFetch {
		t.view.Hosts.eachSeed(t.id, func(s Seed) bool {
			t.do(Wake{Seed: s.Key})
			woken = true
			return false
		})
	}
	return woken
}

// factsFailed shares an origin error. Facts that were known stay, since the
// bytes may still be held, unless the origin says the content is gone.
func (t *Task) factsFailed(e Stat) {
	f := &t.facts
	switch e.Err.Kind {
	case pieces.Canceled, pieces.Full:
		t.do(StatReply{Call: e.Call, Err: e.Err})
		t.passLease()
		return
	case pieces.NotFound:
		f.facts, f.version, f.tiny = nil, "", nil
	}
	f.seedUntil, f.doubted = time.Time{}, false
	t.originFailed(e.Err)
	if f.facts != nil {
		t.do(StatReply{Call: e.Call, Facts: f.facts})
	} else {
		t.do(StatReply{Call: e.Call, Err: e.Err})
	}
	t.answerWaiters()
}

// answerWaiters gives all waiting questions what is known now.
func (t *Task) answerWaiters() {
	ws := t.facts.waiters
	t.facts.waiters = nil
	for _, w := range ws {
		t.ask(w)
	}
}

// passLease hands a free facts lease to the first who waits and can fetch.
func (t *Task) passLease() {
	f := &t.facts
	if f.facts != nil || t.resting() {
		t.answerWaiters()
		return
	}
	if i := slices.IndexFunc(f.waiters, func(w waiter) bool { return w.canFetch }); i >= 0 {
		w := f.waiters[i]
		f.waiters = slices.Delete(f.waiters, i, i+1)
		t.ask(w)
		return
	}
	t.answerWaiters()
}

func (t *Task) statGone(call uint64) {
	f := &t.facts
	f.waiters = slices.DeleteFunc(f.waiters, func(w waiter) bool { return w.call == call })
}

// dropFactsLease frees the lease of a host that is gone.
func (t *Task) dropFactsLease(host pieces.HostID) {
	if t.facts.lease != 0 && t.facts.leaseHost == host {
		t.facts.lease = 0
		t.passLease()
	}
}

func (t *Task) tickFacts() {
	f := &t.facts
	for len(f.waiters) > 0 && !t.now.Before(f.waiters[0].until) {
		t.do(StatReply{Call: f.waiters[0].call, Wait: time.Millisecond})
		f.waiters = f.waiters[1:]
	}
	if f.lease != 0 && !t.now.Before(f.leaseUntil) {
		f.lease = 0
		t.passLease()
	}
	if f.lease == 0 && len(f.waiters) > 0 && t.seedOverdue() {
		t.passLease()
	}
}

// seedOverdue reports whether a seed was woken for the facts in vain.
func (t *Task) seedOverdue() bool {
	return !t.facts.seedUntil.IsZero() && !t.now.Before(t.facts.seedUntil)
}

// seedRefused ends the wait for a seed that can't be woken for the facts.
func (t *Task) seedRefused() {
	f := &t.facts
	if f.seedUntil.After(t.now) {
		f.seedUntil = t.now
		if f.lease == 0 {
			t.passLease()
		}
	}
}

// learn makes facts the current ones, confirmed at checked. A Version that is
// replaced gets no more leases; its peers are told.
func (t *Task) learn(facts pieces.Facts, checked time.Time, tiny []byte, by pieces.HostID) *pieces.Error {
	if _, err := facts.Geometry(); err != nil {
		return pieces.Errorf(pieces.Invalid, "facts of task %s: %w", t.id.Short(), err)
	}
	f := &t.facts
	id := facts.VersionID()
	old := f.version
	f.facts, f.version, f.checked, f.seedUntil, f.doubted = &facts, id, checked, time.Time{}, false
	if id != old {
		f.tiny, f.sum = nil, pieces.SumRun{}
	}
	if len(tiny) > 0 && int64(len(tiny)) == facts.Size && pieces.ScopeOf(facts.Size, t.public) == pieces.ScopeTiny {
		f.tiny = slices.Clone(tiny)
		f.sum = pieces.SumRun{Sums: []pieces.Sum{pieces.SumOf(tiny)}, Setter: by}
	}
	for _, v := range t.versions {
		if v.id == id {
			v.confirmed = v.confirmed || v.changed != nil
			v.replaced, v.changed, v.due = false, nil, true
		} else if !v.replaced {
			v.replace()
		}
	}
	if id != old {
		t.order = accessOrder{}
	}
	if t.catalogued.Version == id && id != "" {
		t.recalled(t.catalogued)
	}
	return nil
}

// progress keeps a lease alive, of facts or of an extent.
func (t *Task) progress(e Progress) {
	f := &t.facts
	if e.Version == "" {
		if e.Lease == f.lease && e.Host == f.leaseHost && e.Lease != 0 {
			f.leaseUntil = t.now.Add(t.opts().FactsLease)
		}
		return
	}
	t.speak(e.From, func(v *version, p *peer) { v.onProgress(p, e) })
}
