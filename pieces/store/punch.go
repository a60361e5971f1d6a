package store

import (
	"cmp"
	"errors"
	"os"

	"damselfly/pieces"

	"golang.org/x/sys/unix"
)

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
		v.writing.Lock()
		err = s.punch(v, cold)
		v.writing.Unlock()
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
	f, err := s.disk.Open(s.dir.contentFile(v.ord.Load()), os.O_RDWR)
	if err != nil {
		return pieces.WithKind(pieces.Internal, err, "open content of "+v.key.String())
	}
	defer f.Close()
	if want := v.stamp.Load(); want != nil && *want == stampOf(f) {
		defer v.restamp(f)
	}
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
