package engine

import (
	"context"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"damselfly/daemon/announce"
	"damselfly/daemon/picker"
	"damselfly/pieces"
	"damselfly/pieces/store"
	"damselfly/proto/trace"
)

// Content is one (Task, Version) on this host.
type Content struct {
	e      *Engine
	key    pieces.Key
	facts  pieces.Facts
	geo    pieces.Geometry
	public bool
	log    *logrus.Entry
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	// traffic counts this content's bytes.
	traffic traffic
	// readBy counts what programs read of it.
	readBy reads
	speed  speed

	pinMu sync.Mutex
	pins  int
	// v is the stored Version; nil while nobody pins the content, and when
	// the store can't keep it.
	v *store.Version

	mu       sync.Mutex
	task     *pieces.Task
	canFetch bool
	closed   bool
	// held are the verified pieces: on disk, or in mem.
	held *pieces.Set
	// mem are pieces not on disk (yet). Invariant: mem ⊆ held.
	mem map[int]*buffer
	// sums are the recorded digests, zero = unknown; setters who set them.
	sums    []pieces.Sum
	setters []pieces.HostID
	setter  []uint16 // index into setters
	loaded  bool     // held and sums were read from the store
	pick    *picker.Picker
	// seeding is set on seeds; policy is that of the registration.
	seeding *picker.Seeding
	policy  pieces.Policy

	// handles that are open, and what they fetch ahead. order is an access order
	// of earlier readers, touches is that of this host's. filling: the whole is
	// being fetched in the background.
	handles int
	ahead   ahead
	order   []pieces.Extent
	touches touches
	filling bool
	// heard is closed when a scheduler has answered a registration, or none did.
	heard chan struct{}

	interests map[*interest]struct{}
	// traced are the interests of traced readers, nil while there is none;
	// openedBy the span in which it was opened last, until that has registered.
	traced   map[*interest]trace.Parent
	openedBy trace.Parent
	// counted are the interests whose missing pieces are kept count of.
	counted  map[*interest]struct{}
	arrivals map[int]*arrival
	// growths follow what is written; losses counts how often pieces were lost.
	growths map[*Growth]struct{}
	losses  int
	changed chan struct{} // closed and replaced at each delivery
	// turnEnded is closed and replaced when an origin read's turn ends.
	turnEnded chan struct{}
	progress  time.Time // when the last verified byte came
	lastUse   time.Time

	// flights are the requests to neighbours under way; waits how long the
	// last pieces took.
	flights    map[*flight]struct{}
	waits      waits
	neighbours map[pieces.HostID]*neighbour
	blocked    map[pieces.HostID]*block
	// points are where seeds have sent demand reads of this host; insist are
	// pieces that did not come that way.
	points map[*point]struct{}
	insist *pieces.Set

	peer        *announce.Peer
	registering bool
	// wokenBy is the scheduler that woke this seed for it; empty = none did.
	wokenBy   string
	retryAt   time.Time
	downSince time.Time // session lost, or registration failed
	asked     [pieces.Classes]*pieces.Set
	leases    map[pieces.LeaseID][]pieces.Extent

	origins map[*originRead]struct{}
	// originRate is what a bulk read from the origin got last, bytes per second.
	originRate float64
	// hastened is when a reader last overtook one of them, or would have; twice
	// counts the bytes that came twice for it.
	hastened time.Time
	twice    int64
	failure  failure
	broken   breakage
	// swapped are pieces held that a reread found to be other than was held.
	swapped pieces.Set
	// replaced: the Task has a newer Version; the origin has no more of this.
	// confirmed: a read of the origin said so, the facts denied it.
	replaced, confirmed bool
	rest                rest
	whole               wholeCheck
	// verifying: the cache is being read again after an unclean stop.
	verifying bool
}

func newContent(e *Engine, t *pieces.Task, key pieces.Key, facts pieces.Facts, canFetch bool) (*Content, error) {
	geo, err := facts.Geometry()
	if err != nil {
		return nil, err
	}
	c := &Content{
		e: e, key: key, facts: facts, geo: geo, public: t.Public(), task: t, canFetch: canFetch,
		log:        e.o.Log.WithFields(key.Fields()),
		held:       &pieces.Set{},
		mem:        map[int]*buffer{},
		sums:       make([]pieces.Sum, geo.Count()),
		setter:     make([]uint16, geo.Count()),
		pick:       picker.New(geo, &pieces.Set{}, e.o.picker(), newRand()),
		interests:  map[*interest]struct{}{},
		counted:    map[*interest]struct{}{},
		arrivals:   map[int]*arrival{},
		growths:    map[*Growth]struct{}{},
		changed:    make(chan struct{}),
		turnEnded:  make(chan struct{}),
		flights:    map[*flight]struct{}{},
		neighbours: map[pieces.HostID]*neighbour{},
		blocked:    map[pieces.HostID]*block{},
		points:     map[*point]struct{}{},
		insist:     &pieces.Set{},
		leases:     map[pieces.LeaseID][]pieces.Extent{},
		origins:    map[*originRead]struct{}{},
		lastUse:    time.Now(),
	}
	for i := range c.asked {
		c.asked[i] = &pieces.Set{}
	}
	if e.o.Host.Type == pieces.SeedHost {
		c.seeding = picker.NewSeeding(geo, picker.SeedingConfig{})
	}
	c.ahead, c.heard = c.newAhead(), make(chan struct{})
	c.ctx, c.cancel = context.WithCancel(e.ctx)
	return c, nil
}

// Key, Geometry and Facts never change.
func (c *Content) Key() pieces.Key           { return c.key }
func (c *Content) Geometry() pieces.Geometry { return c.geo }
func (c *Content) Facts() pieces.Facts       { return c.facts }

// setTask takes newer credentials.
func (c *Content) setTask(t *pieces.Task, canFetch bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if canFetch || !c.canFetch {
		if c.task.URL != t.URL || c.canFetch != canFetch {
			c.rest = rest{} // it failed with other parameters
		}
		c.task, c.canFetch = t, canFetch
	}
}

// pin keeps the stored Version open until unpin. Whoever pins may read c.v.
func (c *Content) pin() error {
	c.pinMu.Lock()
	defer c.pinMu.Unlock()
	if c.ctx.Err() != nil {
		return pieces.Errorf(pieces.Unavailable, "the daemon is stopping")
	}
	c.pins++
	if c.pins > 1 {
		return nil
	}
	v, err := c.e.o.Store.OpenVersion(c.key, c.facts)
	if err != nil {
		c.log.WithError(err).Warn("reading without a cache")
		return nil
	}
	c.v = v
	c.load(v)
	return nil
}

// load takes over what the store holds; c.pinMu is held.
func (c *Content) load(v *store.Version) {
	held := v.Held()
	var runs []pieces.SumRun
	if !c.loaded {
		runs = v.Sums(c.geo.All())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range runs {
		c.record(r)
	}
	c.loaded = true
	for i := range c.mem {
		held.Add(i)
	}
	gone := c.held.Clone()
	gone.SubtractSet(held)
	c.held = held
	for e := range gone.Extents() {
		c.pick.Lost(e)
	}
	for e := range held.Extents() {
		for i := range e.All() {
			c.pick.Held(i)
		}
	}
	for in := range c.counted {
		c.countMissing(in)
	}
}

func (c *Content) unpin() {
	c.pinMu.Lock()
	defer c.pinMu.Unlock()
	c.pins--
	if c.pins == 0 && c.v != nil {
		if err := c.v.Close(); err != nil {
			c.log.WithError(err).Warn("closing the cached version")
		}
		c.v = nil
	}
	c.mu.Lock()
	c.lastUse = time.Now()
	c.mu.Unlock()
}

// idle reports whether nobody uses the content, and since when.
func (c *Content) idle() (since time.Time, idle bool) {
	c.pinMu.Lock()
	pins := c.pins
	c.pinMu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastUse, pins == 0 && len(c.interests) == 0 && len(c.mem) == 0
}

// stop ends everything the content runs and waits for it.
func (c *Content) stop() {
	c.mu.Lock()
	c.closed = true
	for _, n := range c.neighbours {
		n.close()
	}
	c.failAll(pieces.Errorf(pieces.Unavailable, "the daemon is stopping"))
	c.mu.Unlock()
	c.cancel()
	c.wg.Wait()
}

// record notes digests as recorded by the scheduler, the store or this host.
// c.mu is held.
func (c *Content) record(r pieces.SumRun) {
	idx := c.setterIndex(r.Setter)
	for k, s := range r.Sums {
		i := r.First + k
		if i < 0 || i >= len(c.sums) || s.IsZero() {
			continue
		}
		c.sums[i], c.setter[i] = s, idx
		c.pick.Verifiable(pieces.Extent{First: i, End: i + 1})
	}
}

func (c *Content) setterIndex(h pieces.HostID) uint16 {
	for i, s := range c.setters {
		if s == h {
			return uint16(i)
		}
	}
	if len(c.setters) > 65000 {
		return 0
	}
	c.setters = append(c.setters, h)
	return uint16(len(c.setters) - 1)
}

// Replaced reports whether the Task has a newer Version.
func (c *Content) Replaced() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.replaced
}

// Held returns a copy of the held set.
func (c *Content) Held() *pieces.Set {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held.Clone()
}

// Progress returns when the last verified byte came, or zero.
func (c *Content) Progress() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.progress
}

// Fetching reports whether anybody wants pieces that are not here.
func (c *Content) Fetching() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for class := pieces.Demand; class < pieces.Classes; class++ {
		if c.pick.WantCount(class) > 0 {
			return true
		}
	}
	return len(c.origins) > 0
}

// Cached reports whether pieces are kept on disk; the content must be open.
func (c *Content) Cached() bool { return c.v != nil }
