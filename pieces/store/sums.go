package store

import (
	"errors"

	"damselfly/pieces"

	"github.com/dgraph-io/badger/v4"
)

// heldRecord reads the record of a piece, without its bytes.
func (v *version) heldRecord(i int) (r heldRecord, err error) {
	err = v.viewHeld(i, func(rec heldRecord) error {
		r = rec
		r.data = nil
		return nil
	})
	return r, err
}

// viewHeld calls fn with the record of a piece; its bytes are only valid there.
func (v *version) viewHeld(i int, fn func(heldRecord) error) error {
	return v.s.view(func(tx *badger.Txn) error {
		item, err := tx.Get(v.pieceKey(i))
		if errors.Is(err, badger.ErrKeyNotFound) {
			return pieces.Errorf(pieces.NotFound, "piece %d of %s is not held", i, v.key)
		}
		if err != nil {
			return pieces.WithKind(pieces.Internal, err, "read record of "+v.key.String())
		}
		return value(item, v.owner, func(b []byte) error {
			r, err := parseHeld(b, v.inline)
			if err == nil && r.length != v.geo.Len(i) {
				err = pieces.Errorf(pieces.Integrity, "record of piece %d of %s has a wrong length", i, v.key)
			}
			if err != nil {
				return err
			}
			return fn(r)
		})
	})
}

// Sum returns the digest of a held piece and who set it.
func (h *Version) Sum(i int) (pieces.Sum, pieces.HostID, bool) {
	if !h.Has(i) {
		return pieces.Sum{}, "", false
	}
	r, err := h.v.heldRecord(i)
	if err != nil {
		return pieces.Sum{}, "", false
	}
	return r.sum, h.v.s.hosts.id(r.setter), true
}

// Sums returns the digests of the held pieces of e, in runs of one setter.
func (h *Version) Sums(e pieces.Extent) []pieces.SumRun {
	v := h.v
	e = e.Intersect(v.geo.All())
	if v.inline {
		return appendSum(nil, h, e)
	}
	held := h.Held()
	var runs []pieces.SumRun
	_ = v.s.view(func(tx *badger.Txn) error { // closed: no sums
		it := tx.NewIterator(badger.IteratorOptions{PrefetchValues: true, PrefetchSize: 100, Prefix: pieceKey(v.ord.Load(), 0)[:9]})
		defer it.Close()
		for it.Seek(pieceKey(v.ord.Load(), e.First)); it.Valid(); it.Next() {
			_, i, ok := parsePieceKey(it.Item().Key())
			if !ok || i >= e.End {
				return nil
			}
			_ = value(it.Item(), v.owner, func(b []byte) error {
				if r, err := parseHeld(b, false); err == nil && held.Has(i) {
					runs = addSum(runs, i, r.sum, v.s.hosts.id(r.setter))
				}
				return nil
			})
		}
		return nil
	})
	return runs
}

func appendSum(runs []pieces.SumRun, h *Version, e pieces.Extent) []pieces.SumRun {
	for i := range e.All() {
		if sum, setter, ok := h.Sum(i); ok {
			runs = addSum(runs, i, sum, setter)
		}
	}
	return runs
}

func addSum(runs []pieces.SumRun, i int, sum pieces.Sum, setter pieces.HostID) []pieces.SumRun {
	if n := len(runs); n > 0 && runs[n-1].Extent().End == i && runs[n-1].Setter == setter {
		runs[n-1].Sums = append(runs[n-1].Sums, sum)
		return runs
	}
	return append(runs, pieces.SumRun{First: i, Sums: []pieces.Sum{sum}, Setter: setter})
}
