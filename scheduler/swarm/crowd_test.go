package swarm

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"damselfly/pieces"
)

// crowd plays hosts that do anything at any time, then settle down.
type crowd struct {
	*world
	rand  *rand.Rand
	names []pieces.HostID
	// mind is what each host remembers of what it was told.
	mind map[pieces.HostID]*mind
	// liars report wrong digests now and then, until all calm down.
	liars  map[pieces.HostID]bool
	honest bool
	// heard are messages that hosts have yet to act on.
	later  []func()
	counts [Counters]int64
	err    error
}

func newCrowd(seed uint64) *crowd {
	c := &crowd{world: newWorld(), rand: rand.New(rand.NewPCG(seed, 1)), mind: map[pieces.HostID]*mind{},
		liars: map[pieces.HostID]bool{}}
	if c.rand.IntN(4) == 0 {
		c.opts.Policy = pieces.PolicyClassic
	}
	flaky := c.rand.IntN(6) == 0 // the origin says this and that
	lying := c.rand.IntN(2) == 0
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
		if k := i % 3; k > 0 {
			a.set["idc"] = fmt.Sprint("dc", k)
		}
		c.host(id, a)
		c.names = append(c.names, id)
		c.mind[id] = newMind()
		c.liars[id] = flaky || lying && c.rand.IntN(3) == 0
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

// do steps the machine, checks it, and lets the hosts hear what it says; then
// they act on it.
func (c *crowd) do(ev Event) {
	c.let(ev)
	for len(c.later) > 0 && c.err == nil {
		act := c.later[0]
		c.later = c.later[1:]
		act()
	}
	c.later = nil
}

func (c *crowd) let(ev Event) {
	if c.err != nil {
		return
	}
	had := c.available()
	actions := c.step(ev)
	err := check(c.task, c.hosts)
	if _, tick := ev.(Tick); tick && err == nil {
		err = checkPaths(c.task, View{Now: c.now, Hosts: c.hosts, Options: &c.opts})
	}
	if err == nil {
		err = c.checkLeased(had, actions)
	}
	if err != nil {
		c.err = fmt.Errorf("after %T %+v: %w", ev, ev, err)
		return
	}
	for _, a := range actions {
		switch a := a.(type) {
		case Count:
			c.counts[a.What] += a.N
		case RegisterReply:
			at := c.mind[ev.(Register).Host]
			at.registered = a.Err == nil
			at.follow(a.Parents)
		case Send:
			if a.Session == c.sessions[a.Host] {
				c.hear(a.Host, a.Msg)
			}
		}
	}
}

// available returns the pieces that somebody can be sent to fetch.
func (c *crowd) available() *pieces.Set {
	had := &pieces.Set{}
	if v := c.task.version(c.versionID("v1")); v != nil {
		for i := range v.n {
			if v.available(i) {
				had.Add(i)
			}
		}
	}
	return had
}

// checkLeased: what was available before and after a Step was not leased in it
// but by the repeat rule, which is counted, or to settle a dispute.
func (c *crowd) checkLeased(had *pieces.Set, actions []Action) error {
	if !c.versions["v1"].Ranges {
		return nil // is read whole, by one
	}
	g, _ := c.versions["v1"].Geometry()
	had.IntersectSet(c.available())
	again, counted := int64(0), int64(0)
	for _, a := range actions {
		switch a := a.(type) {
		case Count:
			if a.What == RepeatBytes {
				counted += a.N
			}
		case Send:
			if l, ok := a.Msg.(Lease); ok && !l.Reread {
				for e := range overlap(had, l.Extent) {
					_, n := g.Bytes(e)
					again += n
				}
			}
		}
	}
	if again > counted {
		return fmt.Errorf("%d bytes were leased that somebody holds, %d were counted", again, counted)
	}
	return nil
}

func (c *crowd) hear(id pieces.HostID, m Message) {
	at := c.mind[id]
	switch m := m.(type) {
	case Lease:
		at.leases[m.ID] = m.Extent
		at.rereads[m.ID] = m.Reread
	case LeaseEnd:
		delete(at.leases, m.ID)
	case Rejected:
		at.registered = false
	case Parents:
		at.follow(m.Parents)
	case Digests:
		if m.Corrected {
			c.later = append(c.later, func() { c.heed(id, m.Sums) })
		}
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

// heed drops what a corrected record says is wrong, and says again what is right.
func (c *crowd) heed(id pieces.HostID, sums []pieces.SumRun) {
	at := c.mind[id]
	for _, run := range sums {
		for i := range run.Extent().All() {
			e := []pieces.Extent{{First: i, End: i + 1}}
			switch {
			case !at.held.Has(i):
			case at.sum(i) == run.Sums[i-run.First]:
				c.do(Held{From: c.from(id), Extents: e, Sums: at.sums(id, e)})
			default:
				at.drop(e[0])
				c.do(Lost{c.from(id), e})
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
		for _, l := range slices.Sorted(maps.Keys(at.leases)) {
			x := at.leases[l]
			if at.rereads[l] {
				continue // is not brought along
			}
			e.Leases = append(e.Leases, RunningLease{l, []pieces.Extent{x}})
			break
		}
	} else {
		at.leases = map[pieces.LeaseID]pieces.Extent{}
	}
	at.sources = map[pieces.HostID]*pieces.Set{}
	at.wants = pieces.Set{}
	c.do(e)
	if sums := at.sums(id, at.held.List()); at.registered && len(sums) > 0 {
		c.do(Held{From: c.from(id), Extents: at.held.List(), Sums: sums})
	}
}

// read is what a host reads from the origin: a liar not always what is there.
func (c *crowd) read(id pieces.HostID, e pieces.Extent) {
	at := c.mind[id]
	at.held.AddExtent(e)
	for i := range e.All() {
		delete(at.bytes, i)
		if c.liars[id] && !c.honest && c.rand.IntN(2) == 0 {
			at.bytes[i] = fmt.Sprint(" wrong ", c.rand.IntN(9))
		}
	}
}

// report tells that id has e now: read under lease l, or got from another one.
func (c *crowd) report(id pieces.HostID, e pieces.Extent, l pieces.LeaseID) {
	at := c.mind[id]
	at.wants.RemoveExtent(e)
	ev := Held{From: c.from(id), Extents: []pieces.Extent{e}, Lease: l, Rate: 1e6,
		Costs: []Cost{{c.any(), float64(c.rand.IntN(50))}}}
	if l != 0 {
		ev.Sums = at.sums(id, ev.Extents)
	}
	c.do(ev)
}

func (c *crowd) any() pieces.HostID { return c.names[c.rand.IntN(len(c.names))] }

// chaos lets one random thing happen.
func (c *crowd) chaos() {
	id := c.any()
	at := c.mind[id]
	switch c.rand.IntN(18) {
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
		if l := at.firstLease(); l != 0 {
			x := at.leases[l]
			if c.rand.IntN(3) > 0 {
				delete(at.leases, l)
			} else if x.Len() > 1 {
				x.End--
			}
			c.read(id, x)
			c.report(id, x, l)
		}
	case 9:
		c.fetch(id)
	case 10:
		e := c.extent()
		at.drop(e)
		c.do(Lost{c.from(id), []pieces.Extent{e}})
	case 11:
		c.do(Failed{c.from(id), c.any(), []pieces.Extent{c.extent()}, pieces.FailReason(c.rand.IntN(5))})
	case 12:
		e := c.extent()
		at.wants.RemoveExtent(e)
		c.do(Cancel{c.from(id), []pieces.Extent{e}})
	case 13:
		if l := at.firstLease(); l != 0 {
			delete(at.leases, l)
			k := []pieces.Kind{pieces.Origin, pieces.Canceled, pieces.NotFound, pieces.Throttled, pieces.Changed}[c.rand.IntN(5)]
			c.do(OriginFailed{c.from(id), l, pieces.Errorf(k, "random")})
		}
	case 14:
		c.calls++
		c.do(Stat{Call: c.calls, Host: id, CanFetch: c.rand.IntN(2) == 0})
	case 16, 17: // disputes are settled soon, as a rule
		for _, id := range append(c.names, c.names...) {
			at := c.mind[id]
			for _, l := range slices.Sorted(maps.Keys(at.leases)) {
				if x := at.leases[l]; at.rereads[l] && c.err == nil {
					delete(at.leases, l)
					c.read(id, x)
					c.report(id, x, l)
				}
			}
		}
	case 15:
		c.now = c.now.Add(time.Duration(c.rand.IntN(2000)) * time.Millisecond)
		c.do(Tick{})
	}
}

// fetch gets some wanted piece from a source that id was told of, or from a
// parent, and that has it; it reports whether there was one. A source that no
// longer has it failed, and so did one whose bytes are not what is recorded.
func (c *crowd) fetch(id pieces.HostID) bool {
	at := c.mind[id]
	for _, src := range c.names {
		from, named := c.mind[src], at.sources[src]
		parent := slices.Contains(at.parents, src)
		if named == nil && !parent {
			continue
		}
		if named == nil {
			named = &pieces.Set{}
		}
		for e := range at.wants.Extents() {
			for i := range e.All() {
				one := pieces.Extent{First: i, End: i + 1}
				want, recorded := c.recorded(i)
				switch {
				case from.held.Has(i) && from.registered && (parent || named.Has(i)):
					if !recorded {
						continue // nobody knows what it should be
					}
					if from.sum(i) != want {
						named.Remove(i)
						c.do(Failed{c.from(id), src, []pieces.Extent{one}, pieces.FailBadBytes})
						return true
					}
					at.held.Add(i)
					at.bytes[i] = from.bytes[i]
					c.report(id, one, 0)
					return true
				case named.Has(i) && !c.leased(src, i):
					named.Remove(i)
					c.do(Failed{c.from(id), src, []pieces.Extent{one}, pieces.FailNotFound})
					return true
				}
			}
		}
	}
	return false
}

// recorded is the digest that the machine would tell.
func (c *crowd) recorded(i int) (pieces.Sum, bool) {
	v := c.task.version(c.versionID("v1"))
	if v == nil || !v.digests.has(i) {
		return pieces.Sum{}, false
	}
	return v.digests.get(i), true
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
	// Nobody lies any more; the origin is well again, and says that the content
	// is what it was.
	c.honest = true
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
			for _, l := range slices.Sorted(maps.Keys(at.leases)) {
				x := at.leases[l]
				delete(at.leases, l)
				c.read(id, x)
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
