package store

import (
	"cmp"

	"damselfly/pieces"
)

// findJournal reads the journal. What can't be read counts as empty.
func (s *Store) findJournal() {
	var err error
	if s.found, err = s.dir.readJournal(); err != nil {
		s.log.WithError(err).Warn("store: the journal of the catalogue can't be read")
	}
}

// refill puts the entries of the journal that the database lacks into it, since
// that was damaged, or is a new one. Names that others have meanwhile are left
// out.
func (s *Store) refill() error {
	found, damaged := parseJournal(s.found)
	if damaged > 0 {
		s.log.Warnf("store: %d lines of the catalogue's journal are damaged and left out", damaged)
	}
	salvaged := 0
	for _, e := range found {
		if there, err := s.Entry(e.Task.ID); err == nil {
			if s.hasNames(there) {
				continue
			}
			e = there
		}
		err := s.PutEntry(e)
		if pieces.KindOf(err) == pieces.Exists {
			e.Names = nil
			err = s.PutEntry(e)
		}
		if err != nil {
			return err
		}
		salvaged++
	}
	if salvaged > 0 {
		s.log.Infof("store: %d catalogue entries were salvaged from the journal", salvaged)
	}
	return nil
}

// hasNames reports whether the names of e lead to it.
func (s *Store) hasNames(e Entry) bool {
	for _, name := range e.Names {
		if id, err := s.Name(name); err != nil || id != e.Task.ID {
			return false
		}
	}
	return true
}

// startJournal fills the database from the journal, then makes the journal what
// the database says and goes on appending to it. Without a journal the store
// works all the same; the janitor tries again.
func (s *Store) startJournal() {
	err := s.refill()
	if err == nil {
		err = s.journal.rewrite(s.dir, s.found, s.encodeCatalogue)
	}
	if err != nil {
		s.log.WithError(err).Warn("store: the journal of the catalogue is not written yet")
	}
	s.found = nil
}

// tendJournal is the janitor's part of it.
func (s *Store) tendJournal() {
	var err error
	if s.cacheless() == nil && s.journal.wantsRewrite() {
		err = s.journal.rewrite(s.dir, nil, s.encodeCatalogue)
	}
	if err = cmp.Or(err, s.journal.sync()); err != nil {
		s.log.WithError(err).Debug("store: the journal of the catalogue is not written yet")
	}
}

// encodeCatalogue returns the journal that says what the database says.
func (s *Store) encodeCatalogue() (b []byte, err error) {
	es, err := s.Entries()
	for _, e := range es {
		var data []byte
		if err == nil {
			data, err = encodeEntry(e)
		}
		if err == nil {
			b, err = appendLine(b, journalLine{ID: e.Task.ID, Data: data})
		}
	}
	return b, err
}
