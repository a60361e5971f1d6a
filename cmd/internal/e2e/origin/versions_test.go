package origin_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/cluster"
	"damselfly/cmd/internal/e2e/origin"
	"damselfly/daemon"
	"damselfly/pieces"
)

// manners in which an origin may change its content.
var manners = map[string]func(*origin.File){
	"If-Match":      func(*origin.File) {},
	"no If-Match":   func(f *origin.File) { f.IgnoreConditions = true },
	"weak ETag":     func(f *origin.File) { f.Manner = origin.WeakETag },
	"Last-Modified": func(f *origin.File) { f.Manner = origin.LastModifiedOnly },
	"no ranges":     func(f *origin.File) { f.Manner = origin.NoRanges },
}

// Under an open file the content changes: what was read stays, the rest is old
// or ESTALE, and whoever opens then reads the new.
func TestChangeUnderAnOpenFile(t *testing.T) {
	o := origin.New(t, 7)
	for _, r := range readers(t, nil) {
		for name, manner := range manners {
			f := o.Add(r.name+"-"+slug(name), 8<<20)
			t.Run(r.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				manner(f)
				changeUnder(t, r, f)
			})
		}
	}
}

func slug(s string) string { return hex.EncodeToString([]byte(s)) }

func changeUnder(t *testing.T, r reader, f *origin.File) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r.add(t, f.URL(), pieces.Options{})
	var files []*daemon.File
	for _, h := range r.hosts {
		file, _, err := open(ctx, h, f.URL(), pieces.Options{})
		require.NoError(t, err)
		defer file.Close()
		files = append(files, file)
	}
	head, tail := make([]byte, 64<<10), make([]byte, 64<<10)
	v1 := f.Content(1)
	for _, file := range files {
		_, err := file.ReadAt(ctx, head, 0)
		require.NoError(t, err)
		require.NoError(t, v1.Check(head, 0))
	}
	f.SetVersion(2)
	for i, file := range files {
		_, err := file.ReadAt(ctx, head, 0)
		require.NoError(t, err, "what is held stays")
		require.NoError(t, v1.Check(head, 0))
		n, err := file.ReadAt(ctx, tail, f.Size-64<<10)
		require.NoError(t, v1.Check(tail[:n], f.Size-64<<10))
		if f.Manner == origin.NoRanges && err == nil {
			continue // it came with the first read
		}
		require.Equal(t, pieces.Changed, pieces.KindOf(err), "%v", err)

		again, size, err := open(ctx, r.hosts[i], f.URL(), pieces.Options{})
		require.NoError(t, err)
		defer again.Close()
		which, err := readAll(ctx, again, size, versions(f, 2))
		require.NoError(t, err)
		require.Equal(t, 1, which, "a new open reads the new content")
	}
}

// While the content changes again and again, readers and dfget see one version
// or ESTALE, and at the end the last one.
func TestNeverAMix(t *testing.T) {
	const last = 9
	o := origin.New(t, 8)
	for _, r := range readers(t, func(o *daemon.Options) { o.FactsFresh = 100 * time.Millisecond }) {
		for name, manner := range manners {
			if testing.Short() && name != "If-Match" {
				continue
			}
			f := o.Add(r.name+"-"+slug(name), 3<<20+5)
			t.Run(r.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				manner(f)
				// Slow enough for changes to come in the middle.
				f.Misbehave(origin.Every, origin.SlowBody(20<<20))
				r.add(t, f.URL(), pieces.Options{})
				var right, stale atomic.Int64
				var stop atomic.Bool
				var wg sync.WaitGroup
				for _, h := range r.hosts {
					for k := range 3 {
						wg.Go(func() {
							for !stop.Load() {
								count(t, observe(h, f, last, k == 0), &right, &stale)
								time.Sleep(10 * time.Millisecond)
							}
						})
					}
				}
				for v := 2; v <= last; v++ {
					time.Sleep(patience * 250 * time.Millisecond)
					f.SetVersion(v)
				}
				stop.Store(true)
				wg.Wait()
				t.Logf("%d right, %d stale, %d requests", right.Load(), stale.Load(), f.Requests())
				require.Positive(t, right.Load())
				f.Heal()
				require.Eventually(t, func() bool {
					for _, err := range r.all(func(h *cluster.Host) error { return latest(h, f, last) }) {
						if err != nil {
							return false
						}
					}
					return true
				}, healed, 50*time.Millisecond)
			})
		}
	}
}

func count(t *testing.T, err error, right, stale *atomic.Int64) {
	switch {
	case err == nil:
		right.Add(1)
	case pieces.KindOf(err) == pieces.Changed:
		stale.Add(1)
	default:
		t.Errorf("neither right nor stale: %v", err)
	}
}

// observe reads all, in order or as dfget does.
func observe(h *cluster.Host, f *origin.File, last int, whole bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if whole {
		return observeWhole(ctx, h, f, last)
	}
	file, size, err := open(ctx, h, f.URL(), pieces.Options{})
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = readAll(ctx, file, size, versions(f, last))
	return err
}

func observeWhole(ctx context.Context, h *cluster.Host, f *origin.File, last int) error {
	spec, err := h.Control().NewTask(f.URL(), pieces.Options{})
	if err != nil {
		return err
	}
	handle, err := h.Control().Open(ctx, spec.ID)
	if err != nil {
		return err
	}
	defer handle.Close()
	size := handle.Facts().Size
	if err := handle.Fetch(ctx, 0, size, nil); err != nil {
		return err
	}
	sum := sha256.New()
	at := func(p []byte, off int64) (int, error) { return handle.ReadAt(ctx, p, off) }
	if _, err := io.Copy(sum, io.NewSectionReader(readerAt(at), 0, size)); err != nil {
		return err
	}
	for _, v := range versions(f, last) {
		if v.SHA256() == hex.EncodeToString(sum.Sum(nil)) {
			return nil
		}
	}
	return wrong{fmt.Errorf("a SHA-256 of no version")}
}

type readerAt func([]byte, int64) (int, error)

func (r readerAt) ReadAt(p []byte, off int64) (int, error) { return r(p, off) }

// latest fails unless a new open reads the last version.
func latest(h *cluster.Host, f *origin.File, last int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	file, size, err := open(ctx, h, f.URL(), pieces.Options{})
	if err != nil {
		return err
	}
	defer file.Close()
	which, err := readAll(ctx, file, size, versions(f, last))
	if err == nil && which != last-1 {
		err = fmt.Errorf("version %d, want %d", which+1, last)
	}
	return err
}
