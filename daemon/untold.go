package daemon

import (
	"context"
	"sync"
	"time"

	"damselfly/pieces"
)

// Telling the manager later of what was added while none answered.
const (
	maxUntold  = 4096
	untoldWait = time.Second // between attempts
)

// untold are the catalogue entries that no manager has heard of yet. They are
// kept in memory only: after a restart they are added again by who wants them
// shared. Safe for concurrent use.
type untold struct {
	mu   sync.Mutex
	news map[pieces.TaskID]news // guarded by mu
	wake chan struct{}
}

// news is what a manager has not heard of an entry: that it is there, and what it
// is called now (empty: nothing) and no longer is.
type news struct{ name, insteadOf string }

func newUntold() *untold {
	return &untold{news: map[pieces.TaskID]news{}, wake: make(chan struct{}, 1)}
}

// add reports whether there was room. Of several names one after the other the
// manager hears the last, in the place of the first that it may know.
func (u *untold) add(id pieces.TaskID, n news) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	old, here := u.news[id]
	if !here && len(u.news) >= maxUntold {
		return false
	}
	if n.name == "" {
		n.name = old.name
	}
	if old.insteadOf != "" {
		n.insteadOf = old.insteadOf
	}
	u.news[id] = n
	select {
	case u.wake <- struct{}{}:
	default:
	}
	return true
}

// told takes an entry off that the manager has heard of. If there is more to tell
// of it meanwhile, that is in the place of the name that the manager now knows.
func (u *untold) told(id pieces.TaskID, n news) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch now, here := u.news[id]; {
	case !here:
	case now == n:
		delete(u.news, id)
	case n.name != "" && n.name != now.name:
		now.insteadOf = n.name
		u.news[id] = now
	}
}

// refused takes an entry off that the manager does not want, unless there is
// more to tell of it meanwhile.
func (u *untold) refused(id pieces.TaskID, n news) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.news[id] == n {
		delete(u.news, id)
	}
}

// renamed says that the manager has heard of another name at once: what waits to
// be told must not bring the old one back.
func (u *untold) renamed(id pieces.TaskID, from, to string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if n, here := u.news[id]; here && n.name == from {
		n.name = to
		u.news[id] = n
	}
}

// drop takes an entry off: it was removed.
func (u *untold) drop(id pieces.TaskID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.news, id)
}

// any returns one entry.
func (u *untold) any() (id pieces.TaskID, n news, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, n := range u.news {
		return id, n, true
	}
	return "", news{}, false
}

// tellManager tells a manager of what it has not heard, as soon as one answers,
// until ctx ends.
func (d *Daemon) tellManager(ctx context.Context) {
	for {
		id, n, ok := d.untold.any()
		var wait <-chan time.Time
		if ok {
			if d.tell(ctx, id, n) {
				continue
			}
			wait = time.After(untoldWait)
		}
		var wake chan struct{}
		if !ok {
			wake = d.untold.wake
		}
		select {
		case <-ctx.Done():
			return
		case <-wait:
		case <-wake:
		}
	}
}

// tell reports whether that entry is done with.
func (d *Daemon) tell(ctx context.Context, id pieces.TaskID, n news) bool {
	t, err := d.taskHere(id)
	if err != nil {
		d.untold.drop(id)
		return true
	}
	log := d.o.Log.WithField("task", id.Short())
	switch err := d.announce.RenameTask(ctx, t.spec(), n.insteadOf, n.name); {
	case err == nil:
		log.Info("the manager's catalogue has been told")
		d.untold.told(id, n)
	case pieces.KindOf(err) == pieces.Exists && n.name != "":
		log.WithError(err).Warnf("the name %q means another file to other hosts", n.name)
		d.untold.refused(id, n)
		d.untold.add(id, news{}) // the entry itself is still news
		return true
	case pieces.KindOf(err) == pieces.Invalid || pieces.KindOf(err) == pieces.Denied:
		log.WithError(err).Warn("the manager's catalogue refuses an entry")
		d.untold.refused(id, n)
	default:
		return false
	}
	return true
}
