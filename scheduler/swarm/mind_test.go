package swarm

import (
	"fmt"
	"maps"
	"slices"

	"damselfly/pieces"
)

// mind is what a host of a crowd knows.
type mind struct {
	registered bool
	leases     map[pieces.LeaseID]pieces.Extent
	rereads    map[pieces.LeaseID]bool
	held       pieces.Set
	// bytes says which wrong bytes of a held piece it has; none = the right ones.
	bytes   map[int]string
	wants   pieces.Set
	sources map[pieces.HostID]*pieces.Set // who was said to hold or fetch what
	parents []pieces.HostID
}

func newMind() *mind {
	return &mind{
		leases: map[pieces.LeaseID]pieces.Extent{}, rereads: map[pieces.LeaseID]bool{},
		bytes: map[int]string{}, sources: map[pieces.HostID]*pieces.Set{},
	}
}

func (m *mind) follow(ps []pieces.Parent) {
	m.parents = nil
	for _, p := range ps {
		m.parents = append(m.parents, p.Host.ID)
	}
}

// firstLease is the oldest lease that m has, or 0.
func (m *mind) firstLease() pieces.LeaseID {
	if len(m.leases) == 0 {
		return 0
	}
	return slices.Min(slices.Collect(maps.Keys(m.leases)))
}

func (m *mind) drop(e pieces.Extent) {
	m.held.RemoveExtent(e)
	for i := range e.All() {
		delete(m.bytes, i)
	}
}

// sum is the digest of piece i as m has it.
func (m *mind) sum(i int) pieces.Sum {
	return pieces.SumOf([]byte(fmt.Sprint("piece ", i, m.bytes[i])))
}

// sums are the digests of what m has, set by the host itself.
func (m *mind) sums(id pieces.HostID, es []pieces.Extent) (out []pieces.SumRun) {
	for _, e := range es {
		run := pieces.SumRun{First: e.First, Setter: id}
		for i := range e.All() {
			run.Sums = append(run.Sums, m.sum(i))
		}
		out = append(out, run)
	}
	return out
}
