package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"damselfly/cmd/internal/boot"
	"damselfly/cmd/internal/boot/client"
	"damselfly/daemon/control"
	"damselfly/pieces"
)

func newOrderCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "order",
		Short: "Show, export or import the order in which a file is read",
		Long: `The access order says in which order earlier readers first touched the parts of
a file. Who reads it later on another host is led along it: what comes next is
fetched ahead while the link is idle. It is recorded by itself; exported and
imported it goes where no reader has been yet, such as another cluster.

In the file each line is an extent, OFFSET LENGTH in bytes; '#' begins a
comment.`,
		Example: `  dfmount order show model
  dfmount order export model > model.order
  dfmount order import model model.order
  dfmount warm model --order`,
	}
	cmd.Args = want(1, 0, "show, export or import")
	cmd.RunE = func(*cobra.Command, []string) error { return nil }
	show := refCommand(a, "show", "Show the access order of a task", "  dfmount order show model",
		func(ctx context.Context, c *control.Client, ref control.Ref) error { return a.showOrder(ctx, c, ref) })
	export := refCommand(a, "export", "Write the access order of a task to standard output", "  dfmount order export model > model.order",
		func(ctx context.Context, c *control.Client, ref control.Ref) error {
			o, err := knownOrder(ctx, c, ref)
			if err != nil {
				return err
			}
			return writeOrder(a.out, o)
		})
	cmd.AddCommand(show, export, newOrderImportCommand(a))
	return cmd
}

// knownOrder asks for an order that is not empty.
func knownOrder(ctx context.Context, c *control.Client, ref control.Ref) (control.Order, error) {
	o, err := c.Order(ctx, ref)
	if err == nil && len(o.Ranges) == 0 {
		err = pieces.Errorf(pieces.NotFound, "no access order of %s is known yet: it is recorded as programs read the file", ref.Text)
	}
	return o, err
}

func (a *app) showOrder(ctx context.Context, c *control.Client, ref control.Ref) error {
	o, err := knownOrder(ctx, c, ref)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(o)
	}
	var sum int64
	for _, r := range o.Ranges {
		sum += r.N
	}
	fmt.Fprintf(a.out, "%d extents, %s of %s (%s)\n", len(o.Ranges), boot.FormatBytes(sum), boot.FormatBytes(o.Size), percent(sum, o.Size))
	t := newTable(a.out)
	t.row("OFFSET", "LENGTH")
	for _, r := range o.Ranges {
		t.row(fmt.Sprint(r.Off), boot.FormatBytes(r.N))
	}
	return t.flush()
}

func newOrderImportCommand(a *app) *cobra.Command {
	var flags client.TaskFlags
	cmd := &cobra.Command{
		Use:   "import TASK FILE",
		Short: "Make an access order known, here and to the swarm",
		Long: `Make an access order known, here and to the swarm, as if readers had touched the
file so. FILE is what 'dfmount order export' wrote, or - for standard input. If it
has a line '# version …', that must be the file's current one.`,
		Example: "  dfmount order import model model.order",
		Args:    want(2, 2, refWords+", and a file or -: dfmount order import TASK FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := flags.Options()
			if err != nil {
				return err
			}
			ref, err := parseRef(args[0], o)
			if err != nil {
				return err
			}
			return a.importOrder(cmd.Context(), ref, args[1], cmd.InOrStdin())
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return a.completeRefs(cmd, args, word)
			}
			return nil, cobra.ShellCompDirectiveDefault
		},
	}
	flags.Bind(cmd.Flags())
	return cmd
}

func (a *app) importOrder(ctx context.Context, ref control.Ref, file string, stdin io.Reader) error {
	in, name := stdin, "standard input"
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return pieces.Errorf(pieces.Invalid, "access order: %w", err)
		}
		defer f.Close()
		in, name = f, file
	}
	o, err := readOrder(in, name)
	if err != nil {
		return err
	}
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	kept, err := c.PutOrder(ctx, ref, o.Version, o.Ranges)
	if err != nil {
		return pieces.WithKind(pieces.KindOf(err), err, name)
	}
	if a.json {
		return a.printJSON(map[string]int{"kept": kept})
	}
	a.note(fmt.Sprintf("%d extents are known now", kept))
	return nil
}
