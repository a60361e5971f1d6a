// Dfmount is what a person or fstab uses: it mounts, adds URLs, lists, warms,
// evicts and diagnoses, by way of this host's daemon, which it starts if need
// be.
package main

import (
	"os"

	"damselfly/cmd/internal/boot"
)

func main() { boot.MainArgs(newCommand(), arguments(os.Args)) }
