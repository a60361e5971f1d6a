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
	mu    sync.Mutex
	names map[pieces.TaskID]string
	wake  chan struct{}
}

func newUntold() *untold {
	return &untold{names: map[pieces.TaskID]string{}, wake: make(chan struct{}, 1)}
}

// add reports whether there was room.
func (u *untold) add(id pieces.TaskID, name string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	old, here := u.names[id]
	if !here && len(u.names) >= maxUntold {
		return false
	}
	if name == "" {
		name = old
	}
	u.names[id] = name
	select {
	case u.wake <- struct{}{}:
	default:
	}
	return true
}

// told takes an entry off, unless it got another name meanwhile.
func (u *untold) told(id pieces.TaskID, name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.names[id] == name {
		delete(u.names, id)
	}
}

// drop takes an entry off: it was removed.
func (u *untold) drop(id pieces.TaskID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.names, id)
}

// any returns one entry.
func (u *untold) any() (id pieces.TaskID, name string, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, name := range u.names {
		return id, name, true
	}
	return "", "", false
}

// tellManager tells a manager of what it has not heard, as soon as one answers,
// until ctx ends.
func (d *Daemon) tellManager(ctx context.Context) {
	for {
		id, name, ok := d.untold.any()
		var wait <-chan time.Time
		if ok {
			if d.tell(ctx, id, name) {
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
func (d *Daemon) tell(ctx context.Context, id pieces.TaskID, name string) bool {
	t, err := d.taskHere(id)
	if err != nil {
		d.untold.drop(id)
		return true
	}
	log := d.o.Log.WithField("task", id.Short())
	switch err := d.announce.PutTask(ctx, t.spec(), name); {
	case err == nil:
		log.Info("the manager's catalogue has been told")
	case pieces.KindOf(err) == pieces.Exists && name != "":
		log.WithError(err).Warnf("the name %q means another file to other hosts", name)
		d.untold.told(id, name)
		d.untold.add(id, "") // the entry itself is still news
		return true
	case pieces.KindOf(err) == pieces.Invalid || pieces.KindOf(err) == pieces.Denied:
		log.WithError(err).Warn("the manager's catalogue refuses an entry")
	default:
		return false
	}
	d.untold.told(id, name)
	return true
}
