package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"damselfly/cmd/internal/boot"
	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/managerpb"
)

func newSwarmCommand(a *app) *cobra.Command {
	req := &managerpb.GetTaskSwarmRequest{}
	w := &watch{}
	cmd := &cobra.Command{
		Use: "swarm ID|URL", Short: "Who takes part in a task just now, and who sends to whom",
		Long: `Swarm asks the live schedulers who takes part in a task: what each host holds, whom it
follows, what it gets and gives. Exchanges are counted only while somebody looks, so
the first look shows none: use --watch. A URL means the task without tag, application
and options.`,
		Example: `  dfctl swarm https://example.org/model.bin --watch
  dfctl swarm 5f2c… --json | jq '.swarms[].peers | length'`,
		Args: want(1, 1, "the id of a task, or its URL"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if req.Id, err = taskRef(args[0]); err != nil {
				return err
			}
			return w.run(cmd.Context(), a, func(ctx context.Context) error {
				s, err := ask(ctx, a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.TaskSwarm, error) {
					return c.GetSwarm(ctx, req)
				})
				if err != nil {
					return err
				}
				return a.print(s, func(t table) { printSwarms(t, s) })
			})
		},
	}
	cmd.Flags().Uint32Var(&req.MaxPeers, "max-peers", 0, "show at most so many hosts, the busiest first; up to 1000 (0 = 200)")
	w.flag(cmd)
	return cmd
}

// taskRef is the id of a task that was named by its id or URL.
func taskRef(ref string) (string, error) {
	if !strings.Contains(ref, "://") {
		return ref, nil
	}
	t, err := pieces.NewTask(ref, pieces.Options{}, nil)
	if err != nil {
		return "", err
	}
	return string(t.ID), nil
}

func printSwarms(t table, s *managerpb.TaskSwarm) {
	for i, v := range s.Swarms {
		if i > 0 {
			t.line("")
		}
		printSwarm(t, v)
	}
	if len(s.Swarms) == 0 {
		t.line("nobody takes part in this task just now")
	}
	printSilent(t, s.Silent)
}

func printSwarm(t table, s *commonpb.Swarm) {
	names := map[string]string{"": "origin"}
	for _, p := range s.Peers {
		names[p.HostId] = cmp.Or(p.Hostname, shortID(p.HostId))
	}
	name := func(id string) string { return cmp.Or(names[id], shortID(id)) }
	t.line(fmt.Sprintf("version %s at %s%s: %s in %d pieces, %d hosts, %d of them with everything", s.Version, s.Scheduler,
		yesNo(s.Replaced, " (replaced)", ""), boot.FormatBytes(s.Size), s.Pieces, s.PeerCount, s.CompleteCount))
	gets, gives := map[string]float64{}, map[string]float64{}
	for _, f := range s.Flows {
		gets[f.To] += f.Rate
		gives[f.From] += f.Rate
	}
	t.row("HOST", "TYPE", "STATE", "HOLDS", "GETS", "GIVES", "FOLLOWS")
	for _, p := range s.Peers {
		var parents []string
		for _, id := range p.Parents {
			parents = append(parents, name(id))
		}
		t.row(name(p.HostId), yesNo(p.Seed, "seed", "normal"), peerState(p), percentOf(p.Held, s.Pieces),
			rateOf(gets[p.HostId]), rateOf(gives[p.HostId]), strings.Join(parents, ","))
	}
	if hidden := int(s.PeerCount) - len(s.Peers); hidden > 0 {
		t.line(fmt.Sprintf("and %d more", hidden))
	}
	if len(s.Flows) > 0 {
		t.row("FROM", "TO", "RATE", "BYTES")
	}
	for _, f := range s.Flows {
		t.row(name(f.From), name(f.To), rateOf(f.Rate), bytesOf(f.Bytes))
	}
}

func peerState(p *commonpb.SwarmPeer) string {
	switch {
	case p.Silent:
		return "silent"
	case p.Complete:
		return "complete"
	case p.Leases > 0:
		return "reads the origin"
	case p.Wants > 0:
		return "waits"
	}
	return "takes part"
}

// percentOf rounds down, so that only who holds everything has 100 %; of a file
// without pieces everybody has.
func percentOf(held, of uint32) string {
	if of == 0 {
		return "100 %"
	}
	return fmt.Sprint(uint64(held)*100/uint64(of), " %")
}

// rateOf is bytes per second; nothing is "".
func rateOf(perSecond float64) string {
	if perSecond < 1 {
		return ""
	}
	return boot.FormatBytes(int64(perSecond)) + "/s"
}

func printSilent(t table, addrs []string) {
	for _, addr := range addrs {
		t.line("scheduler " + addr + " does not answer")
	}
}
