package daemon

import (
	"cmp"
	"slices"

	"damselfly/daemon/control"
	"damselfly/daemon/engine"
)

// maxActivity bounds what a status tells of single files.
const maxActivity = 32

func readsOf(r engine.Reads) control.Reads {
	return control.Reads{
		Count: control.Hits(r.Count), Bytes: control.Hits(r.Bytes),
		Stalls: r.Stalls, StalledMicros: r.Stalled.Microseconds(),
	}
}

// activity returns the files in memory that were read last, the last first.
func (d *Daemon) activity() []control.FileActivity {
	type read struct {
		c *engine.Content
		r engine.Reads
	}
	var last []read
	for _, c := range d.engine.Contents() {
		if r := c.Reads(); !r.Last.IsZero() {
			last = append(last, read{c, r})
		}
	}
	slices.SortFunc(last, func(a, b read) int {
		return cmp.Or(b.r.Last.Compare(a.r.Last), cmp.Compare(a.c.Key().Task, b.c.Key().Task))
	})
	var out []control.FileActivity
	for _, l := range last[:min(len(last), maxActivity)] {
		t, err := d.taskHere(l.c.Key().Task)
		if err != nil {
			continue // removed
		}
		t.mu.Lock()
		e := t.entry
		t.mu.Unlock()
		f := control.FileActivity{
			ID: t.id, URL: e.Task.PublicURL, Names: e.Names, Size: l.c.Geometry().Size,
			CachedBytes: heldBytes(l.c), ResidentBytes: -1, Reads: readsOf(l.r), Traffic: trafficOf(l.c.Traffic()),
			LastRead: l.r.Last, Private: !e.Task.Public(), Owner: control.Owner{UID: e.UID, GID: e.GID},
		}
		if n, ok := l.c.Resident(); ok {
			f.ResidentBytes = n
		}
		out = append(out, f)
	}
	return out
}
