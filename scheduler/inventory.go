package scheduler

import (
	"cmp"
	"encoding/hex"
	"slices"
	"sync"
	"time"

	"damselfly/pieces"
)

// inventory is what hosts said to hold of which Task, for the Tasks they take
// no part in: hints, believed until the host is asked. Its lock is taken last
// and held shortly. An item takes up to 370 bytes.
type inventory struct {
	most func() int // items that may be kept now

	mu sync.Mutex
	// Guarded by mu.
	items int
	tasks map[taskKey]*knownTask
	hosts map[pieces.HostID]map[itemKey]struct{}
}

type (
	taskKey    [32]byte
	versionKey [16]byte
	itemKey    struct {
		task    taskKey
		version versionKey
	}
)

// knownTask says who holds some of a Task.
type knownTask struct {
	held []holding
	// asked is when hosts were last asked to resume it.
	asked time.Time
}

type holding struct {
	host    pieces.HostID
	version versionKey
	pieces  uint32
}

// item is one line of a host's inventory.
type item struct {
	key    pieces.Key
	pieces uint32
}

func newInventory(most func() int) *inventory {
	return &inventory{most: most, tasks: map[taskKey]*knownTask{}, hosts: map[pieces.HostID]map[itemKey]struct{}{}}
}

func keyOfTask(id pieces.TaskID) (k taskKey) {
	_, _ = hex.Decode(k[:], []byte(id)) // ids were parsed
	return k
}

func keyOf(k pieces.Key) itemKey {
	i := itemKey{task: keyOfTask(k.Task)}
	_, _ = hex.Decode(i.version[:], []byte(k.Version))
	return i
}

func (v versionKey) id() pieces.VersionID { return pieces.VersionID(hex.EncodeToString(v[:])) }

// page takes one page of a host's inventory; begins forgets what was known of
// it before. What does not fit is not kept.
func (n *inventory) page(host pieces.HostID, begins bool, items []item) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if begins {
		n.drop(host)
	}
	for _, it := range items {
		n.set(host, it)
	}
}

// note takes one line; 0 pieces remove it.
func (n *inventory) note(host pieces.HostID, it item) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.set(host, it)
}

// forget drops all of a host's inventory.
func (n *inventory) forget(host pieces.HostID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drop(host)
}

// set is note with mu held.
func (n *inventory) set(host pieces.HostID, it item) {
	k := keyOf(it.key)
	if it.pieces == 0 {
		if _, ok := n.hosts[host][k]; ok {
			delete(n.hosts[host], k)
			n.take(host, k)
		}
		return
	}
	t := n.tasks[k.task]
	if _, ok := n.hosts[host][k]; ok {
		for i := range t.held {
			if h := &t.held[i]; h.host == host && h.version == k.version {
				h.pieces = it.pieces
			}
		}
		return
	}
	if n.items >= n.most() {
		return
	}
	if t == nil {
		t = &knownTask{}
		n.tasks[k.task] = t
	}
	if n.hosts[host] == nil {
		n.hosts[host] = map[itemKey]struct{}{}
	}
	n.hosts[host][k] = struct{}{}
	t.held = append(t.held, holding{host, k.version, it.pieces})
	n.items++
}

// drop is forget with mu held.
func (n *inventory) drop(host pieces.HostID) {
	for k := range n.hosts[host] {
		n.take(host, k)
	}
	delete(n.hosts, host)
}

// take removes a holding from its Task. With mu held.
func (n *inventory) take(host pieces.HostID, k itemKey) {
	t := n.tasks[k.task]
	t.held = slices.DeleteFunc(t.held, func(h holding) bool { return h.host == host && h.version == k.version })
	n.items--
	if len(t.held) == 0 {
		delete(n.tasks, k.task)
	}
}

// known returns how many items of a host are known.
func (n *inventory) known(host pieces.HostID) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.hosts[host])
}

func (n *inventory) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.items
}

// holders returns who holds some of a Task, most pieces first, if nobody asked
// within every before now; from now on somebody has. asked is when somebody did
// last, this call included; zero if nobody holds any.
func (n *inventory) holders(id pieces.TaskID, now time.Time, every time.Duration) (held []holding, asked time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.tasks[keyOfTask(id)]
	if t == nil {
		return nil, time.Time{}
	}
	if now.Sub(t.asked) < every {
		return nil, t.asked
	}
	before := t.asked
	t.asked = now
	held = slices.Clone(t.held)
	slices.SortFunc(held, func(a, b holding) int {
		return cmp.Or(cmp.Compare(b.pieces, a.pieces), cmp.Compare(a.host, b.host))
	})
	return held, before
}
