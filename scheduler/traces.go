package scheduler

import (
	"context"
	"fmt"
	"slices"
	"time"

	"damselfly/pieces"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/trace"
	"damselfly/scheduler/swarm"
)

// The machine of a Task knows nothing of traces. What it says because of a want
// or a question that is traced, now or after a seed has come, gets its span from
// here: a lease by the pieces it is for, the waking of a seed by the Version.

const (
	// maxTraced bounds the traced wants kept per Task, maxTracedExtents what is
	// kept of one, from its start; tracedFor is how long one may explain what the
	// Task does.
	maxTraced        = 16
	maxTracedExtents = 64
	tracedFor        = 30 * time.Second
)

// traced is a want, or without a Version a question for facts, that is traced.
type traced struct {
	version pieces.VersionID
	extents []pieces.Extent
	by      trace.Parent
	until   time.Time
}

// follow keeps t for later actions; the oldest makes room. e.mu is held.
func (e *entry) follow(t traced) {
	if len(e.traced) == maxTraced {
		e.traced = e.traced[1:]
	}
	t.extents = slices.Clone(t.extents[:min(len(t.extents), maxTracedExtents)])
	e.traced = append(e.traced, t)
}

// spanFor returns the span that an action about es, or about anything of that
// Version if es is nil, is for: the newest there is. e.mu is held.
func (e *entry) spanFor(v pieces.VersionID, es ...pieces.Extent) trace.Parent {
	if len(e.traced) == 0 {
		return trace.Parent{}
	}
	now := time.Now()
	for len(e.traced) > 0 && now.After(e.traced[0].until) {
		e.traced = e.traced[1:]
	}
	if len(e.traced) == 0 {
		e.traced = nil
	}
	for i := len(e.traced) - 1; i >= 0; i-- {
		if t := e.traced[i]; t.version == v && (len(es) == 0 || overlap(t.extents, es)) {
			return t.by
		}
	}
	return trace.Parent{}
}

func overlap(a, b []pieces.Extent) bool {
	for _, x := range a {
		for _, y := range b {
			if !x.Intersect(y).Empty() {
				return true
			}
		}
	}
	return false
}

// stepWant is step for a want that may be traced.
func (s *Server) stepWant(id pieces.TaskID, w swarm.Want, by trace.Parent) (known bool) {
	if !by.Valid() {
		return s.step(id, w)
	}
	_, span := s.o.Tracer.Under(context.Background(), by, "scheduler.want", trace.Server)
	if span.On() {
		span.Str("task", string(id))
		span.Str("version", string(w.Version))
		span.Str("host", string(w.Host))
		span.Str("class", w.Class.String())
		span.Str("pieces", fmt.Sprint(w.Extents[:min(len(w.Extents), 8)]))
		by = span.Parent()
	}
	defer span.End(nil)
	for {
		e := s.tasks.find(id)
		if e == nil {
			return false
		}
		if _, ok := s.stepEntry(e, w, func() {
			e.follow(traced{w.Version, w.Extents, by, time.Now().Add(tracedFor)})
		}); ok {
			return true
		}
	}
}

// askedBy keeps the span of a question for facts. e.mu is held.
func (e *entry) askedBy(ctx context.Context) {
	if by := trace.Of(ctx); by.Valid() {
		e.follow(traced{by: by, until: time.Now().Add(tracedFor)})
	}
}

// encodeFor is encode of a message that may be for somebody who is traced. e.mu
// is held.
func (e *entry) encodeFor(v pieces.VersionID, msg swarm.Message) *schedulerpb.SchedulerMessage {
	m := encode(e.id, v, msg)
	if l, ok := msg.(swarm.Lease); ok {
		m.GetLease().Traceparent = e.spanFor(v, l.Extent).String()
	}
	return m
}
