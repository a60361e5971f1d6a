package mount

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/bench/machine"
)

func TestVerdicts(t *testing.T) {
	r := Row{Goal: 1.2, Figures: []Pair{{3, 2}, {11, 10}, {2.2, 2}}}
	require.InDelta(t, 1.1, r.Median(), 1e-9)
	require.Equal(t, "met", r.Verdict())
	r.AtLeast = true
	require.Equal(t, "missed", r.Verdict())
	r.Void = 2
	require.Equal(t, "void", r.Verdict(), "most pairs were")
	require.Equal(t, "not measured", Row{}.Verdict())
}

func TestTable(t *testing.T) {
	var table Table
	row := Row{Part: "cold", What: "x", Theirs: "y", Unit: " MB/s", Goal: 0.9, AtLeast: true}
	table.add(row, 95, 100, 0.5)
	table.add(row, 190, 200, machine.MaxBusy+0.1)
	table.add(Row{Part: "warm", What: "x", Goal: 1}, 1, 2, 0)
	require.Len(t, table.Rows, 2, "a row is of its part")
	require.Equal(t, 1, table.Rows[0].Void)
	var text strings.Builder
	require.NoError(t, table.Write(&text))
	require.Contains(t, text.String(), "| cold | x | y | ≥ 0.9 | **0.95** | 0.95, 0.95 | 95 MB/s | 100 MB/s | 90 % | met |")
	b, err := json.Marshal(table.verdicts())
	require.NoError(t, err)
	require.Contains(t, string(b), `"median":0.95,"verdict":"met"`)
}

func TestQuantile(t *testing.T) {
	vs := []float64{5, 1, 4, 2, 3}
	require.Equal(t, 1.0, quantile(vs, 0))
	require.Equal(t, 3.0, quantile(vs, 0.5))
	require.Equal(t, 5.0, quantile(vs, 1))
	require.Zero(t, quantile(nil, 0.5))
}

// Two ranks read every block once between them.
func TestBlocks(t *testing.T) {
	const size = 5*loadBlock + 1
	seen := map[int64]int{}
	for rank := range loadRanks {
		for _, k := range blocksOf(size, 1, rank) {
			seen[k]++
		}
	}
	require.Len(t, seen, 6)
	for k, n := range seen {
		require.Equal(t, 1, n, "block %d", k)
	}
}

// Everybody reads the same tenth, but for the share that differs.
func TestWanderings(t *testing.T) {
	common := wanderings(1000, 1, 1, 0)
	require.Len(t, common, 100)
	require.Equal(t, common, wanderings(1000, 1, 2, 0))
	other := wanderings(1000, 1, 2, 0.2)
	same, seen := 0, map[int]bool{}
	for i := range other {
		if other[i] == common[i] {
			same++
		}
		seen[other[i]] = true
	}
	require.Equal(t, 80, same)
	require.Len(t, seen, 100, "none twice")
}

func TestDDSaid(t *testing.T) {
	m := ddSaid.FindStringSubmatch("1+0 records in\n1+0 records out\n1073741824 bytes (1.1 GB, 1.0 GiB) copied, 0.0896 s, 12.0 GB/s\n")
	require.Equal(t, []string{"1073741824", "0.0896"}, m[1:])
}
