package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"damselfly/pieces"
)

// TaskFilter chooses entries; zero fields choose all.
type TaskFilter struct {
	// Search finds a part of URL, tag, application, id or name, in any case.
	Search string
	// Tag is the whole tag.
	Tag string
	// Cluster leaves out what has no name in it.
	Cluster string
}

// TaskPlace is where a page of entries ended: pages go from new to old.
type TaskPlace struct {
	Added time.Time
	ID    pieces.TaskID
}

// Tasks answers at most limit entries that have not ended, newest first, after
// the given place (zero = from the start).
func (s *Store) Tasks(ctx context.Context, f TaskFilter, after TaskPlace, limit int, now time.Time) ([]Entry, error) {
	q := where{}
	q.and(alive, now.UnixMilli())
	if f.Search != "" {
		q.search(f.Search, "tasks.public_url", "tasks.tag", "tasks.application", "tasks.id",
			"EXISTS (SELECT 1 FROM cluster_names AS n WHERE n.task_id = tasks.id AND LOWER(n.name) ?)")
	}
	if f.Tag != "" {
		q.and(`tasks.tag = ?`, f.Tag)
	}
	if f.Cluster != "" {
		q.and(`EXISTS (SELECT 1 FROM cluster_names AS c WHERE c.task_id = tasks.id AND c.cluster = ?)`, f.Cluster)
	}
	if !after.Added.IsZero() {
		at := after.Added.UnixMilli()
		q.and(`(tasks.added < ? OR tasks.added = ? AND tasks.id > ?)`, at, at, string(after.ID))
	}
	return query(ctx, s, "searching the catalogue", func(r *sql.Rows) (Entry, error) { return scanEntry(r) },
		`SELECT `+entryColumns+` FROM tasks`+q.sql()+` ORDER BY tasks.added DESC, tasks.id LIMIT `+q.param(limit), q.args...)
}

// NamesOf answers the names that mean a Task in a cluster, in order.
func (s *Store) NamesOf(ctx context.Context, cluster string, id pieces.TaskID) ([]string, error) {
	return query(ctx, s, "listing names", func(r *sql.Rows) (name string, err error) {
		err = r.Scan(&name)
		return name, err
	}, `SELECT name FROM cluster_names WHERE cluster = $1 AND task_id = $2 ORDER BY name`, cluster, string(id))
}

// ClusterName is a name with its cluster.
type ClusterName struct{ Cluster, Name string }

// NamesOfAll answers the names of each of the Tasks in every cluster.
func (s *Store) NamesOfAll(ctx context.Context, ids []pieces.TaskID) (map[pieces.TaskID][]ClusterName, error) {
	names := map[pieces.TaskID][]ClusterName{}
	if len(ids) == 0 {
		return names, nil
	}
	q := where{}
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = q.param(string(id))
	}
	type row struct {
		id pieces.TaskID
		ClusterName
	}
	rows, err := query(ctx, s, "listing names", func(r *sql.Rows) (n row, err error) {
		err = r.Scan(&n.id, &n.Cluster, &n.Name)
		return n, err
	}, `SELECT task_id, cluster, name FROM cluster_names WHERE task_id IN (`+strings.Join(list, ", ")+`) ORDER BY cluster, name`, q.args...)
	for _, r := range rows {
		names[r.id] = append(names[r.id], r.ClusterName)
	}
	return names, err
}

// Names answers at most limit names of a cluster that come after the given
// one, in the order of their bytes.
func (s *Store) Names(ctx context.Context, cluster, after string, limit int) ([]Name, error) {
	return query(ctx, s, "listing names", func(r *sql.Rows) (n Name, err error) {
		err = r.Scan(&n.Name, &n.Task)
		return n, err
	}, `SELECT name, task_id FROM cluster_names WHERE cluster = $1 AND name > $2 ORDER BY name LIMIT $3`, cluster, after, limit)
}

// RemoveName takes a name off; NotFound if it is not there.
func (s *Store) RemoveName(ctx context.Context, cluster, name string) error {
	return s.within(ctx, "removing a name", func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `UPDATE tasks SET revision = revision + 1
			WHERE id IN (SELECT task_id FROM cluster_names WHERE cluster = $1 AND name = $2)`, cluster, name)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return pieces.Errorf(pieces.NotFound, "there is no name %q in cluster %s", name, cluster)
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM cluster_names WHERE cluster = $1 AND name = $2`, cluster, name)
		return err
	})
}

// NoteTask keeps what somebody saw of a Task's current Version; an entry that
// is not there, or that was seen later, stays as it is. An empty order keeps
// the one known of the same Version.
func (s *Store) NoteTask(ctx context.Context, id pieces.TaskID, f pieces.Facts, order []pieces.Extent, seen time.Time) error {
	facts, err := json.Marshal(factsRow{f.Size, int(f.Validator.Kind), f.Validator.Value, msOf(f.Modified), f.Ranges})
	if err != nil {
		return err
	}
	_, err = s.db.ExecContext(ctx, `UPDATE tasks SET facts = $2, facts_seen = $3,
			access_order = CASE WHEN $4 <> '[]' OR facts <> $2 THEN $4 ELSE access_order END
		WHERE id = $1 AND facts_seen <= $3`, string(id), string(facts), seen.UnixMilli(), orderText(order))
	return s.failed(ctx, "noting the version of task "+id.Short(), err)
}

// factsRow is how facts stand in their column.
type factsRow struct {
	Size      int64  `json:"size"`
	Kind      int    `json:"kind"`
	Validator string `json:"validator"`
	Modified  int64  `json:"modified,omitempty"` // milliseconds
	Ranges    bool   `json:"ranges,omitempty"`
}

func known(facts, order string) (*pieces.Facts, []pieces.Extent, error) {
	if facts == "" {
		return nil, nil, nil
	}
	var f factsRow
	if err := json.Unmarshal([]byte(facts), &f); err != nil {
		return nil, nil, err
	}
	var pairs [][2]int
	if err := json.Unmarshal([]byte(order), &pairs); err != nil {
		return nil, nil, err
	}
	var es []pieces.Extent
	for _, p := range pairs {
		es = append(es, pieces.Extent{First: p[0], End: p[1]})
	}
	modified := timeOf(f.Modified)
	if !modified.IsZero() {
		modified = modified.UTC()
	}
	return &pieces.Facts{
		Size: f.Size, Modified: modified, Ranges: f.Ranges,
		Validator: pieces.Validator{Kind: pieces.ValidatorKind(f.Kind), Value: f.Validator},
	}, es, nil
}

func orderText(order []pieces.Extent) string {
	b := []byte{'['}
	for i, e := range order {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		b = strconv.AppendInt(b, int64(e.First), 10)
		b = append(b, ',')
		b = strconv.AppendInt(b, int64(e.End), 10)
		b = append(b, ']')
	}
	return string(append(b, ']'))
}
