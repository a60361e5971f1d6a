package store

import (
	"context"
	"os"
)

// Close waits for what is being written, puts it on stable storage as far as
// CloseSync allows, and releases the directory. Handles still open fail from
// then on.
func (s *Store) Close() error {
	var err error
	s.closing.Do(func() { err = s.close() })
	return err
}

func (s *Store) close() error {
	s.janitor.close()
	s.orphans.close()
	s.saveChanged(s.snapshot(), func(v *version) bool {
		return v.accessed.Unix() != v.savedAccess.Unix() || v.trusted() != v.savedTrust
	})
	s.commits.close()
	s.tendJournal()
	if err := s.journal.close(); err != nil {
		s.log.WithError(err).Info("store: the journal of the catalogue may not have reached the disk")
	}

	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	versions := s.snapshot()
	s.life.Lock()
	s.closed = true
	s.life.Unlock()

	err := s.closeDB()
	clean := err == nil && s.cacheless() == nil && s.syncContent(versions)
	for _, v := range versions {
		v.closeFile()
	}
	switch {
	case clean:
		err = s.dir.writeRun(runMark{Boot: s.boot, Clean: true, Database: s.dir.lookOfDB()})
	case s.cacheless() == nil:
		s.settled() // not clean, but no death either
	}
	if err != nil { // the next start is a careful one
		s.log.WithError(err).Warn("store: not closed cleanly")
	}
	return s.unlock()
}

func (s *Store) hasEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// syncContent reports whether every byte written is on stable storage.
func (s *Store) syncContent(versions []*version) bool {
	ctx, cancel := context.WithTimeout(context.Background(), s.opt.CloseSync)
	defer cancel()
	for _, v := range versions {
		if !v.dirty.Load() {
			continue
		}
		f, err := s.disk.Open(s.dir.contentFile(v.ord.Load()), os.O_RDWR)
		if err == nil {
			err = s.disk.Sync(ctx, f)
			f.Close()
		}
		if err != nil {
			s.log.WithError(err).Info("store: not everything reached the disk; it will be verified if the machine restarts")
			return false
		}
	}
	return true
}
