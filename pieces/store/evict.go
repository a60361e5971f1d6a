package store

import (
	"cmp"
	"os"
	"slices"
	"time"

	"damselfly/pieces"
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

// room is space in the cache and on its disk, in bytes. The two differ: what is
// evicted while a program has it open in passthrough does not count any more,
// but the disk gets it back only when the program closes it.
type room struct{ cache, disk int64 }

// makeRoom evicts until need is free or nothing idle is left.
func (s *Store) makeRoom(need room) (freed room) {
	for _, c := range s.candidates() {
		left := max(need.cache-freed.cache, need.disk-freed.disk)
		if left <= 0 {
			break
		}
		open := s.isOpenElsewhere(c.v)
		if open && freed.cache >= need.cache {
			continue // the disk would gain nothing
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
		freed.cache += n
		if !open {
			freed.disk += n
		}
	}
	return freed
}

// isOpenElsewhere reports whether somebody else has the content file of v open,
// as programs do that got it from a daemon before this one.
func (s *Store) isOpenElsewhere(v *version) bool {
	f := s.lastLook(v, s.dir.contentFile(v.ord.Load()))
	defer closeIf(f)
	return f != nil && openElsewhere(f)
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
	if err := s.deleteKeys(nil, append(keys, versionKey(v.ord.Load())), nil); err != nil {
		s.putBack(v)
		return 0, err
	}
	v.mu.Lock()
	freed = v.forget(v.geo.All())
	v.mu.Unlock()
	if v.inline {
		return freed, nil
	}
	path := s.dir.contentFile(v.ord.Load())
	last := s.lastLook(v, path)
	if err := s.disk.Remove(path); err != nil {
		closeIf(last)
		return freed, pieces.WithKind(pieces.Internal, err, "remove content of "+v.key.String())
	}
	if last != nil {
		s.orphans.add(last)
	}
	return freed, nil
}

// lastLook opens the content file of v if it may be open outside this process;
// else, or if that fails, nil.
func (s *Store) lastLook(v *version, path string) *os.File {
	v.mu.RLock()
	flagged := v.flags&flagPassthrough != 0
	v.mu.RUnlock()
	if !flagged {
		return nil
	}
	f, err := s.disk.Open(path, os.O_RDONLY)
	if err != nil {
		return nil
	}
	return f
}

func closeIf(f *os.File) {
	if f != nil {
		f.Close()
	}
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
