// Command dfctl does what people and scripts do at the manager: clusters and
// their config, hosts, the catalogue, jobs.
package main

import "damselfly/cmd/internal/boot"

func main() { boot.Main(newCommand()) }
