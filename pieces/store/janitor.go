package store

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"damselfly/pieces"
)

// janitor is the goroutine that evicts and saves access times.
type janitor struct {
	s     *Store
	asks  chan roomAsk
	wakes chan struct{}
	// completed are Versions for saveTrust, told once the channel has room.
	completed struct {
		sync.Mutex
		versions map[*version]struct{}
	}
	trusts chan struct{}
	cancel context.CancelFunc
	ended  chan struct{}
	// hopeless: the last eviction found nothing, and no handle was closed
	// since; asking again is pointless until the next tick.
	hopeless atomic.Bool
}

// roomAsk is a writer that waits for room.
type roomAsk struct {
	n    int64
	done chan struct{}
}

func newJanitor(s *Store) *janitor {
	ctx, cancel := context.WithCancel(context.Background())
	j := &janitor{s: s, asks: make(chan roomAsk), wakes: make(chan struct{}, 1), trusts: make(chan struct{}, 1), cancel: cancel, ended: make(chan struct{})}
	j.completed.versions = map[*version]struct{}{}
	go j.run(ctx)
	return j
}

func (j *janitor) close() {
	j.cancel()
	<-j.ended
}

// wake asks for a look at usage soon.
func (j *janitor) wake() {
	select {
	case j.wakes <- struct{}{}:
	default:
	}
}

// saveTrust asks for v, which has just become complete, to be vouched for in the
// database, so that it need not be verified again after a death of the process.
func (j *janitor) saveTrust(v *version) {
	j.completed.Lock()
	j.completed.versions[v] = struct{}{}
	j.completed.Unlock()
	select {
	case j.trusts <- struct{}{}:
	default:
	}
}

// roomMayBe says that something became idle.
func (j *janitor) roomMayBe() { j.hopeless.Store(false) }

// ask waits for an eviction that makes room for n bytes, and reports whether
// there was one.
func (j *janitor) ask(ctx context.Context, n int64) bool {
	if j.hopeless.Load() {
		return false
	}
	a := roomAsk{n, make(chan struct{})}
	select {
	case j.asks <- a:
	case <-ctx.Done():
		return false
	case <-j.ended:
		return false
	}
	select {
	case <-a.done:
		return true
	case <-ctx.Done():
		return false
	}
}

func (j *janitor) run(ctx context.Context) {
	defer close(j.ended)
	tick := time.NewTicker(j.s.opt.Interval)
	defer tick.Stop()
	save := time.NewTicker(j.s.opt.SaveEvery)
	defer save.Stop()
	settled := time.NewTimer(max(j.s.opt.Settle, 0))
	defer settled.Stop()
	if j.s.opt.Settle < 0 {
		settled.Stop()
	}
	again := newReopening(j.s)
	defer again.timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-j.asks:
			j.evict(a.n)
			close(a.done)
		case <-j.wakes:
			if !j.hopeless.Load() {
				j.evict(0)
			}
		case <-j.trusts:
			j.completed.Lock()
			vs := slices.Collect(maps.Keys(j.completed.versions))
			clear(j.completed.versions)
			j.completed.Unlock()
			j.s.saveChanged(vs, (*version).trustChanged)
		case <-settled.C:
			j.s.settled()
		case <-again.timer.C:
			if again.try(ctx) && j.s.opt.Settle > 0 {
				settled.Reset(j.s.opt.Settle)
			}
		case <-tick.C:
			j.s.measureDB()
			j.s.tendJournal()
			j.s.orphans.look()
			j.evict(0)
			if j.s.full.Load() && j.s.hasRoom(j.s.used.Load()+pieces.MinPieceSize, pieces.MinPieceSize) == nil {
				j.s.full.Store(false)
			}
		case <-save.C:
			j.s.removeEmpty()
			j.s.saveChanged(j.s.snapshot(), func(v *version) bool {
				return v.accessed.Unix() != v.savedAccess.Unix() || v.trustChanged()
			})
		}
	}
}

func (j *janitor) evict(n int64) {
	if j.s.lacksDisk(n) {
		j.s.dropAside()
	}
	if need := j.s.shortage(n); need.cache > 0 || need.disk > 0 {
		freed := j.s.makeRoom(need)
		j.hopeless.Store(freed == room{})
		j.s.log.Debugf("store: short of %+v bytes, evicted %+v", need, freed)
	}
}

// saveChanged writes the records of those of vs that changed, a function that is
// called with mu. It changes vs.
func (s *Store) saveChanged(vs []*version, changed func(v *version) bool) {
	todo := vs[:0]
	for _, v := range vs {
		v.mu.RLock()
		if v.recorded && changed(v) {
			todo = append(todo, v)
		}
		v.mu.RUnlock()
	}
	if err := s.save(todo...); err != nil {
		s.log.WithError(err).Info("store: version records are not saved")
	}
}
