// Command dfbench measures what no small test bed can hold: whole swarms in
// virtual time, and a scheduler under the load of thousands of hosts.
package main

import (
	"github.com/spf13/cobra"

	"damselfly/cmd/internal/boot"
)

func main() { boot.Main(newCommand()) }

func newCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dfbench",
		Short: "Simulate swarms and load the parts of a Damselfly cluster",
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
