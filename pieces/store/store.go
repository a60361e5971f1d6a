package store

import (
	"context"
	"errors"
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
	lockFD  *os.File
	db      *badger.DB
	commits *committer
	janitor *janitor
	hosts   hostTable

	// used is the bytes of held pieces and of those being written.
	used atomic.Int64
	// full: the last piece that came was refused.
	full    atomic.Bool
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

// Open locks and opens the data directory, making it if absent. A directory in
// use is an Exists error that names the process. What can't be used (a newer
// format, a damaged database) is moved to aside/ and the store starts empty.
func Open(ctx context.Context, o Options) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := &Store{opt: o, dir: dataDir(o.Dir), log: o.Log, disk: o.Disk, boot: o.BootID, known: newIndex()}
	if s.boot == "" {
		s.boot = bootID()
	}
	if s.lockFD, err = s.dir.lock(); err != nil {
		return nil, err
	}
	if err = s.open(); err == nil {
		err = s.start()
	}
	if err != nil {
		if s.db != nil {
			err = errors.Join(err, s.db.Close())
		}
		s.lockFD.Close()
		return nil, pieces.WithKind(pieces.KindOf(err), err, "open store "+o.Dir)
	}
	return s, nil
}

// open makes s.db: the database found, or an empty one.
func (s *Store) open() error {
	format, err := s.dir.readFormat()
	if err != nil {
		return err
	}
	if format != 0 && format != storeFormat {
		s.log.Warnf("store: format %d is not known to this program (it knows %d): moved to %s, starting empty", format, storeFormat, s.dir.path("aside"))
		if err := s.dir.moveAside(true); err != nil {
			return err
		}
	}
	for attempt := 0; ; attempt++ {
		if err := s.dir.prepare(); err != nil {
			return err
		}
		s.db, err = openDB(s.dir.db(), s.log)
		if err == nil || attempt > 0 || !isDamage(err) {
			return err
		}
		s.log.WithError(err).Warnf("store: the database can't be opened: moved to %s, starting empty", s.dir.path("aside"))
		if err := s.dir.moveAside(false); err != nil {
			return err
		}
	}
}

// start loads what is held and starts the goroutines.
func (s *Store) start() error {
	_, total, err := s.free()
	if err != nil {
		return err
	}
	switch s.reserve = s.opt.Reserve; {
	case s.reserve == 0:
		s.reserve = defaultReserve(total)
	case s.reserve < 0:
		s.reserve = 0
	}
	garbage, err := s.load()
	if err != nil {
		return err
	}
	s.commits = newCommitter(s.db, s.free)
	if err = s.deleteKeys(nil, garbage, nil); err == nil {
		err = s.judge(s.dir.lastRun(s.boot))
	}
	if err == nil {
		err = s.dir.writeRun(runMark{Boot: s.boot})
	}
	if err != nil {
		s.commits.close()
		return err
	}
	s.janitor = newJanitor(s)
	return nil
}

// judge decides what the bytes of the last run are worth.
func (s *Store) judge(last lastRun) error {
	switch last {
	case runLost:
		return s.suspectAll()
	case runKilled: // they have still to be synced before a clean stop
		for _, v := range s.snapshot() {
			v.dirty.Store(!v.inline)
		}
	}
	return nil
}

// suspectAll marks every Version so that it is verified before it is trusted,
// and puts that on stable storage.
func (s *Store) suspectAll() error {
	vs := s.snapshot()
	for _, v := range vs {
		v.mu.Lock()
		v.flags |= flagSuspect
		v.unverified = v.held.Clone()
		v.setReady()
		v.mu.Unlock()
	}
	if err := s.save(vs...); err != nil {
		return err
	}
	return s.db.Sync()
}

// view runs fn in a read transaction, unless the store is closed.
func (s *Store) view(fn func(tx *badger.Txn) error) error {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed {
		return errClosed
	}
	return s.db.View(fn)
}

func (s *Store) free() (free, total int64, err error) { return s.disk.Free(string(s.dir)) }

// snapshot returns the Versions known now.
func (s *Store) snapshot() []*version {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.known.byKey))
}
