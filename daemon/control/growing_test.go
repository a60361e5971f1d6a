package control_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/daemon/control"
	"damselfly/daemon/control/controltest"
	"damselfly/pieces"
)

// parts is a sink that takes its bytes in any order and tells of each.
type parts struct {
	sink
	data   []byte
	copies chan control.Range
	size   int64
	again  int
}

func newParts(n int) *parts {
	return &parts{data: make([]byte, n), copies: make(chan control.Range, 100)}
}

func (p *parts) Parts() control.Parts { return p }

func (p *parts) CopyPart(_ context.Context, f *os.File, off, n int64) error {
	if _, err := io.ReadFull(io.NewSectionReader(f, off, n), p.data[off:off+n]); err != nil {
		return err
	}
	p.copies <- control.Range{Off: off, N: n}
	return nil
}

func (p *parts) Copied(size int64) { p.size = size }
func (p *parts) Restart() error    { p.again++; return nil }

// growing starts a download whose bytes come as arrive says.
func growing(t *testing.T, e *controltest.Engine) (p *parts, arrive func(controltest.Arrival), result chan error) {
	t.Helper()
	e.Arrive = make(chan controltest.Arrival)
	c, _ := start(t, e, nil)
	ctx := within(t)
	p, result = newParts(len(e.Contents[url])), make(chan error, 1)
	go func() { result <- c.Download(ctx, url, pieces.Options{}, control.Whole, nil, p) }()
	return p, func(a controltest.Arrival) {
		t.Helper()
		select {
		case e.Arrive <- a:
		case err := <-result:
			require.FailNow(t, "the download has ended", "%v", err)
		}
	}, result
}

func (p *parts) next(t *testing.T, result chan error) control.Range {
	t.Helper()
	select {
	case r := <-p.copies:
		return r
	case err := <-result:
		require.FailNow(t, "the download has ended", "%v", err)
		return control.Range{}
	}
}

// What is in the file is copied at once, so that only the last of it is left
// when the fetch ends.
func TestCopiedWhileItComes(t *testing.T) {
	e := &controltest.Engine{Dir: t.TempDir()}
	p, arrive, result := growing(t, e)
	for _, r := range []control.Range{{Off: 2_000_000, N: 1_000_000}, {Off: 0, N: 500_000}, {Off: 500_000, N: 1_400_000}} {
		arrive(controltest.Arrival{Range: r})
		require.Equal(t, r, p.next(t, result), "copied while the rest is awaited")
	}
	require.Empty(t, e.Fetched(), "the fetch goes on")
	last := control.Range{Off: 1_900_000, N: 100_000}
	arrive(controltest.Arrival{Range: last})
	close(e.Arrive)
	require.NoError(t, <-result)
	require.Equal(t, last, <-p.copies)
	require.Empty(t, p.copies, "nothing is copied twice")
	require.True(t, bytes.Equal(e.Contents[url], p.data))
	require.EqualValues(t, 3_000_000, p.size)
	require.Zero(t, p.files)
}

// Bytes that were taken back after they were copied are copied again, whatever
// came into their place.
func TestWhatIsReplacedIsCopiedAgain(t *testing.T) {
	e := &controltest.Engine{Dir: t.TempDir()}
	p, arrive, result := growing(t, e)
	first, rest := control.Range{N: 1_000_000}, control.Range{Off: 1_000_000, N: 2_000_000}
	arrive(controltest.Arrival{Range: first, Data: make([]byte, first.N)})
	require.Equal(t, first, p.next(t, result))
	arrive(controltest.Arrival{Range: first, Lost: true})
	arrive(controltest.Arrival{Range: first})
	require.Equal(t, first, p.next(t, result))
	arrive(controltest.Arrival{Range: rest})
	close(e.Arrive)
	require.NoError(t, <-result)
	require.True(t, bytes.Equal(e.Contents[url], p.data))
}

// A file that can't be had whole in the end does not count: the bytes come as
// messages.
func TestAFileThatFailsIsReplacedByMessages(t *testing.T) {
	e := &controltest.Engine{Dir: t.TempDir()}
	p, arrive, result := growing(t, e)
	first := control.Range{N: 1_000_000}
	arrive(controltest.Arrival{Range: first, Data: make([]byte, first.N)})
	require.Equal(t, first, p.next(t, result))
	files, err := filepath.Glob(filepath.Join(e.Dir, "*"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	require.NoError(t, os.Remove(files[0]))
	close(e.Arrive)
	require.NoError(t, <-result)
	require.Equal(t, 1, p.again)
	require.True(t, bytes.Equal(e.Contents[url], p.Bytes()))
	require.Zero(t, p.size)
}

// A fetch that fails half-way is no download, whatever was copied.
func TestAGrowingFileMayFail(t *testing.T) {
	e := &controltest.Engine{Dir: t.TempDir(), Fail: pieces.Errorf(pieces.Changed, "the origin has another version")}
	p, arrive, result := growing(t, e)
	arrive(controltest.Arrival{Range: control.Range{N: 1_000_000}})
	p.next(t, result)
	close(e.Arrive)
	require.Equal(t, pieces.Changed, pieces.KindOf(<-result))
	require.Zero(t, p.size)
}
