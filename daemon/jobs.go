package daemon

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"

	"damselfly/daemon/control"
	"damselfly/daemon/engine"
	"damselfly/pieces"
	"damselfly/pieces/store"
	"damselfly/proto/daemonpb"
	"damselfly/proto/wire"
)

// What managers ask a host for in their jobs.
const (
	// preheatEvery is how often progress is told.
	preheatEvery = 500 * time.Millisecond
	// maxHeldExtents bounds the picture of what is held of one Version.
	maxHeldExtents = 4096
)

// Preheat brings all of a public Task here, as dfmount warm does. It tells how
// far it is every half second, also while nothing arrives.
func (s seeds) Preheat(m *daemonpb.PreheatRequest, stream grpc.ServerStreamingServer[daemonpb.PreheatProgress]) error {
	spec, err := wire.TaskFrom(m.GetTask())
	if err != nil {
		return err
	}
	if !spec.Public() {
		return pieces.Errorf(pieces.Denied, "task %s has an audience", spec.ID.Short())
	}
	ctx, cancel := context.WithCancel(stream.Context())
	p := preheat{t: s.d.remember(store.Entry{Task: *spec}, false)}
	p.now.Total = -1
	done := make(chan error, 1)
	go func() { done <- p.run(ctx) }()
	defer func() { // nothing goes on when this returns
		cancel()
		<-done
	}()
	tick := time.NewTicker(preheatEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := stream.Send(p.progress(false)); err != nil {
				return err
			}
		case err := <-done:
			done <- err
			if err != nil {
				return err
			}
			return stream.Send(p.progress(true))
		}
	}
}

// preheat is one Task on its way here.
type preheat struct {
	t *task

	mu  sync.Mutex
	now daemonpb.PreheatProgress // guarded by mu
}

func (p *preheat) run(ctx context.Context) error {
	facts, err := p.t.current(ctx)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.now.Facts, p.now.Total = wire.FactsTo(facts), facts.Size
	p.mu.Unlock()
	f, err := p.t.open(facts, (*engine.Content).Open)
	if err != nil {
		return err
	}
	defer f.Close()
	return controlHandle{f}.Fetch(ctx, 0, facts.Size, func(done, total int64, tr control.Traffic) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.now.Done, p.now.Total = done, total
		p.now.Origin, p.now.Peers, p.now.Seeds = tr.Origin, tr.Peers, tr.Seeds
	})
}

func (p *preheat) progress(finished bool) *daemonpb.PreheatProgress {
	p.mu.Lock()
	defer p.mu.Unlock()
	if finished {
		p.now.Done = p.now.Total
	}
	return &daemonpb.PreheatProgress{Done: p.now.Done, Total: p.now.Total, Facts: p.now.Facts,
		Origin: p.now.Origin, Peers: p.now.Peers, Seeds: p.now.Seeds, Finished: finished}
}

// Drop frees what is held of a Task, or of all, and is not in use.
func (s seeds) Drop(_ context.Context, m *daemonpb.DropRequest) (*daemonpb.DropReply, error) {
	if m.GetEverything() == (m.GetTask() != "") {
		return nil, pieces.Errorf(pieces.Invalid, "want either a task or everything")
	}
	reply := &daemonpb.DropReply{}
	if m.GetEverything() {
		for _, id := range s.d.heldTasks() {
			if err := s.d.drop(id, reply); err != nil {
				return nil, err
			}
		}
		return reply, nil
	}
	id, err := pieces.ParseTaskID(m.GetTask())
	if err != nil {
		return nil, err
	}
	if t, err := s.d.taskHere(id); err == nil && !t.spec().Public() {
		return nil, pieces.Errorf(pieces.NotFound, "no public task %s here", id.Short())
	}
	if err := s.d.drop(id, reply); err != nil || !m.GetForget() {
		return reply, err
	}
	return reply, s.d.forget(id)
}

// drop adds to reply what could be freed of a Task, and what could not.
func (d *Daemon) drop(id pieces.TaskID, reply *daemonpb.DropReply) error {
	freed, err := d.store.Evict(id)
	reply.Freed += freed
	for _, v := range d.store.Versions() {
		if v.Key.Task == id {
			reply.Busy++
		}
	}
	return err
}

// heldTasks lists the public Tasks of which anything is held.
func (d *Daemon) heldTasks() (ids []pieces.TaskID) {
	seen := map[pieces.TaskID]bool{}
	for _, v := range d.store.Versions() {
		id := v.Key.Task
		if t, err := d.taskHere(id); !seen[id] && err == nil && t.spec().Public() {
			ids = append(ids, id)
		}
		seen[id] = true
	}
	return ids
}

// forget removes a Task's entry and names here; none is no error.
func (d *Daemon) forget(id pieces.TaskID) error {
	if err := d.store.DeleteEntry(id); err != nil && pieces.KindOf(err) != pieces.NotFound {
		return err
	}
	d.mu.Lock()
	delete(d.tasks, id)
	d.mu.Unlock()
	d.untold.drop(id)
	return nil
}

// Holding answers what is held of a public Task.
func (s seeds) Holding(_ context.Context, m *daemonpb.HoldingRequest) (*daemonpb.HoldingReply, error) {
	id, err := pieces.ParseTaskID(m.GetTask())
	if err != nil {
		return nil, err
	}
	reply := &daemonpb.HoldingReply{}
	if t, err := s.d.taskHere(id); err != nil || !t.spec().Public() {
		return reply, nil // nothing that others may know of
	}
	for _, v := range s.d.store.Versions() {
		if v.Key.Task != id {
			continue
		}
		g, err := v.Facts.Geometry()
		if err != nil {
			continue
		}
		held := s.d.heldPieces(v)
		reply.Versions = append(reply.Versions, &daemonpb.Held{
			Version: string(v.Key.Version), Size: v.Facts.Size, Bytes: v.Bytes, Pieces: uint32(v.Pieces), Count: uint32(g.Count()),
			Extents: wire.ExtentsTo(held[:min(len(held), maxHeldExtents)]), Open: uint32(v.Open),
		})
	}
	return reply, nil
}

// heldPieces is what is held of v; nothing if it went away meanwhile.
func (d *Daemon) heldPieces(v store.VersionInfo) []pieces.Extent {
	if c := d.engine.Lookup(v.Key); c != nil {
		return c.Held().List()
	}
	h, err := d.store.OpenVersion(v.Key, v.Facts)
	if err != nil {
		return nil
	}
	defer h.Close()
	return h.Held().List()
}
