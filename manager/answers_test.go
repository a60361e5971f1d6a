package manager

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"damselfly/manager/store"
	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

// A thousand hosts ask at once for a hash that nobody knows, and again.
func TestAnUnknownHashCostsOneQuery(t *testing.T) {
	m := start(t, tempDB(t), Options{Registry: prometheus.NewRegistry(), AnswerTTL: time.Hour})
	id := strings.Repeat("ab", 32)
	var hosts sync.WaitGroup
	for range 1000 {
		hosts.Go(func() {
			for range 2 {
				if _, err := m.ResolveTask(context.Background(), &managerpb.ResolveTaskRequest{Id: id}); pieces.KindOf(err) != pieces.NotFound {
					t.Error(err)
				}
			}
		})
	}
	hosts.Wait()
	require.EqualValues(t, 1, testutil.ToFloat64(m.server.metrics.lookups))
}

func TestWhatIsAddedHereIsFoundAtOnce(t *testing.T) {
	m := start(t, tempDB(t), Options{AnswerTTL: time.Hour})
	task, err := pieces.NewTask("https://example.org/a", pieces.Options{}, nil)
	require.NoError(t, err)
	look := func() ([]string, error) {
		r, err := m.ResolveTask(t.Context(), &managerpb.ResolveTaskRequest{Id: string(task.ID)})
		return r.GetNames(), err
	}
	_, err = look()
	require.Equal(t, pieces.NotFound, pieces.KindOf(err))
	put(t, m, "https://example.org/a", "one")
	names, err := look()
	require.NoError(t, err)
	require.Equal(t, []string{"one"}, names)
	put(t, m, "https://example.org/a", "two")
	names, err = look()
	require.NoError(t, err)
	require.Equal(t, []string{"one", "two"}, names)
	_, err = m.RemoveTask(t.Context(), &managerpb.RemoveTaskRequest{Id: string(task.ID)})
	require.NoError(t, err)
	_, err = look()
	require.Equal(t, pieces.NotFound, pieces.KindOf(err))
}

func TestAnswersAreForgotten(t *testing.T) {
	c := newClock()
	a := newAnswers(time.Second, c.now)
	var looks atomic.Int64
	look := func(context.Context) (answer, error) {
		looks.Add(1)
		return answer{entry: store.Entry{Revision: 7}}, nil
	}
	get := func(key string) {
		t.Helper()
		x, err := a.get(t.Context(), key, look)
		require.NoError(t, err)
		require.EqualValues(t, 7, x.entry.Revision)
	}
	get("a")
	c.advance(time.Second - 1)
	get("a")
	require.EqualValues(t, 1, looks.Load())
	c.advance(1)
	get("a")
	require.EqualValues(t, 2, looks.Load(), "its moment has passed")
	a.forget()
	get("a")
	require.EqualValues(t, 3, looks.Load(), "the catalogue changed")
	for i := range maxAnswers + 10 {
		get(fmt.Sprint(i))
	}
	require.LessOrEqual(t, len(a.items), maxAnswers)

	failing := func(context.Context) (answer, error) { return answer{}, pieces.Errorf(pieces.Unavailable, "x") }
	_, err := a.get(t.Context(), "b", failing)
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err))
	get("b")
}

// A look that began before a change is neither kept nor shared after it; who
// gives up leaves the others their answer.
func TestAnOldLookIsNotKept(t *testing.T) {
	a := newAnswers(time.Hour, time.Now)
	begun, end := make(chan struct{}), make(chan struct{})
	old := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := a.get(ctx, "a", func(ctx context.Context) (answer, error) {
			close(begun)
			<-end
			return answer{}, pieces.Errorf(pieces.NotFound, "x")
		})
		old <- err
	}()
	<-begun
	cancel()
	require.Equal(t, pieces.Canceled, pieces.KindOf(<-old))
	a.forget()
	_, err := a.get(t.Context(), "a", func(context.Context) (answer, error) { return answer{}, nil })
	require.NoError(t, err)
	close(end)
	_, err = a.get(t.Context(), "a", func(context.Context) (answer, error) { return answer{}, pieces.Errorf(pieces.NotFound, "x") })
	require.NoError(t, err, "the newer answer is remembered")
}
