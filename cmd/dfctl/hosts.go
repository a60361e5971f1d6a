package main

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"damselfly/proto/managerpb"
)

func newSchedulerCommand(a *app) *cobra.Command {
	cluster := ""
	ls := &cobra.Command{
		Use: "ls", Short: "List schedulers", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := ask(cmd.Context(), a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.ListSchedulerNodesReply, error) {
				return c.ListSchedulerNodes(ctx, &managerpb.ListSchedulerNodesRequest{Cluster: cluster})
			})
			if err != nil {
				return err
			}
			return a.print(r, func(t table) {
				t.row("CLUSTER", "ADDRESS", "STATE", "SEEN", "VERSION")
				for _, s := range r.Schedulers {
					t.row(s.Cluster, s.Address, yesNo(s.Active, "active", "inactive"), ago(s.Seen), s.Version)
				}
			})
		},
	}
	ls.Flags().StringVar(&cluster, "cluster", "", "of this cluster alone")
	return group("scheduler", "Schedulers", ls)
}

func newHostCommand(a *app) *cobra.Command {
	return group("host", "Hosts", newHostLsCommand(a), newHostShowCommand(a), newHostRmCommand(a))
}

// pageSize is how many rows one call brings.
const pageSize = 1000

func newHostLsCommand(a *app) *cobra.Command {
	req := &managerpb.ListHostsRequest{}
	limit := 0
	cmd := &cobra.Command{
		Use: "ls", Short: "List hosts", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all := &managerpb.ListHostsReply{}
			err := pages(limit, func(size int, token string) (int, string, error) {
				req.PageSize, req.PageToken = uint32(size), token
				r, err := ask(cmd.Context(), a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.ListHostsReply, error) {
					return c.ListHosts(ctx, req)
				})
				all.Hosts = append(all.Hosts, r.GetHosts()...)
				return len(all.Hosts), r.GetNextPageToken(), err
			})
			if err != nil {
				return err
			}
			return a.print(all, func(t table) {
				t.row("HOST", "HOSTNAME", "IP", "CLUSTER", "TYPE", "STATE", "SEEN", "IDC", "VERSION")
				for _, h := range all.Hosts {
					t.row(shortID(h.Id), h.Hostname, h.Ip, h.Cluster, yesNo(h.Seed, "seed", "normal"), yesNo(h.Active, "active", "inactive"),
						ago(h.Seen), h.Idc, h.Version)
				}
			})
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&req.Cluster, "cluster", "", "of this cluster alone")
	fs.StringVar(&req.Search, "search", "", "a part of host name, address or id")
	fs.BoolVar(&req.Seeds, "seeds", false, "seeds alone")
	fs.BoolVar(&req.Active, "active", false, "live ones alone")
	limitFlag(cmd, &limit)
	return cmd
}

func limitFlag(cmd *cobra.Command, limit *int) {
	cmd.Flags().IntVar(limit, "limit", 0, "at most so many (0 = all)")
}

// pages calls page until there are limit rows or no more; page answers how many
// there are so far, and the next token.
func pages(limit int, page func(size int, token string) (got int, next string, err error)) error {
	got, token := 0, ""
	for {
		size := pageSize
		if limit > 0 {
			size = min(size, limit-got)
		}
		var err error
		if got, token, err = page(size, token); err != nil || token == "" || limit > 0 && got >= limit {
			return err
		}
	}
}

func newHostShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one host", Args: want(1, 1, "the id of a host"),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := ask(cmd.Context(), a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.HostInfo, error) {
				return c.GetHost(ctx, &managerpb.GetHostRequest{Id: args[0]})
			})
			if err != nil {
				return err
			}
			return a.print(h, func(t table) {
				t.row("host", h.Id)
				t.row("hostname", h.Hostname)
				t.row("address", h.Ip+", peer port "+number(h.PeerPort)+", upload port "+number(h.UploadPort))
				t.row("cluster", h.Cluster)
				t.row("type", yesNo(h.Seed, "seed", "normal"))
				t.row("state", yesNo(h.Active, "active", "inactive")+", seen "+ago(h.Seen)+", first "+ago(h.Added))
				t.row("idc", h.Idc)
				t.row("location", h.Location)
				var labels []string
				for _, k := range slices.Sorted(maps.Keys(h.Labels)) {
					labels = append(labels, k+"="+h.Labels[k])
				}
				t.row("labels", strings.Join(labels, " "))
				t.row("upload slots", number(h.UploadSlots))
				t.row("version", h.Version)
			})
		},
	}
}

func newHostRmCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "rm ID", Short: "Take a host off the list; one that lives comes back", Args: want(1, 1, "the id of a host"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd.Context(), func(ctx context.Context, c managerpb.AdminClient) error {
				_, err := c.ForgetHost(ctx, &managerpb.ForgetHostRequest{Id: args[0]})
				return err
			})
		},
	}
}
