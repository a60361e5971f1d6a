// Labctl brings up a laboratory by hand (scripts/lab): what the end-to-end
// tests use, to look at and to play with.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"damselfly/cmd/internal/boot"
	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
)

func main() { boot.Main(newCommand()) }

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "lab",
		Short: "A laboratory of hosts in network namespaces (needs root)",
	}
	o := upOptions{}
	up := &cobra.Command{
		Use:     "up",
		Short:   "Bring up origin, manager, schedulers, seed and hosts until Ctrl-C",
		Example: "  scripts/lab up --hosts 4 --rate 100\n  scripts/lab up --bare --hosts 2",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runUp(cmd.Context(), o, cmd.OutOrStdout()) },
	}
	up.Flags().IntVar(&o.hosts, "hosts", 3, "hosts with a daemon and a mount")
	up.Flags().IntVar(&o.schedulers, "schedulers", 1, "schedulers")
	up.Flags().Int64Var(&o.mbit, "rate", 0, "Mbit/s of each link, both ways; 0 = unshaped")
	up.Flags().Int64Var(&o.mib, "size", 256, "MiB of the file on the origin")
	up.Flags().BoolVar(&o.bare, "bare", false, "hosts and origin only, without our programs")
	up.Flags().BoolVar(&o.keep, "keep", false, "keep the directory with all logs at the end")
	clean := &cobra.Command{
		Use:   "clean",
		Short: "Remove what labs that died left behind",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return lab.CleanStale(cmd.Context(), "") },
	}
	root.AddCommand(up, clean)
	return root
}

type upOptions struct {
	hosts, schedulers int
	mbit, mib         int64
	bare, keep        bool
}

func runUp(ctx context.Context, o upOptions, out io.Writer) (err error) {
	bin, err := buildPrograms(ctx, o)
	if err != nil {
		return err
	}
	defer os.RemoveAll(bin)
	l, err := lab.New(ctx, lab.Options{Bin: bin, Keep: o.keep})
	if err != nil {
		return err
	}
	defer func() {
		if cerr := l.Close(); err == nil {
			err = cerr
		}
	}()
	origin, err := l.StartOrigin(ctx)
	if err != nil {
		return err
	}
	f := content.New(1, "lab.bin", o.mib<<20)
	url, err := origin.Add(f)
	if err != nil {
		return err
	}
	if err := populate(ctx, l, o); err != nil {
		return err
	}
	describe(l, out)
	fmt.Fprintf(out, "\n%s  (%d MiB, sha256 %s)\nlogs in %s; Ctrl-C ends all.\n", url, o.mib, f.SHA256(), filepath.Join(l.Dir, "logs"))
	<-ctx.Done()
	return nil
}

// buildPrograms compiles our programs into a fresh directory.
func buildPrograms(ctx context.Context, o upOptions) (string, error) {
	dir, err := os.MkdirTemp("", "damselfly-bin-")
	if err != nil || o.bare {
		return dir, err
	}
	args := []string{"build", "-o", dir + "/"}
	for _, p := range []string{"dfmanager", "dfscheduler", "dfdaemon", "dfmount", "dfget"} {
		args = append(args, "damselfly/cmd/"+p)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stderr = os.Stderr
	return dir, cmd.Run()
}

func populate(ctx context.Context, l *lab.Lab, o upOptions) error {
	rate := lab.Rate(o.mbit) * lab.Mbit
	if !o.bare {
		_, err := l.StartCluster(ctx, lab.ClusterOptions{Schedulers: o.schedulers, Hosts: o.hosts, Rate: rate})
		return err
	}
	for i := range o.hosts {
		h, err := l.AddHost(ctx, fmt.Sprintf("h%d", i+1))
		if err != nil {
			return err
		}
		if err := h.Shape(ctx, rate, rate); err != nil {
			return err
		}
	}
	return nil
}

func describe(l *lab.Lab, out io.Writer) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "HOST\tADDRESS\tENTER WITH\tMOUNT\tSOCKET")
	for _, h := range l.Hosts() {
		mount, socket := filepath.Join(h.Dir, "mnt"), filepath.Join(h.Dir, "df.sock")
		if !lab.Mounted(mount) {
			mount = "-"
		}
		if _, err := os.Stat(socket); err != nil {
			socket = "-"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", h.Name, h.IP, h.Enter(), mount, socket)
	}
	_ = table.Flush() // a terminal that went away is no matter
}
