package content

import (
	"fmt"
	"sync"
)

// Versions is a file with all the versions that its origin had. No two of them
// have the same size, so an open descriptor tells by its size which one it
// shows. Safe for concurrent use.
type Versions struct {
	Name string
	seed uint64
	base int64

	mu   sync.Mutex
	list []File
}

// NewVersions returns a file without any version yet; the first will have base
// bytes.
func NewVersions(seed uint64, name string, base int64) *Versions {
	return &Versions{Name: name, seed: seed, base: base}
}

// Next makes one more version.
func (v *Versions) Next() File {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := len(v.list)
	f := New(v.seed+uint64(n), v.Name, v.base+int64(n)*4099)
	v.list = append(v.list, f)
	return f
}

// OfSize returns the version of that size.
func (v *Versions) OfSize(size int64) (File, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, f := range v.list {
		if f.Size == size {
			return f, nil
		}
	}
	return File{}, fmt.Errorf("%s has %d bytes, as none of its %d versions had", v.Name, size, len(v.list))
}

// Last returns the newest version; there must be one.
func (v *Versions) Last() File {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.list[len(v.list)-1]
}
