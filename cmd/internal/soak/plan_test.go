package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPlanIsAFunctionOfSeedAndRound(t *testing.T) {
	require.Equal(t, plan(7, 3), plan(7, 3))
	require.NotEqual(t, plan(7, 3), plan(8, 3))
	require.NotEqual(t, plan(7, 3).Faults, plan(7, 4).Faults)
}

// Every part is killed, stopped, restarted and cut off sooner or later, every
// other kind comes too, and no part has two faults at once.
func TestPlansReachEverything(t *testing.T) {
	seen := map[Kind]map[string]bool{}
	for n := range 2000 {
		r := plan(1, n)
		require.NotEmpty(t, r.Faults)
		hit := map[string]bool{}
		for _, f := range r.Faults {
			if seen[f.Kind] == nil {
				seen[f.Kind] = map[string]bool{}
			}
			seen[f.Kind][f.Target] = true
			if f.Kind == Deploy {
				continue
			}
			for _, p := range []string{f.Target, f.Other} {
				require.False(t, p != "" && hit[p], "%v", r)
				hit[p] = true
			}
			require.LessOrEqual(t, f.At+f.For, r.Length())
		}
	}
	for _, k := range []Kind{Kill, Pause, Restart, Cut} {
		for _, p := range parts {
			require.True(t, seen[k][p], "%s %s", k, p)
		}
	}
	for _, k := range []Kind{Part, Slow, Evict, Deploy} {
		require.NotEmpty(t, seen[k], "%s", k)
	}
}
