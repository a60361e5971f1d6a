package store

import (
	"context"
	"os"

	"damselfly/pieces"
)

// Verified reports whether nothing held is suspect, so that Passthrough does
// not have to read it all first.
func (h *Version) Verified() bool {
	h.v.checkChanged()
	h.v.mu.RLock()
	defer h.v.mu.RUnlock()
	return h.v.allVerified()
}

// Verify hashes everything that is suspect; what fails is lost, which is no
// error. It reads as much as is held and ends with ctx.
func (h *Version) Verify(ctx context.Context) error {
	v := h.v
	for i := 0; ; i++ {
		v.mu.RLock()
		next, ok := 0, false
		if v.unverified != nil {
			next, ok = v.unverified.Next(i)
		}
		v.mu.RUnlock()
		if !ok {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		i = next
		if err := v.verify(i); err != nil && pieces.KindOf(err) != pieces.NotFound {
			return err
		}
	}
}

// Passthrough opens the content file read-only for somebody whose reads we
// don't see; the caller closes it. The Version is durably flagged first: its
// file is from then on never punched or truncated, only unlinked. What is
// suspect is verified first, which may read all of it. NotFound if the content
// is not complete, or is inline and has no file.
func (h *Version) Passthrough() (*os.File, error) {
	v := h.v
	if v.inline {
		return nil, pieces.Errorf(pieces.NotFound, "%s is inline and has no content file", v.key)
	}
	v.checkChanged()
	if err := h.Verify(context.Background()); err != nil {
		return nil, err
	}
	v.mu.Lock()
	complete := v.ready.Load() && !v.gone
	flagged := v.flags&flagPassthrough != 0
	if complete {
		v.flags |= flagPassthrough
	}
	v.mu.Unlock()
	if !complete {
		return nil, pieces.Errorf(pieces.NotFound, "%s is not complete", v.key)
	}
	if !flagged {
		if err := v.s.save(v); err != nil {
			return nil, err
		}
	}
	f, err := v.s.disk.Open(v.s.dir.contentFile(v.ord.Load()), os.O_RDONLY)
	if err != nil {
		return nil, pieces.WithKind(pieces.Internal, err, "open content of "+v.key.String())
	}
	return f, nil
}

// Partial opens the content file read-only for somebody who reads of it only
// what is held, and only while the handle is open; the caller closes it.
// NotFound if there is no file yet, or something in it is suspect.
func (h *Version) Partial() (*os.File, error) {
	v := h.v
	if _, ok := h.File(); !ok {
		return nil, pieces.Errorf(pieces.NotFound, "%s has no content file to trust", v.key)
	}
	f, err := v.s.disk.Open(v.s.dir.contentFile(v.ord.Load()), os.O_RDONLY)
	if err != nil {
		return nil, pieces.WithKind(pieces.Internal, err, "open content of "+v.key.String())
	}
	return f, nil
}
