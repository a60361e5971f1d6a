package controltest

import (
	"context"
	"maps"

	"damselfly/daemon/control"
	"damselfly/pieces"
)

// SetFill implements control.Engine, as do the methods below.
func (e *Engine) SetFill(_ context.Context, id pieces.TaskID, fill string) error {
	if fill != "auto" && fill != "always" && fill != "never" {
		return pieces.Errorf(pieces.Invalid, "fill %q: want auto, always or never", fill)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tasks[id].fill = fill
	return nil
}

// Rename knows the names that were added.
func (e *Engine) Rename(_ context.Context, from, to string) (pieces.TaskID, bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	id, ok := e.names[from]
	if !ok {
		return "", false, pieces.Errorf(pieces.NotFound, "no name %q was given here", from)
	}
	if other, taken := e.names[to]; taken && other != id {
		return "", false, pieces.Errorf(pieces.Exists, "name %q belongs to another URL", to)
	}
	delete(e.names, from)
	e.names[to] = id
	_, elsewhere := e.Remote[from]
	return id, elsewhere, nil
}

// RemoteNames returns Remote.
func (e *Engine) RemoteNames(context.Context) (map[string]pieces.TaskID, error) {
	return maps.Clone(e.Remote), e.RemoteFail
}

// Cached counts bytes that were fetched.
func (e *Engine) Cached(_ context.Context, id pieces.TaskID, r control.Range, order bool) (done, total int64, known bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.tasks[id]
	if t.facts == nil {
		return 0, 0, false, nil
	}
	rs := []control.Range{r}
	if order {
		rs = t.order
	}
	for _, r := range rs {
		total += r.N
		for b := r.Off; b < r.Off+r.N; b++ {
			if t.holds(b) {
				done++
			}
		}
	}
	return done, total, true, nil
}

func (t *entry) holds(b int64) bool {
	for _, r := range t.held {
		if r.Off <= b && b < r.Off+r.N {
			return true
		}
	}
	return false
}

// FetchAll fetches one range after the other.
func (h *handle) FetchAll(ctx context.Context, rs []control.Range, progress func(done, total int64, tr control.Traffic)) error {
	for _, r := range rs {
		if err := h.Fetch(ctx, r.Off, r.N, progress); err != nil {
			return err
		}
	}
	return nil
}

// Order returns what was put last.
func (h *handle) Order(context.Context) ([]control.Range, error) {
	h.engine.mu.Lock()
	defer h.engine.mu.Unlock()
	return h.entry.order, nil
}

func (h *handle) PutOrder(rs []control.Range) int {
	h.engine.mu.Lock()
	defer h.engine.mu.Unlock()
	h.entry.order = rs
	return len(rs)
}
