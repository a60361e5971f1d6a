package mount

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
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
	// Rate of each shaped link, both ways.
	Rate lab.Rate
	// Runs: pairs of which the median counts.
	Runs int
	// Seed of contents and choices.
	Seed uint64
	// Sizes of what is read.
	Sizes Sizes
	// Fill the memory of a virtual machine with cached files before parts.
	Fill bool
	// JSON: write rows as JSON instead of a table.
	JSON bool
	// Out gets the outcome, Log the progress.
	Out, Log io.Writer

	ballast *machine.Ballast
}

// Sizes say how much is read.
type Sizes struct {
	Warm, Cold, Large, Ordered, Rclone, Jumpy int64 // bytes of a file
	Small                                     int   // files
	Reads, RcloneReads                        int   // random ones
	Fio                                       time.Duration
}

// Defaults are the full form, of less than 20 minutes.
func Defaults() Options {
	return Options{
		Bin: "bin", Rate: lab.Gbit, Runs: 3, Seed: 1, Fill: true, Out: os.Stdout, Log: os.Stderr,
		Sizes: Sizes{
			Warm: 1 << 30, Cold: 256 << 20, Large: 4 << 30, Ordered: 512 << 20, Rclone: 128 << 20, Jumpy: 512 << 20,
			Small: 10_000, Reads: 200, RcloneReads: 40, Fio: 500 * time.Millisecond,
		},
	}
}

// Smoke makes o the short form, which shows that the bench works and says little
// else.
func Smoke(o *Options) {
	o.Runs, o.Fill = 1, false
	o.Sizes = Sizes{
		Warm: 16 << 20, Cold: 24 << 20, Large: 64 << 20, Ordered: 32 << 20, Rclone: 8 << 20, Jumpy: 16 << 20,
		Small: 200, Reads: 20, RcloneReads: 4, Fio: 300 * time.Millisecond,
	}
}

// Part is a group of rows that share a lab.
type Part struct {
	Name, What string
	run        func(ctx context.Context, b *bench) error
}

// Parts in the order in which they run; each takes less than three minutes.
var Parts = []Part{
	{"warm", "complete files, beside the content file itself", warm},
	{"cold", "cold files in order, by eight readers, and as models are loaded, beside a GET", cold},
	{"random", "random reads, and the end before the start, of a large file, beside a GET", random},
	{"order", "a second host that knows the access order, beside one that doesn't", order},
	{"small", "opens of small files, beside go-fuse's loopback", small},
	{"rclone", "beside rclone mount --vfs-cache-mode full", besideRclone},
}

// partLimit ends a part that hangs.
const partLimit = 5 * time.Minute

// bench is one part being run.
type bench struct {
	o     *Options
	part  string
	table *Table
}

// Run runs the parts of those names (none: all) and writes what they showed. A
// failed one does not keep the others from running; its error is returned.
func Run(ctx context.Context, o Options, names ...string) error {
	for _, n := range names {
		if !slices.ContainsFunc(Parts, func(p Part) bool { return p.Name == n }) {
			return pieces.Errorf(pieces.Invalid, "part %.40q: there is none of this name", n)
		}
	}
	if o.Rate < 1 || o.Runs < 1 {
		return pieces.Errorf(pieces.Invalid, "%d bit/s, %d pairs: each must be at least 1", o.Rate, o.Runs)
	}
	if o.Fill {
		var err error
		if o.ballast, err = machine.NewBallast(o.Dir); err != nil {
			return err
		}
		defer o.ballast.Close()
	}
	t := &Table{}
	var failed []string
	for _, p := range Parts {
		if len(names) > 0 && !slices.Contains(names, p.Name) {
			continue
		}
		fmt.Fprintf(o.Log, "%s %s: %s\n", time.Now().Format(time.TimeOnly), p.Name, p.What)
		if err := runPart(ctx, &o, p, t); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			t.Notes = append(t.Notes, fmt.Sprintf("%s ended early: %v", p.Name, err))
			failed = append(failed, p.Name)
		}
	}
	if err := o.write(t); err != nil {
		return err
	}
	if len(failed) > 0 {
		return pieces.Errorf(pieces.Internal, "these parts could not be measured: %s", strings.Join(failed, ", "))
	}
	return nil
}

func runPart(ctx context.Context, o *Options, p Part, t *Table) error {
	if err := o.ballast.Fill(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, partLimit, fmt.Errorf("not done after %v", partLimit))
	defer cancel()
	return p.run(ctx, &bench{o: o, part: p.Name, table: t})
}

func (o *Options) write(t *Table) error {
	if !o.JSON {
		return t.Write(o.Out)
	}
	e := json.NewEncoder(o.Out)
	e.SetIndent("", "  ")
	return e.Encode(t.verdicts())
}

// note says under which circumstances the part was measured.
func (b *bench) note(format string, args ...any) {
	b.table.Notes = append(b.table.Notes, b.part+": "+fmt.Sprintf(format, args...))
}

// add takes a pair of figures.
func (b *bench) add(r Row, ours, theirs, busy float64) {
	r.Part = b.part
	b.table.add(r, ours, theirs, busy)
	fmt.Fprintf(b.o.Log, "  %s: %.4g%s beside %.4g, %.3f (busy %.0f %%)\n", r.What, ours, r.Unit, theirs, ours/theirs, 100*busy)
}

// pair measures ours and theirs, one after the other, ours first in every second
// pair.
func pair(i int, ours, theirs func() error) error {
	if i%2 == 1 {
		ours, theirs = theirs, ours
	}
	if err := theirs(); err != nil {
		return err
	}
	return ours()
}
