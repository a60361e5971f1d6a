package main

import "github.com/spf13/cobra"

// newSwarmCommand simulates one file reaching many hosts.
func newSwarmCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "swarm",
		Short: "Simulate one file reaching many hosts, in virtual time",
		Args:  cobra.NoArgs,
	}
}
