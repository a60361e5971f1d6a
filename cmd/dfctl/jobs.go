package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

func newJobCommand(a *app) *cobra.Command {
	return group("job", "Jobs: preheats, deletions, searches for holders, collections",
		newJobLsCommand(a), newJobShowCommand(a), newJobItemsCommand(a), newJobWaitCommand(a),
		newJobSteerCommand(a, "cancel ID", "End a job soon", func(ctx context.Context, c managerpb.AdminClient, id string) (*managerpb.Job, error) {
			return c.CancelJob(ctx, &managerpb.CancelJobRequest{Id: id})
		}),
		newJobSteerCommand(a, "retry ID", "Do again what failed or was canceled", func(ctx context.Context, c managerpb.AdminClient, id string) (*managerpb.Job, error) {
			return c.RetryJob(ctx, &managerpb.RetryJobRequest{Id: id})
		}))
}

func newJobLsCommand(a *app) *cobra.Command {
	req := &managerpb.ListJobsRequest{}
	limit := 0
	cmd := &cobra.Command{
		Use: "ls", Short: "List jobs, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all := &managerpb.ListJobsReply{}
			err := pages(limit, func(size int, token string) (int, string, error) {
				req.PageSize, req.PageToken = uint32(size), token
				r, err := ask(cmd.Context(), a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.ListJobsReply, error) {
					return c.ListJobs(ctx, req)
				})
				all.Jobs = append(all.Jobs, r.GetJobs()...)
				return len(all.Jobs), r.GetNextPageToken(), err
			})
			if err != nil {
				return err
			}
			return a.print(all, func(t table) {
				t.row("JOB", "KIND", "STATE", "CREATED", "TASKS", "TARGET", "ITEMS", "BYTES", "ERROR")
				for _, j := range all.Jobs {
					t.row(j.Id, j.Kind, stateOf(j), ago(j.Created), number(len(j.TaskIds)), targetText(j.Target), itemsText(j),
						bytesOf(j.Done)+" of "+bytesOf(j.Total), j.Error)
				}
			})
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&req.Cluster, "cluster", "", "of this cluster alone")
	fs.StringVar(&req.Kind, "kind", "", "preheat, delete, holders or collect")
	fs.StringVar(&req.State, "state", "", "queued, running, succeeded, failed or canceled")
	cmd.Flags().IntVar(&limit, "limit", 50, "at most so many (0 = all)")
	return cmd
}

func stateOf(j *managerpb.Job) string {
	if j.Canceling {
		return "canceling"
	}
	return j.State
}

func targetText(t *managerpb.Target) string {
	switch t.GetKind() {
	case "host":
		return "host:" + shortID(t.HostId)
	case "labels":
		var pairs []string
		for _, k := range slices.Sorted(maps.Keys(t.Labels)) {
			pairs = append(pairs, k+"="+t.Labels[k])
		}
		return "label:" + strings.Join(pairs, ",")
	}
	return t.GetKind()
}

func itemsText(j *managerpb.Job) string {
	var all uint32
	for _, n := range j.Items {
		all += n
	}
	text := fmt.Sprintf("%d/%d", j.Items["succeeded"], all)
	if n := j.Items["failed"]; n > 0 {
		text += fmt.Sprintf(" (%d failed)", n)
	}
	return text
}

func (a *app) printJob(j *managerpb.Job) error {
	return a.print(j, func(t table) {
		t.row("job", j.Id)
		t.row("kind", j.Kind)
		t.row("state", stateOf(j))
		t.row("error", j.Error)
		t.row("target", targetText(j.Target)+" of cluster "+j.Cluster)
		t.row("tasks", number(len(j.TaskIds)))
		t.row("items", itemsText(j))
		t.row("bytes", bytesOf(j.Done)+" of "+bytesOf(j.Total))
		t.row("created", ago(j.Created))
		t.row("finished", ago(j.Finished))
		t.row("run by", j.Owner)
	})
}

func (a *app) job(ctx context.Context, id string) (*managerpb.Job, error) {
	return ask(ctx, a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.Job, error) {
		return c.GetJob(ctx, &managerpb.GetJobRequest{Id: id})
	})
}

func newJobShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one job", Args: want(1, 1, "the id of a job"),
		RunE: func(cmd *cobra.Command, args []string) error {
			j, err := a.job(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.printJob(j)
		},
	}
}

func newJobItemsCommand(a *app) *cobra.Command {
	req := &managerpb.ListJobItemsRequest{}
	limit := 0
	cmd := &cobra.Command{
		Use: "items ID", Short: "How each host does", Args: want(1, 1, "the id of a job"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Job = args[0]
			all := &managerpb.ListJobItemsReply{}
			err := pages(limit, func(size int, token string) (int, string, error) {
				req.PageSize, req.PageToken = uint32(size), token
				r, err := ask(cmd.Context(), a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.ListJobItemsReply, error) {
					return c.ListJobItems(ctx, req)
				})
				all.Items = append(all.Items, r.GetItems()...)
				return len(all.Items), r.GetNextPageToken(), err
			})
			if err != nil {
				return err
			}
			return a.print(all, func(t table) {
				t.row("HOST", "TASK", "STATE", "TRIES", "BYTES", "UPDATED", "ERROR")
				for _, i := range all.Items {
					t.row(i.Hostname, shortID(i.TaskId), i.State, number(i.Attempts), bytesOf(i.Done)+" of "+bytesOf(i.Total), ago(i.Updated), i.Error)
				}
			})
		},
	}
	cmd.Flags().StringVar(&req.State, "state", "", "waiting, running, succeeded, failed or canceled")
	limitFlag(cmd, &limit)
	return cmd
}

func newJobSteerCommand(a *app, use, short string, steer func(ctx context.Context, c managerpb.AdminClient, id string) (*managerpb.Job, error)) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: want(1, 1, "the id of a job"),
		RunE: func(cmd *cobra.Command, args []string) error {
			j, err := ask(cmd.Context(), a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.Job, error) {
				return steer(ctx, c, args[0])
			})
			if err != nil {
				return err
			}
			return a.printJob(j)
		},
	}
}

func newJobWaitCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "wait ID", Short: "Wait for the end of a job; its failure is dfctl's", Args: want(1, 1, "the id of a job"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.wait(cmd.Context(), args[0]) },
	}
}

// waitEvery is how often a job is looked at.
const waitEvery = 500 * time.Millisecond

// wait waits for the end of a job and prints it. A manager that can't be
// reached just now is asked again: the job goes on without it.
func (a *app) wait(ctx context.Context, id string) error {
	tick := time.NewTicker(waitEvery)
	defer tick.Stop()
	for {
		j, err := a.job(ctx, id)
		switch {
		case err != nil && pieces.KindOf(err) != pieces.Unavailable:
			return err
		case err == nil && j.Finished != nil:
			if err := a.printJob(j); err != nil {
				return err
			}
			if j.State != "succeeded" {
				return pieces.Errorf(pieces.Internal, "job %s %s: %s", j.Id, j.State, j.Error)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
