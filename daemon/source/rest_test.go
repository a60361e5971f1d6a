package source_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/daemon/source"
	"damselfly/pieces"
)

// moody answers Stat with err while it is set, and counts.
type moody struct {
	source.Origin
	err   error
	asked int
	// during, if not nil, runs once, within a request.
	during func()
}

func (m *moody) Stat(context.Context, *pieces.Task) (source.Stat, error) {
	m.asked++
	if f := m.during; f != nil {
		m.during = nil
		f()
	}
	return source.Stat{}, m.err
}

func (m *moody) ReadRange(context.Context, *pieces.Task, pieces.Facts, int64, int64) (io.ReadCloser, error) {
	m.asked++
	return nil, m.err
}

type restFixture struct {
	*moody
	source.Origin
	now time.Time
	t   *testing.T
}

func newRestFixture(t *testing.T, o source.RestOptions) *restFixture {
	f := &restFixture{moody: &moody{}, now: time.Unix(1000, 0), t: t}
	o.Now = func() time.Time { return f.now }
	f.Origin = source.WithRest(f.moody, o)
	return f
}

func (f *restFixture) stat(url string) error {
	_, err := f.Origin.Stat(f.t.Context(), &pieces.Task{URL: url})
	return err
}

func throttled(after time.Duration) error {
	e := pieces.Errorf(pieces.Throttled, "429")
	e.RetryAfter = after
	return e
}

const busy, other = "https://busy.example/a", "https://other.example/a"

func TestABusyOriginIsLeftAloneByAllTasks(t *testing.T) {
	f := newRestFixture(t, source.RestOptions{})
	f.err = throttled(10 * time.Second)
	require.Error(t, f.stat(busy))
	f.err = nil
	f.now = f.now.Add(4 * time.Second)
	err := f.stat("https://busy.example/another")
	require.Equal(t, pieces.Throttled, pieces.KindOf(err))
	require.Equal(t, 6*time.Second, pieces.RetryAfter(err))
	_, err = f.Origin.ReadRange(t.Context(), &pieces.Task{URL: busy}, pieces.Facts{}, 0, 1)
	require.Equal(t, pieces.Throttled, pieces.KindOf(err))
	require.Equal(t, 1, f.asked)
	require.NoError(t, f.stat(other))
	require.NoError(t, f.stat("https://busy.example:444/a"))
	require.NoError(t, f.stat("http://busy.example/a"))
	f.now = f.now.Add(6 * time.Second)
	require.NoError(t, f.stat(busy))
	require.NoError(t, f.stat(busy))
}

// One request finds out whether the origin has recovered; a failure counts twice
// as long as the one before.
func TestOneFindsOutForAll(t *testing.T) {
	f := newRestFixture(t, source.RestOptions{})
	f.err = throttled(0)
	var pauses []time.Duration
	for range 7 {
		require.Error(t, f.stat(busy))
		pause := pieces.RetryAfter(f.stat(busy))
		pauses = append(pauses, pause)
		f.now = f.now.Add(pause)
	}
	require.Equal(t, 7, f.asked)
	require.Equal(t, []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second,
		8 * time.Second, 16 * time.Second, 20 * time.Second}, pauses)

	f.err = pieces.Errorf(pieces.NotFound, "404")
	require.Equal(t, pieces.NotFound, pieces.KindOf(f.stat(busy)), "it answers: the trouble is over")
	f.err = throttled(0)
	require.Error(t, f.stat(busy))
	require.Equal(t, 500*time.Millisecond, pieces.RetryAfter(f.stat(busy)))
}

// While one request finds out, others wait; one that was given up says nothing.
func TestAProbeGivenUpSaysNothing(t *testing.T) {
	f := newRestFixture(t, source.RestOptions{})
	f.err = throttled(0)
	require.Error(t, f.stat(busy))
	f.now = f.now.Add(time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.err = ctx.Err()
	_, err := f.Origin.Stat(ctx, &pieces.Task{URL: busy})
	require.ErrorIs(t, err, context.Canceled)
	f.err = throttled(0)
	require.Error(t, f.stat(busy), "asked again at once")
	require.Equal(t, time.Second, pieces.RetryAfter(f.stat(busy)))
}

// A request that finds out and gets no answer keeps others away for its time, not
// for ever.
func TestAProbeWithoutAnswerIsNotWaitedFor(t *testing.T) {
	f := newRestFixture(t, source.RestOptions{Probe: 3 * time.Second})
	f.err = throttled(0)
	require.Error(t, f.stat(busy))
	f.now, f.err = f.now.Add(time.Second), nil
	f.during = func() {
		require.Equal(t, 3*time.Second, pieces.RetryAfter(f.stat(busy)))
		f.now = f.now.Add(3 * time.Second)
		require.NoError(t, f.stat(busy), "another finds out")
		require.NoError(t, f.stat(busy))
	}
	require.NoError(t, f.stat(busy))
	require.Equal(t, 4, f.asked)
}

func TestRememberedOriginsAreBounded(t *testing.T) {
	f := newRestFixture(t, source.RestOptions{Hosts: 4})
	for i := range 10 {
		f.err = throttled(time.Duration(10+i) * time.Second)
		require.Error(t, f.stat(fmt.Sprintf("https://o%d.example/", i)))
	}
	f.err = nil
	refused := 0
	for i := range 10 {
		if f.stat(fmt.Sprintf("https://o%d.example/", i)) != nil {
			refused++
			require.GreaterOrEqual(t, i, 6, "whose time ends first goes first")
		}
	}
	require.Equal(t, 4, refused)
}
