package exchange

import (
	"context"
	"sync"
	"time"

	"damselfly/pieces"
	"damselfly/proto/daemonpb"
	"damselfly/proto/wire"
)

// Link is one stream with a neighbour. Safe for concurrent use.
type Link struct {
	host   pieces.Host
	ctx    context.Context
	cancel context.CancelFunc
	// patience says how long to gather.
	patience func() time.Duration

	mu sync.Mutex
	// Invariant: held and lost are disjoint, fetching and stopped too.
	held, lost, fetching, stopped, wants *pieces.Set
	// due fires when what gathered is to be sent; armed: it will, or has.
	due   *time.Timer
	armed bool
}

func newLink(ctx context.Context, host pieces.Host, patience func() time.Duration) *Link {
	l := &Link{host: host, patience: patience, due: time.NewTimer(time.Hour)}
	l.due.Stop()
	l.ctx, l.cancel = context.WithCancel(ctx)
	l.held, l.lost, l.fetching, l.stopped, l.wants = &pieces.Set{}, &pieces.Set{}, &pieces.Set{}, &pieces.Set{}, &pieces.Set{}
	return l
}

// Host returns the neighbour, as it named itself.
func (l *Link) Host() pieces.Host { return l.host }

// Close ends the stream.
func (l *Link) Close() { l.cancel() }

// Update tells the neighbour of changes; urgent ones are sent at once. It
// never blocks.
func (l *Link) Update(d Delta, urgent bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range d.Held {
		l.held.AddExtent(e)
		l.lost.RemoveExtent(e)
		l.fetching.RemoveExtent(e)
		l.stopped.RemoveExtent(e)
	}
	for _, e := range d.Lost {
		l.lost.AddExtent(e)
		l.held.RemoveExtent(e)
	}
	for _, e := range d.Fetching {
		l.fetching.AddExtent(e)
		l.stopped.RemoveExtent(e)
	}
	for _, e := range d.Stopped {
		l.stopped.AddExtent(e)
		l.fetching.RemoveExtent(e)
	}
	for _, e := range d.Wants {
		l.wants.AddExtent(e)
	}
	switch {
	case urgent:
		l.arm(0)
	case !l.armed:
		l.arm(l.patience())
	}
}

// arm has what gathered sent after d. l.mu is held.
func (l *Link) arm(d time.Duration) {
	l.armed = true
	l.due.Reset(d)
}

// sendLoop sends what gathers until the link or the stream ends. It wakes once
// for each message.
func (l *Link) sendLoop(st stream) error {
	defer l.due.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return l.ctx.Err()
		case <-l.due.C:
		}
		if m := l.take(); m != nil {
			if err := st.Send(m); err != nil {
				return err
			}
		}
	}
}

// maxExtents bounds one message; scattered sets go in several.
const maxExtents = 8192

// take empties what gathered into a message, nil if there is nothing.
func (l *Link) take() *daemonpb.SyncMessage {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = false
	m := &daemonpb.SyncMessage{
		Held:     wire.ExtentsTo(cut(l.held)),
		Lost:     wire.ExtentsTo(cut(l.lost)),
		Fetching: wire.ExtentsTo(cut(l.fetching)),
		Stopped:  wire.ExtentsTo(cut(l.stopped)),
		Wants:    wire.ExtentsTo(cut(l.wants)),
	}
	left := l.held.Count() + l.lost.Count() + l.fetching.Count() + l.stopped.Count() + l.wants.Count()
	if left > 0 {
		l.arm(0)
	}
	if len(m.Held)+len(m.Lost)+len(m.Fetching)+len(m.Stopped)+len(m.Wants) == 0 {
		return nil
	}
	return m
}

// cut takes up to maxExtents runs out of s.
func cut(s *pieces.Set) []pieces.Extent {
	if s.Count() == 0 {
		return nil
	}
	es := s.List()
	if len(es) > maxExtents {
		es = es[:maxExtents]
	}
	for _, e := range es {
		s.RemoveExtent(e)
	}
	return es
}
