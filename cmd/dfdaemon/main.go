// Dfdaemon is the daemon of one host: piece cache, FUSE mounts, upload server,
// and, with --all-in-one, a whole cluster of one.
package main

import (
	"os"

	"damselfly/cmd/internal/boot"
)

func main() {
	if code, ok := probeStore(os.Args[1:]); ok {
		os.Exit(code)
	}
	boot.Main(newCommand())
}
