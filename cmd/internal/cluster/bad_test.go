package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/daemon"
	"damselfly/pieces"
)

// patient is how long one read of 128 KiB may take while good sources are
// there, whatever the bad ones do.
const patient = 3 * time.Second

// rig is one scheduler, a seed that has the content, and the truth.
type rig struct {
	*Cluster
	o     *origin
	task  *pieces.Task
	facts pieces.Facts
	seed  *Host
	sum   [32]byte
}

func newRig(t *testing.T, size int, uploadRate int64) *rig {
	return rigOf(t, New(t, 1), newOrigin(t, size), uploadRate)
}

func rigOf(t *testing.T, c *Cluster, o *origin, uploadRate int64) *rig {
	r := &rig{Cluster: c, o: o}
	r.seed = c.Host(func(o *daemon.Options) { o.Seed, o.UploadRate = true, uploadRate })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var err error
	r.facts, err = r.seed.Fetch(ctx, r.o.URL+"/f", pieces.Options{})
	require.NoError(t, err)
	r.task, err = r.seed.Control().NewTask(r.o.URL+"/f", pieces.Options{})
	require.NoError(t, err)
	r.sum = sha256.Sum256(r.o.data)
	return r
}

func (r *rig) bad(trick Trick, shy bool) *Bad { return r.Bad(r.task, r.facts, r.o.data, trick, shy) }

// read reads the file through h in order and returns the longest wait of one
// read. Every byte is checked.
func (r *rig) read(h *Host) (worst time.Duration) {
	f := h.Open(r.o.URL+"/f", pieces.Options{})
	buf := make([]byte, 128<<10)
	for off := int64(0); off < int64(len(r.o.data)); {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		start := time.Now()
		n, err := f.ReadAt(ctx, buf, off)
		cancel()
		if err != nil || n == 0 {
			r.t.Errorf("read at %d: %d bytes, %v", off, n, err)
			return worst
		}
		worst = max(worst, time.Since(start))
		if !bytes.Equal(buf[:n], r.o.data[off:off+int64(n)]) {
			r.t.Errorf("wrong bytes at %d", off)
			return worst
		}
		off += int64(n)
	}
	return worst
}

// stored fails unless the content file of h is the content, in a while.
func (r *rig) stored(h *Host) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		files, _ := filepath.Glob(filepath.Join(h.Dir, "content", "*"))
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil && sha256.Sum256(b) == r.sum {
				return true
			}
		}
		return false
	}, 5*time.Second, 20*time.Millisecond, "the content file of a host is not the content")
}

// Whatever a bad host answers: readers, stores and neighbours get right bytes
// only, nobody waits for it, and after one wrong piece it is out: at once for
// the child that got it, for all when two children have said so.
func TestBadPeer(t *testing.T) {
	for _, trick := range Tricks {
		t.Run(string(trick), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 5<<20+99, 0)
			bad := r.bad(trick, false)
			readers := []*Host{r.Host(nil), r.Host(nil)}
			var wg sync.WaitGroup
			for _, h := range readers {
				wg.Go(func() {
					if worst := r.read(h); worst > slowed*patient {
						t.Errorf("a read waited %v", worst)
					}
				})
			}
			wg.Wait()
			asked := bad.Answers()
			require.NotEmpty(t, asked, "the bad host was never asked")
			for _, h := range readers {
				r.stored(h)
			}
			if trick.Lies() {
				outAtOnce(t, asked, readers...)
			}
			last := r.Host(nil)
			r.read(last)
			r.stored(last)
			if trick.Lies() && askers(asked) == len(readers) {
				for _, a := range bad.Answers() {
					require.NotEqual(t, last.Daemon.Host().ID, a.Asker, "put out by two children, yet named to a third")
				}
			}
			require.Less(t, r.o.bytes.Load(), int64(len(r.o.data))*3/2, "the origin is not read again for a bad host")
		})
	}
}

// onItsWay is how long a request may take from the child that sent it to the bad
// host.
const onItsWay = slowed * 100 * time.Millisecond

// outAtOnce fails if a child asked again after the first wrong piece it proved.
// What was under way then may still arrive.
func outAtOnce(t *testing.T, asked []Answer, children ...*Host) {
	t.Helper()
	proved := 0
	for _, h := range children {
		verdict := h.FirstWrongPiece()
		if verdict.IsZero() {
			continue // other sources were faster each time
		}
		proved++
		for _, a := range asked {
			if a.Asker == h.Daemon.Host().ID {
				require.Less(t, a.At.Sub(verdict), onItsWay, "asked again after it had sent a wrong piece")
			}
		}
	}
	require.Positive(t, proved, "children that proved it")
}

func askers(asked []Answer) int {
	m := map[pieces.HostID]bool{}
	for _, a := range asked {
		m[a.Asker] = true
	}
	return len(m)
}

// A host that no scheduler knows, and that claims everything to its neighbours
// again and again, does not keep them from the real sources.
func TestFalseClaims(t *testing.T) {
	for _, trick := range []Trick{Missing, Busy, Mute, Flip} {
		t.Run(string(trick), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 5<<20, 4<<20) // slow enough for the bad host to come back
			bad := r.bad(trick, true)
			h := r.Host(nil)
			bad.Join(h.Daemon.Host())
			var worst time.Duration
			done := make(chan struct{})
			go func() { worst = r.read(h); close(done) }()
			for range 20 { // it comes back whenever it is shut out
				bad.Join(h.Daemon.Host())
				time.Sleep(20 * time.Millisecond)
			}
			<-done
			require.Less(t, worst, patient)
			r.stored(h)
			require.NotEmpty(t, bad.Answers())
			if trick.Lies() {
				outAtOnce(t, bad.Answers(), h)
			}
		})
	}
}
