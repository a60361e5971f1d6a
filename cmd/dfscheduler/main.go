// Command dfscheduler is a scheduler: it keeps the swarm of every Task that
// hashes to it, and tells hosts from whom to fetch.
package main

import "damselfly/cmd/internal/boot"

func main() { boot.Main(newCommand()) }
