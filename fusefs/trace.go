package fusefs

import (
	"sync/atomic"
	"time"

	"damselfly/pieces"
	"damselfly/proto/trace"
)

// journey makes one trace of the first steps with a file, which the kernel sends
// as requests of their own: LOOKUP, OPEN, the first READ. Each step is below the
// one before; whether they are traced is drawn once. The zero value has no
// steps. Safe for concurrent use.
type journey struct{ last atomic.Pointer[step] }

// step is the span of a request, if it was traced, and when it ended.
type step struct {
	by trace.Parent
	at time.Time
}

// journeyRest is how long after a step the next one counts as its consequence.
const journeyRest = 10 * time.Second

// next begins the span of a step that o serves, if it is to be traced. Nobody
// else goes on from the step before.
func (j *journey) next(o *op, t *trace.Tracer, name string) (s trace.Span) {
	if t == nil {
		return trace.Span{}
	}
	if last := j.last.Load(); last != nil && j.last.CompareAndSwap(last, nil) && time.Since(last.at) < journeyRest {
		o.parent, s = t.Under(o.parent, last.by, name, trace.Internal)
		return s
	}
	o.parent, s = t.Root(o.parent, name)
	return s
}

// leave lets the next step go on from s, also if that is none.
func (j *journey) leave(s trace.Span, t *trace.Tracer) {
	if t != nil {
		j.last.Store(&step{s.Parent(), time.Now()})
	}
}

// tellRead says of a READ's span what came of it, and ends it.
func tellRead(s trace.Span, key pieces.Key, off, length int64, n int, from *pieces.HitBytes, err error) {
	if s.On() {
		s.Str("task", string(key.Task))
		s.Str("version", string(key.Version))
		s.Int("offset", off)
		s.Int("length", length)
		s.Int("bytes", int64(n))
		s.Str("hit", from.Farthest().String())
	}
	s.End(err)
}
