package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"damselfly/cmd/internal/boot"
	"damselfly/cmd/internal/boot/client"
	"damselfly/cmd/internal/boot/console"
	"damselfly/daemon/control"
	"damselfly/pieces"
)

const refWords = "a URL, task id, name or path in a mount"

func newAddCommand(a *app) *cobra.Command {
	var flags client.TaskFlags
	name := ""
	cmd := &cobra.Command{
		Use:   "add URL",
		Short: "Add a URL and print its path in the mount",
		Example: `  dfmount add https://example.org/model.bin
  dfmount add https://example.org/model.bin --name model
  dfmount add https://example.org/private -H 'Authorization: Bearer …'
  dfmount add 'https://bucket.example.org/x?sig=abc' --filter-query sig`,
		Args: want(1, 1, "one URL: dfmount add URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := flags.Options()
			if err != nil {
				return err
			}
			return runAdd(cmd.Context(), a, args[0], o, name)
		},
	}
	flags.Bind(cmd.Flags())
	cmd.Flags().StringVar(&name, "name", "", "also show it as by-name/NAME")
	return cmd
}

func runAdd(ctx context.Context, a *app, url string, o pieces.Options, name string) error {
	if err := client.CheckURL(url, o); err != nil {
		return err
	}
	if name != "" {
		if err := pieces.CheckName(name); err != nil {
			return err
		}
	}
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	id, paths, err := c.Add(ctx, url, o, name)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(struct {
			ID    pieces.TaskID `json:"id"`
			Paths []string      `json:"paths"`
		}{id, append([]string{}, paths...)})
	}
	for _, p := range paths {
		fmt.Fprintln(a.out, p)
	}
	if len(paths) == 0 {
		fmt.Fprintln(a.out, id)
		a.note("nothing is mounted yet: 'dfmount MOUNTPOINT' shows the file as MOUNTPOINT/" + id.Short() + "…")
	}
	return nil
}

func newLsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List what was added or is held here",
		Args:    want(0, 0, "no arguments; 'dfmount stat' shows one task"),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runLs(cmd.Context(), a) },
	}
}

func runLs(ctx context.Context, a *app) error {
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	tasks, err := c.List(ctx)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(tasks)
	}
	return printTasks(a.out, tasks)
}

// refCommand makes a command whose one argument names a Task. do gets the
// client, once it is connected.
func refCommand(a *app, use, short, example string, do func(ctx context.Context, c *control.Client, ref control.Ref) error) *cobra.Command {
	var flags client.TaskFlags
	cmd := &cobra.Command{
		Use: use + " TASK", Short: short, Example: example,
		Args: want(1, 1, refWords+": dfmount "+use+" TASK"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := flags.Options()
			if err != nil {
				return err
			}
			ref, err := parseRef(args[0], o)
			if err != nil {
				return err
			}
			c, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			return do(cmd.Context(), c, ref)
		},
		ValidArgsFunction: a.completeRef,
	}
	cmd.Long = short + ".\n\nTASK is " + refWords + ". For a URL, give the same options as to 'dfmount add'."
	flags.Bind(cmd.Flags())
	return cmd
}

// parseRef refuses a bad URL before a daemon is started.
func parseRef(text string, o pieces.Options) (control.Ref, error) {
	ref, err := control.ParseRef(text, o)
	if err == nil && ref.IsURL() {
		err = client.CheckURL(text, o)
	}
	return ref, err
}

// completeRef offers names and ids to the shell, of a daemon that runs.
func (a *app) completeRef(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	c, err := a.find(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	defer c.Close()
	tasks, err := c.List(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var words []string
	for _, t := range tasks {
		words = append(append(words, t.Names...), string(t.ID)+"\t"+t.URL)
	}
	return words, cobra.ShellCompDirectiveDefault
}

func newStatCommand(a *app) *cobra.Command {
	return refCommand(a, "stat", "Show one task", "  dfmount stat model\n  dfmount stat /mnt/df/by-name/model --json",
		func(ctx context.Context, c *control.Client, ref control.Ref) error {
			t, err := c.Stat(ctx, ref)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(t)
			}
			return printTask(a.out, t)
		})
}

func newWarmCommand(a *app) *cobra.Command {
	ranges := ""
	cmd := refCommand(a, "warm", "Fetch a task into this host's cache", "  dfmount warm model\n  dfmount warm https://example.org/model.bin --range 0-1048575",
		func(ctx context.Context, c *control.Client, ref control.Ref) error {
			r := control.Whole
			if ranges != "" {
				var err error
				if r, err = client.ParseRange(ranges); err != nil {
					return err
				}
			}
			return a.warm(ctx, c, ref, r)
		})
	cmd.Flags().StringVar(&ranges, "range", "", "only these bytes, FIRST-LAST, both inclusive")
	return cmd
}

func (a *app) warm(ctx context.Context, c *control.Client, ref control.Ref, r control.Range) error {
	show := console.New(a.err, "dfmount", a.json)
	began := time.Now()
	last, err := c.Warm(ctx, ref, r, show.Progress)
	show.Stop()
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(last)
	}
	show.Summary(ref.Text, last.Done, time.Since(began), last.Traffic)
	return nil
}

func newEvictCommand(a *app) *cobra.Command {
	return refCommand(a, "evict", "Drop a task's cached bytes; it stays in the mount", "  dfmount evict model",
		func(ctx context.Context, c *control.Client, ref control.Ref) error {
			freed, err := c.Evict(ctx, ref)
			return a.freed(freed, err)
		})
}

func newRmCommand(a *app) *cobra.Command {
	return refCommand(a, "rm", "Drop a task's cached bytes and its catalogue entry", "  dfmount rm model",
		func(ctx context.Context, c *control.Client, ref control.Ref) error {
			freed, err := c.Remove(ctx, ref)
			return a.freed(freed, err)
		})
}

func (a *app) freed(bytes int64, err error) error {
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(map[string]int64{"freed": bytes})
	}
	fmt.Fprintf(a.out, "%s freed\n", boot.FormatBytes(bytes))
	return nil
}
