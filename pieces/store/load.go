package store

import (
	"os"
	"strconv"

	"github.com/dgraph-io/badger/v4"
)

// load reads all Versions and which pieces are held (keys only). It returns
// the keys of records that belong to nothing and unlinks files likewise:
// leftovers of a removal or a write that was cut short.
func (s *Store) load() (garbage [][]byte, err error) {
	files, err := s.contentFiles()
	if err != nil {
		return nil, err
	}
	byOrd := map[uint64]*version{}
	err = guarded(func() error {
		return s.db.View(func(tx *badger.Txn) error {
			s.hosts.load(tx)
			garbage = append(garbage, s.loadVersions(tx, files, byOrd)...)
			garbage = append(garbage, s.loadHeld(tx, byOrd)...)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	for ord, v := range byOrd {
		if v.held.Count() == 0 {
			garbage = append(garbage, versionKey(ord))
			s.known.remove(v)
			continue
		}
		delete(files, ord)
		s.used.Add(v.bytes())
		if v.flags&flagSuspect != 0 || v.inline || v.savedTrust == (trust{}) || v.trusted() != v.savedTrust {
			v.unverified = v.held.Clone()
		}
		v.setReady()
	}
	for ord := range files {
		if err := s.disk.Remove(s.dir.contentFile(ord)); err != nil {
			s.log.WithError(err).Warn("store: remove a leftover content file")
		}
	}
	return garbage, nil
}

// contentFiles returns the content files by ordinal, and sets nextOrd above
// them.
func (s *Store) contentFiles() (map[uint64]stamp, error) {
	names, err := os.ReadDir(s.dir.content())
	if err != nil {
		return nil, err
	}
	files := make(map[uint64]stamp, len(names))
	for _, e := range names {
		ord, err := strconv.ParseUint(e.Name(), 16, 64)
		if err != nil || len(e.Name()) != 16 {
			continue // not ours
		}
		st, err := e.Info()
		if err != nil {
			continue // gone meanwhile
		}
		files[ord] = stampFrom(st)
		s.nextOrd.Store(max(s.nextOrd.Load(), ord))
	}
	return files, nil
}

// loadVersions fills s.known and byOrd, and returns the keys to delete. Of
// two records of one Version the younger counts.
func (s *Store) loadVersions(tx *badger.Txn, files map[uint64]stamp, byOrd map[uint64]*version) (garbage [][]byte) {
	it := tx.NewIterator(badger.IteratorOptions{PrefetchValues: true, PrefetchSize: 100, Prefix: []byte{prefixVersion}})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		key := it.Item().KeyCopy(nil)
		ord, ok := parseOrdKey(key)
		var rec versionRecord
		err := value(it.Item(), "", func(b []byte) (err error) {
			rec, err = parseVersion(b)
			return err
		})
		if !ok || err != nil {
			s.log.WithError(err).Warn("store: a damaged version record is dropped")
			garbage = append(garbage, key)
			continue
		}
		s.nextOrd.Store(max(s.nextOrd.Load(), ord))
		v, err := s.newVersion(rec.key, rec.facts, ord)
		file, found := files[ord]
		if err != nil || rec.facts.VersionID() != rec.key.Version || !v.inline && !found {
			garbage = append(garbage, key)
			continue
		}
		v.flags, v.accessed, v.savedAccess = rec.flags, rec.accessed, rec.accessed
		v.recorded, v.created = true, !v.inline
		v.savedTrust = rec.trust
		if !v.inline {
			v.stamp.Store(&file)
		}
		if old := s.known.byKey[v.key]; old != nil {
			garbage = append(garbage, versionKey(old.ord.Load()))
			delete(byOrd, old.ord.Load())
			s.known.remove(old)
		}
		s.known.add(v)
		byOrd[ord] = v
	}
	return garbage
}

// loadHeld fills the sets of held pieces and returns the keys of records
// without a Version, and of damaged ones.
func (s *Store) loadHeld(tx *badger.Txn, byOrd map[uint64]*version) (garbage [][]byte) {
	for _, prefix := range []byte{prefixPiece, prefixInline} {
		it := tx.NewIterator(badger.IteratorOptions{Prefix: []byte{prefix}})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			key := it.Item().Key()
			ord, i, ok := parsePieceKey(key)
			if prefix == prefixInline {
				ord, ok = parseOrdKey(key)
			}
			v := byOrd[ord]
			if !ok || v == nil || v.inline != (prefix == prefixInline) || i >= v.geo.Count() {
				garbage = append(garbage, it.Item().KeyCopy(nil))
				continue
			}
			if !v.inline { // inline pieces are verified when they are first read
				if err := value(it.Item(), v.owner, func([]byte) error { return nil }); err != nil {
					s.log.WithError(err).Warnf("store: the record of piece %d of %s is dropped", i, v.key)
					garbage = append(garbage, it.Item().KeyCopy(nil))
					continue
				}
			}
			v.held.Add(i)
		}
	}
	return garbage
}
