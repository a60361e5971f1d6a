package store

import (
	"context"
	"slices"

	"damselfly/pieces"

	"github.com/dgraph-io/badger/v4"
)

func (v *version) pieceKey(i int) []byte {
	if v.inline {
		return inlineKey(v.ord.Load())
	}
	return pieceKey(v.ord.Load(), i)
}

// deleteKeys removes records in order; with v, its record is written along.
// done, which may be nil, runs in the committer when the last one is gone.
func (s *Store) deleteKeys(v *version, keys [][]byte, done func()) error {
	for len(keys) > 0 {
		part := keys[:min(len(keys), maxKeys)]
		keys = keys[len(part):]
		o := &op{size: len(part) * keyBytes, removal: true}
		o.apply = func(tx *badger.Txn) error {
			for _, k := range part {
				if err := tx.Delete(k); err != nil {
					return err
				}
			}
			if v == nil {
				return nil
			}
			return v.setRecord(tx, false)
		}
		if len(keys) == 0 && done != nil {
			o.done = func(err error) {
				if err == nil {
					done()
				}
			}
		}
		if err := s.commits.do(context.Background(), o); err != nil {
			return pieces.WithKind(pieces.KindOf(err), err, "remove records")
		}
	}
	return nil
}

// save writes the version records of vs; what has none gets none.
func (s *Store) save(vs ...*version) error {
	for part := range slices.Chunk(vs, maxKeys) {
		err := s.commits.do(context.Background(), &op{size: 2 * keyBytes * len(part), apply: func(tx *badger.Txn) error {
			for _, v := range part {
				if err := v.setRecord(tx, false); err != nil {
					return err
				}
			}
			return nil
		}})
		if err != nil {
			return pieces.WithKind(pieces.KindOf(err), err, "save version records")
		}
	}
	return nil
}
