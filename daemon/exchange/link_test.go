package exchange

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/proto/daemonpb"
)

// counted is a stream that counts what is sent.
type counted struct {
	messages int
	last     time.Time
}

func (c *counted) Send(*daemonpb.SyncMessage) error {
	c.messages++
	c.last = time.Now()
	return nil
}

func (c *counted) Recv() (*daemonpb.SyncMessage, error) { panic("not called") }

// arriving sends what a host tells one neighbour of while pieces come, each
// asked for 80 ms before, and returns how many messages that took.
func arriving(t testing.TB, every, patience time.Duration, count int) int {
	ctx, cancel := context.WithCancel(t.Context())
	l := newLink(ctx, pieces.Host{}, func() time.Duration { return patience })
	st, done := &counted{}, make(chan error, 1)
	go func() { done <- l.sendLoop(st) }()
	for i := range count {
		l.Update(Delta{Fetching: []pieces.Extent{{First: i + 4, End: i + 5}}}, false)
		l.Update(Delta{Held: []pieces.Extent{{First: i, End: i + 1}}}, false)
		time.Sleep(every)
	}
	time.Sleep(time.Second)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	return st.messages
}

// At 100 Mbit/s a piece of 256 KiB comes every 21 ms.
func TestMessagesPerPiece(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const count = 1024
		require.Equal(t, count, arriving(t, 21*time.Millisecond, 10*time.Millisecond, count))
		require.LessOrEqual(t, arriving(t, 21*time.Millisecond, 21500*time.Microsecond, count), count/2)
		require.LessOrEqual(t, arriving(t, 21*time.Millisecond, 172*time.Millisecond, count), count/8)
	})
}

// What somebody waits for goes at once, with all that gathered before it.
func TestUrgentChangesDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l := newLink(ctx, pieces.Host{}, func() time.Duration { return time.Minute })
		st, done := &counted{}, make(chan error, 1)
		go func() { done <- l.sendLoop(st) }()
		began := time.Now()
		l.Update(Delta{Held: []pieces.Extent{{First: 0, End: 1}}}, false)
		time.Sleep(time.Second)
		require.Zero(t, st.messages)
		l.Update(Delta{Wants: []pieces.Extent{{First: 5, End: 6}}}, true)
		synctest.Wait()
		require.Equal(t, 1, st.messages)
		require.Equal(t, time.Second, st.last.Sub(began))
		l.Update(Delta{Lost: []pieces.Extent{{First: 0, End: 1}}}, false)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 2, st.messages)
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
	})
}
