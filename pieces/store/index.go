package store

import (
	"slices"

	"damselfly/pieces"
)

// index is what is known of every Version.
type index struct {
	byKey  map[pieces.Key]*version
	byTask map[pieces.TaskID][]*version
}

func newIndex() index {
	return index{map[pieces.Key]*version{}, map[pieces.TaskID][]*version{}}
}

func (x index) has(v *version) bool { return x.byKey[v.key] == v }

// add puts v in; its key must not be known.
func (x index) add(v *version) {
	x.byKey[v.key] = v
	x.byTask[v.key.Task] = append(x.byTask[v.key.Task], v)
}

// remove takes v out, and reports whether it was in.
func (x index) remove(v *version) bool {
	if !x.has(v) {
		return false
	}
	delete(x.byKey, v.key)
	rest := slices.DeleteFunc(x.byTask[v.key.Task], func(o *version) bool { return o == v })
	if len(rest) == 0 {
		delete(x.byTask, v.key.Task)
	} else {
		x.byTask[v.key.Task] = rest
	}
	return true
}

// holds reports whether bytes of a Task are held.
func (x index) holds(id pieces.TaskID) bool {
	return slices.ContainsFunc(x.byTask[id], func(v *version) bool {
		v.mu.RLock()
		defer v.mu.RUnlock()
		return v.held.Count() > 0
	})
}
