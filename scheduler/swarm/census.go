package swarm

import (
	"cmp"
	"slices"

	"damselfly/pieces"
)

// Known reports whether the facts of the Task are known.
func (t *Task) Known() bool { return t.facts.facts != nil }

// Live returns how many Peers take part now, in all Versions: those that have
// a session or have just registered.
func (t *Task) Live() (n int) {
	for _, v := range t.versions {
		n += len(v.peers) - v.silent.len()
	}
	return n
}

// Idle reports whether nobody wants anything and no lease runs.
func (t *Task) Idle() bool {
	for _, v := range t.versions {
		if v.wanters.len() > 0 || len(v.leases) > 0 {
			return false
		}
	}
	return t.facts.lease == 0
}

// Members returns the live Peers that have a session, by Version and host.
func (t *Task) Members() (all []From) {
	for _, v := range t.versions {
		for _, p := range v.peers {
			if p.state == live && p.session != 0 {
				all = append(all, From{p.id, p.session, v.id})
			}
		}
	}
	slices.SortFunc(all, func(a, b From) int {
		return cmp.Or(cmp.Compare(a.Version, b.Version), cmp.Compare(a.Host, b.Host))
	})
	return all
}

// Silent returns the hosts with a Peer whose session has ended, by name.
func (t *Task) Silent() (ids []pieces.HostID) {
	for _, v := range t.versions {
		for _, p := range v.silent.list {
			ids = append(ids, p.id)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Standing is one Version's swarm at a moment, for people to look at.
type Standing struct {
	Version  pieces.VersionID
	Replaced bool
	Geometry pieces.Geometry
	// Peers and Complete count all of them; Listed are some, busy ones first.
	Peers, Complete int
	Listed          []PeerStanding
}

// PeerStanding is one Peer of it.
type PeerStanding struct {
	Host                   pieces.HostID
	Seed, Complete, Silent bool
	Held                   int
	// Extents held, the first of them.
	Extents []pieces.Extent
	Parents []pieces.HostID
	// Leases that run, pieces wanted, best rate in bytes/s (0 = unknown).
	Leases, Wants int
	Rate          float64
}

// Standings answers all Versions that have Peers, the current one first, with
// at most so many Peers of each and so many extents of each Peer, and no more
// than total extents in all.
func (t *Task) Standings(peers, extents, total int) (all []Standing) {
	for _, v := range t.versions {
		s := Standing{Version: v.id, Replaced: v.replaced, Geometry: v.geo, Peers: len(v.peers), Complete: v.completes.len()}
		for _, p := range v.busyFirst(peers) {
			listed := p.standing(min(extents, total))
			total -= len(listed.Extents)
			s.Listed = append(s.Listed, listed)
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b Standing) int {
		if a.Replaced == b.Replaced {
			return cmp.Compare(b.Peers, a.Peers)
		} else if a.Replaced {
			return 1
		}
		return -1
	})
	return all
}

// busyFirst returns at most so many peers: those that read the origin, then
// those that want something, then the rest; by name among equals.
func (v *version) busyFirst(most int) []*peer {
	all := make([]*peer, 0, len(v.peers))
	for _, p := range v.peers {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *peer) int {
		return cmp.Or(cmp.Compare(b.leases, a.leases), cmp.Compare(min(b.wants, 1), min(a.wants, 1)), cmp.Compare(a.id, b.id))
	})
	return all[:min(most, len(all))]
}

func (p *peer) standing(extents int) PeerStanding {
	s := PeerStanding{
		Host: p.id, Seed: p.seed, Complete: p.complete, Silent: p.state == silent, Held: p.held.Count(),
		Leases: p.leases, Wants: p.wants, Rate: p.rate,
	}
	for e := range p.held.Extents() {
		if len(s.Extents) == extents {
			break
		}
		s.Extents = append(s.Extents, e)
	}
	for _, o := range p.parents {
		s.Parents = append(s.Parents, o.id)
	}
	return s
}

// Geometry of a Version that has Peers; ok is false if none has.
func (t *Task) Geometry(id pieces.VersionID) (g pieces.Geometry, ok bool) {
	for _, v := range t.versions {
		if v.id == id {
			return v.geo, true
		}
	}
	return g, false
}
