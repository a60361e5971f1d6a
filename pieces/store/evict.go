package store

import (
	"cmp"
	"errors"
	"os"
	"slices"
	"time"

	"damselfly/pieces"

	"golang.org/x/sys/unix"
)

// Evict drops all bytes of a Task that no handle is open on, and returns how
// many they were. A Task not known here has none.
func (s *Store) Evict(id pieces.TaskID) (freed int64, err error) {
	s.mu.Lock()
	vs := slices.Clone(s.known.byTask[id])
	s.mu.Unlock()
	for _, v := range vs {
		n, rerr := s.removeIdle(v)
		freed += n
		err = cmp.Or(err, rerr)
	}
	return freed, err
}

// candidate is an idle Version, as it was when the eviction looked.
type candidate struct {
	v        *version
	bytes    int64
	accessed time.Time
	// replaced: a younger Version of the Task is held or in use.
	replaced bool
	// wholeOnly: its file must not be punched, or there is none.
	wholeOnly bool
}

// makeRoom evicts until need bytes are free or nothing idle is left.
func (s *Store) makeRoom(need int64) (freed int64) {
	for _, c := range s.candidates() {
		left := need - freed
		if left <= 0 {
			break
		}
		var n int64
		var err error
		if !c.wholeOnly && c.bytes >= 2*left {
			n, err = s.punchCold(c.v, left)
		} else {
			n, err = s.removeIdle(c.v)
		}
		if err != nil {
			s.log.WithError(err).Warnf("store: evict %s", c.v.key)
		}
		freed += n
	}
	return freed
}

// candidates lists what may be evicted, first to go first.
func (s *Store) candidates() []candidate {
	var cs []candidate
	newest := map[pieces.TaskID]time.Time{}
	s.mu.Lock()
	for _, v := range s.known.byKey {
		v.mu.RLock()
		c := candidate{v: v, bytes: v.bytes(), accessed: v.accessed, wholeOnly: v.inline || v.flags&flagPassthrough != 0 || s.noPunch.Load()}
		v.mu.RUnlock()
		if c.accessed.After(newest[v.key.Task]) {
			newest[v.key.Task] = c.accessed
		}
		if v.refs == 0 {
			cs = append(cs, c)
		}
	}
	s.mu.Unlock()
	for i := range cs {
		cs[i].replaced = cs[i].accessed.Before(newest[cs[i].v.key.Task])
	}
	slices.SortFunc(cs, func(a, b candidate) int {
		if a.replaced != b.replaced {
			if a.replaced {
				return -1
			}
			return 1
		}
		return a.accessed.Compare(b.accessed)
	})
	return cs
}

// removeEmpty removes idle Versions of which nothing is held any more.
func (s *Store) removeEmpty() {
	for _, c := range s.candidates() {
		if c.bytes == 0 {
			if _, err := s.removeIdle(c.v); err != nil {
				s.log.WithError(err).Warnf("store: remove %s", c.v.key)
			}
		}
	}
}

// removeIdle removes all of v, unless it is in use.
func (s *Store) removeIdle(v *version) (freed int64, err error) {
	s.mu.Lock()
	idle := v.refs == 0 && s.known.remove(v)
	s.mu.Unlock()
	if !idle {
		return 0, nil
	}
	return s.remove(v)
}

// discard removes all of v whoever uses it; nothing of it can be read anyway.
func (s *Store) discard(v *version) (freed int64, err error) {
	s.mu.Lock()
	known := s.known.remove(v)
	s.mu.Unlock()
	if !known {
		return 0, nil
	}
	return s.remove(v)
}

// remove tells BeforeEvict, then removes the records, then the bytes of v,
// which the caller has taken out of s.known: whoever opens its key now gets
// a new, empty one.
func (s *Store) remove(v *version) (freed int64, err error) {
	v.mu.Lock()
	v.gone = true
	lost := v.held.List()
	v.mu.Unlock()
	if len(lost) > 0 {
		s.opt.BeforeEvict(v.key, lost, true)
	}
	var keys [][]byte
	for _, e := range lost {
		for i := range e.All() {
			keys = append(keys, v.pieceKey(i))
		}
	}
	if err := s.deleteKeys(nil, append(keys, versionKey(v.ord)), nil); err != nil {
		s.putBack(v)
		return 0, err
	}
	v.mu.Lock()
	freed = v.forget(v.geo.All())
	v.mu.Unlock()
	if v.inline {
		return freed, nil
	}
	if err := s.disk.Remove(s.dir.contentFile(v.ord)); err != nil {
		return freed, pieces.WithKind(pieces.Internal, err, "remove content of "+v.key.String())
	}
	return freed, nil
}

// putBack undoes a removal whose records could not be removed. If the key was
// opened anew meanwhile, v's bytes stay counted until the next start.
func (s *Store) putBack(v *version) {
	v.mu.Lock()
	v.gone = false
	v.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known.byKey[v.key] == nil {
		s.known.add(v)
	}
}

// punchCold gives at least need bytes of v's cold pieces back, unless it is in
// use or flagged. It may be opened meanwhile: then the pieces are not held any
// more, and not put either until they are gone.
func (s *Store) punchCold(v *version, need int64) (freed int64, err error) {
	cold := s.takeCold(v, need)
	if len(cold) == 0 {
		return 0, nil
	}
	s.opt.BeforeEvict(v.key, cold, false)
	var keys [][]byte
	for _, e := range cold {
		for i := range e.All() {
			keys = append(keys, v.pieceKey(i))
		}
	}
	kept := s.deleteKeys(v, keys, nil)
	if kept == nil {
		err = s.punch(v, cold)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, e := range cold {
		v.leaving.RemoveExtent(e)
		if kept != nil { // the records are still there
			v.held.AddExtent(e)
			continue
		}
		_, n := v.geo.Bytes(e)
		freed += n
	}
	v.setReady()
	s.used.Add(-freed)
	return freed, cmp.Or(kept, err)
}

// takeCold takes pieces out of held and into leaving: those not read lately
// first, from the end of the content. They stay counted as used.
func (s *Store) takeCold(v *version, need int64) []pieces.Extent {
	s.mu.Lock()
	defer s.mu.Unlock()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.refs > 0 || !s.known.has(v) || v.flags&flagPassthrough != 0 {
		return nil
	}
	taken := &pieces.Set{}
	for _, warm := range []bool{false, true} {
		for i := v.geo.Count() - 1; i >= 0 && need > 0; i-- {
			if v.held.Has(i) && !taken.Has(i) && v.isRecent(i) == warm {
				taken.Add(i)
				need -= v.geo.Len(i)
			}
		}
	}
	for e := range taken.Extents() {
		v.held.RemoveExtent(e)
		v.leaving.AddExtent(e)
		if v.unverified != nil {
			v.unverified.RemoveExtent(e)
		}
	}
	v.flags &^= flagWhole
	v.setReady()
	for i := range v.recent {
		v.recent[i].Store(0)
	}
	return taken.List()
}

func (v *version) isRecent(i int) bool {
	return v.recent != nil && v.recent[i/64].Load()&(1<<(i%64)) != 0
}

func (s *Store) punch(v *version, es []pieces.Extent) error {
	f, err := s.disk.Open(s.dir.contentFile(v.ord), os.O_RDWR)
	if err != nil {
		return pieces.WithKind(pieces.Internal, err, "open content of "+v.key.String())
	}
	defer f.Close()
	for _, e := range es {
		off, n := v.geo.Bytes(e)
		err := s.disk.Punch(f, off, n)
		if errors.Is(err, unix.EOPNOTSUPP) {
			s.noPunch.Store(true)
		}
		if err != nil {
			return pieces.WithKind(pieces.Internal, err, "punch content of "+v.key.String())
		}
	}
	return nil
}
