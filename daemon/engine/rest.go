package engine

import (
	"time"

	"damselfly/pieces"
)

// rest is the time in which the origin of a content is not asked without a
// lease, since it failed; with leases the scheduler sees to that.
type rest struct {
	err   error
	until time.Time
	// fails counts failures since the origin last delivered.
	fails int
	// patient: readers wait for the end of it instead of getting err.
	patient bool
}

// patientTries is how often in a row readers wait for an origin that asks for a
// moment's rest.
const patientTries = 5

// restFrom leaves the origin alone after err and reports whether readers shall
// wait until it is asked again. c.mu is held.
func (c *Content) restFrom(err error) (patient bool) {
	o, r := &c.e.o, &c.rest
	wait := o.ErrorRest
	if !pieces.IsPermanent(err) {
		wait = min(max(o.RestMin<<min(r.fails, 16), pieces.RetryAfter(err)), o.RestMax)
		r.fails++
	}
	r.err, r.until = err, time.Now().Add(wait)
	r.patient = pieces.KindOf(err) == pieces.Throttled && pieces.RetryAfter(err) <= o.RestMax && r.fails < patientTries
	if r.patient {
		time.AfterFunc(wait, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.schedule()
		})
	}
	return r.patient
}

// resting reports whether the origin must be left alone now; need then waits
// for it, or ends in the error. c.mu is held.
func (c *Content) resting(need *pieces.Set) bool {
	if c.rest.err == nil || !time.Now().Before(c.rest.until) {
		return false
	}
	if !c.rest.patient {
		for e := range need.Extents() {
			c.fail(e, c.rest.err)
		}
	}
	return true
}

// MarkReplaced says whether the Task has another Version now: then what is not
// held nearby can no longer be had. Facts may also show that nothing has
// changed, although a read of the origin said so.
func (c *Content) MarkReplaced(replaced bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.replaced == replaced {
		return
	}
	c.replaced = replaced
	c.confirmed = !replaced
	c.schedule()
}
