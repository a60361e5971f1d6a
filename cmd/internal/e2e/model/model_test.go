package model

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"damselfly/cmd/internal/e2e/content"
)

// What must never happen is told from what may.
func TestJudge(t *testing.T) {
	h := &handle{version: content.New(1, "f", 10_000)}
	good := make([]byte, 4096)
	_, err := h.version.ReadAt(good, 5000)
	require.NoError(t, err)
	require.NoError(t, h.judge(good, 5000, 4096))
	require.NoError(t, h.judge(good[:7], 5000, 4096), "less than asked")
	require.NoError(t, h.judge(nil, 10_000, 4096), "the end")
	require.NoError(t, h.judge(nil, 20_000, 4096))
	require.ErrorAs(t, h.judge(good, 5001, 4096), &wrong{})
	require.ErrorAs(t, h.judge(nil, 9_999, 1), &wrong{}, "an end too early")
	require.ErrorAs(t, h.judge(good, 9_000, 4096), &wrong{}, "an end too late")
	good[4000] ^= 1
	require.ErrorAs(t, h.judge(good, 5000, 4096), &wrong{})
}

// Only restarts and new versions explain failures.
func TestExplained(t *testing.T) {
	m := &model{}
	th := &thread{m: m}
	f := &file{Versions: content.NewVersions(1, "f", 100)}
	h := &handle{f: f, version: f.Next()}
	require.False(t, th.explained(unix.EIO, 0, h))
	require.False(t, th.explained(unix.ESTALE, 0, h))
	m.era.Store(1)
	require.True(t, th.explained(fmt.Errorf("read: %w", unix.ENOTCONN), 0, h))
	require.False(t, th.explained(unix.EINVAL, 0, h))
	require.False(t, th.explained(wrongf("other bytes"), 0, h))
	m.era.Store(2)
	require.True(t, th.explained(unix.EIO, 0, h), "it was down meanwhile")
	require.False(t, th.explained(unix.EIO, 2, h))
	require.False(t, th.explained(opening{unix.ESTALE, f}, 2, nil))
	f.Next()
	require.True(t, th.explained(unix.ESTALE, 2, h))
	require.False(t, th.explained(unix.ENOENT, 2, h))
	f.changed.Store(time.Now().UnixNano())
	require.True(t, th.explained(opening{unix.ESTALE, f}, 2, nil))
	require.False(t, th.explained(opening{unix.EIO, f}, 2, nil))
}

// A seed gives the same operations and events.
func TestSeedDecides(t *testing.T) {
	draw := func() (kindsDrawn []int) {
		th := &thread{r: rand.New(rand.NewPCG(7, 0))}
		for range 100 {
			kindsDrawn = append(kindsDrawn, th.draw())
		}
		return kindsDrawn
	}
	require.Equal(t, draw(), draw())
	m := &model{o: Options{Seed: 7, Ops: 1000, Restarts: 3, Evictions: 4, Changes: 5}}
	m.files = []*file{{Versions: content.NewVersions(7, "a", 1)}, {Versions: content.NewVersions(7, "b", 1)}}
	names := func() (list []string) {
		for _, e := range m.events() {
			list = append(list, fmt.Sprint(e.after, e.what))
		}
		return list
	}
	require.Len(t, names(), 12)
	require.Equal(t, names(), names())
	require.Contains(t, names(), "500restart")
}
