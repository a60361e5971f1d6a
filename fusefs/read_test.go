package fusefs

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// bothModes runs a test on a file that is read through us and on one that the
// kernel reads itself.
func bothModes(t *testing.T, size int, f func(t *testing.T, m *Mount, a *fakeTask)) {
	for _, mode := range []Mode{ModeCached, ModePassthrough} {
		t.Run(mode.String(), func(t *testing.T) {
			b := newFake()
			a := b.add("a", size)
			if mode == ModePassthrough {
				a.finish(t)
			}
			m := mount(t, b)
			f(t, m, a)
			if mode == ModePassthrough {
				require.Zero(t, m.Reads(), "READ requests in passthrough")
			} else {
				require.NotZero(t, m.Reads())
			}
			settled(t, func() bool { return m.OpenHandles() == 0 && b.opened.Load() == 0 })
		})
	}
}

// size is no multiple of a page, a request or a piece.
const size = 9<<20 + 1234

func TestReadBuffered(t *testing.T) {
	bothModes(t, size, func(t *testing.T, m *Mount, a *fakeTask) {
		require.True(t, bytes.Equal(a.content, readAll(t, m.path(a))))
		before := m.Reads()
		require.True(t, bytes.Equal(a.content, readAll(t, m.path(a))))
		require.Equal(t, before, m.Reads(), "pages are kept over a reopen")
	})
}

func TestReadDirect(t *testing.T) {
	bothModes(t, size, func(t *testing.T, m *Mount, a *fakeTask) {
		fd, err := unix.Open(m.path(a), unix.O_RDONLY|unix.O_DIRECT, 0)
		require.NoError(t, err)
		defer unix.Close(fd)
		buf := aligned(3 << 20)
		var got []byte
		for {
			n, err := unix.Pread(fd, buf, int64(len(got)))
			require.NoError(t, err)
			if n == 0 {
				break
			}
			got = append(got, buf[:n]...)
		}
		require.True(t, bytes.Equal(a.content, got))
	})
}

func TestReadMmap(t *testing.T) {
	bothModes(t, size, func(t *testing.T, m *Mount, a *fakeTask) {
		got, _, _ := strings.Cut(runChild(t, "mmap", m.path(a)), " ")
		require.Equal(t, fmt.Sprintf("%x", sha256.Sum256(a.content)), got)
	})
}

func TestSendfile(t *testing.T) {
	bothModes(t, size, func(t *testing.T, m *Mount, a *fakeTask) {
		in, err := unix.Open(m.path(a), unix.O_RDONLY, 0)
		require.NoError(t, err)
		defer unix.Close(in)
		out, err := os.CreateTemp(t.TempDir(), "out")
		require.NoError(t, err)
		defer out.Close()
		for sent := 0; sent < size; {
			n, err := unix.Sendfile(int(out.Fd()), in, nil, size-sent)
			require.NoError(t, err)
			sent += n
		}
		require.True(t, bytes.Equal(a.content, readAll(t, out.Name())))
	})
}

// Sixty-four readers of one descriptor, at random.
func TestManyReaders(t *testing.T) {
	bothModes(t, size, func(t *testing.T, m *Mount, a *fakeTask) {
		f, err := os.Open(m.path(a))
		require.NoError(t, err)
		defer f.Close()
		var g errgroup.Group
		for r := range 64 {
			g.Go(func() error {
				rnd := rand.New(rand.NewPCG(uint64(r), 1))
				buf := make([]byte, 128<<10)
				for range 30 {
					off := rnd.Int64N(size)
					n, err := f.ReadAt(buf[:1+rnd.IntN(len(buf))], off)
					if err != nil && err != io.EOF {
						return err
					}
					if !bytes.Equal(buf[:n], a.content[off:off+int64(n)]) {
						return fmt.Errorf("wrong bytes at %d", off)
					}
				}
				return nil
			})
		}
		require.NoError(t, g.Wait())
	})
}

// Sixty-four opens, reads and closes at once, of a file that becomes complete
// meanwhile: nobody meets EIO.
func TestManyOpens(t *testing.T) {
	b := newFake()
	a := b.add("a", 64<<10)
	m := mount(t, b)
	var g errgroup.Group
	for r := range 64 {
		g.Go(func() error {
			for i := range 20 {
				if r == 0 && i == 5 {
					b.change(func() { a.finish(t) })
				}
				got, err := os.ReadFile(m.path(a))
				if err != nil {
					return err
				}
				if !bytes.Equal(got, a.content) {
					return fmt.Errorf("wrong bytes")
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	settled(t, func() bool { return m.OpenHandles() == 0 && b.opened.Load() == 0 })
	require.Equal(t, "passthrough", openMode(t, m.path(a)))
}

func TestEmptyFile(t *testing.T) {
	b := newFake()
	a := b.add("a", 0)
	m := mount(t, b)
	require.Empty(t, readAll(t, m.path(a)))
}

// To a program there are no holes.
func TestSeekData(t *testing.T) {
	b := newFake()
	a := b.add("a", size)
	m := mount(t, b)
	f, err := os.Open(m.path(a))
	require.NoError(t, err)
	defer f.Close()
	off, err := f.Seek(4096, unix.SEEK_DATA)
	require.NoError(t, err)
	require.EqualValues(t, 4096, off)
	off, err = f.Seek(0, unix.SEEK_HOLE)
	require.NoError(t, err)
	require.EqualValues(t, size, off)
}

// The kernel sends requests of 1 MiB: its readahead was raised.
func TestLargeRequests(t *testing.T) {
	b := newFake()
	a := b.add("a", 16<<20)
	m := mount(t, b)
	readAll(t, m.path(a))
	require.LessOrEqual(t, m.Reads(), int64(24))
	kib, err := os.ReadFile("/sys/class/bdi/" + m.point.Dev() + "/read_ahead_kb")
	require.NoError(t, err)
	require.Equal(t, "1024\n", string(kib))
}
