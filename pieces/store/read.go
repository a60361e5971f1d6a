package store

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"damselfly/pieces"
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
	v.markRecent(e)
	for range maxChanges {
		doubts := v.doubts.Load()
		if !v.ready.Load() {
			if err := v.servable(e); err != nil {
				return 0, err
			}
		}
		n, err := v.readBytes(p, off)
		if err != nil {
			return n, err
		}
		if !v.checkChanged() && v.doubts.Load() == doubts {
			return n, eof
		}
	}
	return 0, pieces.Errorf(pieces.Integrity, "read of %s: its content file is being changed by another program", v.key)
}

// maxChanges bounds how often a read starts again because the content file was
// changed meanwhile.
const maxChanges = 3

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
	doubts := v.doubts.Load()
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
	if v.unverified != nil && v.doubts.Load() == doubts {
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

// File returns the content file for sendfile of held pieces, whose offsets in
// it are those in the content. It is shared: don't close or write it; it is
// valid until the handle is closed. ok is false when there is none (inline
// content, nothing put yet) or when something is still suspect: use ReadAt.
func (h *Version) File() (f *os.File, ok bool) {
	v := h.v
	v.checkChanged()
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
