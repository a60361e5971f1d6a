package source_test

import (
	"context"
	"errors"
	"io"
	"log"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"damselfly/daemon/source"
	"damselfly/pieces"
)

var discardLog = log.New(io.Discard, "", 0)

func drain(body io.ReadCloser) error {
	_, err := io.Copy(io.Discard, body)
	return errors.Join(err, body.Close())
}

// scripted is an Origin of fixed content whose ranges break off as told.
type scripted struct {
	content string
	// breaks: the n-th open yields that many bytes and then errs; -1 errs at
	// once. Past its end all goes well.
	breaks []int
	err    error
	opened [][2]int64
	closed int
}

func (s *scripted) next() int {
	if i := len(s.opened) - 1; i < len(s.breaks) {
		return s.breaks[i]
	}
	return len(s.content)
}

func (s *scripted) Stat(context.Context, *pieces.Task) (source.Stat, error) {
	s.opened = append(s.opened, [2]int64{})
	if s.next() < 0 {
		return source.Stat{}, s.err
	}
	return source.Stat{Facts: pieces.Facts{Size: int64(len(s.content))}, Prefix: []byte(s.content)}, nil
}

func (s *scripted) ReadRange(_ context.Context, _ *pieces.Task, _ pieces.Facts, off, n int64) (io.ReadCloser, error) {
	s.opened = append(s.opened, [2]int64{off, n})
	k := s.next()
	if k < 0 {
		return nil, s.err
	}
	if int64(k) >= n {
		return &scriptedBody{strings.NewReader(s.content[off : off+n]), io.EOF, s}, nil
	}
	return &scriptedBody{strings.NewReader(s.content[off : off+int64(k)]), s.err, s}, nil
}

func (s *scripted) ReadAll(ctx context.Context, t *pieces.Task) (io.ReadCloser, source.Stat, error) {
	st := source.Stat{Facts: pieces.Facts{Size: int64(len(s.content))}}
	body, err := s.ReadRange(ctx, t, st.Facts, 0, st.Facts.Size)
	return body, st, err
}

type scriptedBody struct {
	r   io.Reader
	end error
	s   *scripted
}

func (b *scriptedBody) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err == io.EOF {
		err = b.end
	}
	return n, err
}

func (b *scriptedBody) Close() error { b.s.closed++; return nil }

var broken = pieces.Errorf(pieces.Origin, "reset")

func quick(o source.Origin) source.Origin {
	return source.WithRetry(o, source.RetryOptions{Tries: 3, Base: time.Microsecond})
}

func TestRetryResumesRanges(t *testing.T) {
	s := &scripted{content: "0123456789", breaks: []int{-1, 3, -1, 0, 2}, err: broken}
	o := source.WithRetry(s, source.RetryOptions{Tries: 5, Base: time.Microsecond})
	body, err := o.ReadRange(t.Context(), nil, pieces.Facts{}, 1, 8)
	require.NoError(t, err)
	got, err := io.ReadAll(body)
	require.NoError(t, err)
	require.Equal(t, "12345678", string(got))
	require.Equal(t, [][2]int64{{1, 8}, {1, 8}, {4, 5}, {4, 5}, {4, 5}, {6, 3}}, s.opened)
	require.NoError(t, body.Close())
	require.GreaterOrEqual(t, s.closed, 4, "every body opened is closed")
}

func TestRetryEnds(t *testing.T) {
	never := []int{-1, -1, -1, -1, -1, -1, -1, -1}
	for name, c := range map[string]struct {
		err   error
		calls int
	}{
		"transient":   {broken, 3},
		"timeout":     {pieces.Errorf(pieces.Timeout, "silent"), 3},
		"unavailable": {pieces.Errorf(pieces.Unavailable, "x"), 3},
		"permanent":   {&pieces.Error{Kind: pieces.Origin, Permanent: true}, 1},
		"throttled":   {pieces.Errorf(pieces.Throttled, "x"), 1},
		"not found":   {pieces.Errorf(pieces.NotFound, "x"), 1},
		"changed":     {pieces.Errorf(pieces.Changed, "x"), 1},
		"canceled":    {context.Canceled, 1},
		"unknown":     {io.ErrClosedPipe, 1},
	} {
		s := &scripted{content: "0123456789", breaks: never, err: c.err}
		_, err := quick(s).Stat(t.Context(), nil)
		require.ErrorIs(t, err, c.err, name)
		require.Len(t, s.opened, c.calls, name)
		s.opened = nil
		_, err = quick(s).ReadRange(t.Context(), nil, pieces.Facts{}, 0, 10)
		require.ErrorIs(t, err, c.err, name)
		require.Len(t, s.opened, c.calls, name)
		s.opened = nil
		_, _, err = quick(s).ReadAll(t.Context(), nil)
		require.ErrorIs(t, err, c.err, name)
		require.Len(t, s.opened, c.calls, name)
	}
}

// A body that gives a byte per connection is not followed for ever, one that
// gives much each time is.
func TestRetryAsksForProgress(t *testing.T) {
	drip := &scripted{content: strings.Repeat("x", 1000), breaks: make([]int, 100), err: broken}
	for i := range drip.breaks {
		drip.breaks[i] = 1
	}
	body, err := quick(drip).ReadRange(t.Context(), nil, pieces.Facts{}, 0, 1000)
	require.NoError(t, err)
	require.ErrorIs(t, drain(body), broken)
	require.Len(t, drip.opened, 3)

	flow := &scripted{content: strings.Repeat("x", 4<<20), breaks: make([]int, 30), err: broken}
	for i := range flow.breaks {
		flow.breaks[i] = 128 << 10
	}
	body, err = quick(flow).ReadRange(t.Context(), nil, pieces.Facts{}, 0, 4<<20)
	require.NoError(t, err)
	require.NoError(t, drain(body))
	require.Len(t, flow.opened, 31)
}

func TestRetryPausesAndCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		never := []int{-1, -1, -1, -1, -1, -1}
		s := &scripted{breaks: never, err: broken}
		o := source.WithRetry(s, source.RetryOptions{Tries: 5, Base: time.Second, Max: 3 * time.Second, Rand: func() float64 { return 0 }})
		began := time.Now()
		_, err := o.Stat(t.Context(), nil)
		require.ErrorIs(t, err, broken)
		require.Equal(t, 1*time.Second+2*time.Second+3*time.Second+3*time.Second, time.Since(began))

		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		began, s.opened = time.Now(), nil
		_, err = o.Stat(ctx, nil)
		require.Error(t, err)
		require.Equal(t, 1500*time.Millisecond, time.Since(began))
	})
}

// toll is a Limiter that counts, and fails when the purse is empty.
type toll struct{ paid, purse int }

func (l *toll) WaitN(_ context.Context, n int) error {
	if l.paid += n; l.paid > l.purse {
		return pieces.Errorf(pieces.Canceled, "purse empty")
	}
	return nil
}

func TestLimitIsPaid(t *testing.T) {
	s := &scripted{content: strings.Repeat("x", 1<<20)}
	a, b := &toll{purse: 4 << 20}, &toll{purse: 4 << 20}
	o := source.WithLimit(s, a, b)
	st, err := o.Stat(t.Context(), nil)
	require.NoError(t, err)
	body, err := o.ReadRange(t.Context(), nil, st.Facts, 5, 1000)
	require.NoError(t, err)
	require.NoError(t, drain(body))
	body, _, err = o.ReadAll(t.Context(), nil)
	require.NoError(t, err)
	require.NoError(t, drain(body))
	require.Equal(t, 2<<20+1000, a.paid)
	require.Equal(t, a.paid, b.paid)

	poor := source.WithLimit(s, &toll{purse: 100})
	_, err = poor.Stat(t.Context(), nil)
	require.ErrorContains(t, err, "purse empty")
	body, _, err = poor.ReadAll(t.Context(), nil)
	require.NoError(t, err)
	require.ErrorContains(t, drain(body), "purse empty")
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := &scripted{content: "0123456789", breaks: []int{10, -1, 4}, err: broken}
	o := source.WithMetrics(s, reg)
	_, err := o.Stat(t.Context(), nil)
	require.NoError(t, err)
	_, err = source.WithMetrics(s, reg).ReadRange(t.Context(), nil, pieces.Facts{}, 0, 10)
	require.Error(t, err)
	body, err := o.ReadRange(t.Context(), nil, pieces.Facts{}, 0, 10)
	require.NoError(t, err)
	require.Error(t, drain(body))
	body, _, err = o.ReadAll(t.Context(), nil)
	require.NoError(t, err)
	_, err = body.Read(make([]byte, 3))
	require.NoError(t, err)
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP damselfly_origin_bodies Bodies being read from origins now.
# TYPE damselfly_origin_bodies gauge
damselfly_origin_bodies 1
# HELP damselfly_origin_broken_bodies_total Bodies that failed after the answer was believed, by kind of error.
# TYPE damselfly_origin_broken_bodies_total counter
damselfly_origin_broken_bodies_total{kind="origin"} 1
# HELP damselfly_origin_bytes_total Bytes of content read from origins.
# TYPE damselfly_origin_bytes_total counter
damselfly_origin_bytes_total 17
# HELP damselfly_origin_requests_total Calls to origins, by operation and outcome (ok or the kind of error).
# TYPE damselfly_origin_requests_total counter
damselfly_origin_requests_total{op="all",outcome="ok"} 1
damselfly_origin_requests_total{op="range",outcome="ok"} 1
damselfly_origin_requests_total{op="range",outcome="origin"} 1
damselfly_origin_requests_total{op="stat",outcome="ok"} 1
`), "damselfly_origin_bodies", "damselfly_origin_broken_bodies_total", "damselfly_origin_bytes_total", "damselfly_origin_requests_total"))
	require.NoError(t, body.Close())
	require.NoError(t, body.Close())
}
