package swarm

import (
	"maps"

	"damselfly/pieces"
	"damselfly/pieces/ring"
)

// HostState is a Host as the scheduler sees it at one moment. Immutable.
type HostState struct {
	pieces.Host
	// Pieces that others got from it, or failed to get, of late.
	UploadOK, UploadFailed int
}

// Seed is a seed peer that can be woken.
type Seed struct {
	// Key is the address of its Peer service, HOST:PORT: its name on the ring.
	Key string
	// Host is empty while only the address is known.
	Host pieces.HostID
}

const hostShards = 256

// Hosts is an immutable snapshot of all hosts. With and Without make new ones
// that share what did not change. The nil *Hosts has none.
type Hosts struct {
	shards [hostShards]*hostShard // nil: empty
	seeds  map[string]Seed
	ring   *ring.Ring
}

// hostShard is a part of a snapshot. Immutable: snapshots with the same pointer
// agree on its hosts.
type hostShard map[pieces.HostID]*HostState

func (s *hostShard) get(id pieces.HostID) *HostState {
	if s == nil {
		return nil
	}
	return (*s)[id]
}

// clone returns a copy that may be changed until it is in a snapshot.
func (s *hostShard) clone() *hostShard {
	c := hostShard{}
	if s != nil {
		maps.Copy(c, *s)
	}
	return &c
}

func shardOf(id pieces.HostID) int {
	h := uint32(2166136261)
	for i := range len(id) {
		h = (h ^ uint32(id[i])) * 16777619
	}
	return int(h % hostShards)
}

// Get returns a host, or nil.
func (h *Hosts) Get(id pieces.HostID) *HostState {
	if h == nil {
		return nil
	}
	return h.shards[shardOf(id)].get(id)
}

// hostAt finds one host in one snapshot after the other, and looks it up only
// where its shard changed.
type hostAt struct {
	at    uint8
	shard *hostShard
	state *HostState
}

func hostNamed(id pieces.HostID) hostAt { return hostAt{at: uint8(shardOf(id))} }

func (a *hostAt) in(h *Hosts, id pieces.HostID) *HostState {
	if h == nil {
		return nil
	}
	if s := h.shards[a.at]; s != a.shard {
		a.shard, a.state = s, s.get(id)
	}
	return a.state
}

// With returns a snapshot in which these hosts are added or replaced.
func (h *Hosts) With(hs ...*HostState) *Hosts {
	n := h.clone()
	var copied [hostShards]bool
	for _, s := range hs {
		i := shardOf(s.ID)
		if !copied[i] {
			n.shards[i], copied[i] = n.shards[i].clone(), true
		}
		(*n.shards[i])[s.ID] = s
	}
	return n
}

// Without returns a snapshot that lacks the host.
func (h *Hosts) Without(id pieces.HostID) *Hosts {
	n := h.clone()
	i := shardOf(id)
	n.shards[i] = n.shards[i].clone()
	delete(*n.shards[i], id)
	return n
}

// WithSeeds returns a snapshot with exactly these live seeds.
func (h *Hosts) WithSeeds(seeds []Seed) *Hosts {
	n := h.clone()
	n.seeds, n.ring = make(map[string]Seed, len(seeds)), nil
	keys := make([]string, len(seeds))
	for i, s := range seeds {
		keys[i] = s.Key
		n.seeds[s.Key] = s
	}
	if len(keys) > 0 {
		n.ring = ring.New(keys)
	}
	return n
}

func (h *Hosts) clone() *Hosts {
	if h == nil {
		return &Hosts{}
	}
	c := *h
	return &c
}

// eachSeed calls f with the live seeds, the Task's own first, until f says to
// stop.
func (h *Hosts) eachSeed(id pieces.TaskID, f func(Seed) (more bool)) {
	if h == nil || h.ring == nil {
		return
	}
	for key := range h.ring.Walk(string(id)) {
		if !f(h.seeds[key]) {
			return
		}
	}
}

func (h *Hosts) haveSeeds() bool { return h != nil && h.ring != nil }
