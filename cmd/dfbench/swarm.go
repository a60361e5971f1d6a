package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/pprof"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"damselfly/cmd/internal/boot"
	"damselfly/cmd/internal/sim"
	"damselfly/pieces"
)

// swarmOptions are the flags of dfbench swarm.
type swarmOptions struct {
	scenario sim.Scenario
	hosts    []int
	size     boot.Bytes
	pieces   int
	// Rates; 0 = that of up.
	up, down, seed, origin, idc boot.Rate
	policy                      string
	out, profile                string
}

// newSwarmCommand simulates one file reaching many hosts.
func newSwarmCommand() *cobra.Command {
	o := swarmOptions{scenario: sim.Defaults(), hosts: []int{16}, up: 100e6 / 8, policy: "swarm"}
	o.size = boot.Bytes(o.scenario.Size)
	s := &o.scenario
	cmd := &cobra.Command{
		Use:   "swarm",
		Short: "Simulate one file reaching many hosts, in virtual time",
		Long: `Simulate one file reaching many hosts, in virtual time: the real rules of
scheduler and picker over a fluid model of the network. The same flags give
the same output, byte for byte. A larger file behaves as one of fewer pieces
does, but for the start: --pieces scales it down.`,
		Example: `  # a flash crowd of three sizes, the published rules beside ours
  dfbench swarm --hosts 16,256,1024 --policy classic

  # a cold origin, hosts that join over twice the download time, plots and CSV
  dfbench swarm --hosts 256 --cold --stagger 2 --out /tmp/swarm`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runSwarm(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.IntSliceVar(&o.hosts, "hosts", o.hosts, "hosts beside the seed; a list runs one after the other")
	f.Var(&o.size, "size", "size of the file")
	f.IntVar(&o.pieces, "pieces", 0, "instead of --size: a file of so many pieces of 256 KiB")
	f.Var(&o.up, "up", "each host's way up")
	f.Var(&o.down, "down", "each host's way down (0 = as --up)")
	f.Var(&o.seed, "seed-rate", "the seed's link, both ways (0 = as --up)")
	f.Var(&o.origin, "origin-rate", "what the origin gives (0 = as --up)")
	f.BoolVar(&s.Cold, "cold", false, "the seed holds nothing and reads the origin")
	f.Float64Var(&s.Stagger, "stagger", 0, "hosts join evenly over so many download times (0 = all at once)")
	f.Float64Var(&s.Kill, "kill", 0, "share of hosts that are unplugged mid-way")
	f.Float64Var(&s.KillAt, "kill-at", s.KillAt, "when, in lower bounds")
	f.IntVar(&s.IDCs, "idcs", s.IDCs, "data centres with even shares of the hosts")
	f.Var(&o.idc, "idc-rate", "way out of each data centre (0 = not limited)")
	f.Float64Var(&s.SlowShare, "slow-share", 0, "share of hosts with a slow way up")
	f.Float64Var(&s.SlowUp, "slow-up", s.SlowUp, "how slow, as a share of --up")
	f.DurationVar(&s.Latency, "latency", s.Latency, "one way within a data centre")
	f.DurationVar(&s.FarLatency, "far-latency", s.FarLatency, "one way between data centres, and to the origin")
	f.StringVar(&o.policy, "policy", o.policy, "swarm, or classic to run the published rules beside it")
	f.Float64Var(&s.Limit, "limit", s.Limit, "end a run after so many lower bounds")
	f.Uint64Var(&s.Seed, "seed", s.Seed, "of every random choice")
	// The rules' numbers, to find better ones.
	f.IntVar(&s.UploadSlots, "upload-slots", s.UploadSlots, "rule: requests a host answers at once")
	f.IntVar(&s.ChildSlots, "child-slots", s.ChildSlots, "rule: children a host may have")
	f.IntVar(&s.Rules.CandidateParentLimit, "parents", s.Rules.CandidateParentLimit, "rule: parents of a host when it joins")
	f.IntVar(&s.Rules.ParentLimit, "most-parents", s.Rules.ParentLimit, "rule: parents of a host in the end")
	f.IntVar(&s.Picker.MaxRequests, "requests", s.Picker.MaxRequests, "rule: requests in flight")
	f.IntVar(&s.Picker.PerNeighbour, "per-neighbour", 0, "rule: requests in flight at one neighbour (0 = default)")
	f.Float64Var(&s.Picker.InOrder, "in-order", 0, "rule: share of bulk requests taken in order (0 = default)")
	f.Float64Var(&s.Seeding.Repeats, "repeats", 0, "rule: share of a seed's bytes that may repeat sent ones (0 = default)")
	f.DurationVar(&s.DeferPause, "defer-pause", 0, "rule: how long a host leaves a seed alone that gave a piece to another child")
	f.StringVar(&o.out, "out", "", "write CSV and SVG files to this folder")
	f.StringVar(&o.profile, "cpu-profile", "", "write a CPU profile of the runs to this file")
	return cmd
}

// scenarios returns the runs of one host count, swarm first.
func (o swarmOptions) scenarios(hosts int) ([]sim.Scenario, error) {
	s := o.scenario
	s.Hosts, s.Size = hosts, int64(o.size)
	if o.pieces > 0 {
		s.Size = int64(o.pieces) * pieces.MinPieceSize
	}
	rate := func(r boot.Rate) float64 {
		if r == 0 {
			r = o.up
		}
		return float64(r)
	}
	s.Up, s.Down, s.SeedRate, s.OriginRate = rate(o.up), rate(o.down), rate(o.seed), rate(o.origin)
	s.IDCRate = float64(o.idc)
	switch o.policy {
	case "swarm":
		return []sim.Scenario{s}, nil
	case "classic":
		c := s
		c.Policy = pieces.PolicyClassic
		return []sim.Scenario{s, c}, nil
	}
	return nil, pieces.Errorf(pieces.Invalid, "--policy %.40q: want swarm or classic", o.policy)
}

// runSwarm prints a table to stdout and how long it takes to stderr.
func runSwarm(ctx context.Context, o swarmOptions, stdout, stderr io.Writer) error {
	if o.profile != "" {
		f, err := os.Create(o.profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	var all []*sim.Result
	for _, n := range o.hosts {
		scs, err := o.scenarios(n)
		if err != nil {
			return err
		}
		var rs []*sim.Result
		for _, sc := range scs {
			began := time.Now()
			r, err := sim.Run(ctx, sc)
			if err != nil {
				return err
			}
			fmt.Fprintf(stderr, "%s: %v, %d events, %d steps of the scheduler\n",
				r.Label(), time.Since(began).Round(time.Millisecond), r.Events, r.Steps)
			rs = append(rs, r)
		}
		if o.out != "" {
			if err := writeRun(o.out, n, rs); err != nil {
				return err
			}
		}
		all = append(all, rs...)
	}
	return printTable(stdout, o, all)
}

func printTable(to io.Writer, o swarmOptions, rs []*sim.Result) error {
	r := rs[0]
	fmt.Fprintf(to, "%s in %d pieces of %s, seed %s, joins over %g download times, %g of the hosts killed, seed of choices %d\n",
		boot.FormatBytes(r.Scenario.Size), r.Pieces, boot.FormatBytes((r.Scenario.Size+int64(r.Pieces)-1)/int64(r.Pieces)),
		map[bool]string{true: "cold", false: "warm"}[r.Scenario.Cold], r.Scenario.Stagger, r.Scenario.Kill, r.Scenario.Seed)
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "run\tbound s\tlast\tmean\thalf\town worst\town mean\torigin\tseed sent\tbetween IDCs\twasted\thedges\t409\t503\tno place\tunfinished\t")
	for _, r := range rs {
		b, own := r.Bound.Seconds(), r.Scenario.Own().Seconds()
		last := fmt.Sprintf("%.3f", r.Ratio())
		if r.Unfinished > 0 {
			last = fmt.Sprintf("> %g", r.Scenario.Limit)
		}
		fmt.Fprintf(w, "%s\t%.2f\t%s\t%.3f\t%.3f\t%.3f\t%.3f\t%.2f F\t%.2f F\t%.2f F\t%.2f %%\t%d\t%d\t%d\t%d\t%d\t\n",
			r.Label(), b, last, r.Mean.Seconds()/b, r.Half.Seconds()/b, r.OwnWorst.Seconds()/own, r.OwnMean.Seconds()/own,
			r.OriginCopies, r.SeedUpload, r.FarCopies, 100*r.Wasted, r.Hedges, r.Deferred, r.Busy, r.Full, r.Unfinished)
	}
	fmt.Fprintln(w, "last, mean, half: over the lower bound; own: from a host's join to its end, over the best it could have")
	return w.Flush()
}

// writeRun writes the files of one host count.
func writeRun(dir string, hosts int, rs []*sim.Result) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for i, r := range rs {
		name := fmt.Sprintf("%s-%d", []string{"swarm", "classic"}[i], hosts)
		if err := writeFile(filepath.Join(dir, name+".csv"), r.WriteCurve); err != nil {
			return err
		}
		if err := writeFile(filepath.Join(dir, name+"-hosts.csv"), r.WriteHosts); err != nil {
			return err
		}
	}
	return writeFile(filepath.Join(dir, fmt.Sprintf("hosts-%d.svg", hosts)), func(w io.Writer) error {
		return sim.Plot(w, fmt.Sprintf("%d hosts: mean progress, and the band from last to first host", hosts), rs...)
	})
}

func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
