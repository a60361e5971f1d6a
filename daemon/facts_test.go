package daemon

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
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

// busy is a site that answers the first refusals requests with 429, and to come
// again after retry seconds.
func busy(t *testing.T, refusals int64, retry string) (url string, asked *atomic.Int64) {
	s := newSite(t, content(3, 1000))
	asked = &atomic.Int64{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) <= refusals {
			w.Header().Set("Retry-After", retry)
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		s.serve(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, asked
}

// Lookups wait for an origin that asks to be left alone, and it is left alone.
func TestLookupsWaitForAnOriginThatRests(t *testing.T) {
	t.Parallel()
	url, asked := busy(t, 1, "2")
	h := start(t, t.TempDir(), nil)
	id := h.add(t, url+"/file", pieces.Options{})
	began := time.Now()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			info, err := h.Lookup(context.Background(), id)
			if err != nil || info.Size != 1000 {
				t.Errorf("%d bytes, %v", info.Size, err)
			}
		})
	}
	wg.Wait()
	require.GreaterOrEqual(t, time.Since(began), 2*time.Second)
	require.EqualValues(t, 2, asked.Load())
}

// A lookup that has waited for its whole deadline ends in a timeout, and who asks
// again at once does not wait as long once more.
func TestLookupsWaitNoLongerThanTheirDeadline(t *testing.T) {
	t.Parallel()
	url, asked := busy(t, 1, "3600")
	const deadline = 2 * time.Second
	h := start(t, t.TempDir(), func(o *Options) { o.FactsTimeout, o.FailureMemo = deadline, time.Minute })
	id := h.add(t, url+"/file", pieces.Options{})
	lookup := func(ctx context.Context, want pieces.Kind) time.Duration {
		t.Helper()
		began := time.Now()
		_, err := h.Lookup(ctx, id)
		require.Equal(t, want, pieces.KindOf(err), "%v", err)
		require.Equal(t, 1, int(asked.Load()))
		return time.Since(began)
	}
	gone, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(deadline/4, func() { cancel(errors.New("killed")) })
	lookup(gone, pieces.Canceled)
	require.GreaterOrEqual(t, lookup(context.Background(), pieces.Timeout), deadline)
	require.Less(t, lookup(context.Background(), pieces.Timeout), deadline)
}

// Facts that come another way while an origin is waited for are an answer.
func TestFactsThatComeMeanwhileAreTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &task{d: &Daemon{o: Options{FactsFresh: time.Hour}.withDefaults()}}
		x.err, x.errTo = pieces.Errorf(pieces.Throttled, "429"), time.Now().Add(time.Hour)
		time.AfterFunc(time.Second, func() {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.facts, x.checked = &pieces.Facts{Size: 7}, time.Now()
		})
		f, err := x.current(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 7, f.Size)
	})
}
