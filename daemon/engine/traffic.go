package engine

import (
	"sync/atomic"

	"damselfly/pieces"
)

// Traffic counts verified bytes by where they came from, bytes that readers
// found here already, and bytes sent to other hosts.
type Traffic struct{ Origin, Peers, Seeds, Cache, Uploaded int64 }

type traffic struct{ origin, peers, seeds, cache, uploaded atomic.Int64 }

func (t *traffic) add(from pieces.Hit, n int64) {
	switch from {
	case pieces.HitOrigin:
		t.origin.Add(n)
	case pieces.HitPeer:
		t.peers.Add(n)
	case pieces.HitSeed:
		t.seeds.Add(n)
	}
}

func (t *traffic) get() Traffic {
	return Traffic{t.origin.Load(), t.peers.Load(), t.seeds.Load(), t.cache.Load(), t.uploaded.Load()}
}

// Traffic returns the bytes of this content since the daemon started.
func (c *Content) Traffic() Traffic { return c.traffic.get() }

// Traffic returns the bytes of all contents since the daemon started.
func (e *Engine) Traffic() Traffic { return e.traffic.get() }

// MemoryInUse returns the bytes of piece buffers in use.
func (e *Engine) MemoryInUse() int64 { return e.memory.budget.InUse() }
