package main

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"damselfly/daemon/control"
	"damselfly/daemon/control/controltest"
)

// twoSamples are two seconds apart: 4 MiB came from the origin, 8 MiB were read, of
// which 2 MiB were on disk.
func twoSamples() (a, b sample) {
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.Local)
	st := control.Status{
		Version: "1.0", Host: controltest.Host, PID: 7, Started: at.Add(-time.Hour), CacheSize: 1 << 30, Caching: true, Tasks: 3,
		Mounts:     []control.MountInfo{{Path: "/mnt/df", PassthroughReason: "the kernel has none", OpenCached: 2}},
		Schedulers: []control.SchedulerState{{Address: "s:1", Connected: true}, {Address: "s:2"}},
		Work:       control.Work{Requests: 3, OriginReads: 1, Writes: 12, MemorySize: 1 << 27},
		Files: []control.FileActivity{
			{ID: "aa", URL: "http://origin.test/" + strings.Repeat("long/", 40) + "end", Size: 1 << 30, CachedBytes: 1 << 29, ResidentBytes: 1 << 28},
			{ID: "bb", Names: []string{"model"}, Size: 1 << 20, ResidentBytes: -1},
		},
	}
	later := st
	later.Files = append([]control.FileActivity(nil), st.Files...)
	later.Traffic.Origin = 4 << 20
	later.Reads = control.Reads{Count: control.Hits{0, 0, 16, 0, 0, 48}, Bytes: control.Hits{0, 0, 2 << 20, 0, 0, 6 << 20}, Stalls: 4, StalledMicros: 3e6}
	later.Files[1].Reads.Bytes[5] = 6 << 20
	later.Files[1].Reads.Stalls = 4
	return sample{at: at, st: st}, sample{at: at.Add(2 * time.Second), st: later}
}

func TestView(t *testing.T) {
	a, b := twoSamples()
	page := strings.Join(view(a, b, 200, 50), "\n")
	for _, want := range []string{
		`damselfly 1\.0  fake  up 1h0m2s  12:00:02`, `mount +/mnt/df \(no passthrough: the kernel has none\), open: 2 through the daemon, 0 in passthrough`,
		`cluster +1 of 2 schedulers`, `under way +3 requests to hosts, 1 reads of origins, 12 pieces to write, memory 0 B of 128 MiB`,
		`origin +2 MiB/s +4 MiB\n`, `peers +- +0 B\n`, `read +4 MiB/s +8 MiB\n`,
		`reads +32/s  inline 0%  disk 25%  peer 0%  seed 0%  origin 75%\n`, `stalls +2/s, 1\.50 readers waiting on average`,
		`(?s)1 MiB +0% +- +3 MiB/s +- +4  model\n.*1 GiB +50% +25% +- +- +0  ….*end`,
	} {
		require.Regexp(t, want, page)
	}
	first := strings.Join(view(sample{}, a, 200, 50), "\n")
	require.Regexp(t, `origin +- +0 B\n`, first, "rates need two samples")
	b.st.PID++
	require.Regexp(t, `origin +- +4 MiB\n`, strings.Join(view(a, b, 200, 50), "\n"), "another daemon counts anew")
	require.Contains(t, view(a, sample{err: errors.New("no daemon\x1b[2J")}, 80, 24)[0], "no daemon?[2J")
}

// Nothing is wider or longer than the terminal, whatever its size.
func TestViewFits(t *testing.T) {
	a, b := twoSamples()
	for _, width := range []int{1, 8, 40, 79, 80, 132} {
		for _, height := range []int{1, 5, 24, 60} {
			lines := view(a, b, width, height)
			require.LessOrEqual(t, len(lines), height)
			for _, l := range lines {
				require.LessOrEqual(t, utf8.RuneCountInString(l), width, "%q", l)
			}
		}
	}
}
