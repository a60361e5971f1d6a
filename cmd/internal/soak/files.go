package main

import (
	"fmt"
	"sync"

	"damselfly/cmd/internal/e2e/content"
)

// file is one URL with all the versions its origin had. No two of them have
// the same size, so an open descriptor tells by its size which one it shows.
type file struct {
	name, url string
	// id is its name in every mount.
	id   string
	base int64

	mu       sync.Mutex
	versions []content.File
}

// next makes one more version; the first is number 0.
func (f *file) next(seed uint64) content.File {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.versions)
	v := content.New(seed+uint64(n), f.name, f.base+int64(n)*4099)
	f.versions = append(f.versions, v)
	return v
}

// ofSize returns the version of that size.
func (f *file) ofSize(size int64) (content.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, v := range f.versions {
		if v.Size == size {
			return v, nil
		}
	}
	return content.File{}, fmt.Errorf("%s has %d bytes, as none of its %d versions had", f.name, size, len(f.versions))
}

// sizes of the files of a round: inline in the database, one piece and a bit,
// many pieces.
var sizes = map[string]int64{"tiny": 3 << 10, "inline": 200 << 10, "small": 300 << 10, "middle": 9<<20 + 77, "large": 40<<20 + 4097}
