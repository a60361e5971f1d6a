package readahead

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

var update = flag.Bool("update", false, "write testdata/traces.txt anew")

// A trace is a sequence of reads, as the kernel sends them. Pieces asked for
// ahead arrive roundTrip reads later, or during the next stall: a stall is a
// round trip too. A read that lacks a piece stalls and brings its pieces.
type trace struct {
	name  string
	size  int64
	reads []Range
	// most is what may be fetched, in bytes asked for; stalls how many reads may wait.
	most   float64
	stalls int
}

const roundTrip = 4

// outcome is what a trace leads to.
type outcome struct {
	asked, fetched int64
	stalls         int
}

func (tr trace) run(t *testing.T) (o outcome) {
	g, err := pieces.GeometryOf(tr.size)
	require.NoError(t, err)
	p := New(tr.size, Config{})
	held, touched := map[int]bool{}, map[int64]bool{}
	var coming [][]int // by how many reads from now they arrive
	arrive := func(n int) {
		for ; n > 0 && len(coming) > 0; n-- {
			for _, i := range coming[0] {
				held[i] = true
			}
			coming = coming[1:]
		}
	}
	for _, r := range tr.reads {
		arrive(1)
		stalled := false
		for i := range g.Covering(r.Off, r.N).All() {
			stalled = stalled || !held[i]
		}
		if stalled {
			o.stalls++
			arrive(roundTrip)
			for i := range g.Covering(r.Off, r.N).All() {
				held[i] = true
			}
		}
		var ahead []int
		for _, a := range p.Read(r.Off, r.N, stalled).Ranges {
			require.True(t, a.N > 0 && a.Off >= 0 && a.Off+a.N <= tr.size, "%v in %d bytes", a, tr.size)
			for i := range g.Covering(a.Off, a.N).All() {
				ahead = append(ahead, i)
			}
		}
		for len(coming) < roundTrip {
			coming = append(coming, nil)
		}
		coming[roundTrip-1] = append(coming[roundTrip-1], ahead...)
		for b := r.Off / (4 * kib); b*4*kib < r.Off+r.N; b++ {
			touched[b] = true
		}
	}
	arrive(roundTrip)
	for i := range held {
		o.fetched += g.Len(i)
	}
	o.asked = int64(len(touched)) * 4 * kib
	return o
}

// steps are n reads of each bytes, step apart.
func steps(from, step, each int64, n int) (out []Range) {
	for i := range int64(n) {
		out = append(out, Range{from + i*step, each})
	}
	return out
}

// scattered are n reads of each bytes at multiples of align.
func scattered(size, each, align int64, n int) (out []Range) {
	r := rand.New(rand.NewPCG(uint64(n), uint64(each)))
	for range n {
		out = append(out, Range{r.Int64N((size-each)/align) * align, each})
	}
	return out
}

// blocks reads every block of a file once, in shuffled order, each in order by
// reads of each bytes: a model loader with its tensors.
func blocks(size, block, each int64) (out []Range) {
	r := rand.New(rand.NewPCG(7, 7))
	for _, b := range r.Perm(int(size / block)) {
		out = append(out, steps(int64(b)*block, each, each, int(block/each))...)
	}
	return out
}

// interleave takes a read of each list in turn.
func interleave(lists ...[]Range) (out []Range) {
	for i := range lists[0] {
		for _, l := range lists {
			if i < len(l) {
				out = append(out, l[i])
			}
		}
	}
	return out
}

// faults are random page faults: the kernel reads 1 MiB around each, aligned to
// the page.
func faults(size int64, n int) (out []Range) {
	for _, r := range scattered(size, 4*kib, 4*kib, n) {
		off := max(0, r.Off-512*kib)
		out = append(out, Range{off, min(mib, size-off)})
	}
	return out
}

func traces() []trace {
	swapped := steps(0, 128*kib, 128*kib, 2048)
	for i := 1; i+1 < len(swapped); i += 3 {
		swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
	}
	zip := []Range{{0, 16 * kib}, {gib - 64*kib, 64 * kib}, {gib - 4*mib, 128 * kib}}
	zip = append(zip, steps(gib-4*mib+128*kib, 128*kib, 128*kib, 30)...)
	return []trace{
		{"cat: 256 MiB in order, 128 KiB reads", 256 * mib, steps(0, 128*kib, 128*kib, 2048), 1, 12},
		{"cat, kernel readahead of 1 MiB", 256 * mib, steps(0, mib, mib, 256), 1, 8},
		{"cat, reads of two threads swapped", 256 * mib, swapped, 1, 13},
		{"head: the first 64 KiB of 1 GiB", gib, steps(0, 64*kib, 64*kib, 1), 4, 1},
		{"head: the first 1 MiB by 128 KiB", gib, steps(0, 128*kib, 128*kib, 8), 4.5, 4},
		{"8 readers at 8 places of 1 GiB", gib, interleave(steps(0, 128*kib, 128*kib, 256), steps(128*mib, 128*kib, 128*kib, 256),
			steps(256*mib, 128*kib, 128*kib, 256), steps(384*mib, 128*kib, 128*kib, 256), steps(512*mib, 128*kib, 128*kib, 256),
			steps(640*mib, 128*kib, 128*kib, 256), steps(768*mib, 128*kib, 128*kib, 256), steps(896*mib, 128*kib, 128*kib, 256)), 1.1, 40},
		{"random: 200 × 64 KiB of 4 GiB", 4 * gib, scattered(4*gib, 64*kib, 4*kib, 200), 6, 200},
		{"random: 2,000 × 4 KiB of 1 GiB", gib, scattered(gib, 4*kib, 4*kib, 2000), 64, 2000},
		{"random: 500 × 128 KiB of 64 MiB, so that many adjoin", 64 * mib, scattered(64*mib, 128*kib, 128*kib, 500), 1.7, 260},
		{"random faults: 200 of 4 GiB, 1 MiB around each", 4 * gib, faults(4*gib, 200), 1.4, 200},
		{"mmap in order: one fault, then runs of 1 MiB", 256 * mib, append([]Range{{0, 512 * kib}}, steps(512*kib, mib, mib, 255)...), 1.01, 8},
		{"footer: head, last 64 KiB, directory of 4 MiB", gib, zip, 1.2, 9},
		{"forward, 64 KiB every 4 MiB", 4 * gib, steps(0, 4*mib, 64*kib, 1000), 4.5, 8},
		{"backward, 64 KiB every 4 MiB", 4 * gib, steps(4*gib-64*kib, -4*mib, 64*kib, 1000), 4.5, 8},
		{"backward without gaps, 128 KiB", 64 * mib, steps(64*mib-128*kib, -128*kib, 128*kib, 512), 1, 8},
		{"8 MiB blocks in shuffled order, mmap", gib, blocks(gib, 8*mib, mib), 1, 410},
	}
}

// The table in testdata/traces.txt is what the policy makes of each trace; -update
// writes it anew. What it must never be worse than stands above.
func TestTraces(t *testing.T) {
	var b strings.Builder
	fmt.Fprintf(&b, "%-58s %6s %8s %9s %6s %7s\n", "trace", "reads", "MiB read", "fetched", "×", "stalls")
	for _, tr := range traces() {
		o := tr.run(t)
		share := float64(o.fetched) / float64(o.asked)
		fmt.Fprintf(&b, "%-58s %6d %8.1f %9.1f %6.2f %7d\n", tr.name, len(tr.reads),
			float64(o.asked)/mib, float64(o.fetched)/mib, share, o.stalls)
		require.LessOrEqual(t, share, tr.most, tr.name)
		require.LessOrEqual(t, o.stalls, tr.stalls, tr.name)
	}
	if *update {
		require.NoError(t, os.WriteFile("testdata/traces.txt", []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile("testdata/traces.txt")
	require.NoError(t, err)
	require.Equal(t, string(want), b.String())
}
