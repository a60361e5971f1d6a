// Package sourcetest is the suite that every source.Origin passes, decorated or
// not.
package sourcetest

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"damselfly/daemon/source"
	"damselfly/pieces"
)

// World is one Task at one origin, as the suite changes it.
type World struct {
	Origin source.Origin
	Task   *pieces.Task
	// Put makes content the Task's content, as a new state of it.
	Put func(content []byte)
	// Remove makes the origin say that there is no such content.
	Remove func()
	// Validators: the origin says which state it serves, so that content of
	// any size can be read in ranges.
	Validators bool
}

// Run runs the suite; build makes a fresh World for each test.
func Run(t *testing.T, build func(t *testing.T) World) {
	for name, test := range map[string]func(*testing.T, World){
		"stat": testStat, "ranges": testRanges, "all": testAll, "changed": testChanged,
		"removed": testRemoved, "canceled": testCanceled, "concurrent": testConcurrent,
	} {
		t.Run(name, func(t *testing.T) { test(t, build(t)) })
	}
}

// Content returns n bytes that differ from those of every other seed.
func Content(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 1})
	_, _ = r.Read(b)
	return b
}

func sizes(w World) []int {
	if !w.Validators {
		return []int{0, 1, 5000, source.PrefixSize}
	}
	return []int{0, 1, 5000, source.PrefixSize - 1, source.PrefixSize, source.PrefixSize + 1, 1<<20 + 13}
}

func testStat(t *testing.T, w World) {
	for i, n := range sizes(w) {
		content := Content(n, uint64(i))
		w.Put(content)
		st, err := w.Origin.Stat(t.Context(), w.Task)
		require.NoError(t, err, n)
		require.EqualValues(t, n, st.Facts.Size)
		require.Equal(t, content[:min(n, source.PrefixSize)], append([]byte{}, st.Prefix...), n)
		require.False(t, st.Spool, n)
		require.Equal(t, n <= source.PrefixSize, st.Whole(), n)
		again, err := w.Origin.Stat(t.Context(), w.Task)
		require.NoError(t, err)
		require.Equal(t, st.Facts, again.Facts, "facts of unchanged content must not change")
	}
}

func testRanges(t *testing.T, w World) {
	for i, n := range sizes(w) {
		content := Content(n, uint64(i))
		w.Put(content)
		st, err := w.Origin.Stat(t.Context(), w.Task)
		require.NoError(t, err)
		size := int64(n)
		for _, r := range [][2]int64{{0, size}, {0, min(1, size)}, {max(size-1, 0), min(1, size)}, {size / 3, size / 2}, {size, 0}} {
			body, err := w.Origin.ReadRange(t.Context(), w.Task, st.Facts, r[0], r[1])
			require.NoError(t, err, "size %d range %v", n, r)
			want := content[r[0] : r[0]+r[1]]
			if n <= 5000 {
				require.NoError(t, iotest.TestReader(body, want), "size %d range %v", n, r)
			} else {
				got, err := io.ReadAll(body)
				require.NoError(t, err, "size %d range %v", n, r)
				require.True(t, bytes.Equal(want, got), "size %d range %v", n, r)
			}
			require.NoError(t, body.Close())
		}
		for _, r := range [][2]int64{{-1, 1}, {0, size + 1}, {size, 1}, {size + 1, 0}, {0, -1}, {1, 1<<63 - 1}} {
			_, err := w.Origin.ReadRange(t.Context(), w.Task, st.Facts, r[0], r[1])
			require.Equal(t, pieces.Invalid, pieces.KindOf(err), "size %d range %v: %v", n, r, err)
		}
	}
}

func testAll(t *testing.T, w World) {
	for i, n := range sizes(w) {
		content := Content(n, uint64(i))
		w.Put(content)
		body, st, err := w.Origin.ReadAll(t.Context(), w.Task)
		require.NoError(t, err)
		require.Contains(t, []int64{int64(n), -1}, st.Facts.Size)
		got, err := io.ReadAll(body)
		require.NoError(t, err)
		require.NoError(t, body.Close())
		require.True(t, bytes.Equal(content, got))
	}
}

func testChanged(t *testing.T, w World) {
	w.Put(Content(5000, 1))
	st, err := w.Origin.Stat(t.Context(), w.Task)
	require.NoError(t, err)
	for _, n := range []int{5000, 4000, 6000, 0} {
		w.Put(Content(n, 2))
		_, err := w.Origin.ReadRange(t.Context(), w.Task, st.Facts, 100, 4900)
		require.Equal(t, pieces.Changed, pieces.KindOf(err), "now %d bytes: %v", n, err)
		require.True(t, pieces.IsPermanent(err))
		fresh, err := w.Origin.Stat(t.Context(), w.Task)
		require.NoError(t, err)
		require.NotEqual(t, st.Facts.VersionID(), fresh.Facts.VersionID())
	}
}

func testRemoved(t *testing.T, w World) {
	w.Put(Content(5000, 1))
	st, err := w.Origin.Stat(t.Context(), w.Task)
	require.NoError(t, err)
	w.Remove()
	_, err = w.Origin.Stat(t.Context(), w.Task)
	require.Equal(t, pieces.NotFound, pieces.KindOf(err), err)
	_, err = w.Origin.ReadRange(t.Context(), w.Task, st.Facts, 0, 10)
	require.Equal(t, pieces.NotFound, pieces.KindOf(err), err)
	_, _, err = w.Origin.ReadAll(t.Context(), w.Task)
	require.Equal(t, pieces.NotFound, pieces.KindOf(err), err)
}

func testCanceled(t *testing.T, w World) {
	content := Content(sizes(w)[len(sizes(w))-1], 1)
	w.Put(content)
	st, err := w.Origin.Stat(t.Context(), w.Task)
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	body, err := w.Origin.ReadRange(ctx, w.Task, st.Facts, 0, st.Facts.Size)
	require.NoError(t, err)
	require.NoError(t, body.Close(), "closing without reading")
	cancel()
	_, err = w.Origin.Stat(ctx, w.Task)
	require.Equal(t, pieces.Canceled, pieces.KindOf(err), err)
	_, err = w.Origin.ReadRange(ctx, w.Task, st.Facts, 0, 1)
	require.Equal(t, pieces.Canceled, pieces.KindOf(err), err)
	_, _, err = w.Origin.ReadAll(ctx, w.Task)
	require.Equal(t, pieces.Canceled, pieces.KindOf(err), err)
}

func testConcurrent(t *testing.T, w World) {
	content := Content(sizes(w)[len(sizes(w))-1], 1)
	w.Put(content)
	st, err := w.Origin.Stat(t.Context(), w.Task)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			off := int64(i) * st.Facts.Size / 16
			end := int64(i+1) * st.Facts.Size / 16
			body, err := w.Origin.ReadRange(t.Context(), w.Task, st.Facts, off, end-off)
			if err != nil {
				t.Error(err)
				return
			}
			defer body.Close()
			got, err := io.ReadAll(body)
			if err != nil || !bytes.Equal(got, content[off:end]) {
				t.Errorf("range %d: %d bytes, %v", i, len(got), err)
			}
		})
	}
	wg.Wait()
}
