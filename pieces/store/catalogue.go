package store

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"damselfly/pieces"

	"github.com/dgraph-io/badger/v4"
)

// maxName is the longest name in bytes, that of a file name.
const maxName = 255

// Entry is what is known of a Task beside its bytes. Task.Header is never
// written to disk, so entries are read back without it.
type Entry struct {
	Task pieces.Task
	// Names under by-name/, each a single path element; local to this host.
	Names []string
	// UID and GID own the file if the Task has an audience.
	UID, GID uint32
	// Added is when somebody added it; zero if it is only kept beside bytes.
	Added time.Time
	// Fill says when a file that is read is fetched whole: auto, always, never;
	// empty: nobody has said.
	Fill string
	// Held: some bytes of it are here. Set when read, ignored when put.
	Held bool
}

// PutEntry adds or replaces the entry of e.Task.ID. Invalid if the Task does
// not hash to its id or a name can't be a file name; Exists if another Task has
// one of the names.
func (s *Store) PutEntry(e Entry) error {
	if err := checkEntry(e); err != nil {
		return err
	}
	b, err := encodeEntry(e)
	if err != nil {
		return pieces.WithKind(pieces.Invalid, err, "catalogue entry "+e.Task.ID.Short())
	}
	id := e.Task.ID
	apply := func(tx *badger.Txn) error {
		for _, name := range e.Names {
			other, err := getName(tx, name)
			if err != nil && pieces.KindOf(err) != pieces.NotFound {
				return err
			}
			if err == nil && other != id {
				return pieces.Errorf(pieces.Exists, "name %q is taken by task %s: choose another or remove that one", name, other.Short())
			}
		}
		old, err := getEntry(tx, id)
		if err != nil && pieces.KindOf(err) != pieces.NotFound && pieces.KindOf(err) != pieces.Integrity {
			return err
		}
		for _, name := range old.Names {
			if !slices.Contains(e.Names, name) {
				if err := tx.Delete(nameKey(name)); err != nil {
					return err
				}
			}
		}
		for _, name := range e.Names {
			if err := set(tx, nameKey(name), taskKey(prefixName, id)[1:]); err != nil {
				return err
			}
		}
		return set(tx, taskKey(prefixEntry, id), b)
	}
	return s.commits.do(context.Background(), &op{size: len(b) + (len(e.Names)+1)*2*keyBytes, apply: apply, done: func(err error) {
		if err == nil {
			s.journal.put(id, b)
		}
	}})
}

func checkEntry(e Entry) error {
	if _, err := pieces.ParseTaskID(string(e.Task.ID)); err != nil {
		return err
	}
	if err := e.Task.CheckID(); err != nil {
		return err
	}
	if u, err := url.Parse(e.Task.URL); err != nil || u.User != nil {
		return pieces.Errorf(pieces.Invalid, "catalogue entry %s: its URL can't be parsed or holds a credential", e.Task.ID.Short())
	}
	if len(e.Names) > maxKeys/4 {
		return pieces.Errorf(pieces.Invalid, "catalogue entry %s: more than %d names", e.Task.ID.Short(), maxKeys/4)
	}
	for _, name := range e.Names {
		if err := CheckName(name); err != nil {
			return err
		}
	}
	return nil
}

// CheckName returns an Invalid error unless name can be a file of by-name/.
func CheckName(name string) error {
	if name == "" || name == "." || name == ".." || len(name) > maxName || strings.ContainsAny(name, "/\x00") {
		return pieces.Errorf(pieces.Invalid, "name %.80q: want 1 to %d bytes without '/'", name, maxName)
	}
	return nil
}

// Entry returns the entry of a Task, or NotFound.
func (s *Store) Entry(id pieces.TaskID) (Entry, error) {
	if _, err := pieces.ParseTaskID(string(id)); err != nil {
		return Entry{}, err
	}
	var e Entry
	err := s.view(func(tx *badger.Txn) (err error) {
		e, err = getEntry(tx, id)
		return err
	})
	e.Held = s.holds(id)
	return e, err
}

// Entries returns all entries, by id. Damaged ones are left out.
func (s *Store) Entries() ([]Entry, error) {
	var es []Entry
	err := s.view(func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.IteratorOptions{PrefetchValues: true, PrefetchSize: 100, Prefix: []byte{prefixEntry}})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			id := taskOf(it.Item().Key()[1:])
			var e Entry
			err := value(it.Item(), "", func(b []byte) (err error) {
				e, err = parseEntry(id, b)
				return err
			})
			if err != nil {
				s.log.WithError(err).Warn("store: catalogue")
				continue
			}
			e.Held = s.holds(id)
			es = append(es, e)
		}
		return nil
	})
	return es, err
}

// Known calls f for every entry, by id, damaged ones included, with the facts of
// its Task, or nil if there are none. It decodes no entry: a list of many is had
// soon. f must not call the Store.
func (s *Store) Known(f func(id pieces.TaskID, facts *pieces.Facts)) error {
	return s.view(func(tx *badger.Txn) error {
		facts := tx.NewIterator(badger.IteratorOptions{PrefetchValues: true, PrefetchSize: 100, Prefix: []byte{prefixFacts}})
		defer facts.Close()
		facts.Rewind()
		it := tx.NewIterator(badger.IteratorOptions{Prefix: []byte{prefixEntry}})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			raw := it.Item().Key()[1:]
			for facts.Valid() && bytes.Compare(facts.Item().Key()[1:], raw) < 0 {
				facts.Next()
			}
			var r *factsRecord
			if facts.Valid() && bytes.Equal(facts.Item().Key()[1:], raw) {
				_ = value(facts.Item(), "", func(b []byte) error { // damaged ones are learnt anew
					rec, err := parseFactsRecord(b)
					if err == nil {
						r = &rec
					}
					return err
				})
			}
			if r == nil {
				f(taskOf(raw), nil)
			} else {
				f(taskOf(raw), &r.facts)
			}
		}
		return nil
	})
}

// EntryCount returns how many entries there are, damaged ones included.
func (s *Store) EntryCount() (n int, err error) {
	err = s.view(func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.IteratorOptions{Prefix: []byte{prefixEntry}})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			n++
		}
		return nil
	})
	return n, err
}

func (s *Store) holds(id pieces.TaskID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known.holds(id)
}

// DeleteEntry removes the entry of a Task with its names and facts. Bytes stay;
// see Evict. NotFound if there is no entry.
func (s *Store) DeleteEntry(id pieces.TaskID) error {
	if _, err := pieces.ParseTaskID(string(id)); err != nil {
		return err
	}
	apply := func(tx *badger.Txn) error {
		e, err := getEntry(tx, id)
		if err != nil && pieces.KindOf(err) != pieces.Integrity {
			return err
		}
		for _, name := range e.Names {
			if err := tx.Delete(nameKey(name)); err != nil {
				return err
			}
		}
		if err := tx.Delete(taskKey(prefixFacts, id)); err != nil {
			return err
		}
		return tx.Delete(taskKey(prefixEntry, id))
	}
	return s.commits.do(context.Background(), &op{size: keyBytes * 8, apply: apply, done: func(err error) {
		if err == nil {
			s.journal.bury(id)
			s.bury(id)
		}
	}})
}

// Name returns the Task that has a local name, or NotFound.
func (s *Store) Name(name string) (id pieces.TaskID, err error) {
	if err := CheckName(name); err != nil {
		return "", pieces.Errorf(pieces.NotFound, "no task is named %.80q", name)
	}
	err = s.view(func(tx *badger.Txn) (err error) {
		id, err = getName(tx, name)
		return err
	})
	return id, err
}

// Names returns all local names in order.
func (s *Store) Names() (names []string, err error) {
	err = s.view(func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.IteratorOptions{Prefix: []byte{prefixName}})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			names = append(names, string(it.Item().Key()[1:]))
		}
		return nil
	})
	return names, err
}

// PutFacts records the current Version of a Task as learnt at checked.
func (s *Store) PutFacts(id pieces.TaskID, f pieces.Facts, checked time.Time) error {
	if _, err := pieces.ParseTaskID(string(id)); err != nil {
		return err
	}
	if _, err := f.Geometry(); err != nil {
		return err
	}
	b := appendFactsRecord(nil, factsRecord{f, checked})
	return s.commits.do(context.Background(), &op{size: keyBytes + len(b), apply: func(tx *badger.Txn) error {
		return set(tx, taskKey(prefixFacts, id), b)
	}})
}

// Facts returns what PutFacts recorded last, or NotFound.
func (s *Store) Facts(id pieces.TaskID) (pieces.Facts, time.Time, error) {
	if _, err := pieces.ParseTaskID(string(id)); err != nil {
		return pieces.Facts{}, time.Time{}, err
	}
	var r factsRecord
	err := s.view(func(tx *badger.Txn) error {
		return get(tx, taskKey(prefixFacts, id), "facts of task "+id.Short(), func(b []byte) (err error) {
			r, err = parseFactsRecord(b)
			return err
		})
	})
	if pieces.KindOf(err) == pieces.Integrity {
		err = pieces.WithKind(pieces.NotFound, err, "facts of task "+id.Short()) // learn them anew
	}
	return r.facts, r.checked, err
}

func getEntry(tx *badger.Txn, id pieces.TaskID) (e Entry, err error) {
	err = get(tx, taskKey(prefixEntry, id), "task "+id.Short(), func(b []byte) (err error) {
		e, err = parseEntry(id, b)
		return err
	})
	return e, err
}

func getName(tx *badger.Txn, name string) (id pieces.TaskID, err error) {
	err = get(tx, nameKey(name), "a task named "+name, func(b []byte) error {
		id = taskOf(b)
		return nil
	})
	if pieces.KindOf(err) == pieces.Integrity {
		err = pieces.WithKind(pieces.NotFound, err, "a task named "+name) // it can be given again
	}
	return id, err
}

// get calls fn with the value of key; what names it for people.
func get(tx *badger.Txn, key []byte, what string, fn func(b []byte) error) error {
	item, err := tx.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return pieces.Errorf(pieces.NotFound, "%s is not known here", what)
	}
	if err != nil {
		return pieces.WithKind(pieces.Internal, err, "read "+what)
	}
	return value(item, "", fn)
}

// set writes a record that has no owner.
func set(tx *badger.Txn, key, value []byte) error { return tx.Set(key, seal("", key, value)) }

// value calls fn with the value of a record, once its checksum is right.
func value(item *badger.Item, owner string, fn func(b []byte) error) error {
	return item.Value(func(b []byte) error {
		v, err := unseal(owner, item.Key(), b)
		if err != nil {
			return err
		}
		return fn(v)
	})
}
