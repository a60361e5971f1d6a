package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"damselfly/cmd/internal/bench/machine"
	"damselfly/cmd/internal/e2e/lab"
	"damselfly/pieces"
)

// Options of a bench.
type Options struct {
	// Bin holds the programs; Dir is where labs are made, empty = os.TempDir().
	// Keep leaves their directories there, with all logs.
	Bin, Dir string
	Keep     bool
	// Hosts beside the seed, Size of the file, Rate of each link, both ways.
	Hosts int
	Size  int64
	Rate  lab.Rate
	// Runs of which the median counts.
	Runs int
	// Seed of the contents.
	Seed uint64
	// Out gets the tables, as JSON objects if JSON; Log the progress and, at the
	// end, the goals. Results is a folder for tables, JSON and plots, empty = none.
	Out, Log io.Writer
	JSON     bool
	Results  string
	// Calibration is how long each of the two plain transfers takes that give B_eff.
	Calibration time.Duration
	// Fill the memory of a virtual machine with cached files before each run.
	Fill bool
	// Predict is the simulator to compare with.
	Predict Predict

	ballast *machine.Ballast
	tiny    bool // the short form
}

// Defaults are those of DESIGN §13.
func Defaults() Options {
	return Options{Bin: "bin", Hosts: 16, Size: 256 << 20, Rate: 100 * lab.Mbit, Runs: 3, Seed: 1,
		Out: os.Stdout, Log: os.Stderr, Calibration: 3 * time.Second, Fill: true}
}

// Smoke makes o the short form: every scenario's code with few hosts, small
// files and one run. Its ratios say nothing. It returns its scenarios unless
// some are named.
func Smoke(o *Options, names []string) []string {
	o.Hosts, o.Size, o.Rate, o.Runs, o.Fill = 4, 8<<20, 200*lab.Mbit, 1, false
	o.Calibration, o.tiny = 200*time.Millisecond, true
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

// few is n, or less in the short form.
func (o *Options) few(n, tiny int) int {
	if o.tiny {
		return tiny
	}
	return n
}

// bench is one scenario being run.
type bench struct {
	o     *Options
	pool  *pool
	table Table
}

// Run runs the scenarios of those names (none: all) and prints their tables. A
// failed one does not keep the others from running; its error is returned.
func Run(ctx context.Context, o Options, names ...string) (err error) {
	chosen, err := choose(names)
	if err != nil {
		return err
	}
	if o.Hosts < 1 || o.Size < 1 || o.Rate < 1 || o.Runs < 1 {
		return pieces.Errorf(pieces.Invalid, "%d hosts, %d bytes, %d bit/s, %d runs: each must be at least 1", o.Hosts, o.Size, o.Rate, o.Runs)
	}
	if o.Fill {
		if o.ballast, err = machine.NewBallast(o.Dir); err != nil {
			return err
		}
		defer o.ballast.Close()
	}
	p := &pool{o: &o}
	defer func() {
		if e := p.drop(); err == nil {
			err = e
		}
	}()
	var failed []string
	var tables []*Table
	began := time.Now()
	for _, s := range chosen {
		fmt.Fprintf(o.Log, "%s %s: %s\n", time.Now().Format(time.TimeOnly), s.Name, s.What)
		b := &bench{o: &o, pool: p, table: Table{Name: s.Name, What: s.What}}
		if err := s.run(ctx, b); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			fmt.Fprintf(o.Log, "%s: %v\n", s.Name, err)
			b.note("Ended early: %v", err)
			failed = append(failed, s.Name)
			if err := p.drop(); err != nil { // who knows in what state it is
				fmt.Fprintf(o.Log, "%s: %v\n", s.Name, err)
			}
		}
		if err := o.print(&b.table); err != nil {
			return err
		}
		tables = append(tables, &b.table)
	}
	o.goals(tables)
	fmt.Fprintf(o.Log, "%d scenarios in %v\n", len(chosen), time.Since(began).Round(time.Second))
	if len(failed) > 0 {
		return pieces.Errorf(pieces.Internal, "these scenarios could not be measured: %s", strings.Join(failed, ", "))
	}
	return nil
}

func (b *bench) note(format string, args ...any) {
	b.table.Notes = append(b.table.Notes, fmt.Sprintf(format, args...))
}

// rig returns a rig of that many hosts on links of that rate.
func (b *bench) rig(ctx context.Context, hosts int, rate lab.Rate) (*rig, error) {
	return b.pool.take(ctx, rigOptions{hosts: hosts, rate: rate})
}
