package store

import (
	"sync/atomic"

	"damselfly/pieces"
)

// Version is a handle on the pieces of one (Task, Version). While it is open
// nothing of it is evicted.
type Version struct {
	v      *version
	closed atomic.Bool
}

// OpenVersion returns a handle on key, of which facts must be the facts. What
// is not known yet is made; nothing is written before the first Put.
func (s *Store) OpenVersion(key pieces.Key, facts pieces.Facts) (*Version, error) {
	if _, err := pieces.ParseKey(string(key.Task), string(key.Version)); err != nil {
		return nil, err
	}
	if facts.VersionID() != key.Version {
		return nil, pieces.Errorf(pieces.Invalid, "facts of another version (%s) given for %s", facts.VersionID(), key)
	}
	for {
		v, err := s.attach(key, facts)
		if err != nil {
			return nil, err
		}
		damaged, err := v.openFile()
		if err == nil && !damaged {
			return &Version{v: v}, nil
		}
		if damaged {
			s.log.Warnf("store: the content file of %s is damaged: all of it is dropped", key)
			_, err = s.discard(v)
		}
		s.release(v)
		if err != nil {
			return nil, err
		}
	}
}

// Key returns what the handle is of.
func (h *Version) Key() pieces.Key { return h.v.key }

// Geometry returns how the content is cut.
func (h *Version) Geometry() pieces.Geometry { return h.v.geo }

// Facts returns the facts last given to OpenVersion.
func (h *Version) Facts() pieces.Facts {
	h.v.mu.RLock()
	defer h.v.mu.RUnlock()
	return h.v.facts
}

// Held returns a copy of the set of held pieces.
func (h *Version) Held() *pieces.Set {
	h.v.mu.RLock()
	defer h.v.mu.RUnlock()
	return h.v.held.Clone()
}

// Has reports whether piece i is held.
func (h *Version) Has(i int) bool {
	h.v.mu.RLock()
	defer h.v.mu.RUnlock()
	return h.v.held.Has(i)
}

// Complete reports whether every piece is held; empty content always is.
func (h *Version) Complete() bool {
	h.v.mu.RLock()
	defer h.v.mu.RUnlock()
	return h.v.held.Count() == h.v.geo.Count()
}

// MarkWhole records that the whole content matched the Task's pinned digest.
// It is Invalid unless all is held.
func (h *Version) MarkWhole() error {
	v := h.v
	v.mu.Lock()
	if v.held.Count() != v.geo.Count() {
		v.mu.Unlock()
		return pieces.Errorf(pieces.Invalid, "%s is not complete", v.key)
	}
	set := v.flags&flagWhole != 0
	v.flags |= flagWhole
	v.mu.Unlock()
	if set {
		return nil
	}
	return v.s.save(v)
}

// Whole reports whether MarkWhole was called and nothing was dropped since.
func (h *Version) Whole() bool {
	h.v.mu.RLock()
	defer h.v.mu.RUnlock()
	return h.v.flags&flagWhole != 0
}

// Touch says that the Version is in use, and that the pieces of es were read
// by other means than ReadAt.
func (h *Version) Touch(es ...pieces.Extent) {
	v := h.v
	v.mu.Lock()
	v.accessed = v.s.opt.Now()
	v.mu.Unlock()
	for _, e := range es {
		v.markRecent(e)
	}
}

// Close gives the handle back. Files got from File are not to be used after.
func (h *Version) Close() error {
	if h.closed.Swap(true) {
		return nil
	}
	h.Touch()
	h.v.s.release(h.v)
	return nil
}
