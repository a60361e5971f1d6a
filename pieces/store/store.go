package store

import (
	"context"
	"errors"
	"io/fs"
	"maps"
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
	// uncached says why there is no disk below; nil if there is one.
	uncached error
	// mark is what "run" says; the janitor's, and Close's after it.
	mark runMark

	// used is the bytes of held pieces and of those being written.
	used atomic.Int64
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
}

// Open locks and opens the data directory, making it if absent. What can't be
// used (a newer format, a damaged database) is moved to aside/ and the store
// starts empty. Where the machine is at fault (no space, no descriptors, a
// read-only file system) the store works without a disk: it holds no bytes, and
// every Put is Full; see Usage.Uncached. What is left as errors is for people to
// put right: a directory in use is an Exists error that names the process, one
// that may not be used is Denied.
func Open(ctx context.Context, o Options) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{opt: o, dir: dataDir(o.Dir), log: o.Log, disk: o.Disk, boot: o.BootID, known: newIndex()}
	if s.boot == "" {
		s.boot = bootID()
	}
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
		if s.lockFD != nil {
			s.lockFD.Close()
		}
		return nil, pieces.WithKind(pieces.KindOf(err), err, "open store "+o.Dir)
	}
	return s, nil
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
	s.log.WithError(why).Warn("store: going on without a cache until the next start")
	s.uncached = pieces.WithKind(pieces.Full, why, "there is no cache")
	s.full.Store(true)
	if s.db, err = openMemory(s.log); err != nil {
		return err
	}
	if err := s.db.View(func(tx *badger.Txn) error { s.hosts.load(tx); return nil }); err != nil {
		return err
	}
	s.commits = newCommitter(s.db, func(bool) error { return nil })
	s.janitor = newJanitor(s)
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
