package main

import (
	"os"

	"damselfly/pieces/store"
)

// probeWord is the first argument of a dfdaemon that only opens a database, in
// place of one that may not die of it. It is for our own use, so it is no
// sub-command that people are told of.
const probeWord = "probe-store"

// storeOptions are how this program opens its store: tried by a child first. The
// binary on disk may have been replaced since this process began.
func storeOptions() store.Options {
	return store.Options{Probe: store.ProbeBy("/proc/self/exe", probeWord)}
}

// probeStore is the child's whole life. ok is false in any other process.
func probeStore(args []string) (code int, ok bool) {
	if len(args) != 2 || args[0] != probeWord {
		return 0, false
	}
	return store.RunProbe(args[1], os.Stdin, os.Stderr), true
}
