package store

import (
	"sync/atomic"
	"testing"
	"time"

	"damselfly/pieces"

	"github.com/stretchr/testify/require"
)

func benchVersion(b *testing.B, n int) (*Store, content, *Version) {
	s := openStore(b, Options{Dir: b.TempDir()})
	c := makeContent(b, 1, 1, n)
	return s, c, openVersion(b, s, c)
}

// BenchmarkPut writes pieces of 256 KiB one after the other.
func BenchmarkPut(b *testing.B) { benchPut(b, 1) }

// BenchmarkPutParallel writes with 16 writers, so that commits are grouped.
func BenchmarkPutParallel(b *testing.B) { benchPut(b, 16) }

func benchPut(b *testing.B, writers int) {
	_, c, v := benchVersion(b, 256*pieces.MinPieceSize)
	sums := make([]pieces.Sum, c.geo.Count())
	for i := range sums {
		sums[i] = pieces.SumOf(c.piece(i))
	}
	var next atomic.Int64
	b.SetBytes(pieces.MinPieceSize)
	b.SetParallelism(writers)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := int(next.Add(1)) % c.geo.Count()
			v.v.mu.Lock()
			v.v.forget(pieces.Extent{First: i, End: i + 1}) // so that it is written again
			v.v.mu.Unlock()
			if err := v.Put(b.Context(), i, c.piece(i), sums[i], host1); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkPutInline writes small Tasks.
func BenchmarkPutInline(b *testing.B) {
	s := openStore(b, Options{Dir: b.TempDir()})
	c := makeContent(b, 1, 1, 4<<10)
	sum := pieces.SumOf(c.data)
	b.SetBytes(4 << 10)
	for n := 0; b.Loop(); n++ {
		c.key.Task = taskOf([]byte{0, 0, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), 31: 0})
		v, err := s.OpenVersion(c.key, c.facts)
		require.NoError(b, err)
		require.NoError(b, v.Put(b.Context(), 0, c.data, sum, host1))
		require.NoError(b, v.Close())
	}
}

// BenchmarkReadAt reads 4 KiB and 128 KiB from many goroutines.
func BenchmarkReadAt(b *testing.B) {
	_, c, v := benchVersion(b, 64*pieces.MinPieceSize)
	c.putAll(b, v)
	_, small, vs := benchVersion(b, 100<<10)
	small.putAll(b, vs)
	run := func(name string, v *Version, n, size int) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(n))
			b.RunParallel(func(pb *testing.PB) {
				p := make([]byte, n)
				for off := 0; pb.Next(); off = (off + 37*4096) % (size - n) {
					if _, err := v.ReadAt(p, int64(off)); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
	run("file/4KiB", v, 4<<10, len(c.data))
	run("file/128KiB", v, 128<<10, len(c.data))
	run("inline/4KiB", vs, 4<<10, len(small.data))
}

// BenchmarkSums reads the digests of 1,024 pieces.
func BenchmarkSums(b *testing.B) {
	_, c, v := benchVersion(b, 1024*pieces.MinPieceSize)
	c.putAll(b, v)
	for b.Loop() {
		require.Len(b, v.Sums(c.geo.All())[0].Sums, 1024)
	}
}

// BenchmarkCommit is one record of the catalogue.
func BenchmarkCommit(b *testing.B) {
	s := openStore(b, Options{Dir: b.TempDir()})
	c := makeContent(b, 1, 1, 100)
	for b.Loop() {
		require.NoError(b, s.PutFacts(c.key.Task, c.facts, time.Unix(0, 0)))
	}
}

// BenchmarkOpen opens a store that holds 200,000 pieces of 50 GiB.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s := openStore(b, Options{Dir: dir})
	for range 20 {
		require.NoError(b, putRecords(b, s, 10_000).Close())
	}
	require.NoError(b, s.Close())
	for b.Loop() {
		s := openStore(b, Options{Dir: dir})
		require.Len(b, s.Versions(), 20)
		b.StopTimer()
		require.NoError(b, s.Close())
		b.StartTimer()
	}
}
