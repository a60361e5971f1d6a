package limit

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

// Demand that comes last is through first: it waits for one burst at most, not
// for the windows and fills in the queue.
func TestDemandGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate = 1 << 20
		r := NewRate(rate)
		var mu sync.Mutex
		var order []pieces.Class
		var wg sync.WaitGroup
		wait := func(c pieces.Class, n int) {
			wg.Go(func() {
				require.NoError(t, r.WaitN(WithClass(context.Background(), c), n))
				mu.Lock()
				defer mu.Unlock()
				order = append(order, c)
			})
			synctest.Wait()
		}
		wait(pieces.Fill, rate) // begins, and needs a second
		wait(pieces.Fill, rate)
		wait(pieces.Order, rate/4)
		wait(pieces.Window, rate/4)
		start := time.Now()
		wg.Go(func() {
			require.NoError(t, r.WaitN(WithClass(context.Background(), pieces.Demand), rate/16))
			require.Less(t, time.Since(start), 2*burstTime+time.Second/16+time.Millisecond)
		})
		wg.Wait()
		require.Equal(t, []pieces.Class{pieces.Window, pieces.Order, pieces.Fill, pieces.Fill}, order)
	})
}

// Endless demand leaves one turn in sixteen to the rest.
func TestDemandDoesNotStarveFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate = 1 << 20
		r := NewRate(rate)
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for r.WaitN(WithClass(ctx, pieces.Demand), burstOf(rate)) == nil {
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		require.NoError(t, r.WaitN(context.Background(), 8*burstOf(rate)))
		took := time.Since(start)
		require.Greater(t, took, 8*burstTime, "demand goes first")
		require.Less(t, took, 3*8*others*burstTime)
		cancel()
		wg.Wait()
	})
}

// Whoever gives up leaves no hole in the queue, even when its turn had come.
func TestGivingUpPassesTheTurnOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q turns
		first, err := q.take(context.Background(), pieces.Fill)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := q.take(ctx, pieces.Demand); err == nil {
					q.pass()
				}
			})
		}
		wg.Go(func() {
			_, err := q.take(context.Background(), pieces.Fill)
			require.NoError(t, err)
			q.pass()
		})
		synctest.Wait()
		require.True(t, q.yields(first))
		cancel()
		q.pass()
		wg.Wait()
		require.False(t, q.busy)
		for _, w := range q.waiting {
			require.Empty(t, w)
		}
	})
}
