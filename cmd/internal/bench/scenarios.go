package bench

import (
	"context"

	"damselfly/pieces"
)

// Scenario is one part of the bench.
type Scenario struct {
	Name, What string
	// Smoke: part of the short form.
	Smoke bool
	run   func(ctx context.Context, b *bench) error
}

// Scenarios in the order in which they run: those of few hosts first, since rigs
// grow.
var Scenarios = []Scenario{
	{"first", "first 4 KiB of a file that another host holds", true, first},
	{"unshaped", "one parent without limits, and what a GB costs", true, unshaped},
	{"small", "10,000 files of 4-64 KiB, origin 5 ms away", true, small},
	{"disk", "a host whose disk writes 20 MB/s, on a link of 1 Gbit/s", true, slowDisk},
	{"foreground", "another flow on the link of a host that fills with a limit", true, foreground},
	{"flash", "all hosts at once, seed warm", true, flash},
	{"cold", "all hosts at once, cold origin at the rate of a host", true, cold},
	{"stagger", "one host every 0.1 T", true, stagger},
	{"inorder", "all hosts read in order through their mounts, cold origin", true, inOrder},
	{"random", "each host reads another random tenth through its mount, cold origin", true, randomTenth},
	{"slow", "one host's way up at a tenth", true, slowUplink},
	{"killed", "a quarter of the hosts killed half-way", true, killed},
	{"aria2", "beside BitTorrent (aria2) and direct download, seed warm", true, besideOthers},
	{"growth", "4, 8, 16 and 32 hosts at half the rate", true, growth},
	{"simulated", "flash, and four times the hosts on slower links, beside the simulator", true, simulated},
	{"idcs", "hosts in four data centres", true, idcs},
	{"classic", "the published rules alone (--policy classic), at once and in order", true, classic},
}

// choose returns the scenarios of those names, all if there are none.
func choose(names []string) ([]Scenario, error) {
	if len(names) == 0 {
		return Scenarios, nil
	}
	known := map[string]Scenario{}
	for _, s := range Scenarios {
		known[s.Name] = s
	}
	var chosen []Scenario
	for _, n := range names {
		s, ok := known[n]
		if !ok {
			return nil, pieces.Errorf(pieces.Invalid, "scenario %.40q: there is none of this name", n)
		}
		chosen = append(chosen, s)
	}
	return chosen, nil
}
