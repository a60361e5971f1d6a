package bench

import (
	"bytes"
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
	"damselfly/pieces"
)

// valued are values of runs that were not void.
func valued(vs ...float64) (values []Value) {
	for _, v := range vs {
		values = append(values, Value{Value: v})
	}
	return values
}

func TestRow(t *testing.T) {
	r := Row{Values: valued(1.3, 1.1, 1.2), Goal: 1.2}
	require.Equal(t, 1.2, r.Median())
	require.Equal(t, 1.3, r.Worst())
	require.Equal(t, "met", r.Verdict())
	r.Goal = 1.15
	require.Equal(t, "missed", r.Verdict())
	r.Values[0].Void, r.Values[2].Void = true, true
	require.Equal(t, "void", r.Verdict(), "most runs were")
	require.Equal(t, 1.1, r.Median(), "the others count")
	require.Equal(t, 1.1, r.Worst())
	least := Row{Values: valued(0.7, 0.9), Goal: 0.8, AtLeast: true}
	require.Equal(t, "missed", least.Verdict())
	require.Equal(t, 0.7, least.Worst())
	require.Equal(t, "not measured", Row{Goal: 1}.Verdict())
	require.Empty(t, Row{Values: valued(1)}.Verdict())
}

func TestTableCountsVoidRuns(t *testing.T) {
	var b Table
	b.add(Row{What: "x", Goal: 2}, 1, 0.5)
	b.add(Row{What: "x", Goal: 2}, 1.5, 0.9)
	b.add(Row{What: "y", Goal: 2, Unshaped: true}, 1.5, 0.9)
	require.Len(t, b.Rows, 2)
	require.Equal(t, []Value{{1, 0.5, false}, {1.5, 0.9, true}}, b.Rows[0].Values)
	require.False(t, b.Rows[1].Values[0].Void, "it counts bytes")
	var out strings.Builder
	require.NoError(t, b.Write(&out))
	require.Contains(t, out.String(), "| x | ≤ 2 | 1 | 1 | 1, ~~1.5~~ | 90 % | met |")
}

func TestResultsAreWritten(t *testing.T) {
	var out, log strings.Builder
	o := Options{Out: &out, Log: &log, JSON: true, Results: filepath.Join(t.TempDir(), "results"), Size: 1 << 20, Rate: 1e6, Hosts: 2, Runs: 1}
	b := bench{o: &o, table: Table{Name: "some", What: "thing"}}
	b.table.add(Row{What: "x", Goal: 2}, 3, 0.5)
	b.table.add(Row{What: "y"}, 3, 0.5)
	require.NoError(t, b.plot("some", "a title", crowdRun{samples: []sample{{time.Second, []int64{10}}}}, 100, time.Second))
	require.NoError(t, o.print(&b.table))
	o.goals([]*Table{&b.table})
	require.Contains(t, log.String(), "missed       some: x: 3 (≤ 2)\ngoals met 0, missed 1, void 0, not measured 0\n")

	var got struct {
		Scenario string
		Rows     []struct {
			What, Verdict string
			Median        float64
			Values        []Value
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out.String()), &got))
	require.Equal(t, "some", got.Scenario)
	require.Equal(t, "missed", got.Rows[0].Verdict)
	require.Equal(t, []Value{{3, 0.5, false}}, got.Rows[0].Values)
	md, err := os.ReadFile(filepath.Join(o.Results, "some.md"))
	require.NoError(t, err)
	require.Contains(t, string(md), "![some](some.svg)")
	require.FileExists(t, filepath.Join(o.Results, "some.svg"))
	require.FileExists(t, filepath.Join(o.Results, "some.json"))
}

func TestQuantile(t *testing.T) {
	ds := []time.Duration{4, 1, 3, 2}
	require.Equal(t, time.Duration(2), quantile(ds, 0.5))
	require.Equal(t, time.Duration(4), quantile(ds, 0.99))
	require.Equal(t, time.Duration(1), quantile(ds, 0))
}

func TestPhases(t *testing.T) {
	var ps []point
	for k := 1; k <= 10; k++ { // 10 bytes a second, up to the 100 that fit
		ps = append(ps, point{time.Duration(k) * time.Second, int64(10 * k)})
	}
	for k := 1; k <= 10; k++ { // then 5 in 5 seconds, at once
		ps = append(ps, point{time.Duration(10+5*k) * time.Second, int64(100 + 5*k)})
	}
	before, after, pause := phases(ps, 100)
	require.InDelta(t, 10, before, 1e-9)
	require.InDelta(t, 1, after, 1e-9)
	require.Equal(t, 5*time.Second, pause)
}

func TestExcessOfTheOrigin(t *testing.T) {
	rs := []lab.Request{
		{Range: "bytes=0-63", Sent: 64},
		{Range: "bytes=64-299", Sent: 236}, // the rest of 0, all of 1 and 2
		{Range: "bytes=100-199", Sent: 50}, // half of 1 again: it hung up
		{Range: "bytes=300-349", Sent: 50}, // the short last one
	}
	twice, needless, err := excess(rs, 350, 100, func(k int) bool { return k != 2 })
	require.NoError(t, err)
	require.Equal(t, int64(50), twice)
	require.Equal(t, int64(100), needless)
	_, _, err = excess([]lab.Request{{Range: ""}}, 350, 100, nil)
	require.Error(t, err)
}

func TestPeakMemory(t *testing.T) {
	n, err := peakMemory(os.Getpid())
	require.NoError(t, err)
	require.Greater(t, n, int64(1<<20))
}

func TestChoose(t *testing.T) {
	all, err := choose(nil)
	require.NoError(t, err)
	require.Len(t, all, len(Scenarios))
	_, err = choose([]string{"flash", "nothing"})
	require.ErrorContains(t, err, `"nothing"`)
}

func TestRunWantsSomething(t *testing.T) {
	for _, none := range []func(*Options){
		func(o *Options) { o.Hosts = 0 }, // it has no double
		func(o *Options) { o.Size = 0 },
		func(o *Options) { o.Rate = 0 },
		func(o *Options) { o.Runs = 0 },
	} {
		o := Defaults()
		o.Fill, o.Log = false, io.Discard
		none(&o)
		require.Equal(t, pieces.Invalid, pieces.KindOf(Run(t.Context(), o, "aria2")))
	}
}

func TestTorrent(t *testing.T) {
	f := content.New(1, "f.bin", pieceLength+100)
	meta, err := torrent(f, "http://t/announce")
	require.NoError(t, err)
	head := "d8:announce17:http://t/announce4:infod6:lengthi262244e4:name5:f.bin12:piece lengthi262144e6:pieces40:"
	require.True(t, bytes.HasPrefix(meta, []byte(head)), "%.120q", meta)
	last := make([]byte, 100)
	_, err = f.ReadAt(last, pieceLength)
	require.NoError(t, err)
	sum := sha1.Sum(last)
	require.Equal(t, append(sum[:], 'e', 'e'), meta[len(meta)-22:])
}

func TestTracker(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	tr := serveTracker(lis)
	defer func() { require.NoError(t, tr.close()) }()
	announce := func(port int) string {
		resp, err := http.Get(fmt.Sprintf("http://%s/announce?port=%d", lis.Addr(), port))
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return string(b)
	}
	require.Equal(t, "d8:intervali5e12:min intervali1e5:peers0:e", announce(256))
	require.Equal(t, "d8:intervali5e12:min intervali1e5:peers6:\x7f\x00\x00\x01\x01\x00e", announce(257))
	require.Equal(t, announce(257), announce(257), "once each")
	require.Contains(t, announce(1<<20), "failure reason")
}

func TestPlotDrawsEachHost(t *testing.T) {
	var out strings.Builder
	samples := []sample{{time.Second, []int64{10, 0}}, {2 * time.Second, []int64{100, 50}}}
	require.NoError(t, plot(&out, "two", samples, 100, time.Second))
	require.Equal(t, 2, strings.Count(out.String(), "hsl("))
	require.Contains(t, out.String(), "</svg>")
}
