package swarm

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"damselfly/pieces"
)

var (
	runs  = flag.Int("runs", 300, "random histories per property test")
	steps = flag.Int("steps", 300, "random events per history")
)

// crowd plays hosts that do anything at any time, then settle down.
type crowd struct {
	*world
	rand  *rand.Rand
	names []pieces.HostID
	// mind is what each host remembers of what it was told.
	mind map[pieces.HostID]*mind
	err  error
}

type mind struct {
	registered bool
	leases     map[pieces.LeaseID]pieces.Extent
	held       pieces.Set
	wants      pieces.Set
	sources    map[pieces.HostID]*pieces.Set // who was said to hold or fetch what
}

func newCrowd(seed uint64) *crowd {
	c := &crowd{world: newWorld(), rand: rand.New(rand.NewPCG(seed, 1)), mind: map[pieces.HostID]*mind{}}
	content := args{set: map[string]string{"pieces": fmt.Sprint(1 + c.rand.IntN(40))}}
	if c.rand.IntN(5) == 0 {
		content.plain = []string{"noranges"}
	}
	c.content("v1", content)
	c.opts.LeaseUnit = int64(1+c.rand.IntN(8)) * pieces.MinPieceSize
	for i := range 2 + c.rand.IntN(8) {
		id := pieces.HostID(fmt.Sprint("h", i))
		a := args{set: map[string]string{"slots": fmt.Sprint(c.rand.IntN(4))}}
		if c.rand.IntN(4) == 0 {
			a.plain = []string{"seed"}
		}
		c.host(id, a)
		c.names = append(c.names, id)
		c.mind[id] = &mind{leases: map[pieces.LeaseID]pieces.Extent{}, sources: map[pieces.HostID]*pieces.Set{}}
	}
	return c
}

func (c *crowd) pieces() int {
	g, _ := c.versions["v1"].Geometry()
	return g.Count()
}

func (c *crowd) extent() pieces.Extent {
	first := c.rand.IntN(c.pieces())
	return pieces.Extent{First: first, End: first + 1 + c.rand.IntN(c.pieces()-first)}
}

func (c *crowd) from(id pieces.HostID) From { return From{id, c.sessions[id], c.versionID("v1")} }

// do steps the machine, checks it, and lets the hosts hear what it says.
func (c *crowd) do(ev Event) {
	if c.err != nil {
		return
	}
	repeats := map[pieces.Extent]bool{}
	v := c.task.version(c.versionID("v1"))
	had := &pieces.Set{}
	if v != nil {
		for i := range v.n {
			if v.available(i) {
				had.Add(i)
			}
		}
	}
	actions := c.step(ev)
	if err := check(c.task); err != nil {
		c.err = fmt.Errorf("after %T %+v: %w", ev, ev, err)
		return
	}
	repeated := false
	for _, a := range actions {
		switch a := a.(type) {
		case Count:
			repeated = repeated || a.What == RepeatBytes
		case Send:
			if a.Session == c.sessions[a.Host] {
				c.hear(a.Host, a.Msg)
			}
			if l, ok := a.Msg.(Lease); ok {
				repeats[l.Extent] = had.HasExtent(l.Extent)
			}
		}
	}
	for e, again := range repeats {
		_, lost := ev.(Held)
		if again && !repeated && !lost && c.versions["v1"].Ranges && stillHeld(c.task.version(c.versionID("v1")), e) {
			c.err = fmt.Errorf("after %T %+v: %v was leased though it is held", ev, ev, e)
		}
	}
}

func stillHeld(v *version, e pieces.Extent) bool {
	for i := range e.All() {
		if v == nil || !v.available(i) {
			return false
		}
	}
	return true
}

func (c *crowd) hear(id pieces.HostID, m Message) {
	at := c.mind[id]
	switch m := m.(type) {
	case Lease:
		at.leases[m.ID] = m.Extent
	case LeaseEnd:
		delete(at.leases, m.ID)
	case Rejected:
		at.registered = false
	case OriginError:
		for _, e := range m.Extents {
			at.wants.RemoveExtent(e)
		}
	case Holders:
		for _, h := range m.Holders {
			if at.sources[h.Host.ID] == nil {
				at.sources[h.Host.ID] = &pieces.Set{}
			}
			for _, e := range append(h.Held, h.Fetching...) {
				at.sources[h.Host.ID].AddExtent(e)
			}
		}
	}
}

func (c *crowd) register(id pieces.HostID) {
	at := c.mind[id]
	f := c.versions["v1"]
	e := Register{Host: id, Session: c.sessions[id], Version: c.versionID("v1"), Facts: &f,
		CanFetch: c.rand.IntN(3) > 0, Resumed: c.rand.IntN(4) == 0, Held: at.held.List()}
	if e.Resumed {
		for l, x := range at.leases {
			e.Leases = append(e.Leases, RunningLease{l, []pieces.Extent{x}})
			break
		}
	} else {
		at.leases = map[pieces.LeaseID]pieces.Extent{}
	}
	at.registered = true
	at.sources = map[pieces.HostID]*pieces.Set{}
	at.wants = pieces.Set{}
	c.do(e)
	if sums := c.sums(at.held.List()); len(sums) > 0 {
		c.do(Held{From: c.from(id), Extents: at.held.List(), Sums: sums})
	}
}

func (c *crowd) sums(es []pieces.Extent) []pieces.SumRun {
	a := args{}
	for _, e := range es {
		a.plain = append(a.plain, fmt.Sprintf("%d-%d", e.First, e.End-1))
	}
	return c.held(From{Host: "h0"}, a).Sums
}

// report tells that id holds e now, under lease l or from others.
func (c *crowd) report(id pieces.HostID, e pieces.Extent, l pieces.LeaseID) {
	at := c.mind[id]
	at.held.AddExtent(e)
	at.wants.RemoveExtent(e)
	ev := Held{From: c.from(id), Extents: []pieces.Extent{e}, Lease: l, Rate: 1e6,
		Costs: []Cost{{c.any(), float64(c.rand.IntN(50))}}}
	if l != 0 {
		ev.Sums = c.sums(ev.Extents)
	}
	c.do(ev)
}

func (c *crowd) any() pieces.HostID { return c.names[c.rand.IntN(len(c.names))] }

// chaos lets one random thing happen.
func (c *crowd) chaos() {
	id := c.any()
	at := c.mind[id]
	switch c.rand.IntN(16) {
	case 0:
		c.sessions[id]++
		c.do(SessionUp{id, c.sessions[id]})
	case 1:
		old := c.sessions[id]
		c.sessions[id]++ // what the old one still says is late
		c.do(SessionDown{id, old})
		at.registered = false
	case 2:
		c.do(Leave{Host: id})
		at.registered, at.wants = false, pieces.Set{}
	case 3, 4:
		c.register(id)
	case 5, 6, 7:
		e := c.extent()
		at.wants.AddExtent(e)
		for x := range at.held.Extents() {
			at.wants.RemoveExtent(x)
		}
		c.do(Want{From: c.from(id), Extents: []pieces.Extent{e}, Class: pieces.Class(c.rand.IntN(pieces.Classes))})
	case 8:
		for l, x := range at.leases {
			if c.rand.IntN(3) > 0 {
				delete(at.leases, l)
			} else if x.Len() > 1 {
				x.End--
			}
			c.report(id, x, l)
			break
		}
	case 9:
		c.fetch(id)
	case 10:
		e := c.extent()
		at.held.RemoveExtent(e)
		c.do(Lost{c.from(id), []pieces.Extent{e}})
	case 11:
		c.do(Failed{c.from(id), c.any(), []pieces.Extent{c.extent()}, pieces.FailReason(c.rand.IntN(5))})
	case 12:
		e := c.extent()
		at.wants.RemoveExtent(e)
		c.do(Cancel{c.from(id), []pieces.Extent{e}})
	case 13:
		for l := range at.leases {
			delete(at.leases, l)
			k := []pieces.Kind{pieces.Origin, pieces.Canceled, pieces.NotFound, pieces.Throttled, pieces.Changed}[c.rand.IntN(5)]
			c.do(OriginFailed{c.from(id), l, pieces.Errorf(k, "random")})
			break
		}
	case 14:
		c.calls++
		c.do(Stat{Call: c.calls, Host: id, CanFetch: c.rand.IntN(2) == 0})
	case 15:
		c.now = c.now.Add(time.Duration(c.rand.IntN(2000)) * time.Millisecond)
		c.do(Tick{})
	}
}

// fetch gets some wanted piece from a source that id was told of and that has
// it; it reports whether there was one. A source that no longer has it failed.
func (c *crowd) fetch(id pieces.HostID) bool {
	at := c.mind[id]
	for _, src := range c.names {
		named := at.sources[src]
		if named == nil {
			continue
		}
		for e := range at.wants.Extents() {
			for i := range e.All() {
				if !named.Has(i) {
					continue
				}
				one := pieces.Extent{First: i, End: i + 1}
				if c.mind[src].held.Has(i) && c.mind[src].registered {
					c.report(id, one, 0)
					return true
				}
				if !c.leased(src, i) {
					named.Remove(i)
					c.do(Failed{c.from(id), src, []pieces.Extent{one}, pieces.FailNotFound})
					return true
				}
			}
		}
	}
	return false
}

func (c *crowd) leased(id pieces.HostID, i int) bool {
	for _, x := range c.mind[id].leases {
		if x.Has(i) {
			return true
		}
	}
	return false
}

// calm lets every host do its duty until nobody wants anything.
func (c *crowd) calm() error {
	// The origin is well again, and says that the content is what it was.
	c.now = c.now.Add(time.Hour)
	c.do(Tick{})
	for range 2 {
		c.calls++
		f := c.versions["v1"]
		c.do(Stat{Call: c.calls, Host: "h0", CanFetch: true, Lease: c.task.facts.lease, Facts: &f})
	}
	for _, id := range c.names {
		c.sessions[id]++
		c.do(SessionUp{id, c.sessions[id]})
		c.register(id)
		at := c.mind[id]
		at.wants.AddExtent(pieces.Extent{First: 0, End: c.pieces()})
		for x := range at.held.Extents() {
			at.wants.RemoveExtent(x)
		}
		c.do(Want{From: c.from(id), Extents: at.wants.List(), Class: pieces.Fill})
	}
	for range 2000 {
		busy := false
		for _, id := range c.names {
			at := c.mind[id]
			if !at.registered {
				continue // put out
			}
			for l, x := range at.leases {
				delete(at.leases, l)
				c.report(id, x, l)
			}
			for c.err == nil && c.fetch(id) {
			}
			busy = busy || at.wants.Count() > 0
		}
		if !busy || c.err != nil {
			return c.err
		}
		c.now = c.now.Add(100 * time.Millisecond)
		c.do(Tick{})
	}
	for _, id := range c.names {
		if at := c.mind[id]; at.wants.Count() > 0 && at.registered {
			return fmt.Errorf("%s still wants %v; it was told of %v", id, &at.wants, at.sources)
		}
	}
	return c.err
}

// TestRandomHistories: whatever hosts do, the machine stays consistent, gives
// out no lease twice, ends every want once hosts do their duty, and forgets
// everything when all have left.
func TestRandomHistories(t *testing.T) {
	for seed := range uint64(*runs) {
		c := newCrowd(seed)
		for range *steps {
			c.chaos()
		}
		if c.err != nil {
			t.Fatalf("seed %d: %v", seed, c.err)
		}
		if err := c.calm(); err != nil {
			t.Fatalf("seed %d, calming down: %v", seed, err)
		}
		for _, id := range c.names {
			c.do(Leave{Host: id})
		}
		c.now = c.now.Add(time.Hour)
		c.do(Tick{})
		if c.err != nil {
			t.Fatalf("seed %d, leaving: %v", seed, c.err)
		}
		if n := len(c.task.versions); n != 0 || len(c.task.hosts) != 0 || !c.task.Forgettable(c.now, &c.opts) {
			t.Fatalf("seed %d: all have left, but %s", seed, c.state())
		}
	}
}
