package store

import (
	"encoding/binary"
	"slices"
	"sync"

	"damselfly/pieces"

	"github.com/dgraph-io/badger/v4"
)

// hostTable numbers the hosts that set digests, so that a record takes a byte
// or two for it. Number 0 is the empty HostID.
type hostTable struct {
	mu      sync.Mutex
	ids     []pieces.HostID // by number; guarded by mu, as all below
	numbers map[pieces.HostID]uint32
	saved   map[uint32]bool
}

func (h *hostTable) load(tx *badger.Txn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ids, h.numbers, h.saved = []pieces.HostID{""}, map[pieces.HostID]uint32{"": 0}, map[uint32]bool{0: true}
	it := tx.NewIterator(badger.IteratorOptions{PrefetchValues: true, PrefetchSize: 100, Prefix: []byte{prefixHost}})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		k := it.Item().Key()
		var id []byte
		err := value(it.Item(), "", func(b []byte) error {
			id = slices.Clone(b)
			return nil
		})
		if len(k) != 5 {
			continue
		}
		n := binary.BigEndian.Uint32(k[1:])
		if n == 0 || n > 1<<24 {
			continue
		}
		for uint32(len(h.ids)) <= n {
			h.ids = append(h.ids, "")
		}
		if err != nil {
			continue // damaged: nobody else gets its number
		}
		h.ids[n] = pieces.HostID(id)
		h.numbers[pieces.HostID(id)], h.saved[n] = n, true
	}
}

// become takes what other knows. Its own numbers must not have been written.
func (h *hostTable) become(other *hostTable) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ids, h.numbers, h.saved = other.ids, other.numbers, other.saved
}

// number returns id's number, a new one if it has none yet.
func (h *hostTable) number(id pieces.HostID) uint32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, ok := h.numbers[id]
	if !ok {
		n = uint32(len(h.ids))
		h.ids = append(h.ids, id)
		h.numbers[id] = n
	}
	return n
}

// isSaved tells whether the record of number n was committed.
func (h *hostTable) isSaved(n uint32) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.saved[n]
}

func (h *hostTable) markSaved(n uint32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.saved[n] = true
}

// id returns the host of a number, "" if it is not known.
func (h *hostTable) id(n uint32) pieces.HostID {
	h.mu.Lock()
	defer h.mu.Unlock()
	if int64(n) < int64(len(h.ids)) {
		return h.ids[n]
	}
	return ""
}
