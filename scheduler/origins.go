package scheduler

import (
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"damselfly/pieces"
	"damselfly/scheduler/swarm"
)

// origins are those that answer 429 or 503: an origin is a scheme, host and
// port, whatever the Task. Until its time is over no Task of it gets a lease; then
// one Task finds out for all whether it has recovered. The rules are those by
// which each daemon leaves an origin alone for its own Tasks. Its lock is taken
// last and held shortly.
type origins struct {
	most func() int
	// count is len(all), so that a scheduler without trouble takes no lock.
	count atomic.Int64

	mu  sync.Mutex
	all map[string]*resting // guarded by mu
}

// resting is an origin in trouble.
type resting struct {
	err   *pieces.Error
	until time.Time
	// over is when the pause ended, or the last Task's time to find out.
	over time.Time
	// fails counts pauses since it last answered.
	fails int
	// prober is the Task that finds out until until; empty in a pause.
	prober pieces.TaskID
}

func newOrigins(most func() int) *origins { return &origins{most: most, all: map[string]*resting{}} }

// originOf names the origin of a canonical URL, which has no default port.
func originOf(t *pieces.Task) string {
	u, err := url.Parse(t.URL)
	if err != nil {
		return t.URL
	}
	return u.Scheme + "://" + u.Host
}

// tryShare of the time to find out passes at most between look and probes: the
// Step of one event. Others that come in it are told to come again so soon.
const tryShare = 50

// look returns what a Step of e has to know of its origin. trying: e may find out
// whether it has recovered; probes says that it does, untry gives that back.
func (o *origins) look(e *entry, now time.Time, rules *swarm.Options) (r swarm.OriginRest, trying bool) {
	if o.count.Load() == 0 {
		return r, false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	x := o.all[e.origin]
	switch {
	case x == nil:
		return r, false
	case !now.Before(x.until):
		x.prober, x.until, x.over = e.id, now.Add(rules.ProbeFor/tryShare), x.until
		return swarm.OriginRest{Err: x.err}, true
	case x.prober == e.id:
		return swarm.OriginRest{Err: x.err}, false
	}
	return swarm.OriginRest{Err: x.err, Until: x.until}, false
}

// probes notes that e asks its origin whether it has recovered.
func (o *origins) probes(e *entry, now time.Time, rules *swarm.Options) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if x := o.all[e.origin]; x != nil && x.prober == e.id {
		x.until = now.Add(rules.ProbeFor)
	}
}

func (o *origins) untry(e *entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if x := o.all[e.origin]; x != nil && x.prober == e.id {
		x.prober, x.until = "", x.over
	}
}

// rests notes that the origin of e has asked to be left alone.
func (o *origins) rests(e *entry, err *pieces.Error, now time.Time, rules *swarm.Options) {
	o.mu.Lock()
	defer o.mu.Unlock()
	x, asked := o.all[e.origin], min(err.RetryAfter, rules.RestMax)
	if x != nil && x.prober == "" {
		// It was asked before the trouble began: the same failure.
		if until := now.Add(asked); until.After(x.until) {
			x.until = until
		}
		return
	}
	if x == nil {
		if len(o.all) >= o.most() {
			o.makeRoom()
		}
		x = &resting{}
		o.all[e.origin] = x
		o.count.Store(int64(len(o.all)))
	}
	pause := max(min(rules.BackoffMin<<min(x.fails, 16), rules.BackoffMax), asked)
	x.fails++
	x.err, x.prober, x.until = err, "", now.Add(pause)
}

// answers notes that the origin of e has answered with something else. Only who
// was to find out is believed: what others hear they asked for before.
func (o *origins) answers(e *entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if x := o.all[e.origin]; x != nil && x.prober == e.id {
		o.drop(e.origin)
	}
}

// collect forgets origins whose time has been over for as long as the longest
// back-off.
func (o *origins) collect(now time.Time, rules *swarm.Options) {
	if o.count.Load() == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for key, x := range o.all {
		if now.Sub(x.until) > rules.BackoffMax {
			o.drop(key)
		}
	}
}

// makeRoom forgets the origin whose time ends first. With mu held.
func (o *origins) makeRoom() {
	first := ""
	for key, x := range o.all {
		if first == "" || x.until.Before(o.all[first].until) {
			first = key
		}
	}
	o.drop(first)
}

// drop is with mu held.
func (o *origins) drop(key string) {
	delete(o.all, key)
	o.count.Store(int64(len(o.all)))
}

// asksOrigin reports whether actions have somebody ask the origin.
func asksOrigin(actions []swarm.Action) bool {
	for _, a := range actions {
		switch a := a.(type) {
		case swarm.StatReply:
			if a.Lease != 0 {
				return true
			}
		case swarm.Send:
			if _, ok := a.Msg.(swarm.Lease); ok {
				return true
			}
		}
	}
	return false
}
