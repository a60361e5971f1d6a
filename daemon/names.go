package daemon

import (
	"context"
	"slices"
	"sync"
	"time"

	"damselfly/pieces"
)

// maxRemoteNames bounds the manager's names that are remembered.
const maxRemoteNames = 4096

// remoteNames remembers which Tasks the manager's names mean, so that a file that
// is here can be opened by its name while no manager answers. Safe for concurrent
// use.
type remoteNames struct {
	// fresh is how long no manager is asked again.
	fresh time.Duration

	mu sync.Mutex
	// said is what the manager said last, by name; guarded by mu.
	said map[string]remoteName
}

type remoteName struct {
	id pieces.TaskID
	at time.Time
}

func newRemoteNames(fresh time.Duration) *remoteNames {
	return &remoteNames{fresh: fresh, said: map[string]remoteName{}}
}

// get returns what a name meant, and whether the manager has just said so; empty:
// it has said nothing.
func (n *remoteNames) get(name string, now time.Time) (id pieces.TaskID, fresh bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.said[name]
	return r.id, r.id != "" && now.Sub(r.at) < n.fresh
}

// put notes what a name means; an empty id: nothing any more.
func (n *remoteNames) put(name string, id pieces.TaskID, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if id == "" {
		delete(n.said, name)
		return
	}
	if _, here := n.said[name]; !here && len(n.said) >= maxRemoteNames {
		for other := range n.said {
			delete(n.said, other)
			break
		}
	}
	n.said[name] = remoteName{id, now}
}

// forget drops the names of a Task that was removed.
func (n *remoteNames) forget(id pieces.TaskID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, r := range n.said {
		if r.id == id {
			delete(n.said, name)
		}
	}
}

func (n *remoteNames) list() (names []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for name := range n.said {
		names = append(names, name)
	}
	return names
}

// LookupName resolves a name: local ones first, then the manager's. While no
// manager answers, its names mean what it said last.
func (d *Daemon) LookupName(ctx context.Context, name string) (pieces.TaskID, error) {
	id, err := d.store.Name(name)
	if err == nil || pieces.KindOf(err) != pieces.NotFound || len(d.o.Managers) == 0 {
		return id, err
	}
	last, fresh := d.names.get(name, time.Now())
	if fresh {
		return last, nil
	}
	spec, err := d.announce.ResolveName(ctx, name)
	switch {
	case err == nil:
		d.names.put(name, spec.ID, time.Now())
		return spec.ID, nil
	case pieces.KindOf(err) == pieces.NotFound:
		d.names.put(name, "", time.Now())
	case last != "":
		d.o.Log.WithError(err).WithField("name", name).Debug("no manager answers: the name means what it meant")
		return last, nil
	}
	return "", err
}

// Names lists the names known here and to the manager; if that does not answer,
// those that it named before.
func (d *Daemon) Names(ctx context.Context) ([]string, error) {
	names, err := d.store.Names()
	if err != nil {
		return nil, err
	}
	if len(d.o.Managers) > 0 {
		more, err := d.announce.Names(ctx)
		if err != nil {
			d.o.Log.WithError(err).Debug("the manager's names are not listed")
			names = append(names, d.names.list()...)
		}
		for name := range more {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Rename implements control.Engine: a local name becomes another one, here and at
// the manager. If no manager answers, it is told later. elsewhere says that the
// manager keeps the old one too: one of an older release does.
func (c controlled) Rename(ctx context.Context, from, to string) (id pieces.TaskID, elsewhere bool, err error) {
	d := c.d
	if err := pieces.CheckName(to); err != nil {
		return "", false, err
	}
	id, err = d.store.Name(from)
	if pieces.KindOf(err) == pieces.NotFound && err != nil {
		return "", false, pieces.Errorf(pieces.NotFound, "no name %.100q was given here; 'dfmount ls' lists names, and those of the manager are changed with dfctl", from)
	}
	if err != nil {
		return "", false, err
	}
	t, err := d.taskHere(id)
	if err != nil || from == to {
		return id, false, err
	}
	if other, err := d.store.Name(to); err == nil && other != id {
		return "", false, pieces.Errorf(pieces.Exists, "name %q is taken by task %s: choose another or remove that one", to, other.Short())
	}
	shared := t.spec().Public() && len(d.o.Managers) > 0
	if shared {
		err := d.announce.RenameTask(ctx, t.spec(), from, to)
		switch kind := pieces.KindOf(err); {
		case err == nil:
			d.untold.renamed(id, from, to)
		case kind == pieces.Exists || kind == pieces.Invalid:
			return "", false, err
		default:
			d.o.Log.WithError(err).Warn("the manager's catalogue could not be told yet")
			d.untold.add(id, news{name: to, insteadOf: from})
		}
	}
	if err := t.rename(from, to); err != nil || !shared {
		return id, false, err
	}
	d.names.put(from, "", time.Now())
	spec, err := d.announce.ResolveName(ctx, from)
	return id, err == nil && spec.ID == id, nil
}

// rename replaces a name of t.
func (t *task) rename(from, to string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entry
	e.Names = slices.DeleteFunc(slices.Clone(e.Names), func(n string) bool { return n == from || n == to })
	e.Names = append(e.Names, to)
	if err := t.d.store.PutEntry(e); err != nil {
		return err
	}
	t.entry, t.kept = e, true
	return nil
}
