package cluster

import (
	"context"
	"crypto/sha256"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/daemon"
	"damselfly/pieces"
)

// A host that invents digests under its leases, whatever bytes it sends, makes
// nobody read a wrong byte: it is put out, its digests are struck out, and the
// transfer completes.
func TestLiesUnderALease(t *testing.T) {
	for _, trick := range []Trick{Honest, Flip} {
		t.Run(string(trick), func(t *testing.T) {
			t.Parallel()
			c := New(t, 1)
			r := &rig{Cluster: c, o: newOrigin(t, 5<<20+99)}
			r.sum = sha256.Sum256(r.o.data)
			hosts := []*Host{c.Host(nil), c.Host(nil), c.Host(nil)}
			hosts[0].Open(r.o.URL+"/f", pieces.Options{})
			var err error
			r.task, err = hosts[0].Control().NewTask(r.o.URL+"/f", pieces.Options{})
			require.NoError(t, err)
			f, err := hosts[0].Control().Open(context.Background(), r.task.ID)
			require.NoError(t, err)
			defer f.Close()
			liar := c.Liar(r.task, f.Facts(), r.o.data, trick)
			require.Eventually(t, func() bool { es, _ := liar.Lent(); return len(es) > 0 }, 10*time.Second, time.Millisecond)

			var wg sync.WaitGroup
			for _, h := range hosts {
				wg.Go(func() { r.read(h) })
			}
			wg.Wait()
			require.Eventually(t, func() bool { _, out := liar.Lent(); return out }, 10*time.Second, time.Millisecond, "the liar is still in")
			// What a host held against the liar's record it has dropped, until
			// somebody reads it.
			for _, h := range hosts {
				r.read(h)
				r.stored(h)
			}
		})
	}
}

// A demand read does not wait for the end of a long origin read under way, at
// the host that has it or at another one, and the origin sends little twice.
func TestDemandOvertakesARunningRange(t *testing.T) {
	for _, who := range []string{"its own reader", "another host's reader"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			const size, rate = 15 << 20, 3 << 20
			c := New(t, 1)
			o := newOrigin(t, size)
			seed := c.Host(func(o *daemon.Options) { o.Seed, o.OriginRate = true, rate })
			reader := seed
			if who != "its own reader" {
				reader = c.Host(nil)
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			var wg sync.WaitGroup
			wg.Go(func() {
				if _, err := seed.Fetch(ctx, o.URL+"/f", pieces.Options{}); err != nil {
					t.Error(err)
				}
			})
			f := reader.Open(o.URL+"/f", pieces.Options{})
			require.Eventually(t, func() bool { return seed.Traffic().Origin > 1<<20 }, 20*time.Second, time.Millisecond)
			for _, at := range []int64{14 << 20, 9 << 20, 11 << 20} {
				buf := make([]byte, 100<<10)
				start := time.Now()
				_, err := f.ReadAt(ctx, buf, at)
				require.NoError(t, err)
				require.Equal(t, o.data[at:at+int64(len(buf))], buf)
				t.Logf("%d MiB: %v", at>>20, time.Since(start))
				require.Less(t, time.Since(start), slowed*time.Second, "in its turn it would take seconds")
			}
			require.Less(t, seed.Traffic().Origin, int64(size), "the range went on to its end")
			wg.Wait()
			require.LessOrEqual(t, seed.Traffic().Origin, int64(size), "no byte is delivered twice")
			require.LessOrEqual(t, float64(o.bytes.Load()), 1.01*size, "nothing that was asked for is thrown away")
		})
	}
}

// A host that contradicts the record has the piece read again by one who has no
// part in it, though that one holds it; the origin says who is right.
func TestADisputeIsReadAgain(t *testing.T) {
	r := newRig(t, 3<<20, 0)
	hosts := []*Host{r.Host(nil), r.Host(nil)}
	for _, h := range hosts {
		r.read(h)
	}
	// The origin counts bytes once they are written, when a reader may have them.
	sent := func(least int64) int64 {
		require.Eventually(t, func() bool { return r.o.bytes.Load() >= least }, 10*time.Second, time.Millisecond)
		return r.o.bytes.Load()
	}
	before := sent(int64(len(r.o.data)))
	require.LessOrEqual(t, before, int64(len(r.o.data))*101/100)
	liar := r.bad(Honest, false)
	liar.peer.Start()
	liar.contradict(2)
	require.Eventually(t, func() bool { _, out := liar.Lent(); return out }, 10*time.Second, time.Millisecond, "the liar is still in")
	again := sent(before+r.facts.Size/12) - before // the piece was read again
	require.LessOrEqual(t, again, 2*r.facts.Size/12, "and nothing else")
	last := r.Host(nil)
	for _, h := range append(hosts, last) {
		r.read(h)
		r.stored(h)
	}
	require.Zero(t, last.Traffic().Origin)
}
