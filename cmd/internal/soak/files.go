package main

import "damselfly/cmd/internal/e2e/content"

// file is one URL with all the versions its origin had.
type file struct {
	*content.Versions
	url string
	// id is its name in every mount.
	id string
}

// sizes of the files of a round: inline in the database, one piece, one and a bit,
// many pieces.
var sizes = map[string]int64{"inline": 3 << 10, "piece": 200 << 10, "small": 300 << 10, "middle": 9<<20 + 77, "large": 40<<20 + 4097}
