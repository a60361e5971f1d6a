package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Kind is a way to break something.
type Kind string

// The faults. Each is made when it begins and undone when it ends.
const (
	Kill    Kind = "kill -9"      // and started again at the end
	Pause   Kind = "SIGSTOP"      // and SIGCONT
	Restart Kind = "restart"      // SIGTERM, and started again at the end
	Cut     Kind = "cut"          // its cable is pulled
	Part    Kind = "part"         // two hosts can't reach each other
	Slow    Kind = "slow link"    // 2 Mbit/s both ways
	Evict   Kind = "evict"        // the bytes of all files of the round, at once
	Deploy  Kind = "new versions" // of the files at the origin, at once
)

// Fault is one fault of a round.
type Fault struct {
	Kind   Kind
	Target string
	// Other is the second host of a Part.
	Other string
	// At is when it begins, after the round's begin; For is how long it lasts.
	At, For time.Duration
}

func (f Fault) String() string {
	s := fmt.Sprintf("%s %s", f.Kind, f.Target)
	if f.Other != "" {
		s += "|" + f.Other
	}
	return fmt.Sprintf("%s at %.1fs for %.1fs", s, f.At.Seconds(), f.For.Seconds())
}

// Round is a time of faults under load. After its last fault ended, every host
// must soon read right bytes again.
type Round struct {
	Number int
	Faults []Fault
}

func (r Round) String() string {
	list := make([]string, len(r.Faults))
	for i, f := range r.Faults {
		list[i] = f.String()
	}
	return fmt.Sprintf("round %d: %s", r.Number, strings.Join(list, "; "))
}

// Length of the round, to the end of its last fault.
func (r Round) Length() (d time.Duration) {
	for _, f := range r.Faults {
		d = max(d, f.At+f.For)
	}
	return d
}

// Breaks reports whether a fault of the round ends or stops that part itself.
func (r Round) Breaks(part string) bool {
	return slices.ContainsFunc(r.Faults, func(f Fault) bool {
		return f.Target == part && (f.Kind == Kill || f.Kind == Pause || f.Kind == Restart)
	})
}

// Hits reports whether any fault of the round is at that part.
func (r Round) Hits(part string) bool {
	return slices.ContainsFunc(r.Faults, func(f Fault) bool { return f.Target == part || f.Other == part })
}

// Has reports whether a fault of that kind is in the round.
func (r Round) Has(k Kind) bool {
	return slices.ContainsFunc(r.Faults, func(f Fault) bool { return f.Kind == k })
}

// parts of the installation, as the lab names them.
var (
	servers = []string{"manager", "sched1", "sched2"}
	hosts   = []string{"h1", "h2", "h3", "h4"}
	daemons = append([]string{"seed"}, hosts...)
	parts   = slices.Concat(servers, daemons, []string{"origin"})
)

// adder is the host on which files are added: the others learn of them from the
// manager, which it tells when it can.
const adder = "h1"

// longest and shortest of the faults that last.
const (
	shortest = 1 * time.Second
	longest  = 14 * time.Second
	spread   = 6 * time.Second // in which all faults of a round begin
)

// plan returns round n of the run of that seed: one to three faults that hit
// different parts. It depends on nothing else, so that a round can be run
// again alone.
func plan(seed uint64, n int) Round {
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	round := Round{Number: n}
	free := slices.Clone(parts)
	take := func(from []string) string {
		choice := slices.DeleteFunc(slices.Clone(from), func(p string) bool { return !slices.Contains(free, p) })
		p := choice[r.IntN(len(choice))]
		free = slices.DeleteFunc(free, func(q string) bool { return q == p })
		return p
	}
	for range 1 + r.IntN(3) {
		f := Fault{
			At:  time.Duration(r.Int64N(int64(spread))).Round(100 * time.Millisecond),
			For: (shortest + time.Duration(r.Int64N(int64(longest-shortest)))).Round(100 * time.Millisecond),
		}
		switch k := r.IntN(20); {
		case k < 5:
			f.Kind, f.Target = Kill, take(parts)
		case k < 9:
			f.Kind, f.Target = Pause, take(parts)
		case k < 11:
			f.Kind, f.Target = Restart, take(parts)
		case k < 14:
			f.Kind, f.Target = Cut, take(parts)
		case k < 15:
			f.Kind, f.Target = Part, take(daemons)
			f.Other = take(hosts)
		case k < 16:
			f.Kind, f.Target = Slow, take(daemons)
		case k < 18:
			f.Kind, f.Target, f.For = Evict, take(daemons), 0
		default:
			f.Kind, f.Target, f.For = Deploy, "origin", 0
		}
		round.Faults = append(round.Faults, f)
	}
	return round
}
