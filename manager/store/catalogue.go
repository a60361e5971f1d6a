package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"damselfly/pieces"
)

// Name is a name under by-name/ and the Task it means, in one cluster.
type Name struct {
	Name string
	Task pieces.TaskID
}

// Entry is a Task of the catalogue with what is known of it.
type Entry struct {
	Task pieces.Task
	// Added is when it was first put here; Expires when it ends, zero = never.
	Added, Expires time.Time
	// Facts are those of the Version that was current at FactsSeen; nil =
	// unknown. Order is in which order its pieces were first touched.
	Facts     *pieces.Facts
	FactsSeen time.Time
	Order     []pieces.Extent
	// Revision grows with each change of Expires or the names.
	Revision uint64
}

// Put is a Task to be added, and how.
type Put struct {
	Task *pieces.Task
	// Cluster and Name: Name is what it is called in Cluster; empty = nothing.
	Cluster, Name string
	// InsteadOf is what it was called there until now, and no longer is; what
	// means another Task, or nothing, stays as it is.
	InsteadOf string
	// Expires replaces the time of an entry that is there already, unless
	// zero.
	Expires time.Time
	Now     time.Time
}

// PutTask is PutTasks of one.
func (s *Store) PutTask(ctx context.Context, p Put) error { return s.PutTasks(ctx, []Put{p}) }

// PutTasks adds public Tasks, and names for them. A Task that is there already
// keeps what is known of it; a name that means another Task is an Exists error,
// and then nothing is added. The caller has checked both.
func (s *Store) PutTasks(ctx context.Context, all []Put) error {
	doing := "adding tasks"
	if len(all) == 1 {
		doing = "adding task " + all[0].Task.ID.Short()
	}
	return s.within(ctx, doing, func(tx *sql.Tx) error {
		put, err := tx.PrepareContext(ctx, `
			INSERT INTO tasks (id, public_url, tag, application, digest, filter_query, added, expires)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (id) DO UPDATE SET expires = excluded.expires, revision = tasks.revision + 1
			WHERE excluded.expires <> 0 AND excluded.expires <> tasks.expires`)
		if err != nil {
			return err
		}
		defer put.Close()
		for _, p := range all {
			t := p.Task
			filter, err := json.Marshal(t.FilterQuery)
			if err != nil {
				return pieces.WithKind(pieces.Invalid, err, "task "+t.ID.Short())
			}
			_, err = put.ExecContext(ctx, string(t.ID), t.PublicURL, t.Tag, t.Application, string(t.Digest), string(filter), p.Now.UnixMilli(), msOf(p.Expires))
			if err == nil && p.Name != "" {
				err = putName(ctx, tx, p)
			}
			if err == nil && p.InsteadOf != "" && p.InsteadOf != p.Name {
				err = endName(ctx, tx, p)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func putName(ctx context.Context, tx *sql.Tx, p Put) error {
	r, err := tx.ExecContext(ctx, `INSERT INTO cluster_names (cluster, name, task_id, added) VALUES ($1, $2, $3, $4)
		ON CONFLICT (cluster, name) DO NOTHING`, p.Cluster, p.Name, string(p.Task.ID), p.Now.UnixMilli())
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n == 1 {
		if err == nil {
			_, err = tx.ExecContext(ctx, `UPDATE tasks SET revision = revision + 1 WHERE id = $1`, string(p.Task.ID))
		}
		return err
	}
	var owner pieces.TaskID
	err = tx.QueryRowContext(ctx, `SELECT task_id FROM cluster_names WHERE cluster = $1 AND name = $2`, p.Cluster, p.Name).Scan(&owner)
	if err != nil {
		return err
	}
	if owner != p.Task.ID {
		return pieces.Errorf(pieces.Exists, "the name %q belongs to task %s already; choose another", p.Name, owner.Short())
	}
	return nil
}

// endName takes InsteadOf off the Task.
func endName(ctx context.Context, tx *sql.Tx, p Put) error {
	r, err := tx.ExecContext(ctx, `DELETE FROM cluster_names WHERE cluster = $1 AND name = $2 AND task_id = $3`, p.Cluster, p.InsteadOf, string(p.Task.ID))
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE tasks SET revision = revision + 1 WHERE id = $1`, string(p.Task.ID))
	return err
}

const entryColumns = `tasks.id, tasks.public_url, tasks.tag, tasks.application, tasks.digest, tasks.filter_query,
	tasks.added, tasks.expires, tasks.facts, tasks.facts_seen, tasks.access_order, tasks.revision`

func scanEntry(r interface{ Scan(...any) error }) (e Entry, err error) {
	var filter, facts, order string
	var added, expires, seen int64
	t := &e.Task
	if err = r.Scan(&t.ID, &t.PublicURL, &t.Tag, &t.Application, &t.Digest, &filter,
		&added, &expires, &facts, &seen, &order, &e.Revision); err != nil {
		return e, err
	}
	t.URL = t.PublicURL
	e.Added, e.Expires, e.FactsSeen = timeOf(added), timeOf(expires), timeOf(seen)
	if err = json.Unmarshal([]byte(filter), &t.FilterQuery); err != nil {
		return e, err
	}
	e.Facts, e.Order, err = known(facts, order)
	return e, err
}

// alive leaves out what has ended at the time of the parameter.
const alive = `(tasks.expires = 0 OR tasks.expires > ?)`

// Task answers an entry that has not ended by its id, or NotFound.
func (s *Store) Task(ctx context.Context, id pieces.TaskID, now time.Time) (Entry, error) {
	q := where{}
	q.and(`tasks.id = ?`, string(id))
	q.and(alive, now.UnixMilli())
	return s.entry(ctx, "task "+string(id), `SELECT `+entryColumns+` FROM tasks`+q.sql(), q.args...)
}

// TaskNamed answers the entry that a name means in a cluster, or NotFound.
func (s *Store) TaskNamed(ctx context.Context, cluster, name string, now time.Time) (Entry, error) {
	q := where{}
	q.and(`n.cluster = ? AND n.name = ?`, cluster, name)
	q.and(alive, now.UnixMilli())
	return s.entry(ctx, "name "+name,
		`SELECT `+entryColumns+` FROM cluster_names AS n JOIN tasks ON tasks.id = n.task_id`+q.sql(), q.args...)
}

func (s *Store) entry(ctx context.Context, what, query string, args ...any) (Entry, error) {
	e, err := scanEntry(s.db.QueryRowContext(ctx, query, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return e, pieces.Errorf(pieces.NotFound, "%s is not in the catalogue", what)
	}
	return e, s.failed(ctx, "looking up "+what, err)
}

// RemoveTask takes a Task and its names off, or answers NotFound. revision 0
// removes whatever is there; another only that, else it is a Changed error.
func (s *Store) RemoveTask(ctx context.Context, id pieces.TaskID, revision uint64) error {
	r, err := s.db.ExecContext(ctx, `DELETE FROM tasks WHERE id = $1 AND (CAST($2 AS BIGINT) = 0 OR revision = $2)`, string(id), int64(revision))
	return s.changed(ctx, "removing task "+id.Short(), r, err, func(ctx context.Context) error {
		e, err := s.entry(ctx, "task "+string(id), `SELECT `+entryColumns+` FROM tasks WHERE id = $1`, string(id))
		if err != nil {
			return err
		}
		return pieces.Errorf(pieces.Changed, "task %s is at revision %d, not %d; read it again first", id.Short(), e.Revision, revision)
	})
}

// SetExpiry changes when an entry ends, zero = never, if it still is at
// revision; otherwise it is a Changed error.
func (s *Store) SetExpiry(ctx context.Context, id pieces.TaskID, expires time.Time, revision uint64) error {
	r, err := s.db.ExecContext(ctx, `UPDATE tasks SET expires = $2, revision = revision + 1 WHERE id = $1 AND revision = $3`,
		string(id), msOf(expires), int64(revision))
	return s.changed(ctx, "changing task "+id.Short(), r, err, func(ctx context.Context) error {
		e, err := s.entry(ctx, "task "+string(id), `SELECT `+entryColumns+` FROM tasks WHERE id = $1`, string(id))
		if err != nil {
			return err
		}
		return pieces.Errorf(pieces.Changed, "task %s is at revision %d, not %d; read it again first", id.Short(), e.Revision, revision)
	})
}

// RemoveExpired removes at most limit entries that have ended and answers how
// many it did.
func (s *Store) RemoveExpired(ctx context.Context, now time.Time, limit int) (int, error) {
	r, err := s.db.ExecContext(ctx, `DELETE FROM tasks WHERE id IN
		(SELECT id FROM tasks WHERE expires <> 0 AND expires <= $1 ORDER BY expires LIMIT $2)`, now.UnixMilli(), limit)
	if err != nil {
		return 0, s.failed(ctx, "removing what has ended", err)
	}
	n, err := r.RowsAffected()
	return int(n), s.failed(ctx, "removing what has ended", err)
}
