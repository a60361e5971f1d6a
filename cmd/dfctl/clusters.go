package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/structpb"

	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

func newOverviewCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "overview", Short: "Counts of everything", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := ask(cmd.Context(), a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.Overview, error) {
				return c.GetOverview(ctx, &managerpb.GetOverviewRequest{})
			})
			if err != nil {
				return err
			}
			return a.print(o, func(t table) {
				t.row("manager", o.Version)
				t.row("hosts", number(o.Hosts)+" live of "+number(o.KnownHosts)+", "+number(o.Seeds)+" of them seeds")
				t.row("schedulers", number(o.Schedulers))
				t.row("tasks", number(o.Tasks))
				t.row("jobs", number(o.Jobs)+" not done")
			})
		},
	}
}

func newClusterCommand(a *app) *cobra.Command {
	return group("cluster", "Clusters: which hosts belong to which schedulers",
		newClusterLsCommand(a), newClusterShowCommand(a), newClusterSetCommand(a, true), newClusterSetCommand(a, false), newClusterRmCommand(a))
}

func newClusterLsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List clusters", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := ask(cmd.Context(), a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.ListClustersReply, error) {
				return c.ListClusters(ctx, &managerpb.ListClustersRequest{})
			})
			if err != nil {
				return err
			}
			return a.print(r, func(t table) {
				t.row("CLUSTER", "SCHEDULERS", "CONFIG", "SCOPES", "DESCRIPTION")
				for _, c := range r.Clusters {
					t.row(c.Name, number(c.Schedulers), "v"+number(c.ConfigVersion), scopesText(c.Scopes), c.Description)
				}
			})
		},
	}
}

func scopesText(s *managerpb.Scopes) string {
	var parts []string
	for _, list := range [][]string{s.GetCidrs(), s.GetHostnames(), s.GetIdcs(), s.GetLocations()} {
		parts = append(parts, list...)
	}
	return strings.Join(parts, " ")
}

func newClusterShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show one cluster", Args: want(1, 1, "the name of a cluster"),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := ask(cmd.Context(), a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.Cluster, error) {
				return c.GetCluster(ctx, &managerpb.GetClusterRequest{Name: args[0]})
			})
			if err != nil {
				return err
			}
			return a.printCluster(m)
		},
	}
}

func (a *app) printCluster(m *managerpb.Cluster) error {
	return a.print(m, func(t table) {
		t.row("cluster", m.Name)
		t.row("description", m.Description)
		t.row("cidrs", strings.Join(m.Scopes.GetCidrs(), " "))
		t.row("hostnames", strings.Join(m.Scopes.GetHostnames(), " "))
		t.row("idcs", strings.Join(m.Scopes.GetIdcs(), " "))
		t.row("locations", strings.Join(m.Scopes.GetLocations(), " "))
		t.row("schedulers", number(m.Schedulers))
		t.row("config", "v"+number(m.ConfigVersion))
		t.row("etag", m.Etag)
	})
}

// newClusterSetCommand creates a cluster, or replaces what is said of one.
func newClusterSetCommand(a *app, create bool) *cobra.Command {
	m := &managerpb.Cluster{Scopes: &managerpb.Scopes{}}
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Describe a new cluster", Args: want(1, 1, "the name of a cluster"),
		RunE: func(cmd *cobra.Command, args []string) error {
			m.Name = args[0]
			now, err := ask(cmd.Context(), a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.Cluster, error) {
				if create {
					return c.CreateCluster(ctx, &managerpb.CreateClusterRequest{Cluster: m})
				}
				return c.UpdateCluster(ctx, &managerpb.UpdateClusterRequest{Cluster: m})
			})
			if err != nil {
				return err
			}
			return a.printCluster(now)
		},
	}
	if !create {
		cmd.Use, cmd.Short = "set NAME", "Replace description and scopes of a cluster"
		etagFlag(cmd, &m.Etag)
	}
	fs := cmd.Flags()
	fs.StringVar(&m.Description, "description", "", "for people")
	fs.StringSliceVar(&m.Scopes.Cidrs, "cidr", nil, "hosts with addresses in it belong here")
	fs.StringArrayVar(&m.Scopes.Hostnames, "hostname", nil, "regular expression of host names (may be repeated)")
	fs.StringSliceVar(&m.Scopes.Idcs, "idc", nil, "data centres")
	fs.StringSliceVar(&m.Scopes.Locations, "location", nil, "leading elements of locations: 'eu|de'")
	return cmd
}

func newClusterRmCommand(a *app) *cobra.Command {
	var etag string
	cmd := &cobra.Command{
		Use: "rm NAME", Short: "Remove what is said of a cluster, its config included", Args: want(1, 1, "the name of a cluster"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd.Context(), func(ctx context.Context, c managerpb.AdminClient) error {
				_, err := c.DeleteCluster(ctx, &managerpb.DeleteClusterRequest{Name: args[0], Etag: etag})
				return err
			})
		},
	}
	etagFlag(cmd, &etag)
	return cmd
}

func newConfigCommand(a *app) *cobra.Command {
	return group("config", "Dynamic config of a cluster: limits, weights, blocklists", newConfigGetCommand(a), newConfigSetCommand(a))
}

func newConfigGetCommand(a *app) *cobra.Command {
	changes := false
	cmd := &cobra.Command{
		Use: "get [CLUSTER]", Short: "Print the config that schedulers have", Args: want(0, 1, "the name of a cluster"),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := ask(cmd.Context(), a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.ClusterConfig, error) {
				return c.GetClusterConfig(ctx, &managerpb.GetClusterConfigRequest{Cluster: strings.Join(args, "")})
			})
			if err != nil {
				return err
			}
			if a.json {
				return a.print(m, nil)
			}
			shown := m.Effective
			if changes {
				shown = m.Changes
			}
			b, err := json.MarshalIndent(shown.AsMap(), "", "  ")
			if err == nil {
				_, err = a.out.Write(append(b, '\n'))
			}
			return pieces.WithKind(pieces.Internal, err, "printing")
		},
	}
	cmd.Flags().BoolVar(&changes, "changes", false, "only what differs from the defaults")
	return cmd
}

func newConfigSetCommand(a *app) *cobra.Command {
	m := &managerpb.ClusterConfig{}
	cmd := &cobra.Command{
		Use: "set CLUSTER FILE", Short: "Replace what differs from the defaults by the JSON of a file ('-' = stdin)",
		Example: `  dfctl config get default --changes >c.json && $EDITOR c.json && dfctl config set default c.json
  echo '{"scheduler":{"candidate_parent_limit":6}}' | dfctl config set default -`,
		Args: want(2, 2, "a cluster and a file"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			m.Cluster = args[0]
			if m.Changes, err = readStruct(args[1], cmd.InOrStdin()); err != nil {
				return err
			}
			now, err := ask(cmd.Context(), a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.ClusterConfig, error) {
				return c.UpdateClusterConfig(ctx, &managerpb.UpdateClusterConfigRequest{Config: m})
			})
			if err != nil {
				return err
			}
			return a.print(now, func(t table) { t.row("cluster "+now.Cluster, "config v"+number(now.Version)) })
		},
	}
	etagFlag(cmd, &m.Etag)
	return cmd
}

func readStruct(file string, stdin io.Reader) (*structpb.Struct, error) {
	text, err := readFile(file, stdin)
	if err != nil {
		return nil, err
	}
	s := &structpb.Struct{}
	if err := s.UnmarshalJSON(text); err != nil {
		return nil, pieces.Errorf(pieces.Invalid, "%s: not a JSON object: %w", file, err)
	}
	return s, nil
}

// readFile reads a file, or stdin for "-".
func readFile(file string, stdin io.Reader) (text []byte, err error) {
	if file == "-" {
		text, err = io.ReadAll(stdin)
	} else {
		text, err = os.ReadFile(file)
	}
	return text, pieces.WithKind(pieces.Invalid, err, "reading "+file)
}
