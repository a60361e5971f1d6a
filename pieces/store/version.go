package store

import (
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
	owner  string // of its piece records
	geo    pieces.Geometry
	inline bool
	// ord names the records and the file. It changes once, when a store gets
	// its disk back.
	ord atomic.Uint64

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

	// writing is held while the content file is changed by us. Taken before mu.
	writing sync.Mutex
	// stamp is how the file looked after our last change, or when it was found;
	// nil before there is one. Set with writing.
	stamp atomic.Pointer[stamp]
	// doubts counts how often the file turned out to be changed by somebody
	// else. Set with writing and mu.
	doubts atomic.Uint64

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
	// savedTrust is what the database vouches for.
	savedTrust trust
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
	v := &version{s: s, key: key, owner: ownerOf(key), geo: geo, inline: geo.Size <= s.opt.Inline, facts: facts}
	v.ord.Store(ord)
	v.setReady()
	return v, nil
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
	return versionRecord{key: v.key, facts: v.facts, accessed: v.accessed, flags: v.flags, trust: v.trusted()}
}

// setRecord writes the version record in tx, if there may be one: make says
// that this change makes one.
func (v *version) setRecord(tx *badger.Txn, make bool) error {
	v.mu.Lock()
	skip := v.gone || !v.recorded && !make
	rec := v.record()
	if !skip {
		v.savedAccess, v.savedTrust = rec.accessed, rec.trust
	}
	v.mu.Unlock()
	if skip {
		return nil
	}
	return set(tx, versionKey(v.ord.Load()), appendVersion(nil, rec))
}

func (v *version) markRecent(e pieces.Extent) {
	for i := range e.Intersect(v.geo.All()).All() {
		if w, bit := &v.recent[i/64], uint64(1)<<(i%64); w.Load()&bit == 0 {
			w.Or(bit)
		}
	}
}
