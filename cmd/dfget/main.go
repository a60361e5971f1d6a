// Dfget downloads one URL to a file, through the daemon of this host if there
// is one or one can be started, else from the origin itself.
package main

import "damselfly/cmd/internal/boot"

func main() { boot.Main(newCommand()) }
