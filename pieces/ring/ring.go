// Package ring says which of several members owns a key, the same way in every
// process that knows the same members: which scheduler a Task belongs to, which
// seed reads it first.
//
// It uses rendezvous hashing: every member gets a score for the key, the
// highest one owns it, the next highest is its stand-in, and so on. So adding
// one member to n moves 1/(n+1) of the keys, all of them to the new one, and
// the keys of a member that leaves spread evenly over those that stay. A lookup
// costs about a nanosecond per member; rings here have tens of members.
//
// The scores are part of the protocol between hosts: changing them moves Tasks
// between schedulers.
package ring

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"slices"
)

// Ring is an immutable set of members, safe for concurrent use. The zero Ring
// and a nil *Ring have no members.
type Ring struct {
	members []member // by name, each once
}

type member struct {
	name string
	hash uint64
}

// New returns the ring of the given members. Their order is irrelevant;
// duplicates and empty names are dropped.
func New(members []string) *Ring {
	names := slices.Clone(members)
	slices.Sort(names)
	names = slices.Compact(names)
	r := &Ring{}
	for _, n := range names {
		if n != "" {
			r.members = append(r.members, member{n, hash("member", n)})
		}
	}
	return r
}

// Len returns the number of members.
func (r *Ring) Len() int {
	if r == nil {
		return 0
	}
	return len(r.members)
}

// Members returns the members by name.
func (r *Ring) Members() []string {
	var names []string
	if r != nil {
		for _, m := range r.members {
			names = append(names, m.name)
		}
	}
	return names
}

// Owner returns the member that owns key, "" if the ring is empty.
func (r *Ring) Owner(key string) string {
	if r.Len() == 0 {
		return ""
	}
	k := hash("key", key)
	best, bestScore := 0, r.members[0].score(k)
	for i, m := range r.members[1:] {
		// On equal scores the first by name wins, as in Walk.
		if s := m.score(k); s > bestScore {
			best, bestScore = i+1, s
		}
	}
	return r.members[best].name
}

// Walk yields every member once: the owner of key, then those that stand in for
// it, in order.
func (r *Ring) Walk(key string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if r.Len() == 0 {
			return
		}
		k := hash("key", key)
		order := slices.Clone(r.members)
		slices.SortStableFunc(order, func(a, b member) int {
			return cmp.Compare(b.score(k), a.score(k))
		})
		for _, m := range order {
			if !yield(m.name) {
				return
			}
		}
	}
}

func (m member) score(key uint64) uint64 { return mix(mix(m.hash^key) + m.hash) }

// mix spreads every input bit over all output bits and is a bijection: two
// rounds of multiply and xor-shift.
func mix(x uint64) uint64 {
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	return x
}

// hash returns the first 8 bytes of SHA-256(domain, 0, s).
func hash(domain, s string) uint64 {
	sum := sha256.Sum256([]byte(domain + "\x00" + s))
	return binary.BigEndian.Uint64(sum[:])
}
