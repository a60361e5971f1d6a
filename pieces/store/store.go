package store

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"damselfly/pieces"

	"github.com/dgraph-io/badger/v4"
	"github.com/sirupsen/logrus"
)

// Store is an open data directory.
type Store struct {
	opt     Options
	dir     dataDir
	log     *logrus.Entry
	disk    Disk
	boot    string
	reserve int64
	lockFD  *os.File // nil if the directory could not even be locked
	db      *badger.DB
	commits *committer
	janitor *janitor
	hosts   hostTable
	// uncached says why there is no disk below; nil if there is one. It becomes
	// nil when all else is as a store with a disk has it.
	uncached atomic.Pointer[error]
	journal  *journal
	// found is the journal as it lay there; only while the store is opened.
	found []byte
	// mark is what "run" says; the janitor's, and Close's after it.
	mark runMark
	// last is the mark of the last run; nil before it was read.
	last *runMark

	// used is the bytes of held pieces and of those being written.
	used    atomic.Int64
	orphans orphans
	// full: the last piece that came was refused.
	full atomic.Bool
	// dbBytes is the disk that the database takes, where that matters.
	dbBytes atomic.Int64
	nextOrd atomic.Uint64
	// noPunch: the file system can't punch holes.
	noPunch atomic.Bool

	// life is held for reading by whoever reads the database, which must not
	// be closed under them.
	life   sync.RWMutex
	closed bool // guarded by life

	closing sync.Once

	mu    sync.Mutex
	known index // guarded by mu
	ended bool  // no handle is given out any more; guarded by mu
	// buried are the entries that were deleted while there was no disk; guarded
	// by mu.
	buried map[pieces.TaskID]bool
}

// Open locks and opens the data directory, making it if absent. What can't be
// used (a newer format, a damaged database) is moved to aside/ and the store
// starts empty. Where the machine is at fault (no space, no descriptors, a
// read-only file system) the store works without a disk: it holds no bytes, and
// every Put is Full; see Usage.Uncached. It tries again every Options.Reopen. What is left as errors is for people to
// put right: a directory in use is an Exists error that names the process, one
// that may not be used is Denied.
func Open(ctx context.Context, o Options) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if o.BootID == "" {
		o.BootID = bootID()
	}
	s := newStore(o)
	s.lockFD, err = s.dir.lock()
	if err == nil {
		err = s.open(ctx)
	}
	switch {
	case ctx.Err() != nil:
		err = errors.Join(ctx.Err(), s.abandon())
	case err != nil && s.hopeful(err):
		err = errors.Join(s.abandon(), s.openUncached(err))
	}
	if err != nil {
		s.unlock()
		return nil, pieces.WithKind(pieces.KindOf(err), err, "open store "+o.Dir)
	}
	s.janitor = newJanitor(s)
	return s, nil
}

func newStore(o Options) *Store {
	return &Store{opt: o, dir: dataDir(o.Dir), log: o.Log, disk: o.Disk, boot: o.BootID, known: newIndex(), journal: &journal{}}
}

func (s *Store) unlock() error {
	if s.lockFD == nil {
		return nil
	}
	return s.lockFD.Close()
}

// cacheless says why there is no disk below; nil if there is one.
func (s *Store) cacheless() error {
	if why := s.uncached.Load(); why != nil {
		return *why
	}
	return nil
}

// hopeful reports whether the daemon can do without what failed: not if it is
// for people to put right.
func (s *Store) hopeful(err error) bool {
	return MachineFault(err) || s.lockFD != nil && !errors.Is(err, fs.ErrPermission)
}

// abandon closes what open left open.
func (s *Store) abandon() (err error) {
	if s.db != nil {
		err = s.closeDB()
	}
	s.db, s.known = nil, newIndex()
	s.used.Store(0)
	return err
}

// openUncached makes the store one without a disk.
func (s *Store) openUncached(why error) (err error) {
	s.log.WithError(why).Warn("store: going on without a cache")
	why = pieces.WithKind(pieces.Full, why, "there is no cache")
	s.uncached.Store(&why)
	s.full.Store(true)
	if s.db, err = openMemory(s.log); err != nil {
		return err
	}
	// No ordinal of this time is one of those on the disk, should that come back.
	s.nextOrd.Store(1<<62 | rand.Uint64N(1<<62))
	if err := s.db.View(func(tx *badger.Txn) error { s.hosts.load(tx); return nil }); err != nil {
		return err
	}
	s.commits = newCommitter(s.db, func(bool) error { return nil })
	s.findJournal()
	if err := s.refill(); err != nil {
		s.log.WithError(err).Warn("store: the catalogue is not known")
	}
	s.found = nil
	if s.lockFD != nil { // else it may be another daemon's
		s.journal.follow(s.dir)
	}
	return nil
}

// view runs fn in a read transaction, unless the store is closed.
func (s *Store) view(fn func(tx *badger.Txn) error) error {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed {
		return errClosed
	}
	return guarded(func() error { return s.db.View(fn) })
}

func (s *Store) free() (free, total int64, err error) { return s.disk.Free(string(s.dir)) }

// snapshot returns the Versions known now.
func (s *Store) snapshot() []*version {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.known.byKey))
}
