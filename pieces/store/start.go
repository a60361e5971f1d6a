package store

import (
	"context"
	"errors"

	"damselfly/pieces"
)

// open brings the directory, which is locked, to where it can be used, and
// starts the committer. A damaged database is replaced by an empty one, once.
func (s *Store) open(ctx context.Context) error {
	format, err := s.dir.readFormat()
	if err != nil {
		return err
	}
	s.findJournal()
	if format != 0 && format != storeFormat {
		s.log.Warnf("store: format %d is not known to this program (it knows %d): moved to %s, starting empty", format, storeFormat, s.dir.path("aside"))
		if err := s.dir.moveAside(true); err != nil {
			return err
		}
	}
	if err := s.makeFloor(); err != nil {
		return err
	}
	if err := s.haveFilesToOpen(); err != nil {
		return err
	}
	if err := s.dir.prepare(); err != nil {
		return err
	}
	if s.last == nil {
		run := s.dir.readRun()
		s.last = &run
	}
	last := *s.last
	s.mark = last.next(s.boot)
	err = s.vouch(ctx, last)
	if err == nil {
		err = s.openFound(last)
	}
	if err != nil && (MachineFault(err) || ctx.Err() != nil) {
		_ = s.dir.writeRun(last) // this was no death of a run
		return err
	}
	if err == nil {
		return nil
	}
	s.log.WithError(err).Warnf("store: the database can't be used: moved to %s, starting empty", s.dir.path("aside"))
	if err := errors.Join(s.abandon(), s.dir.moveAside(false), s.dir.prepare()); err != nil {
		return err
	}
	s.mark = runMark{Boot: s.boot}
	return s.openFound(runMark{})
}

// vouch returns an error if the database must not be opened.
func (s *Store) vouch(ctx context.Context, last runMark) error {
	look := s.dir.lookOfDB()
	if look == "" {
		return nil // there is none
	}
	if s.opt.Settle > 0 && s.mark.Deaths >= maxDeaths {
		return pieces.Errorf(pieces.Integrity, "the last %d runs died soon after they began", s.mark.Deaths)
	}
	why := last.doubt(s.boot, look)
	if why == "" || s.opt.Probe == nil {
		return nil
	}
	s.log.Infof("store: the database is tried in another process first: %s", why)
	ctx, cancel := context.WithTimeout(ctx, s.opt.ProbeTimeout)
	defer cancel()
	return s.opt.Probe(ctx, s.dir.db())
}

// openFound opens the database, loads what is held and starts the committer.
// Whatever kills the process from here on is seen at the next start.
func (s *Store) openFound(last runMark) (err error) {
	if err := s.dir.writeRun(s.mark); err != nil {
		return err
	}
	if s.db, err = openDB(s.dir.db(), s.log); err != nil {
		return err
	}
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
	s.commits = newCommitter(s.db, s.recordable)
	if err = s.deleteKeys(nil, garbage, nil); err == nil {
		err = s.judge(last.last(s.boot))
	}
	if err == nil {
		s.mark.Boot = s.boot
		err = s.dir.writeRun(s.mark)
	}
	if err != nil {
		s.commits.close()
		return err
	}
	s.startJournal()
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

// settled notes that this run is a good one.
func (s *Store) settled() {
	s.mark.Settled, s.mark.Deaths = true, 0
	if s.cacheless() != nil {
		return
	}
	if err := s.dir.writeRun(s.mark); err != nil {
		s.log.WithError(err).Info("store: the mark of this run is not written")
	}
}
