package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"damselfly/pieces"
)

// Name is a name under by-name/ and the Task it means.
type Name struct {
	Name string
	Task pieces.TaskID
}

// PutTask adds a public Task, and name for it unless name is empty. A Task that
// is there already stays as it is; a name that means another Task is an Exists
// error, and then nothing is added. The caller has checked both.
func (s *Store) PutTask(ctx context.Context, t *pieces.Task, name string, now time.Time) error {
	filter, err := json.Marshal(t.FilterQuery)
	if err != nil {
		return pieces.WithKind(pieces.Invalid, err, "task "+t.ID.Short())
	}
	return s.within(ctx, "adding task "+t.ID.Short(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `
			INSERT INTO tasks (id, public_url, tag, application, digest, filter_query, added)
			VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING`,
			string(t.ID), t.PublicURL, t.Tag, t.Application, string(t.Digest), string(filter), now.UnixMilli())
		if err != nil || name == "" {
			return err
		}
		return putName(ctx, tx, name, t.ID, now)
	})
}

func putName(ctx context.Context, tx *sql.Tx, name string, id pieces.TaskID, now time.Time) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO names (name, task_id, added) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING`,
		name, string(id), now.UnixMilli())
	if err != nil {
		return err
	}
	var owner pieces.TaskID
	if err := tx.QueryRowContext(ctx, `SELECT task_id FROM names WHERE name = $1`, name).Scan(&owner); err != nil {
		return err
	}
	if owner != id {
		return pieces.Errorf(pieces.Exists, "the name %q belongs to task %s already; choose another", name, owner.Short())
	}
	return nil
}

const taskColumns = `tasks.id, tasks.public_url, tasks.tag, tasks.application, tasks.digest, tasks.filter_query`

// Task answers a Task by its id, or NotFound.
func (s *Store) Task(ctx context.Context, id pieces.TaskID) (*pieces.Task, error) {
	return s.task(ctx, "task "+string(id), `SELECT `+taskColumns+` FROM tasks WHERE id = $1`, string(id))
}

// TaskNamed answers the Task that a name means, or NotFound.
func (s *Store) TaskNamed(ctx context.Context, name string) (*pieces.Task, error) {
	return s.task(ctx, "name "+name,
		`SELECT `+taskColumns+` FROM names JOIN tasks ON tasks.id = names.task_id WHERE names.name = $1`, name)
}

func (s *Store) task(ctx context.Context, what, query string, arg string) (*pieces.Task, error) {
	var t pieces.Task
	var filter string
	err := s.db.QueryRowContext(ctx, query, arg).Scan(&t.ID, &t.PublicURL, &t.Tag, &t.Application, &t.Digest, &filter)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, pieces.Errorf(pieces.NotFound, "%s is not in the catalogue", what)
	}
	if err == nil {
		err = json.Unmarshal([]byte(filter), &t.FilterQuery)
	}
	if err != nil {
		return nil, s.failed(ctx, "looking up "+what, err)
	}
	t.URL = t.PublicURL
	return &t, nil
}

// NamesOf answers the names that mean a Task, in order.
func (s *Store) NamesOf(ctx context.Context, id pieces.TaskID) ([]string, error) {
	return query(ctx, s, "listing names", func(r *sql.Rows) (name string, err error) {
		err = r.Scan(&name)
		return name, err
	}, `SELECT name FROM names WHERE task_id = $1 ORDER BY name`, string(id))
}

// Names answers at most limit names that come after the given one, in order.
func (s *Store) Names(ctx context.Context, after string, limit int) ([]Name, error) {
	return query(ctx, s, "listing names", func(r *sql.Rows) (n Name, err error) {
		err = r.Scan(&n.Name, &n.Task)
		return n, err
	}, `SELECT name, task_id FROM names WHERE name > $1 ORDER BY name LIMIT $2`, after, limit)
}

// RemoveTask takes a Task and its names off, or answers NotFound.
func (s *Store) RemoveTask(ctx context.Context, id pieces.TaskID) error {
	r, err := s.db.ExecContext(ctx, `DELETE FROM tasks WHERE id = $1`, string(id))
	if err != nil {
		return s.failed(ctx, "removing task "+id.Short(), err)
	}
	if n, err := r.RowsAffected(); err == nil && n == 0 {
		return pieces.Errorf(pieces.NotFound, "task %s is not in the catalogue", id)
	}
	return nil
}
