package store

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"damselfly/pieces"

	"github.com/dgraph-io/badger/v4"
)

// verifyStep is how much of a piece is read at once to hash it.
const verifyStep = 256 << 10

// ReadAt reads content like io.ReaderAt. All pieces touched must be held, else
// it is a NotFound error; what is suspect is verified first, and lost if it
// fails. Safe for any number of readers at once.
func (h *Version) ReadAt(p []byte, off int64) (int, error) {
	v := h.v
	if off < 0 {
		return 0, pieces.Errorf(pieces.Invalid, "read at %d of %s: negative offset", off, v.key)
	}
	var eof error
	if left := v.geo.Size - off; int64(len(p)) > left {
		p, eof = p[:max(left, 0)], io.EOF
	}
	if len(p) == 0 {
		return 0, eof
	}
	e := v.geo.Covering(off, int64(len(p)))
	if !v.ready.Load() {
		if err := v.servable(e); err != nil {
			return 0, err
		}
	}
	v.markRecent(e)
	n, err := v.readBytes(p, off)
	if err == nil {
		err = eof
	}
	return n, err
}

// readBytes reads what is held, unverified or not.
func (v *version) readBytes(p []byte, off int64) (n int, err error) {
	if v.inline {
		err = v.viewHeld(0, func(r heldRecord) error {
			n = copy(p, r.data[min(off, r.length):])
			return nil
		})
		return n, err
	}
	f := v.file.Load()
	if f == nil {
		return 0, errClosed
	}
	n, err = v.s.disk.ReadAt(f, p, off)
	switch {
	case err == nil || n == len(p):
		return n, nil
	case errors.Is(err, fs.ErrClosed):
		return n, errClosed
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF // somebody cut the file
	}
	return n, pieces.WithKind(pieces.Internal, err, "read content of "+v.key.String())
}

// servable makes sure that all of e is held and verified.
func (v *version) servable(e pieces.Extent) error {
	v.mu.RLock()
	held := v.held.HasExtent(e)
	var todo []int
	for i := range e.All() {
		if v.unverified != nil && v.unverified.Has(i) {
			todo = append(todo, i)
		}
	}
	v.mu.RUnlock()
	if !held {
		return pieces.Errorf(pieces.NotFound, "pieces %s of %s are not all held", e, v.key)
	}
	for _, i := range todo {
		if err := v.verify(i); err != nil {
			return err
		}
	}
	return nil
}

// verify hashes a held piece again. If it fails it is lost: NotFound.
func (v *version) verify(i int) error {
	sum, err := v.sumOnDisk(i)
	if errors.Is(err, errClosed) {
		return err
	}
	rec, rerr := v.heldRecord(i)
	if errors.Is(rerr, errClosed) {
		return rerr
	}
	one := pieces.Extent{First: i, End: i + 1}
	if err != nil || rerr != nil || sum != rec.sum {
		v.s.log.Warnf("store: piece %d of %s is damaged on disk: dropped", i, v.key)
		if err := v.lose(one); err != nil {
			return err
		}
		return pieces.Errorf(pieces.NotFound, "piece %d of %s was damaged on disk", i, v.key)
	}
	v.mu.Lock()
	if v.unverified != nil {
		v.unverified.Remove(i)
	}
	v.setReady()
	trusted := v.flags&flagSuspect != 0 && v.allVerified()
	if trusted {
		v.flags &^= flagSuspect
	}
	v.mu.Unlock()
	if trusted {
		return v.s.save(v)
	}
	return nil
}

// sumOnDisk hashes the bytes of a held piece as they are now.
func (v *version) sumOnDisk(i int) (sum pieces.Sum, err error) {
	h := pieces.NewSumHash()
	buf := make([]byte, min(verifyStep, v.geo.Len(i)))
	for off, end := v.geo.Offset(i), v.geo.Offset(i)+v.geo.Len(i); off < end; {
		n, err := v.readBytes(buf[:min(int64(len(buf)), end-off)], off)
		if err != nil {
			return sum, err
		}
		h.Write(buf[:n])
		off += int64(n)
	}
	h.Sum(sum[:0])
	return sum, nil
}

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
		return item.Value(func(b []byte) error {
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
		it := tx.NewIterator(badger.IteratorOptions{PrefetchValues: true, PrefetchSize: 100, Prefix: pieceKey(v.ord, 0)[:9]})
		defer it.Close()
		for it.Seek(pieceKey(v.ord, e.First)); it.Valid(); it.Next() {
			_, i, ok := parsePieceKey(it.Item().Key())
			if !ok || i >= e.End {
				return nil
			}
			_ = it.Item().Value(func(b []byte) error {
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

// File returns the content file for sendfile of held pieces, whose offsets in
// it are those in the content. It is shared: don't close or write it; it is
// valid until the handle is closed. ok is false when there is none (inline
// content, nothing put yet) or when something is still suspect: use ReadAt.
func (h *Version) File() (f *os.File, ok bool) {
	v := h.v
	if !v.ready.Load() {
		v.mu.RLock()
		verified := v.allVerified()
		v.mu.RUnlock()
		if !verified {
			return nil, false
		}
	}
	f = v.file.Load()
	return f, f != nil
}
