// Dfdaemon is the daemon of one host: piece cache, FUSE mounts, upload server,
// and, with --all-in-one, a whole cluster of one.
package main

import "damselfly/cmd/internal/boot"

func main() { boot.Main(newCommand()) }
