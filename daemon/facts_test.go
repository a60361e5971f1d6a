package daemon

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

// A scheduler that already waits between its looks at an origin is not waited
// for twice over: after a fault, reads are right again within its wait.
func TestMemoOfAFailureDoesNotAddToTheSchedulers(t *testing.T) {
	d := &Daemon{o: Options{}.withDefaults()}
	memo := func(x *task, err error) time.Duration {
		x.failed(err)
		return time.Until(x.errTo).Round(time.Second)
	}
	trouble := pieces.Errorf(pieces.Origin, "500")
	alone := &task{d: d}
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 16} {
		require.Equal(t, want*time.Second, memo(alone, trouble))
	}
	paced := &task{d: d}
	for range 6 {
		require.Equal(t, time.Second, memo(paced, &pieces.Error{Kind: pieces.Origin, RetryAfter: 300 * time.Millisecond, Msg: "500"}))
		require.Equal(t, 7*time.Second, memo(paced, &pieces.Error{Kind: pieces.Origin, RetryAfter: 7 * time.Second, Msg: "500"}))
	}
	require.Equal(t, d.o.MaxMemo, memo(paced, &pieces.Error{Kind: pieces.Origin, RetryAfter: time.Hour, Msg: "503"}))
}
