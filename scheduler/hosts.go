package scheduler

import (
	"net"
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"damselfly/pieces"
	"damselfly/proto/schedulerpb"
	"damselfly/scheduler/swarm"
)

// hosts is the table of hosts. Its lock is taken last and held shortly.
type hosts struct {
	// most is how many hosts may be known now.
	most func() int
	// view is the snapshot for machines.
	view atomic.Pointer[swarm.Hosts]
	// numbers counts sessions.
	numbers atomic.Uint64

	mu sync.Mutex
	// Guarded by mu.
	all map[pieces.HostID]*host
	// listed seeds come from the manager, fixed ones are addresses.
	listed []pieces.Host
	fixed  []string
}

// host is what is known of one host, guarded by hosts.mu.
type host struct {
	// announced is zero while only its stream is here.
	state     pieces.Host
	announced time.Time
	session   *session
	// down: its session ended and nothing was heard since.
	down  bool
	tasks map[pieces.TaskID]struct{}
	// Uploads of late, halved now and then; dirty since the last fold.
	ok, failed int
	dirty      bool
	seen       time.Time
}

func newHosts(most func() int) *hosts {
	h := &hosts{most: most, all: map[pieces.HostID]*host{}}
	h.view.Store((&swarm.Hosts{}).WithSeeds(nil))
	return h
}

// get returns a host's entry, made if need be; nil if there are too many. With
// mu held.
func (h *hosts) get(id pieces.HostID) *host {
	x := h.all[id]
	if x == nil && len(h.all) < h.most() {
		x = &host{tasks: map[pieces.TaskID]struct{}{}}
		h.all[id] = x
	}
	return x
}

// full is the error of a host for whom there is no room. With mu held.
func (h *hosts) full() error {
	return pieces.Errorf(pieces.Full, "this scheduler knows %d hosts, as many as may be (max_hosts)", len(h.all))
}

// announce notes a host as it describes itself now.
func (h *hosts) announce(s pieces.Host, now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.get(s.ID)
	if x == nil {
		return h.full()
	}
	seed := s.Type == pieces.SeedHost || x.state.Type == pieces.SeedHost
	x.state, x.announced, x.seen, x.down = s, now, now, false
	// Most announcements say nothing new, and a new snapshot makes every peer
	// look its host up again.
	if is, was := x.snapshot(), h.view.Load().Get(s.ID); was == nil || !reflect.DeepEqual(is, was) {
		h.view.Store(h.view.Load().With(is))
	}
	if seed {
		h.reseed()
	}
	return nil
}

func (x *host) snapshot() *swarm.HostState {
	return &swarm.HostState{Host: x.state, UploadOK: x.ok, UploadFailed: x.failed}
}

// reseed makes the snapshot's seeds anew: fixed addresses, those the manager
// lists, those that announced themselves. With mu held.
func (h *hosts) reseed() {
	byKey := map[string]swarm.Seed{}
	for _, key := range h.fixed {
		byKey[key] = swarm.Seed{Key: key}
	}
	for _, s := range h.listed {
		byKey[peerAddr(s)] = swarm.Seed{Key: peerAddr(s), Host: s.ID}
	}
	for id, x := range h.all {
		key := peerAddr(x.state)
		if x.announced.IsZero() || x.state.Type != pieces.SeedHost {
			continue
		}
		if x.down {
			delete(byKey, key)
		} else {
			byKey[key] = swarm.Seed{Key: key, Host: id}
		}
	}
	seeds := make([]swarm.Seed, 0, len(byKey))
	for _, s := range byKey {
		seeds = append(seeds, s)
	}
	h.view.Store(h.view.Load().WithSeeds(seeds))
}

func peerAddr(s pieces.Host) string { return net.JoinHostPort(s.IP, strconv.Itoa(s.PeerPort)) }

func (h *hosts) setListed(seeds []pieces.Host) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listed = seeds
	h.reseed()
}

func (h *hosts) setFixed(addrs []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fixed = addrs
	h.reseed()
}

// open makes s the host's session and returns the one it replaces, if any.
func (h *hosts) open(s *session, now time.Time) (old *session, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.get(s.host)
	if x == nil {
		return nil, h.full()
	}
	s.number = h.numbers.Add(1)
	old, x.session, x.seen = x.session, s, now
	if x.down {
		x.down = false
		h.reseed()
	}
	return old, nil
}

// close takes s off its host, unless it was replaced.
func (h *hosts) close(s *session, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.all[s.host]
	if x == nil || x.session != s {
		return
	}
	x.session, x.seen, x.down = nil, now, true
	if x.state.Type == pieces.SeedHost {
		h.reseed()
	}
}

// session returns the number of the host's present session, 0 if none.
func (h *hosts) session(id pieces.HostID) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if x := h.all[id]; x != nil && x.session != nil {
		return x.session.number
	}
	return 0
}

// send puts a message in the queue of the host's session, if it is still the
// one meant.
func (h *hosts) send(id pieces.HostID, number uint64, m *schedulerpb.SchedulerMessage) {
	h.mu.Lock()
	var s *session
	if x := h.all[id]; x != nil && x.session != nil && x.session.number == number {
		s = x.session
	}
	h.mu.Unlock()
	if s != nil {
		s.queue(m)
	}
}

// joined and left keep the list of Tasks in which a host has Peers.
func (h *hosts) joined(id pieces.HostID, t pieces.TaskID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if x := h.all[id]; x != nil {
		x.tasks[t] = struct{}{}
	}
}

func (h *hosts) left(id pieces.HostID, t pieces.TaskID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if x := h.all[id]; x != nil {
		delete(x.tasks, t)
	}
}

// tasksOf returns the Tasks in which the host has Peers.
func (h *hosts) tasksOf(id pieces.HostID) []pieces.TaskID {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.all[id]
	if x == nil {
		return nil
	}
	ts := make([]pieces.TaskID, 0, len(x.tasks))
	for t := range x.tasks {
		ts = append(ts, t)
	}
	return ts
}

// recallable returns which of the holders may be asked to take part in a Task:
// those with a session that take no part yet, but no more than are lacking to
// have most of the holders in it.
func (h *hosts) recallable(t pieces.TaskID, held []holding, except pieces.HostID, most int) (ask []holding) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, x := range held {
		s := h.all[x.host]
		if s == nil || s.session == nil || x.host == except || most <= 0 {
			continue
		}
		if _, in := s.tasks[t]; !in {
			ask = append(ask, x)
		}
		most--
	}
	return ask
}

// room reports whether the host may take part in one more Task.
func (h *hosts) room(id pieces.HostID, t pieces.TaskID, most int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.all[id]
	if x == nil {
		return true
	}
	_, in := x.tasks[t]
	return in || len(x.tasks) < most
}

// remove forgets a host and returns its session.
func (h *hosts) remove(id pieces.HostID) *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.all[id]
	if x == nil {
		return nil
	}
	delete(h.all, id)
	h.view.Store(h.view.Load().Without(id))
	if x.state.Type == pieces.SeedHost {
		h.reseed()
	}
	return x.session
}

// expired returns the hosts without session not heard since before.
func (h *hosts) expired(before time.Time) (ids []pieces.HostID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, x := range h.all {
		if x.session == nil && x.seen.Before(before) {
			ids = append(ids, id)
		}
	}
	return ids
}

// recentUploads is how many uploads of a host count before older ones fade.
const recentUploads = 1000

// uploads counts what others got from the host, or failed to.
func (h *hosts) uploads(id pieces.HostID, ok, failed int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.all[id]
	if x == nil {
		return
	}
	x.ok, x.failed, x.dirty = x.ok+ok, x.failed+failed, true
	if x.ok+x.failed > recentUploads {
		x.ok, x.failed = x.ok/2, x.failed/2
	}
}

// fold brings the uploads counted since the last time into the snapshot.
func (h *hosts) fold(time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var changed []*swarm.HostState
	for _, x := range h.all {
		if x.dirty && !x.announced.IsZero() {
			x.dirty = false
			changed = append(changed, x.snapshot())
		}
	}
	if len(changed) > 0 {
		h.view.Store(h.view.Load().With(changed...))
	}
}

func (h *hosts) counts() (all, sessions int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, x := range h.all {
		if x.session != nil {
			sessions++
		}
	}
	return len(h.all), sessions
}
