package fusefs

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

const (
	testLimit = 30 * time.Second
	testGrace = time.Second
)

func always() bool { return true }

// ends says when and how an op ended that waited from the start.
func ends(o *op) (time.Duration, syscall.Errno, error) {
	began := time.Now()
	<-o.Done()
	return time.Since(began), o.errno(pieces.WithKind(pieces.Origin, o.Err(), "read")), o.Err()
}

func TestOpExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := begin(t.Context(), nil, testLimit, testGrace, always, nil)
		defer o.finish()
		took, errno, err := ends(o)
		require.Equal(t, testLimit, took)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, syscall.ETIMEDOUT, errno)
	})
}

// The time before somebody waits counts.
func TestOpExpiresFromItsBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := begin(t.Context(), nil, testLimit, testGrace, always, nil)
		defer o.finish()
		time.Sleep(20 * time.Second)
		took, _, _ := ends(o)
		require.Equal(t, 10*time.Second, took)
	})
}

func TestOpProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last atomic.Pointer[time.Time]
		last.Store(new(time.Time)) // none yet
		o := begin(t.Context(), nil, testLimit, testGrace, always, func() time.Time { return *last.Load() })
		defer o.finish()
		go func() {
			time.Sleep(25 * time.Second)
			now := time.Now()
			last.Store(&now)
		}()
		took, errno, _ := ends(o)
		require.Equal(t, 25*time.Second+testLimit, took)
		require.Equal(t, syscall.ETIMEDOUT, errno)
	})
}

func TestOpInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signal := make(chan struct{})
		o := begin(t.Context(), signal, testLimit, testGrace, always, nil)
		defer o.finish()
		go func() { time.Sleep(5 * time.Second); close(signal) }()
		took, errno, err := ends(o)
		require.Equal(t, 6*time.Second, took)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, syscall.EINTR, errno)
	})
}

// A timer's signal ends nothing, however old; one that asks the program to
// end, later, does after its own grace.
func TestOpInterruptedByTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signal := make(chan struct{})
		close(signal)
		var asked atomic.Bool
		o := begin(t.Context(), signal, testLimit, testGrace, asked.Load, nil)
		defer o.finish()
		go func() { time.Sleep(10*time.Second + time.Millisecond); asked.Store(true) }()
		took, errno, _ := ends(o)
		require.Equal(t, 11250*time.Millisecond, took, "seen within a quarter of the grace, and a grace old")
		require.Equal(t, syscall.EINTR, errno)
	})
}

// Work that ends within the grace ends as if there had been no signal.
func TestOpFinishesWithinGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signal := make(chan struct{})
		close(signal)
		o := begin(t.Context(), signal, testLimit, testGrace, always, nil)
		o.Done()
		time.Sleep(testGrace - time.Millisecond)
		require.NoError(t, o.Err())
		require.Zero(t, o.errno(nil))
		require.Equal(t, syscall.EIO, o.errno(errors.New("broken")))
		o.finish()
		require.ErrorIs(t, o.Err(), context.Canceled)
	})
}

func TestOpStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, cancel := context.WithCancel(t.Context())
		o := begin(parent, nil, testLimit, testGrace, always, nil)
		defer o.finish()
		cancel()
		_, errno, err := ends(o)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, syscall.EIO, errno)
	})
}

// A context made from an op ends with it, and leaves no goroutine: the bubble
// would not end.
func TestOpDerived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := begin(t.Context(), nil, testLimit, testGrace, always, nil)
		ctx, cancel := context.WithTimeout(o, time.Hour)
		defer cancel()
		<-ctx.Done()
		require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
		o.finish()
	})
}

func TestOpUnwatched(t *testing.T) {
	o := begin(t.Context(), nil, testLimit, testGrace, always, nil)
	o.finish()
	<-o.Done()
	require.ErrorIs(t, o.Err(), context.Canceled)
}

// What is certain stays certain, also at the last moment.
func TestOpErrno(t *testing.T) {
	for kind, want := range map[pieces.Kind]syscall.Errno{
		pieces.NotFound: syscall.ENOENT, pieces.Denied: syscall.EACCES, pieces.Changed: syscall.ESTALE,
		pieces.Canceled: syscall.ETIMEDOUT, pieces.Timeout: syscall.ETIMEDOUT, pieces.Internal: syscall.ETIMEDOUT,
	} {
		o := &op{end: opExpired}
		require.Equal(t, want, o.errno(pieces.Errorf(kind, "x")), kind)
	}
	o := &op{end: opRunning}
	require.Equal(t, syscall.EIO, o.errno(context.Canceled), "canceled by nobody we know")
}

func BenchmarkOp(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		begin(context.Background(), nil, testLimit, testGrace, always, nil).finish()
	}
}
