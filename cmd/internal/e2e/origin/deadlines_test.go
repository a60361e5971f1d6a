package origin_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/cluster"
	"damselfly/cmd/internal/e2e/origin"
	"damselfly/daemon"
	"damselfly/pieces"
	"damselfly/scheduler"
)

// The patience with origins as it is shipped; the matrix runs with less. The
// deadlines of lookups and reads are tested through a mount, in package e2e.
func TestDefaultDeadlines(t *testing.T) {
	t.Parallel()
	o := origin.New(t, 11)
	alone := cluster.New(t, 0)
	c := cluster.With(t, 1, func(o *scheduler.Options) { o.OriginsApart = true })
	c.Host(func(o *daemon.Options) { o.Seed, o.Rest.Off = true, true })
	apart := func(o *daemon.Options) { o.Rest.Off = true } // what the rows ask for is at one origin
	for _, r := range []reader{{"alone", []*cluster.Host{alone.Host(apart)}}, {"swarm", []*cluster.Host{c.Host(apart)}}} {
		for _, d := range []struct {
			name            string
			when            origin.When
			fault           origin.Fault
			want            pieces.Kind
			atLeast, atMost time.Duration
		}{
			{"stall of 5 s", origin.First(1, origin.Data), origin.Pause(5 * time.Second), right, 4 * time.Second, 8 * time.Second},
			{"stall of 40 s", origin.First(1, origin.Data), origin.Pause(40 * time.Second), right, 9 * time.Second, 14 * time.Second},
			{"stall for ever", origin.First(1, origin.Data), origin.Pause(-1), right, 9 * time.Second, 14 * time.Second},
			{"Retry-After", origin.First(1, origin.Data), origin.Status(503, "3"), right, 2 * time.Second, 8 * time.Second},
			{"Retry-After of an hour", origin.Data, origin.Status(503, "3600"), pieces.Throttled, 0, 5 * time.Second},
		} {
			f := o.Add(r.name+slug(d.name), 400<<10)
			t.Run(r.name+"/"+d.name, func(t *testing.T) {
				t.Parallel()
				rule := f.Misbehave(d.when, d.fault)
				r.add(t, f.URL(), pieces.Options{})
				began := time.Now()
				err := read(t, r.hosts[0], f, pieces.Options{}, 45*time.Second)
				took := time.Since(began)
				kind := right
				if err != nil {
					kind = pieces.KindOf(err)
				}
				require.Equal(t, d.want, kind, "%v after %v", err, took)
				require.GreaterOrEqual(t, took, d.atLeast)
				require.LessOrEqual(t, took, d.atMost)
				require.Positive(t, rule.Fired())
			})
		}
	}
}
