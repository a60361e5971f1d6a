// Package missing lets tests say what this machine lacks for them, so that a
// skipped test never hides a failure where everything must be there.
package missing

import (
	"os"
	"testing"
)

// Needed is the name of an environment variable that make sets once
// scripts/deps.sh has installed what tests need.
const Needed = "DAMSELFLY_DEPS"

// Skip skips t because of what this machine lacks, and fails it where Needed is
// set. What only root may do is no lack of the machine: skip such tests plainly.
func Skip(t testing.TB, what ...any) {
	t.Helper()
	if os.Getenv(Needed) != "" {
		t.Fatal(what...)
	}
	t.Skip(what...)
}
