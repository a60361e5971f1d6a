//go:build !race

package origin_test

const patience = 1
