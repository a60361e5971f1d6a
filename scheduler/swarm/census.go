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
