package store

import (
	"runtime/debug"

	"damselfly/pieces"
)

// guarded runs fn, which reads the database. Damaged blocks make Badger panic,
// and bad sectors or a file that was cut make a read of its maps fault; both
// become an Integrity error. What happens in goroutines of Badger's own is
// beyond its reach.
func guarded(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = pieces.Errorf(pieces.Integrity, "damaged database: %v", p)
		}
	}()
	return fn()
}
