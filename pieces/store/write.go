package store

import (
	"context"

	"damselfly/pieces"

	"github.com/dgraph-io/badger/v4"
)

// Put stores piece i, whose bytes the caller has verified against sum: first
// the bytes, then the record. It returns when the piece will be there after a
// death of the process. A Full error means that there is no room: the piece is
// not kept. If ctx ends first the piece may be kept or not. A piece already
// held is left as it is. data is not kept.
func (h *Version) Put(ctx context.Context, i int, data []byte, sum pieces.Sum, setter pieces.HostID) error {
	v := h.v
	switch {
	case h.closed.Load():
		return errClosed
	case i < 0 || i >= v.geo.Count() || int64(len(data)) != v.geo.Len(i):
		return pieces.Errorf(pieces.Invalid, "put piece %d of %s: no such piece of %d bytes", i, v.key, len(data))
	case sum.IsZero() || len(setter) > maxHostID:
		return pieces.Errorf(pieces.Invalid, "put piece %d of %s: bad digest or setter", i, v.key)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	v.mu.RLock()
	held, leaving := v.held.Has(i), v.leaving.Has(i)
	v.mu.RUnlock()
	if held {
		return nil
	}
	if leaving {
		return pieces.Errorf(pieces.Full, "put piece %d of %s: it is being evicted", i, v.key)
	}
	n := int64(len(data))
	if err := v.s.takeRoom(ctx, n); err != nil {
		return err
	}
	if err := v.writeBytes(i, data); err != nil {
		v.s.used.Add(-n)
		return err
	}
	v.s.retain(v)
	return v.s.commits.do(ctx, v.putOp(i, data, sum, setter))
}

// writeBytes puts the bytes of a piece in the content file.
func (v *version) writeBytes(i int, data []byte) error {
	if v.inline {
		return nil // they go with the record
	}
	v.writing.Lock()
	f, err := v.makeFile()
	if err == nil {
		v.distrust()
		v.dirty.Store(true)
		_, err = v.s.disk.WriteAt(f, data, v.geo.Offset(i))
		v.restamp(f)
	}
	v.writing.Unlock()
	switch {
	case err == nil:
		return nil
	case isNoSpace(err):
		v.s.full.Store(true)
		return pieces.WithKind(pieces.Full, err, "write content of "+v.key.String())
	}
	return pieces.WithKind(pieces.KindOf(err), err, "write content of "+v.key.String())
}

// putOp records piece i and gives back the reference and, on failure, the room.
func (v *version) putOp(i int, data []byte, sum pieces.Sum, setter pieces.HostID) *op {
	number := v.s.hosts.number(setter)
	rec := heldRecord{sum: sum, setter: number, length: int64(len(data))}
	if v.inline {
		rec.data = data
	}
	key := v.pieceKey(i)
	value := seal(v.owner, key, appendHeld(nil, rec))
	return &op{
		size: 3*keyBytes + len(value),
		apply: func(tx *badger.Txn) error {
			if !v.s.hosts.isSaved(number) {
				if err := set(tx, hostKey(number), []byte(setter)); err != nil {
					return err
				}
			}
			v.mu.RLock()
			recorded := v.recorded
			v.mu.RUnlock()
			if !recorded {
				if err := v.setRecord(tx, true); err != nil {
					return err
				}
			}
			return tx.Set(key, value)
		},
		done: func(err error) {
			if err == nil {
				v.s.hosts.markSaved(number)
			}
			v.putDone(i, err == nil)
			v.s.release(v)
		},
	}
}

func (v *version) putDone(i int, ok bool) {
	v.mu.Lock()
	if ok {
		v.recorded = true
		ok = v.held.Add(i)
		v.setReady()
	}
	complete := v.ready.Load()
	v.mu.Unlock()
	if !ok {
		v.s.used.Add(-v.geo.Len(i))
	} else {
		v.markRecent(pieces.Extent{First: i, End: i + 1})
		if complete && !v.inline {
			v.s.janitor.saveTrust(v)
		}
	}
}
