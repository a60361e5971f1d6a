package controltest

import (
	"context"
	"os"
	"sync"

	"damselfly/daemon/control"
)

// Arrival is a change of the content file.
type Arrival struct {
	control.Range
	// Data is put there instead of the content's bytes, if not nil.
	Data []byte
	// Lost: the bytes there are taken back instead.
	Lost bool
}

// growth is what a handle's Growth knows.
type growth struct {
	mu      sync.Mutex
	more    chan struct{}   // guarded by mu
	written []control.Range // guarded by mu; whole arrivals
	told    int             // guarded by mu: of written
}

// arrive puts into the content file what the test says.
func (h *handle) arrive(ctx context.Context) error {
	for {
		select {
		case a, ok := <-h.engine.Arrive:
			if !ok {
				return nil
			}
			if err := h.change(a); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (h *handle) change(a Arrival) error {
	g := &h.growth
	g.mu.Lock()
	defer g.mu.Unlock()
	if a.Lost {
		g.told = 0
		for i, r := range g.written {
			if r == a.Range {
				g.written = append(g.written[:i], g.written[i+1:]...)
				break
			}
		}
		return nil
	}
	f, err := os.OpenFile(h.path(), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if a.Data == nil {
		a.Data = h.data[a.Off : a.Off+a.N]
	}
	if _, err := f.WriteAt(a.Data, a.Off); err != nil {
		return err
	}
	g.written = append(g.written, a.Range)
	if g.more != nil {
		select {
		case g.more <- struct{}{}:
		default:
		}
	}
	return nil
}

// Grow implements control.Handle.
func (h *handle) Grow(int64) control.Growth {
	h.growth.mu.Lock()
	defer h.growth.mu.Unlock()
	h.growth.more = make(chan struct{}, 1)
	return follower{h}
}

// follower is a control.Growth.
type follower struct{ h *handle }

func (f follower) More() <-chan struct{} {
	f.h.growth.mu.Lock()
	defer f.h.growth.mu.Unlock()
	return f.h.growth.more
}

func (f follower) File() (*os.File, bool) {
	if f.h.engine.Arrive == nil || f.h.engine.Dir == "" {
		return nil, false
	}
	file, err := os.Open(f.h.path())
	return file, err == nil
}

func (f follower) Written() (rs []control.Range, all bool) {
	g := &f.h.growth
	g.mu.Lock()
	defer g.mu.Unlock()
	rs = append(rs, g.written[g.told:]...)
	g.told = len(g.written)
	var n int64
	for _, r := range g.written {
		n += r.N
	}
	return rs, n == int64(len(f.h.data))
}

func (f follower) Close() {}
