package readahead

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

// shuffled is an order of n pieces of a file of n × 10, no two adjoining.
func shuffled(n int) (order []pieces.Extent) {
	for _, i := range rand.New(rand.NewPCG(3, 3)).Perm(n) {
		order = append(order, pieces.Extent{First: 10 * i, End: 10*i + 1})
	}
	return order
}

// follow reads pieces one after the other with time enough for all that is wanted
// ahead to come, and counts what was brought and what had to be waited for.
func follow(f *Follower, reads []int) (brought, waited int) {
	held := pieces.Set{}
	for _, i := range reads {
		if held.Add(i) {
			waited++
		}
		f.Touch(i)
		for e := range f.Ahead {
			brought += held.AddExtent(e)
		}
	}
	return brought, waited
}

func first(order []pieces.Extent) (out []int) {
	for _, e := range order {
		out = append(out, e.First)
	}
	return out
}

func TestAReaderInTheOrderWaitsThreeTimes(t *testing.T) {
	order := shuffled(1000)
	brought, waited := follow(NewFollower(order, 1000), first(order))
	require.Equal(t, 3, waited)
	require.Equal(t, 997, brought)
}

func TestAFifthOfTheReadsDiffer(t *testing.T) {
	order := shuffled(1000)
	r := rand.New(rand.NewPCG(5, 5))
	reads := first(order)
	for k := range reads {
		if k%5 == 4 {
			reads[k] = 10*r.IntN(1000) + 1 + r.IntN(9)
		}
	}
	brought, waited := follow(NewFollower(order, 1000), reads)
	t.Logf("brought %d, waited %d", brought, waited)
	require.LessOrEqual(t, brought+waited, 1200, "1.2 × the working set")
	require.LessOrEqual(t, waited, 300, "the fifth that differs, and little more")
}

func TestAReaderWhoLeavesTheOrderIsLeftAlone(t *testing.T) {
	order := shuffled(1000)
	f := NewFollower(order, 1000)
	reads := first(order)[:20]
	follow(f, reads)
	before := slices.Collect(f.Ahead)
	require.NotEmpty(t, before)
	for i := range 12 {
		f.Touch(10*i + 5)
	}
	require.Empty(t, slices.Collect(f.Ahead))
}

// Who reads at random gets nothing, though every piece is in the order since
// somebody has read the file from start to end.
func TestRandomReadersOfAnOrderThatHasEverything(t *testing.T) {
	f := NewFollower([]pieces.Extent{{First: 0, End: 16384}}, 1024)
	r := rand.New(rand.NewPCG(1, 2))
	var reads []int
	for range 200 {
		reads = append(reads, r.IntN(16384))
	}
	brought, _ := follow(f, reads)
	require.LessOrEqual(t, brought, 20)
}

// Who reads a file in order, as it was read before, has a window for that; where
// the order jumps, the place after it is fetched ahead.
func TestLongRunsAreLeftToTheWindow(t *testing.T) {
	f := NewFollower([]pieces.Extent{{First: 0, End: 1000}, {First: 5000, End: 5010}}, 1000)
	for i := range 490 {
		f.Touch(i)
		require.Empty(t, slices.Collect(f.Ahead), i)
	}
	for i := 490; i < 700; i++ {
		f.Touch(i)
	}
	require.Equal(t, []pieces.Extent{{First: 5000, End: 5010}}, slices.Collect(f.Ahead))
	for i := 700; i < 990; i++ {
		f.Touch(i)
	}
	require.Equal(t, []pieces.Extent{{First: 990, End: 1000}, {First: 5000, End: 5010}}, slices.Collect(f.Ahead))
}

func TestReadersAtDifferentPlacesOfTheOrder(t *testing.T) {
	order := shuffled(1000)
	all := first(order)
	var reads []int
	for i := range 250 {
		reads = append(reads, all[i], all[500+i], all[750+i])
	}
	_, waited := follow(NewFollower(order, 1000), reads)
	require.LessOrEqual(t, waited, 9)
}

func TestExtentsOfTheOrder(t *testing.T) {
	f := NewFollower([]pieces.Extent{{First: 50, End: 53}, {First: 10, End: 100 - 60}, {First: 0, End: 2}}, 100)
	f.Touch(50)
	require.Empty(t, slices.Collect(f.Ahead))
	f.Touch(51)
	require.Empty(t, slices.Collect(f.Ahead))
	f.Touch(52)
	require.Equal(t, []pieces.Extent{{First: 10, End: 18}}, slices.Collect(f.Ahead))
	f.Touch(11)
	require.Equal(t, []pieces.Extent{{First: 12, End: 20}}, slices.Collect(f.Ahead))
	f.Touch(39)
	require.Equal(t, []pieces.Extent{{First: 12, End: 16}}, slices.Collect(f.Ahead), "far from it: half as many")
	f.Touch(99)
	require.Equal(t, []pieces.Extent{{First: 12, End: 14}}, slices.Collect(f.Ahead))
	f.Touch(-1)
	require.Equal(t, []pieces.Extent{{First: 12, End: 13}}, slices.Collect(f.Ahead))
	f.Touch(12)
	require.Equal(t, []pieces.Extent{{First: 13, End: 15}}, slices.Collect(f.Ahead))
	require.Empty(t, NewFollower(nil, 10).leads)
	NewFollower(nil, 10).Touch(3)
}
