package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"damselfly/cmd/internal/bench/machine"
	"damselfly/cmd/internal/e2e/lab"
	"damselfly/pieces"
)

// Options of a bench.
type Options struct {
	// Bin holds the programs; Dir is where labs are made, empty = os.TempDir().
	Bin, Dir string
	// Hosts beside the seed, Size of the file, Rate of each link, both ways.
	Hosts int
	Size  int64
	Rate  lab.Rate
	// Runs of which the median counts.
	Runs int
	// Seed of the contents.
	Seed uint64
	// Out gets the tables, Log the progress; Plots is a folder for SVG files,
	// empty = none.
	Out, Log io.Writer
	Plots    string
	// Fill the memory of a virtual machine with cached files before each run.
	Fill bool
	// Predict is the simulator to compare with.
	Predict Predict

	ballast *machine.Ballast
}

// Defaults are those of DESIGN §13.
func Defaults() Options {
	return Options{Bin: "bin", Hosts: 16, Size: 256 << 20, Rate: 100 * lab.Mbit, Runs: 3, Seed: 1, Out: os.Stdout, Log: os.Stderr, Fill: true}
}

// Scenario is one part of the bench.
type Scenario struct {
	Name, What string
	// Smoke: part of the short form.
	Smoke bool
	run   func(ctx context.Context, b *bench) error
}

// Scenarios in the order in which they run.
var Scenarios = []Scenario{
	{"flash", "all hosts at once, seed warm", true, flash},
	{"cold", "all hosts at once, cold origin at the rate of a host", true, cold},
	{"stagger", "one host every 0.1 T", false, stagger},
	{"inorder", "all hosts read in order through their mounts, cold origin", true, inOrder},
	{"random", "each host reads another random tenth through its mount, cold origin", false, randomTenth},
	{"slow", "one host's way up at a tenth", false, slowUplink},
	{"killed", "a quarter of the hosts killed half-way", false, killed},
	{"growth", "4, 8, 16 and 32 hosts at half the rate", false, growth},
	{"aria2", "beside BitTorrent (aria2) and direct download, seed warm", true, besideOthers},
	{"classic", "the published rules alone (--policy classic)", false, classic},
	{"unshaped", "one parent without limits, and what a GB costs", false, unshaped},
	{"simulated", "flash, and four times the hosts on slower links, beside the simulator", false, simulated},
	{"small", "10,000 files of 4-64 KiB, origin 5 ms away", false, small},
}

// bench is one scenario being run.
type bench struct {
	o     *Options
	table Table
}

// Run runs the scenarios of those names (none: all) and prints their tables. A
// failed one does not keep the others from running; its error is returned.
func Run(ctx context.Context, o Options, names ...string) error {
	chosen, err := choose(names)
	if err != nil {
		return err
	}
	if o.Fill {
		if o.ballast, err = machine.NewBallast(o.Dir); err != nil {
			return err
		}
		defer o.ballast.Close()
	}
	var failed []string
	for _, s := range chosen {
		fmt.Fprintf(o.Log, "%s %s: %s\n", time.Now().Format(time.TimeOnly), s.Name, s.What)
		b := &bench{o: &o, table: Table{Name: s.Name, What: s.What}}
		if err := s.run(ctx, b); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			fmt.Fprintf(o.Log, "%s: %v\n", s.Name, err)
			b.note("Ended early: %v", err)
			failed = append(failed, s.Name)
		}
		if err := b.table.Write(o.Out); err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return pieces.Errorf(pieces.Internal, "these scenarios could not be measured: %s", strings.Join(failed, ", "))
	}
	return nil
}

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

func (b *bench) note(format string, args ...any) {
	b.table.Notes = append(b.table.Notes, fmt.Sprintf(format, args...))
}

// plot draws the progress of a run's hosts.
func (b *bench) plot(name, title string, run crowdRun, size int64, unit time.Duration) error {
	if b.o.Plots == "" {
		return nil
	}
	if err := os.MkdirAll(b.o.Plots, 0o755); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(b.o.Plots, name+".svg"))
	if err != nil {
		return err
	}
	defer f.Close()
	return plot(f, title, run.samples, size, unit)
}

// Smoke makes o the short form, of less than three minutes, and returns its
// scenarios unless some are named. Its ratios say little: the start of a
// transfer weighs too much in a small file.
func Smoke(o *Options, names []string) []string {
	o.Hosts, o.Size, o.Rate, o.Runs, o.Fill = 4, 32<<20, 100*lab.Mbit, 1, false
	if len(names) > 0 {
		return names
	}
	for _, s := range Scenarios {
		if s.Smoke {
			names = append(names, s.Name)
		}
	}
	return names
}
