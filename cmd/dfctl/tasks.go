package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

func newTaskCommand(a *app) *cobra.Command {
	return group("task", "The catalogue of tasks",
		newTaskLsCommand(a), newTaskShowCommand(a), newTaskAddCommand(a), newTaskExpireCommand(a), newTaskRmCommand(a), newUnnameCommand(a))
}

func newTaskLsCommand(a *app) *cobra.Command {
	req := &managerpb.ListTasksRequest{}
	limit := 0
	cmd := &cobra.Command{
		Use: "ls [TEXT]", Short: "List tasks, newest first: those with TEXT in URL, tag, application, id or name", Args: want(0, 1, "a text to search for"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Search = strings.Join(args, "")
			all := &managerpb.ListTasksReply{}
			err := pages(limit, func(size int, token string) (int, string, error) {
				req.PageSize, req.PageToken = uint32(size), token
				r, err := ask(cmd.Context(), a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.ListTasksReply, error) {
					return c.ListTasks(ctx, req)
				})
				all.Tasks = append(all.Tasks, r.GetTasks()...)
				return len(all.Tasks), r.GetNextPageToken(), err
			})
			if err != nil {
				return err
			}
			return a.print(all, func(t table) {
				t.row("TASK", "SIZE", "ADDED", "EXPIRES", "TAG", "NAMES", "URL")
				for _, e := range all.Tasks {
					t.row(shortID(e.Id), sizeOf(e), ago(e.Added), ago(e.Expires), e.Tag, names(e), e.Url)
				}
			})
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&req.Tag, "tag", "", "with this tag")
	fs.StringVar(&req.Cluster, "cluster", "", "with a name in this cluster")
	limitFlag(cmd, &limit)
	return cmd
}

func sizeOf(e *managerpb.TaskEntry) string {
	if e.Known == nil {
		return ""
	}
	return bytesOf(e.Known.Size)
}

// names are those of the default cluster as they are, others as cluster/name.
func names(e *managerpb.TaskEntry) string {
	var out []string
	for _, n := range e.Names {
		if n.Cluster == "default" {
			out = append(out, n.Name)
		} else {
			out = append(out, n.Cluster+"/"+n.Name)
		}
	}
	return strings.Join(out, ",")
}

func (a *app) printTask(e *managerpb.TaskEntry) error {
	return a.print(e, func(t table) {
		t.row("task", e.Id)
		t.row("url", e.Url)
		t.row("names", names(e))
		t.row("tag", e.Tag)
		t.row("application", e.Application)
		t.row("digest", e.Digest)
		t.row("added", ago(e.Added))
		t.row("expires", ago(e.Expires))
		if k := e.Known; k != nil {
			t.row("version", k.Version+", seen "+ago(k.Seen))
			t.row("size", bytesOf(k.Size))
			t.row("access order", number(len(k.AccessOrder)/2)+" extents")
		}
		t.row("etag", e.Etag)
	})
}

func newTaskShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one task", Args: want(1, 1, "the id of a task"),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := ask(cmd.Context(), a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.TaskEntry, error) {
				return c.GetTask(ctx, &managerpb.GetTaskRequest{Id: args[0]})
			})
			if err != nil {
				return err
			}
			return a.printTask(e)
		},
	}
}

func newTaskAddCommand(a *app) *cobra.Command {
	req := &managerpb.AddTaskRequest{}
	var expires time.Duration
	cmd := &cobra.Command{
		Use: "add URL", Short: "Add a public URL", Args: want(1, 1, "one URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Url = args[0]
			if expires > 0 {
				req.Expires = timestamppb.New(time.Now().Add(expires))
			}
			e, err := ask(cmd.Context(), a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.TaskEntry, error) {
				return c.AddTask(ctx, req)
			})
			if err != nil {
				return err
			}
			return a.printTask(e)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&req.Name, "name", "", "name under by-name/")
	fs.StringVar(&req.Cluster, "cluster", "", "cluster of the name")
	fs.StringVar(&req.Tag, "tag", "", "tag; another tag makes another task")
	fs.StringVar(&req.Application, "application", "", "application; another one makes another task")
	fs.StringVar(&req.Digest, "digest", "", "ALG:HEX of the content: sha256, sha512, blake3")
	fs.StringSliceVar(&req.FilterQuery, "filter-query", nil, "query parameters that hosts add and that don't change the content")
	fs.DurationVar(&expires, "expires", 0, "take it off the catalogue after this long (0 = never)")
	return cmd
}

func newTaskExpireCommand(a *app) *cobra.Command {
	req := &managerpb.UpdateTaskRequest{}
	cmd := &cobra.Command{
		Use: "expire ID AFTER", Short: "Take a task off the catalogue after a time such as 72h ('never' = keep it)",
		Args: want(2, 2, "the id of a task and a time such as 72h"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Id = args[0]
			if args[1] != "never" {
				d, err := time.ParseDuration(args[1])
				if err != nil || d <= 0 {
					return pieces.Errorf(pieces.Invalid, "%.40q: want a time such as 72h, or never", args[1])
				}
				req.Expires = timestamppb.New(time.Now().Add(d))
			}
			e, err := ask(cmd.Context(), a, func(ctx context.Context, c managerpb.AdminClient) (*managerpb.TaskEntry, error) {
				return c.UpdateTask(ctx, req)
			})
			if err != nil {
				return err
			}
			return a.printTask(e)
		},
	}
	etagFlag(cmd, &req.Etag)
	return cmd
}

func newTaskRmCommand(a *app) *cobra.Command {
	req := &managerpb.DeleteTaskRequest{}
	cmd := &cobra.Command{
		Use: "rm ID", Short: "Take a task and its names off the catalogue; see also: dfctl delete", Args: want(1, 1, "the id of a task"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Id = args[0]
			return a.call(cmd.Context(), func(ctx context.Context, c managerpb.AdminClient) error {
				_, err := c.DeleteTask(ctx, req)
				return err
			})
		},
	}
	etagFlag(cmd, &req.Etag)
	return cmd
}

func newUnnameCommand(a *app) *cobra.Command {
	cluster := ""
	cmd := &cobra.Command{
		Use: "unname NAME", Short: "Take a name off; its task stays", Args: want(1, 1, "a name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd.Context(), func(ctx context.Context, c managerpb.AdminClient) error {
				_, err := c.DeleteName(ctx, &managerpb.DeleteNameRequest{Cluster: cluster, Name: args[0]})
				return err
			})
		},
	}
	cmd.Flags().StringVar(&cluster, "cluster", "default", "cluster of the name")
	return cmd
}
