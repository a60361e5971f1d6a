package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"damselfly/proto/commonpb"
	"damselfly/proto/managerpb"
)

func newTrafficCommand(a *app) *cobra.Command {
	w := &watch{}
	cmd := &cobra.Command{
		Use: "traffic", Short: "Where the bytes came from that hosts got, since each scheduler started",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return w.run(cmd.Context(), a, func(ctx context.Context) error {
				r, err := ask(ctx, a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.Traffic, error) {
					return c.GetTraffic(ctx, &managerpb.GetTrafficRequest{})
				})
				if err != nil {
					return err
				}
				return a.print(r, func(t table) { printTraffic(t, r) })
			})
		},
	}
	w.flag(cmd)
	return cmd
}

func printTraffic(t table, r *managerpb.Traffic) {
	all := &commonpb.SchedulerTotals{Scheduler: "all"}
	t.row("SCHEDULER", "UP", "CONFIG", "TASKS", "HOSTS", "ORIGIN", "SEEDS", "HOSTS GAVE", "SAVED")
	for _, s := range r.Schedulers {
		t.row(s.Scheduler, short(time.Duration(s.UptimeSeconds)*time.Second), "v"+number(s.ConfigVersion), number(s.Tasks), number(s.Hosts),
			bytesOf(s.OriginBytes), bytesOf(s.SeedBytes), bytesOf(s.PeerBytes), saved(s))
		all.OriginBytes += s.OriginBytes
		all.SeedBytes += s.SeedBytes
		all.PeerBytes += s.PeerBytes
	}
	if len(r.Schedulers) > 1 {
		t.row(all.Scheduler, "", "", "", "", bytesOf(all.OriginBytes), bytesOf(all.SeedBytes), bytesOf(all.PeerBytes), saved(all))
	}
	printSilent(t, r.Silent)
}

// saved is the share of the bytes that did not come from origins; "" while
// there were none.
func saved(s *commonpb.SchedulerTotals) string {
	rest := s.SeedBytes + s.PeerBytes
	if rest+s.OriginBytes == 0 {
		return ""
	}
	// As the console has it; a hundred times the bytes may be more than an int64.
	return fmt.Sprint(int64(100*float64(rest)/float64(rest+s.OriginBytes)), " %")
}
