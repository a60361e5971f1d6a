package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

// start is a job to be started, as flags say it.
type start struct {
	req     managerpb.StartJobRequest
	to      string
	timeout time.Duration
	wait    bool
}

func (s *start) flags(cmd *cobra.Command, to string) {
	fs := cmd.Flags()
	fs.StringVar(&s.req.Cluster, "cluster", "", "hosts of this cluster (default: default)")
	fs.StringVar(&s.to, "to", to, "which live hosts: seed (of each task), seeds, all, host:ID, label:K=V,…")
	fs.DurationVar(&s.timeout, "timeout", time.Hour, "what is not done by then fails")
	fs.BoolVar(&s.wait, "wait", false, "wait for the end; a failure is dfctl's")
}

// target reads --to.
func target(to string) (*managerpb.Target, error) {
	kind, rest, given := strings.Cut(to, ":")
	switch {
	case kind == "host" && given:
		return &managerpb.Target{Kind: "host", HostId: rest}, nil
	case kind == "label" && given:
		t := &managerpb.Target{Kind: "labels", Labels: map[string]string{}}
		for pair := range strings.SplitSeq(rest, ",") {
			k, v, ok := strings.Cut(pair, "=")
			if !ok || k == "" {
				return nil, pieces.Errorf(pieces.Invalid, "--to %.60q: want label:K=V,…", to)
			}
			t.Labels[k] = v
		}
		return t, nil
	case !given && (kind == "seed" || kind == "seeds" || kind == "all"):
		return &managerpb.Target{Kind: kind}, nil
	}
	return nil, pieces.Errorf(pieces.Invalid, "--to %.60q: want seed, seeds, all, host:ID or label:K=V,…", to)
}

// run starts the job for tasks named by ids or, for a preheat, URLs.
func (s *start) run(ctx context.Context, a *app, kind string, refs []string) (err error) {
	s.req.Kind, s.req.Timeout = kind, durationpb.New(s.timeout)
	if s.req.Target, err = target(s.to); err != nil {
		return err
	}
	for _, ref := range refs {
		if strings.Contains(ref, "://") {
			s.req.Urls = append(s.req.Urls, ref)
		} else {
			s.req.TaskIds = append(s.req.TaskIds, ref)
		}
	}
	j, err := ask(ctx, a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.Job, error) {
		return c.StartJob(ctx, &s.req)
	})
	if err != nil {
		return err
	}
	if s.wait {
		return a.wait(ctx, j.Id)
	}
	return a.printJob(j)
}

func newPreheatCommand(a *app) *cobra.Command {
	s := &start{}
	list := ""
	cmd := &cobra.Command{
		Use: "preheat URL|ID…", Short: "Bring files to hosts before anybody reads them",
		Example: `  dfctl preheat https://example.org/model.bin --to seeds
  dfctl preheat --list files.txt --to label:gpu=h100 --wait`,
		Args: want(0, -1, "URLs or ids of tasks"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if list != "" {
				text, err := readFile(list, cmd.InOrStdin())
				if err != nil {
					return err
				}
				args = append(args, lines(string(text))...)
			}
			if len(args) == 0 {
				return pieces.Errorf(pieces.Invalid, "want URLs or ids of tasks, or --list FILE")
			}
			return s.run(cmd.Context(), a, "preheat", args)
		},
	}
	s.flags(cmd, "seed")
	cmd.Flags().StringVar(&list, "list", "", "read more of them from a file, one a line; '#' begins a comment ('-' = stdin)")
	cmd.Flags().StringVar(&s.req.Tag, "tag", "", "tag of the URLs")
	cmd.Flags().StringVar(&s.req.Application, "application", "", "application of the URLs")
	return cmd
}

// lines answers what stands on each line, without comments and empty ones.
func lines(text string) (out []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}

func newDeleteCommand(a *app) *cobra.Command {
	s := &start{}
	cmd := &cobra.Command{
		Use: "delete ID…", Short: "Take tasks off the catalogue and their bytes off the hosts", Args: want(1, -1, "ids of tasks"),
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd.Context(), a, "delete", args) },
	}
	s.flags(cmd, "all")
	return cmd
}

func newHoldersCommand(a *app) *cobra.Command {
	s := &start{}
	cmd := &cobra.Command{
		Use: "holders ID…", Short: "Find out what each host holds of tasks; see: dfctl job items", Args: want(1, -1, "ids of tasks"),
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd.Context(), a, "holders", args) },
	}
	s.flags(cmd, "all")
	return cmd
}

func newCollectCommand(a *app) *cobra.Command {
	s := &start{}
	cmd := &cobra.Command{
		Use: "collect --to WHICH", Short: "Free what is not in use on hosts", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s.to == "" {
				return pieces.Errorf(pieces.Invalid, "want --to: host:ID, label:K=V, seeds or all")
			}
			return s.run(cmd.Context(), a, "collect", nil)
		},
	}
	s.flags(cmd, "")
	return cmd
}
