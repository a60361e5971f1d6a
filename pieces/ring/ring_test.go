package ring

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func names(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("10.0.%d.%d:8002", i/250, i%250)
	}
	return out
}

// The scores are a protocol: a change here moves every Task to another
// scheduler.
func TestOwnersAreFixedForEver(t *testing.T) {
	r := New([]string{"a:8002", "b:8002", "c:8002"})
	got := ""
	for i := range 24 {
		got += r.Owner(fmt.Sprint(i))[:1]
	}
	require.Equal(t, goldenOwners, got)
	require.Equal(t, goldenWalk, slices.Collect(r.Walk("task")))
}

func TestEmpty(t *testing.T) {
	for _, r := range []*Ring{nil, {}, New(nil), New([]string{"", ""})} {
		require.Equal(t, "", r.Owner("x"))
		require.Empty(t, slices.Collect(r.Walk("x")))
		require.Empty(t, r.Members())
		require.Zero(t, r.Len())
	}
}

func TestOrderAndDuplicatesAreIrrelevant(t *testing.T) {
	members := names(9)
	r := New(members)
	for range 20 {
		shuffled := append(slices.Clone(members), members[rand.IntN(9)], "")
		rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		before := slices.Clone(shuffled)
		other := New(shuffled)
		require.Equal(t, before, shuffled, "the caller's slice stays as it is")
		require.Equal(t, r.Members(), other.Members())
		for i := range 100 {
			require.Equal(t, slices.Collect(r.Walk(fmt.Sprint(i))), slices.Collect(other.Walk(fmt.Sprint(i))))
		}
	}
}

func TestWalkIsEveryMemberOnceOwnerFirst(t *testing.T) {
	for n := range 20 {
		members := names(n)
		r := New(members)
		for i := range 50 {
			walk := slices.Collect(r.Walk(fmt.Sprint(i)))
			if n > 0 {
				require.Equal(t, r.Owner(fmt.Sprint(i)), walk[0])
			}
			slices.Sort(walk)
			require.Equal(t, r.Members(), walk)
		}
	}
	for range New(names(5)).Walk("x") {
		break // a caller may stop
	}
}

// One more member takes 1/(n+1) of the keys, and only takes; one that leaves
// hands its keys to their next in Walk, spread over all.
func TestMembersComeAndGo(t *testing.T) {
	const keys = 20000
	for _, n := range []int{1, 2, 3, 8, 30} {
		members := names(n + 1)
		small, large := New(members[:n]), New(members)
		moved, heirs := 0, map[string]int{}
		for i := range keys {
			key := fmt.Sprintf("key %d", i)
			was, is := small.Owner(key), large.Owner(key)
			if was == is {
				continue
			}
			require.Equal(t, members[n], is, "a key moved between members that both stayed")
			require.Equal(t, was, slices.Collect(large.Walk(key))[1])
			moved++
			heirs[was]++
		}
		require.InEpsilon(t, keys/float64(n+1), moved, 0.12, "n=%d", n)
		require.Len(t, heirs, n)
	}
}

func TestBalance(t *testing.T) {
	const keys = 100000
	for _, n := range []int{2, 3, 10, 50} {
		r := New(names(n))
		counts := map[string]int{}
		for i := range keys {
			counts[r.Owner(fmt.Sprint(i))]++
		}
		for m, c := range counts {
			require.InEpsilon(t, keys/float64(n), c, 0.15, "%s of %d", m, n)
		}
	}
}

func BenchmarkOwner(b *testing.B) {
	for _, n := range []int{2, 20, 200} {
		r := New(names(n))
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				r.Owner("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
			}
		})
	}
}

// What New([a b c]) said when the first Damselfly ran.
const goldenOwners = "acaabcababbbbabcbbbcacbc"

var goldenWalk = []string{"a:8002", "c:8002", "b:8002"}
