package store

import "damselfly/pieces"

// Drop forgets pieces whose bytes are bad. They are overwritten when the piece
// is put again; BeforeEvict is not told.
func (h *Version) Drop(e pieces.Extent) error { return h.v.drop(e) }

// lose drops pieces that failed verification and tells BeforeEvict.
func (v *version) lose(e pieces.Extent) error {
	v.mu.RLock()
	held := v.held.Clone()
	v.mu.RUnlock()
	var lost []pieces.Extent
	for x := range held.Extents() {
		if x = x.Intersect(e); !x.Empty() {
			lost = append(lost, x)
		}
	}
	if len(lost) == 0 {
		return nil
	}
	v.s.opt.BeforeEvict(v.key, lost, false)
	return v.drop(e)
}

func (v *version) drop(e pieces.Extent) error {
	var keys [][]byte
	e = e.Intersect(v.geo.All())
	v.mu.Lock()
	for i := range e.All() {
		if v.held.Has(i) {
			keys = append(keys, v.pieceKey(i))
		}
	}
	v.forget(e)
	v.flags &^= flagWhole
	v.mu.Unlock()
	if len(keys) == 0 {
		return nil
	}
	return v.s.deleteKeys(v, keys, func() {
		v.mu.Lock()
		v.forget(e) // what a Put queued before the removal has put
		v.mu.Unlock()
	})
}

// forget takes pieces out of held; call with mu.
func (v *version) forget(e pieces.Extent) (freed int64) {
	before := v.bytes()
	v.held.RemoveExtent(e)
	if v.unverified != nil {
		v.unverified.RemoveExtent(e)
	}
	v.setReady()
	freed = before - v.bytes()
	v.s.used.Add(-freed)
	return freed
}
