//go:build !race

package cluster

// slowed is 1 but under the race detector.
const slowed = 1
