// Command dfbench measures: whole swarms in virtual time, a scheduler under the
// load of thousands of hosts, real programs on shaped links, and the mount.
package main

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"damselfly/cmd/internal/boot"
)

func main() { boot.Main(newCommand()) }

func newCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dfbench",
		Short: "Simulate swarms, and measure the parts of a Damselfly cluster",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(
		newSwarmCommand(),
		newSchedulerCommand(),
		newLabCommand(),
		newMountCommand(),
	)
	return cmd
}

// programs is the folder of the programs that are measured: bin, or the one of
// this program.
func programs(bin string) (string, error) {
	if bin != "" {
		return bin, nil
	}
	self, err := os.Executable()
	return filepath.Dir(self), err
}
