package store

import (
	"errors"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"damselfly/pieces"

	"github.com/dgraph-io/badger/v4"
)

// version is the state of one Version, shared by its handles.
type version struct {
	s      *Store
	key    pieces.Key
	geo    pieces.Geometry
	ord    uint64
	inline bool

	// refs counts handles and writes under way; guarded by s.mu. Nothing is
	// removed from a Version while it is positive, except by Drop.
	refs int

	// ready: complete and verified, so that reading needs no look at held.
	// Set under mu.
	ready atomic.Bool
	// dirty: bytes were written in this run.
	dirty atomic.Bool
	// recent has a bit for each piece read or written since cold pieces were
	// last looked for. Made with the first handle, under s.mu.
	recent []atomic.Uint64

	// fileMu is held while the content file is made, opened or closed.
	fileMu  sync.Mutex
	created bool                    // the file exists; guarded by fileMu
	file    atomic.Pointer[os.File] // set under fileMu; non-nil while refs > 0 and created

	mu    sync.RWMutex // guards all below
	facts pieces.Facts
	held  pieces.Set
	// unverified pieces are hashed before they are served. Invariant: a subset
	// of held. Nil means none.
	unverified *pieces.Set
	// leaving are pieces whose bytes are about to be punched. Invariant: none
	// of them is held.
	leaving  pieces.Set
	flags    versionFlags
	accessed time.Time
	// savedAccess is the access time in the database.
	savedAccess time.Time
	// recorded: the database has a record of this Version.
	recorded bool
	// gone: removed from the store; no record may be written any more.
	gone bool
}

func (s *Store) newVersion(key pieces.Key, facts pieces.Facts, ord uint64) (*version, error) {
	geo, err := facts.Geometry()
	if err != nil {
		return nil, err
	}
	v := &version{s: s, key: key, geo: geo, ord: ord, inline: geo.Count() <= 1, facts: facts}
	v.setReady()
	return v, nil
}

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

// attach finds or makes the state of key and counts a reference.
func (s *Store) attach(key pieces.Key, facts pieces.Facts) (*version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil, errClosed
	}
	v := s.known.byKey[key]
	if v == nil {
		var err error
		if v, err = s.newVersion(key, facts, s.nextOrd.Add(1)); err != nil {
			return nil, err
		}
		s.known.add(v)
	}
	if v.recent == nil {
		v.recent = make([]atomic.Uint64, (v.geo.Count()+63)/64)
	}
	v.refs++
	v.mu.Lock()
	v.facts, v.accessed = facts, s.opt.Now()
	v.mu.Unlock()
	return v, nil
}

// retain counts a reference more; the caller holds one.
func (s *Store) retain(v *version) {
	s.mu.Lock()
	v.refs++
	s.mu.Unlock()
}

// release gives a reference back; the last one closes the file.
func (s *Store) release(v *version) {
	s.mu.Lock()
	v.refs--
	last := v.refs == 0
	if last && v.forgettable() {
		s.known.remove(v)
	}
	s.mu.Unlock()
	if !last {
		return
	}
	v.fileMu.Lock()
	defer v.fileMu.Unlock()
	s.mu.Lock()
	idle := v.refs == 0
	s.mu.Unlock()
	if f := v.file.Load(); idle && f != nil {
		v.file.Store(nil)
		f.Close()
	}
	s.janitor.roomMayBe()
}

// forgettable reports whether nothing of v is on disk.
func (v *version) forgettable() bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return !v.recorded && !v.dirty.Load()
}

// openFile opens the content file if there is one. A file that is missing or
// has another size is damaged: it vouches for nothing.
func (v *version) openFile() (damaged bool, err error) {
	v.fileMu.Lock()
	defer v.fileMu.Unlock()
	if !v.created || v.file.Load() != nil {
		return false, nil
	}
	f, err := v.s.disk.Open(v.s.dir.contentFile(v.ord), os.O_RDWR)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, pieces.WithKind(pieces.Internal, err, "open content of "+v.key.String())
	}
	if st, err := f.Stat(); err != nil || st.Size() != v.geo.Size {
		f.Close()
		return true, nil
	}
	v.file.Store(f)
	return false, nil
}

// makeFile makes the content file unless it exists.
func (v *version) makeFile() (*os.File, error) {
	if f := v.file.Load(); f != nil {
		return f, nil
	}
	v.fileMu.Lock()
	defer v.fileMu.Unlock()
	if f := v.file.Load(); f != nil {
		return f, nil
	}
	if v.created || v.s.hasEnded() {
		return nil, errClosed
	}
	f, err := v.s.disk.Open(v.s.dir.contentFile(v.ord), os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(v.geo.Size); err != nil {
		f.Close()
		return nil, errors.Join(err, v.s.disk.Remove(f.Name()))
	}
	v.created = true
	v.dirty.Store(true)
	v.file.Store(f)
	return f, nil
}

func (v *version) closeFile() {
	v.fileMu.Lock()
	defer v.fileMu.Unlock()
	if f := v.file.Swap(nil); f != nil {
		f.Close()
	}
}

// setReady updates ready; call with mu.
func (v *version) setReady() {
	v.ready.Store(v.held.Count() == v.geo.Count() && v.allVerified())
}

// allVerified reports whether nothing held is unverified; call with mu.
func (v *version) allVerified() bool { return v.unverified == nil || v.unverified.Count() == 0 }

// bytes returns how many bytes the held pieces are; call with mu.
func (v *version) bytes() int64 {
	n := int64(v.held.Count()) * v.geo.PieceSize
	if last := v.geo.Count() - 1; v.held.Has(last) {
		n -= v.geo.PieceSize - v.geo.Len(last)
	}
	return n
}

// record returns the durable part; call with mu.
func (v *version) record() versionRecord {
	return versionRecord{key: v.key, facts: v.facts, accessed: v.accessed, flags: v.flags}
}

// setRecord writes the version record in tx, if there may be one: make says
// that this change makes one.
func (v *version) setRecord(tx *badger.Txn, make bool) error {
	v.mu.RLock()
	skip := v.gone || !v.recorded && !make
	rec := v.record()
	v.mu.RUnlock()
	if skip {
		return nil
	}
	return tx.Set(versionKey(v.ord), appendVersion(nil, rec))
}

func (v *version) info() VersionInfo {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return VersionInfo{
		Key: v.key, Facts: v.facts, Bytes: v.bytes(), Pieces: v.held.Count(),
		Complete: v.held.Count() == v.geo.Count(), Whole: v.flags&flagWhole != 0,
		Suspect:     !v.allVerified() && v.flags&flagSuspect != 0,
		Passthrough: v.flags&flagPassthrough != 0, Accessed: v.accessed, Open: v.refs,
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

func (v *version) markRecent(e pieces.Extent) {
	for i := range e.Intersect(v.geo.All()).All() {
		if w, bit := &v.recent[i/64], uint64(1)<<(i%64); w.Load()&bit == 0 {
			w.Or(bit)
		}
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
