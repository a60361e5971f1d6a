package bench

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/e2e/content"
)

func TestRow(t *testing.T) {
	r := Row{Values: []float64{1.3, 1.1, 1.2}, Goal: 1.2}
	require.Equal(t, 1.2, r.Median())
	require.Equal(t, 1.3, r.Worst())
	require.Equal(t, "met", r.Verdict())
	r.Goal = 1.15
	require.Equal(t, "missed", r.Verdict())
	r.Void = 2
	require.Equal(t, "void", r.Verdict(), "most runs were")
	require.Equal(t, "missed", Row{Values: []float64{0.7}, Goal: 0.8, AtLeast: true}.Verdict())
	require.Equal(t, "not measured", Row{Goal: 1}.Verdict())
	require.Empty(t, Row{Values: []float64{1}}.Verdict())
}

func TestTableCountsVoidRuns(t *testing.T) {
	var b Table
	b.add(Row{What: "x", Goal: 2}, 1, 0.5)
	b.add(Row{What: "x", Goal: 2}, 1.5, 0.9)
	require.Len(t, b.Rows, 1)
	require.Equal(t, 1, b.Rows[0].Void)
	require.Equal(t, 0.9, b.Rows[0].Busy)
	var out strings.Builder
	require.NoError(t, b.Write(&out))
	require.Contains(t, out.String(), "| x | ≤ 2 | 1 | 1.5 | 1, 1.5 | 90 % | met |")
}

func TestChoose(t *testing.T) {
	all, err := choose(nil)
	require.NoError(t, err)
	require.Len(t, all, len(Scenarios))
	_, err = choose([]string{"flash", "nothing"})
	require.ErrorContains(t, err, `"nothing"`)
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
