package limit_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/daemon/limit"
	"damselfly/pieces"
)

const mib = 1 << 20

func took(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

func requireAbout(t *testing.T, want, got time.Duration) {
	t.Helper()
	require.InDelta(t, want.Seconds(), got.Seconds(), 0.06, "one burst more or less")
}

func TestRateHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := limit.NewRate(mib)
		requireAbout(t, 10*time.Second, took(func() { require.NoError(t, r.WaitN(t.Context(), 10*mib)) }))
		requireAbout(t, 2*time.Second, took(func() {
			for range 2048 {
				require.NoError(t, r.WaitN(t.Context(), 1024))
			}
		}))
		requireAbout(t, 4*time.Second, took(func() {
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					for range 8 {
						_ = r.WaitN(t.Context(), 32<<10)
					}
				})
			}
			wg.Wait()
		}))
	})
}

func TestRateUnlimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, r := range []*limit.Rate{nil, limit.NewRate(0), limit.NewRate(-5)} {
			require.Zero(t, took(func() { require.NoError(t, r.WaitN(t.Context(), 1<<40)) }))
			require.Zero(t, r.Rate())
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			require.Equal(t, pieces.Canceled, pieces.KindOf(r.WaitN(ctx, 1)))
		}
		r := limit.NewRate(1)
		require.NoError(t, r.WaitN(t.Context(), 0))
		require.NoError(t, r.WaitN(t.Context(), -1))
	})
}

// Waiters are served in order of arrival; one that gives up costs the others
// nothing.
func TestRateIsFIFOAndCancellable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := limit.NewRate(mib)
		require.NoError(t, r.WaitN(t.Context(), mib)) // use up the burst
		began := time.Now()
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		quit, cancel := context.WithCancel(t.Context())
		for i := range 6 {
			ctx, n := t.Context(), mib
			if i == 1 || i == 3 { // would need 100 s each
				ctx, n = quit, 100*mib
			}
			wg.Go(func() {
				if err := r.WaitN(ctx, n); err != nil {
					require.Equal(t, pieces.Canceled, pieces.KindOf(err))
					return
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, i)
			})
			synctest.Wait() // it waits in line now
		}
		time.Sleep(500 * time.Millisecond)
		cancel()
		wg.Wait()
		require.Equal(t, []int{0, 2, 4, 5}, order)
		requireAbout(t, 4*time.Second, time.Since(began))
	})
}

func TestRateDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := limit.NewRate(1000)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		require.Equal(t, 3*time.Second, took(func() {
			require.Equal(t, pieces.Timeout, pieces.KindOf(r.WaitN(ctx, mib)))
		}))
	})
}

// A new rate counts at once, also for those who wait.
func TestSetRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := limit.NewRate(1)
		done := make(chan error)
		for range 2 {
			go func() { done <- r.WaitN(t.Context(), 4*mib) }()
		}
		time.Sleep(time.Minute)
		r.SetRate(mib)
		require.EqualValues(t, mib, r.Rate())
		requireAbout(t, 4*time.Second, took(func() { require.NoError(t, <-done) }))
		r.SetRate(0)
		require.Zero(t, took(func() { require.NoError(t, <-done) }))
		r.SetRate(2 * mib)
		requireAbout(t, 2*time.Second, took(func() { require.NoError(t, r.WaitN(t.Context(), 4*mib)) }))
	})
}

func TestStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		content := strings.Repeat("0123456789", 400<<10)
		slow, fast := limit.NewRate(mib), limit.NewRate(100*mib)
		want := time.Duration(float64(len(content)) / mib * float64(time.Second))
		var got bytes.Buffer
		requireAbout(t, want, took(func() {
			_, err := io.Copy(&got, limit.Reader(t.Context(), strings.NewReader(content), fast, nil, slow))
			require.NoError(t, err)
		}))
		require.Equal(t, content, got.String())
		got.Reset()
		requireAbout(t, want, took(func() {
			n, err := limit.Writer(t.Context(), &got, slow, nil, fast).Write([]byte(content))
			require.NoError(t, err)
			require.Equal(t, len(content), n)
		}))
		require.Equal(t, content, got.String())

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := io.Copy(io.Discard, limit.Reader(ctx, strings.NewReader(content), slow))
		require.Equal(t, pieces.Timeout, pieces.KindOf(err))
		n, err := limit.Writer(ctx, io.Discard, slow).Write([]byte("late"))
		require.Equal(t, pieces.Timeout, pieces.KindOf(err))
		require.Zero(t, n)
	})
}

func TestBudgetIsFIFOAndCancellable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := limit.NewBudget(10)
		require.NoError(t, b.Acquire(t.Context(), 8))
		require.False(t, b.TryAcquire(3))
		require.True(t, b.TryAcquire(2))
		b.Release(2)
		var mu sync.Mutex
		var order []int
		quit, cancel := context.WithCancel(t.Context())
		for i, n := range []int64{5, 9, 2, 1} {
			ctx := t.Context()
			if i == 1 {
				ctx = quit
			}
			go func() {
				if err := b.Acquire(ctx, n); err != nil {
					require.Equal(t, pieces.Canceled, pieces.KindOf(err))
					return
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, i)
			}()
			synctest.Wait()
		}
		require.Empty(t, order, "2 bytes are free, but the first in line wants 5")
		require.False(t, b.TryAcquire(1), "nobody passes those who wait")
		b.Release(8)
		synctest.Wait()
		require.Equal(t, []int{0}, order)
		cancel()
		synctest.Wait()
		require.ElementsMatch(t, []int{0, 2, 3}, order, "who gave up holds up nobody")
		require.EqualValues(t, 8, b.InUse())
		for _, n := range []int64{5, 2, 1} {
			b.Release(n)
		}
		require.Zero(t, b.InUse())
		require.True(t, b.TryAcquire(10))
	})
}

func TestBudgetLargerThanAll(t *testing.T) {
	b := limit.NewBudget(10)
	require.NoError(t, b.Acquire(t.Context(), 25))
	require.EqualValues(t, 10, b.InUse())
	require.False(t, b.TryAcquire(1))
	b.Release(25)
	require.Zero(t, b.InUse())
	require.True(t, b.TryAcquire(30))
	b.Release(30)
	require.Panics(t, func() { b.Release(1) })
}

func TestBudgetUnlimited(t *testing.T) {
	for _, b := range []*limit.Budget{nil, limit.NewBudget(0), limit.NewBudget(-1)} {
		require.NoError(t, b.Acquire(t.Context(), 1<<50))
		require.True(t, b.TryAcquire(1<<50))
		require.Zero(t, b.Size())
		b.Release(1 << 50)
		b.Release(1 << 50)
		require.Zero(t, b.InUse())
	}
}

func BenchmarkWaitN(b *testing.B) {
	r := limit.NewRate(1 << 50)
	for b.Loop() {
		_ = r.WaitN(b.Context(), 32<<10)
	}
}
