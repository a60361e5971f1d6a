//go:build race

package cluster

// slowed: the race detector makes everything slower.
const slowed = 2
