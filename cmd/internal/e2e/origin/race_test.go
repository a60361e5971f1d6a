//go:build race

package origin_test

// patience: the race detector makes everything slower.
const patience = 3
