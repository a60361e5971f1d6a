package sim

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ends runs the clock out and returns when each flow ended, in seconds.
func ends(c *clock, flows map[string]func(done func())) map[string]float64 {
	out := map[string]float64{}
	for name, start := range flows {
		start(func() { out[name] = c.now.Seconds() })
	}
	for c.step(time.Hour) {
	}
	return out
}

func TestFlowsShareAsByHand(t *testing.T) {
	near := func(t *testing.T, want, got map[string]float64) {
		require.Len(t, got, len(want))
		for k := range want {
			require.InDelta(t, want[k], got[k], 1e-6, k)
		}
	}
	t.Run("one flow takes the narrower pipe", func(t *testing.T) {
		c := &clock{}
		n := &network{clock: c}
		up, down := newPipe(100), newPipe(50)
		near(t, map[string]float64{"a": 2}, ends(c, map[string]func(func()){
			"a": func(done func()) { n.start(100, done, up, down) },
		}))
	})
	t.Run("two flows share one uplink, then the longer has it alone", func(t *testing.T) {
		c := &clock{}
		n := &network{clock: c}
		up, d1, d2 := newPipe(100), newPipe(1000), newPipe(1000)
		near(t, map[string]float64{"a": 2, "b": 3}, ends(c, map[string]func(func()){
			"a": func(done func()) { n.start(100, done, up, d1) },
			"b": func(done func()) { n.start(200, done, up, d2) },
		}))
	})
	t.Run("what a slow receiver leaves goes to the others", func(t *testing.T) {
		// a is held to 10 by its receiver, b and c have 45 each.
		c := &clock{}
		n := &network{clock: c}
		up := newPipe(100)
		near(t, map[string]float64{"a": 10, "b": 10, "c": 10}, ends(c, map[string]func(func()){
			"a": func(done func()) { n.start(100, done, up, newPipe(10)) },
			"b": func(done func()) { n.start(450, done, up, newPipe(1000)) },
			"c": func(done func()) { n.start(450, done, up, newPipe(1000)) },
		}))
	})
	t.Run("a bottleneck behind another", func(t *testing.T) {
		// x and y cross the pipe of 60, x also that of 20 with z: x and z have 10
		// each, so y has 50.
		c := &clock{}
		n := &network{clock: c}
		wide, narrow, in := newPipe(60), newPipe(20), newPipe(1000)
		near(t, map[string]float64{"x": 1, "y": 1, "z": 1}, ends(c, map[string]func(func()){
			"x": func(done func()) { n.start(10, done, wide, narrow) },
			"y": func(done func()) { n.start(50, done, wide, in) },
			"z": func(done func()) { n.start(10, done, newPipe(1000), narrow) },
		}))
	})
	t.Run("weights share", func(t *testing.T) {
		// a weighs 3: it has 75 and b 25, until a ends.
		c := &clock{}
		weights := []float64{3, 1}
		n := &network{clock: c, weigh: func() float64 {
			w := weights[0]
			weights = weights[1:]
			return w
		}}
		up := newPipe(100)
		out := map[string]float64{}
		n.start(150, func() { out["a"] = c.now.Seconds() }, up, newPipe(1000))
		n.start(150, func() { out["b"] = c.now.Seconds() }, up, newPipe(1000))
		for c.step(time.Hour) {
		}
		near(t, map[string]float64{"a": 2, "b": 3}, out)
	})
	t.Run("three pipes on one way", func(t *testing.T) {
		c := &clock{}
		n := &network{clock: c}
		out := newPipe(30)
		near(t, map[string]float64{"a": 2, "b": 2}, ends(c, map[string]func(func()){
			"a": func(done func()) { n.start(30, done, newPipe(100), out, newPipe(100)) },
			"b": func(done func()) { n.start(30, done, newPipe(100), out, newPipe(100)) },
		}))
	})
}

func TestStoppedFlowLeavesItsShare(t *testing.T) {
	c := &clock{}
	n := &network{clock: c}
	up := newPipe(100)
	var ended time.Duration
	n.start(150, func() { ended = c.now }, up, newPipe(1000))
	b := n.start(1000, func() { t.Error("stopped flows do not end") }, up, newPipe(1000))
	c.after(time.Second, func() { require.InDelta(t, 50, n.stop(b), 1e-6) })
	for c.step(time.Hour) {
	}
	require.InDelta(t, 2, ended.Seconds(), 1e-6, "50 bytes in the first second, 100 in the next")
	require.Empty(t, up.flows)
}

// Random flows over random pipes: no pipe carries more than it can, and every
// flow has a pipe that is full and grants no flow more.
func TestRatesAreMaxMinFair(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	c := &clock{}
	n := &network{clock: c}
	var ups, downs []*pipe
	for range 20 {
		ups, downs = append(ups, newPipe(10+90*r.Float64())), append(downs, newPipe(10+90*r.Float64()))
	}
	var flows []*flow
	for range 150 {
		flows = append(flows, n.start(1e9, func() {}, ups[r.IntN(20)], downs[r.IntN(20)]))
		if k := r.IntN(len(flows)); r.IntN(3) == 0 {
			n.stop(flows[k])
			flows = append(flows[:k], flows[k+1:]...)
		}
		for _, p := range append(append([]*pipe{}, ups...), downs...) {
			sum := 0.0
			for _, f := range p.flows {
				sum += f.rate
			}
			require.LessOrEqual(t, sum, p.capacity*(1+1e-6))
		}
		for _, f := range flows {
			bound := false
			for _, p := range f.pipes[:f.hops] {
				sum, most := 0.0, 0.0
				for _, o := range p.flows {
					sum, most = sum+o.rate, max(most, o.rate)
				}
				bound = bound || sum >= p.capacity*(1-1e-6) && f.rate >= most*(1-1e-6)
			}
			require.True(t, bound, "a flow at %v could have more", f.rate)
		}
	}
}

func TestClockKeepsOrder(t *testing.T) {
	c := &clock{}
	var got []int
	for i := range 5 {
		c.after(time.Second, func() { got = append(got, i) })
	}
	late := c.after(2*time.Second, func() { got = append(got, 9) })
	c.after(time.Millisecond, func() { c.move(late, time.Second/2) })
	gone := c.after(time.Second, func() { got = append(got, 8) })
	c.stop(gone)
	c.stop(gone)
	for c.step(time.Hour) {
	}
	require.Equal(t, []int{9, 0, 1, 2, 3, 4}, got)
}
