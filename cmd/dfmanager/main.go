// Command dfmanager is the manager of a cluster: registry of schedulers and
// seed peers, dynamic config, catalogue of URLs.
package main

import "damselfly/cmd/internal/boot"

func main() { boot.Main(newCommand()) }
