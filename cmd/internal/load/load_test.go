package load

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"damselfly/proto/rpc"
	"damselfly/scheduler"
)

// TestLatencyCountsFromWhenACallWasDue: behind one call that takes long, the
// later ones are not called quick.
func TestLatencyCountsFromWhenACallWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		served := make(chan struct{}, 1) // one at a time, as one core serves
		o := Open(t.Context(), 1000, 100, rand.New(rand.NewPCG(1, 1)), func(_ context.Context, i int) error {
			served <- struct{}{}
			defer func() { <-served }()
			if i == 0 {
				time.Sleep(5 * time.Second)
			}
			if i == 999 {
				return errors.New("no")
			}
			return nil
		})
		require.Equal(t, 1000, o.Calls)
		require.Equal(t, 1, o.Failed)
		require.EqualError(t, o.Err, "no")
		require.Len(t, o.Latency, 999)
		require.Equal(t, 5*time.Second, o.Latency.At(1))
		require.Greater(t, o.Latency.At(.75), 2*time.Second, "about half of all came while the first was served")
		require.Zero(t, o.Latency.At(.25))
		require.Zero(t, o.Late.At(1), "time stands still while calls begin")
		require.InDelta(t, 100, o.Rate(), 10)
	})
}

func TestOpenEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		o := Open(ctx, 1000, 100, rand.New(rand.NewPCG(1, 1)), func(context.Context, int) error { return nil })
		require.InDelta(t, 100, o.Calls, 30)
	})
}

func TestQuantiles(t *testing.T) {
	require.Zero(t, Latencies(nil).At(.5))
	l := Latencies{1, 2, 3, 4}
	for q, want := range map[float64]time.Duration{0: 1, .25: 1, .26: 2, .5: 2, .99: 4, 1: 4} {
		require.Equal(t, want, l.At(q), q)
	}
}

func TestRatioTakesTheBestRoundOfEach(t *testing.T) {
	rows := []Row{{CPU: 2}, {CPU: 9}, {CPU: 3}, {CPU: 3}, {CPU: 4}, {CPU: 5}}
	require.Equal(t, 1.5, ratio(rows, cpu))
	require.Zero(t, ratio([]Row{{}, {}}, cpu), "without a metrics port there is no cost")
}

func TestArrivalsAreEveryPieceOnce(t *testing.T) {
	order := arrivals(500, rand.New(rand.NewPCG(1, 1)))
	require.Len(t, extents(order), 1)
	require.Len(t, order, 500)
}

// TestScenariosAgainstARealScheduler runs every scenario, small.
func TestScenariosAgainstARealScheduler(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := lis.Addr().String()
	s, err := scheduler.New(scheduler.Options{Advertise: addr, Heartbeat: 20 * time.Second}) // patient on a busy machine
	require.NoError(t, err)
	srv := rpc.NewServer(rpc.ServerOptions{})
	s.Register(srv)
	ctx, stop := context.WithCancel(context.Background())
	var serving errgroup.Group
	serving.Go(func() error { return s.Run(ctx) })
	serving.Go(func() error { return srv.Serve(ctx, lis) })
	t.Cleanup(func() {
		stop()
		require.NoError(t, serving.Wait())
	})
	o := DefaultOptions()
	o.Scheduler, o.Hosts, o.Conns, o.Tasks, o.Peers, o.HotPeers, o.Few, o.Many = addr, 40, 10, 4, 40, 20, 2, 4
	o.Size, o.Duration, o.Rate, o.FixedRate, o.Crowd = 8<<20, 200*time.Millisecond, 200, 200, 3
	bench, err := New(o)
	require.NoError(t, err)
	for _, sc := range Scenarios {
		r, err := sc.Run(bench, t.Context())
		require.NoError(t, err, sc.Name)
		require.Equal(t, sc.Name, r.Scenario)
		for _, x := range r.Rows {
			require.Zero(t, x.Failed, x.Error)
			require.Greater(t, x.Parents, 1.0)
			require.Positive(t, x.P99)
		}
		var b strings.Builder
		require.NoError(t, r.Print(&b))
		require.Contains(t, b.String(), " connections, ", sc.Name)
		if sc.Name == "traffic" {
			require.Positive(t, r.Goals[0].Value)
		}
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"no scheduler":         func(o *Options) { o.Scheduler = "" },
		"too few hosts":        func(o *Options) { o.Hosts = 3 },
		"nobody left":          func(o *Options) { o.Tasks, o.Peers = 1, 1500 },
		"content of one piece": func(o *Options) { o.Size = 1000 },
		"no time":              func(o *Options) { o.Duration = 0 },
	} {
		o := DefaultOptions()
		o.Scheduler = "127.0.0.1:1"
		change(&o)
		_, err := New(o)
		require.Error(t, err, name)
	}
}
