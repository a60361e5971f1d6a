package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"damselfly/cmd/internal/boot"
	"damselfly/cmd/internal/boot/client"
	"damselfly/daemon/control"
	"damselfly/daemon/readahead"
	"damselfly/pieces"
)

const refWords = "a URL, task id, name or path in a mount"

func newAddCommand(a *app) *cobra.Command {
	var flags client.TaskFlags
	name, fill := "", ""
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
			return runAdd(cmd.Context(), a, args[0], o, name, fill)
		},
	}
	flags.Bind(cmd.Flags())
	cmd.Flags().StringVar(&name, "name", "", "also show it as by-name/NAME")
	cmd.Flags().StringVar(&fill, "fill", "", "when it is fetched whole behind who reads it: auto (when it is evidently wanted whole), always or never")
	return cmd
}

func runAdd(ctx context.Context, a *app, url string, o pieces.Options, name, fill string) error {
	if err := client.CheckURL(url, o); err != nil {
		return err
	}
	if name != "" {
		if err := pieces.CheckName(name); err != nil {
			return err
		}
	}
	if _, ok := readahead.ParseFill(fill); !ok && fill != "" {
		return pieces.Errorf(pieces.Invalid, "--fill %.40q: want auto, always or never", fill)
	}
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	id, paths, err := c.AddFilled(ctx, url, o, name, fill)
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
		Short:   "List what was added or is held here, and the manager's names",
		Long: `List what was added or is held here: how large it is, how much of it is cached,
what it is doing, how long ago it was added, where its bytes came from since the
daemon started, its names and its URL. Names that only the manager knows come
last, in state remote: they are files of by-name/ too, and become known here
when they are first used.`,
		Args: want(0, 0, "no arguments; 'dfmount stat' shows one task"),
		RunE: func(cmd *cobra.Command, _ []string) error { return runLs(cmd.Context(), a) },
	}
}

func runLs(ctx context.Context, a *app) error {
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	tasks, missing, err := c.ListAll(ctx)
	if err != nil {
		return err
	}
	if missing != "" {
		a.note("names that only the manager knows are not listed: " + missing)
	}
	if a.json {
		return a.printJSON(tasks)
	}
	return printTasks(a.out, tasks, time.Now())
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

// completeRef offers names and ids to the shell for the first argument.
func (a *app) completeRef(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeRefs(cmd, args, word)
}

// completeRefs offers names and ids to the shell, of a daemon that runs.
func (a *app) completeRefs(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
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

func newRenameCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "rename OLD NEW",
		Short: "Give a file of by-name/ another name",
		Long: `Give a file of by-name/ another name, here and at the manager: hosts that know it from
there know it by the new name alone. Only who added a file renames it; a name that
another file has, here or at the manager, is refused.`,
		Example: "  dfmount rename model model-v1",
		Args:    want(2, 2, "two names: dfmount rename OLD NEW"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.rename(cmd.Context(), args[0], args[1])
		},
		ValidArgsFunction: a.completeRef,
	}
}

func (a *app) rename(ctx context.Context, from, to string) error {
	if err := pieces.CheckName(to); err != nil {
		return err
	}
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	paths, elsewhere, err := c.Rename(ctx, from, to)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(map[string]any{"paths": append([]string{}, paths...), "old_name_at_manager": elsewhere})
	}
	for _, p := range paths {
		fmt.Fprintln(a.out, p)
	}
	if elsewhere {
		a.note(fmt.Sprintf("the manager is of an older release and still knows it as %s too; 'dfctl task unname %s' ends that", from, from))
	}
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
