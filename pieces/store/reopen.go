package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"damselfly/pieces"

	"github.com/dgraph-io/badger/v4"
)

const (
	// maxReopen bounds the pause between two attempts, in Options.Reopen.
	maxReopen = 16
	// maxBuried bounds the entries whose deletion is remembered until then.
	maxBuried = 1 << 16
)

// reopening are the attempts of a store without a disk to open it after all.
// They are the janitor's.
type reopening struct {
	s     *Store
	pause time.Duration
	timer *time.Timer
}

func newReopening(s *Store) *reopening {
	r := &reopening{s: s, pause: s.opt.Reopen, timer: time.NewTimer(max(s.opt.Reopen, 0))}
	if s.cacheless() == nil || s.opt.Reopen < 0 {
		r.timer.Stop()
	}
	return r
}

// try makes an attempt, and sees to the next one unless it was successful.
func (r *reopening) try(ctx context.Context) bool {
	why := r.s.cacheless()
	err := r.s.reopen(ctx)
	if err == nil {
		r.s.log.Infof("store: the cache is back; before, %v", why)
		r.s.opt.Reopened()
		return true
	}
	r.s.log.WithError(err).Debug("store: still no cache")
	r.pause = min(2*r.pause, maxReopen*r.s.opt.Reopen)
	r.timer.Reset(r.pause)
	return false
}

// reopen opens the directory as Open does, and makes its disk that of s, whose
// handles stay open.
func (s *Store) reopen(ctx context.Context) error {
	f := newStore(s.opt)
	f.lockFD, f.last = s.lockFD, s.last
	var err error
	if f.lockFD == nil {
		f.lockFD, err = f.dir.lock()
	}
	if err == nil {
		err = f.hasFloor()
	}
	if err == nil {
		err = f.open(ctx)
	}
	if err == nil {
		f.commits.close()
		if err = ctx.Err(); err == nil {
			err = s.takeOver(f)
		}
	}
	s.last = f.last
	if err != nil {
		err = errors.Join(err, f.abandon(), f.journal.close())
		if s.lockFD == nil {
			err = errors.Join(err, f.unlock())
		}
	}
	return err
}

// takeOver makes the database, the Versions and the journal of f, which nobody
// else knows, those of s. On an error nothing has changed.
func (s *Store) takeOver(f *Store) (err error) {
	s.commits.exclusively(func() {
		if err = s.copyCatalogue(f.db); err != nil {
			return
		}
		s.lockFD = f.lockFD
		memory := s.db
		s.life.Lock()
		s.db = f.db
		s.life.Unlock()
		s.commits.db, s.commits.allowed = f.db, s.recordable
		s.hosts.become(&f.hosts)
		s.journal, f.journal = f.journal, s.journal
		s.journal.lack()   // what was added between
		_ = memory.Close() // nothing of it is written anywhere
	})
	if err != nil {
		return err
	}
	if err := f.journal.close(); err != nil {
		s.log.WithError(err).Debug("store: the journal from before")
	}
	s.mark, s.reserve = f.mark, f.reserve
	s.noPunch.Store(f.noPunch.Load())
	s.used.Store(f.used.Load())
	s.adopt(f)
	s.full.Store(false)
	s.uncached.Store(nil)
	return nil
}

// adopt makes the Versions of f those of s. What is open here keeps its
// identity and gets what is held of it.
func (s *Store) adopt(f *Store) {
	type pair struct{ here, found *version }
	var both []pair
	s.mu.Lock()
	s.nextOrd.Store(max(s.nextOrd.Load(), f.nextOrd.Load()))
	for _, v := range slices.Collect(maps.Values(f.known.byKey)) {
		v.s = s
		if here := s.known.byKey[v.key]; here != nil {
			here.refs++
			both = append(both, pair{here, v})
			continue
		}
		s.known.add(v)
	}
	s.mu.Unlock()
	for _, p := range both {
		damaged, err := p.found.openFile()
		if err == nil && !damaged {
			p.here.become(p.found)
		} else if _, err := s.remove(p.found); err != nil {
			s.log.WithError(err).Warnf("store: drop %s", p.here.key)
		}
		s.release(p.here)
	}
}

// become takes the state of found, which nobody else knows. Nothing was ever
// held of v.
func (v *version) become(found *version) {
	v.writing.Lock()
	defer v.writing.Unlock()
	v.fileMu.Lock()
	defer v.fileMu.Unlock()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ord.Store(found.ord.Load())
	v.created = found.created
	v.file.Store(found.file.Load())
	v.stamp.Store(found.stamp.Load())
	v.dirty.Store(found.dirty.Load())
	v.held, v.unverified, v.flags = found.held, found.unverified, found.flags
	v.savedAccess, v.savedTrust, v.recorded = found.savedAccess, found.savedTrust, found.recorded
	v.setReady()
}

// bury remembers that an entry was deleted while there was no disk.
func (s *Store) bury(id pieces.TaskID) {
	if s.cacheless() == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buried == nil {
		s.buried = map[pieces.TaskID]bool{}
	}
	if len(s.buried) < maxBuried {
		s.buried[id] = true
	}
}

// copyCatalogue makes the catalogue in db what s has now: what was deleted here
// goes, what was added or changed comes.
func (s *Store) copyCatalogue(db *badger.DB) error {
	s.mu.Lock()
	buried := slices.Collect(maps.Keys(s.buried))
	s.mu.Unlock()
	batch := db.NewWriteBatch()
	defer batch.Cancel()
	err := db.View(func(tx *badger.Txn) error {
		for _, id := range buried {
			e, _ := getEntry(tx, id)
			for _, name := range e.Names {
				if err := batch.Delete(nameKey(name)); err != nil {
					return err
				}
			}
			for _, prefix := range []byte{prefixEntry, prefixFacts} {
				if err := batch.Delete(taskKey(prefix, id)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = s.view(func(tx *badger.Txn) error {
		for _, prefix := range []byte{prefixEntry, prefixName, prefixFacts} {
			if err := copyKeys(batch, tx, prefix); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return batch.Flush()
}

func copyKeys(to *badger.WriteBatch, from *badger.Txn, prefix byte) error {
	it := from.NewIterator(badger.IteratorOptions{PrefetchValues: true, PrefetchSize: 100, Prefix: []byte{prefix}})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		b, err := it.Item().ValueCopy(nil)
		if err != nil {
			return err
		}
		if err := to.Set(it.Item().KeyCopy(nil), b); err != nil {
			return err
		}
	}
	return nil
}
