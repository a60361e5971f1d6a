package daemon

import (
	"context"

	"damselfly/daemon/control"
	"damselfly/daemon/engine"
	"damselfly/daemon/readahead"
	"damselfly/pieces"
)

// fill returns when this Task is fetched whole: as said when it was added, else
// otherwise.
func (t *task) fill(otherwise readahead.Fill) readahead.Fill {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f, ok := readahead.ParseFill(t.entry.Fill); ok {
		return f
	}
	return otherwise
}

// SetFill implements control.Engine.
func (c controlled) SetFill(_ context.Context, id pieces.TaskID, fill string) error {
	if _, ok := readahead.ParseFill(fill); !ok {
		return pieces.Errorf(pieces.Invalid, "fill %.40q: want auto, always or never", fill)
	}
	t, err := c.d.taskHere(id)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entry
	e.Fill = fill
	if err := c.d.store.PutEntry(e); err != nil {
		return err
	}
	t.entry, t.kept = e, true
	return nil
}

// RemoteNames implements control.Engine.
func (c controlled) RemoteNames(ctx context.Context) (map[string]pieces.TaskID, error) {
	if len(c.d.o.Managers) == 0 {
		return nil, nil
	}
	names, err := c.d.announce.Names(ctx)
	if err != nil {
		return nil, err
	}
	for name, id := range names {
		if other, err := c.d.store.Name(name); err == nil && other != id {
			delete(names, name) // the local name wins
		}
	}
	return names, nil
}

// Cached implements control.Engine.
func (c controlled) Cached(_ context.Context, id pieces.TaskID, r control.Range, order bool) (done, total int64, known bool, err error) {
	t, err := c.d.taskHere(id)
	if err != nil {
		return 0, 0, false, err
	}
	t.mu.Lock()
	facts := t.facts
	t.mu.Unlock()
	if facts == nil {
		return 0, 0, false, nil
	}
	g, err := facts.Geometry()
	if err != nil {
		return 0, 0, false, err
	}
	key := pieces.Key{Task: id, Version: facts.VersionID()}
	var held pieces.Set
	content := c.d.engine.Lookup(key)
	if _, stored := c.d.stored()[key]; stored || content != nil {
		h, err := c.d.engine.Holding(t.spec(), *facts, t.canFetch())
		if err != nil {
			return 0, 0, false, err
		}
		held = *h
	}
	if !order {
		if r.N < 0 || r.N > g.Size-r.Off {
			r.N = g.Size - r.Off
		}
		return heldOf(g, &held, r), r.N, true, nil
	}
	if content == nil || len(content.Order()) == 0 {
		return 0, 0, false, noOrder(id)
	}
	for _, e := range content.Order() {
		off, n := g.Bytes(e)
		total += n
		done += heldOf(g, &held, control.Range{Off: off, N: n})
	}
	return done, total, true, nil
}

func noOrder(id pieces.TaskID) error {
	return pieces.Errorf(pieces.NotFound, "no access order of task %s is known yet: it is recorded as programs read the file; 'dfmount order import' brings one along", id.Short())
}

// heldOf returns how many bytes of r lie in held pieces.
func heldOf(g pieces.Geometry, held *pieces.Set, r control.Range) (n int64) {
	for i := range g.Covering(r.Off, r.N).All() {
		if held.Has(i) {
			n += min(r.Off+r.N, g.Offset(i)+g.Len(i)) - max(r.Off, g.Offset(i))
		}
	}
	return n
}

// follow tells progress with the traffic since now.
func (h controlHandle) follow(progress func(done, total int64, tr control.Traffic)) func(done, total int64) {
	before := h.h.Content().Traffic()
	return func(done, total int64) {
		if progress != nil {
			progress(done, total, trafficSince(before, h.h.Content().Traffic(), done))
		}
	}
}

// trafficSince is what brought done bytes; the rest was here.
func trafficSince(before, now engine.Traffic, done int64) control.Traffic {
	tr := control.Traffic{Origin: now.Origin - before.Origin, Peers: now.Peers - before.Peers, Seeds: now.Seeds - before.Seeds}
	tr.Cache = max(0, done-tr.Origin-tr.Peers-tr.Seeds)
	return tr
}

// FetchAll implements control.Handle, as do the methods below.
func (h controlHandle) FetchAll(ctx context.Context, rs []control.Range, progress func(done, total int64, tr control.Traffic)) error {
	return h.h.FetchAll(ctx, h.extents(rs), h.follow(progress))
}

func (h controlHandle) Order(ctx context.Context) ([]control.Range, error) {
	c := h.h.Content()
	if err := c.AwaitOrder(ctx); err != nil {
		return nil, err
	}
	var out []control.Range
	for _, e := range c.Order() {
		off, n := c.Geometry().Bytes(e)
		out = append(out, control.Range{Off: off, N: n})
	}
	return out, nil
}

func (h controlHandle) PutOrder(rs []control.Range) int { return h.h.Content().PutOrder(h.extents(rs)) }

func (h controlHandle) extents(rs []control.Range) (es []pieces.Extent) {
	for _, r := range rs {
		if e := h.h.Content().Geometry().Covering(r.Off, r.N); !e.Empty() {
			es = append(es, e)
		}
	}
	return es
}
