package fusefs

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// One READ of 1 MiB through us, past the page cache.
func BenchmarkReadDirect(b *testing.B) {
	f := newFake()
	a := f.add("a", 64<<20)
	m := mount(b, f)
	benchRead(b, m.path(a), 1<<20)
}

// One READ of 4 KiB: the price of a request.
func BenchmarkReadDirect4K(b *testing.B) {
	f := newFake()
	a := f.add("a", 1<<20)
	m := mount(b, f)
	benchRead(b, m.path(a), 4096)
}

// The same in passthrough, and from the content file itself.
func BenchmarkPassthrough4K(b *testing.B) {
	f := newFake()
	a := f.add("a", 1<<20).finish(b)
	m := mount(b, f)
	benchRead(b, m.path(a), 4096)
	require.Zero(b, m.Reads())
}

func BenchmarkNative4K(b *testing.B) {
	benchRead(b, newFake().add("a", 1<<20).finish(b).complete, 4096)
}

func benchRead(b *testing.B, path string, n int) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECT, 0)
	require.NoError(b, err)
	defer unix.Close(fd)
	var st unix.Stat_t
	require.NoError(b, unix.Fstat(fd, &st))
	buf := aligned(n)
	b.SetBytes(int64(n))
	off := int64(0)
	for b.Loop() {
		if _, err := unix.Pread(fd, buf, off); err != nil {
			b.Fatal(err)
		}
		off = (off + int64(n)) % st.Size
	}
}

// Open, read and close of a small file.
func BenchmarkOpenReadClose(b *testing.B) {
	f := newFake()
	cached, complete := f.add("a", 4096), f.add("b", 4096).finish(b)
	m := mount(b, f)
	for name, path := range map[string]string{"cached": m.path(cached), "passthrough": m.path(complete), "native": complete.complete} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := os.ReadFile(path); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
