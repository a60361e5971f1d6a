package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"damselfly/pieces"
)

// JobState is where a job, or one of its items, stands.
type JobState string

// The states. Waiting is of items alone, Queued of jobs alone.
const (
	Queued    JobState = "queued"
	Waiting   JobState = "waiting"
	Running   JobState = "running"
	Succeeded JobState = "succeeded"
	Failed    JobState = "failed"
	Canceled  JobState = "canceled"
)

// Done reports whether nothing more happens by itself.
func (s JobState) Done() bool { return s == Succeeded || s == Failed || s == Canceled }

// Job is something to be done on hosts.
type Job struct {
	// ID grows with time.
	ID      string
	Kind    string
	Cluster string
	// Spec is a JSON object; package manager knows what it means.
	Spec  string
	State JobState
	// Error says why it failed.
	Error string
	// Planned: its items are there.
	Planned bool
	// Canceled: somebody asked for its end.
	Canceled                   bool
	Created, Started, Finished time.Time
	// Timeout from Started on; at least a millisecond.
	Timeout time.Duration
	// Owner is the manager that runs it, Fence the number of the claim.
	Owner string
	Fence int64
	// Revision grows with each change of State and Canceled.
	Revision uint64
	// Items by state.
	Counts map[JobState]int
	// Done and Total are sums over the items, in bytes; Total counts what is
	// known of it.
	Done, Total int64
}

// JobItem is a job's work on one host.
type JobItem struct {
	Number   int
	Task     pieces.TaskID // empty where the job is not about a Task
	Host     pieces.HostID
	Hostname string
	State    JobState
	Attempts int
	// Done and Total in bytes; Total -1 is unknown.
	Done, Total int64
	// Result is a JSON object.
	Result  string
	Error   string
	Updated time.Time
}

// AddJob adds a job that nobody runs yet: ID, Kind, Cluster, Spec, Created and
// Timeout are used.
func (s *Store) AddJob(ctx context.Context, j Job) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO jobs (id, kind, cluster, spec, state, created, timeout) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		j.ID, j.Kind, j.Cluster, j.Spec, string(Queued), j.Created.UnixMilli(), max(1, j.Timeout.Milliseconds()))
	return s.failed(ctx, "adding a job", err)
}

const jobColumns = `id, kind, cluster, spec, state, error, planned, canceled, created, started, finished, timeout, owner, fence, revision`

func scanJob(r interface{ Scan(...any) error }) (j Job, err error) {
	var planned, canceled int
	var created, started, finished, timeout int64
	err = r.Scan(&j.ID, &j.Kind, &j.Cluster, &j.Spec, &j.State, &j.Error, &planned, &canceled, &created, &started, &finished,
		&timeout, &j.Owner, &j.Fence, &j.Revision)
	j.Planned, j.Canceled = planned != 0, canceled != 0
	j.Created, j.Started, j.Finished = timeOf(created), timeOf(started), timeOf(finished)
	j.Timeout = time.Duration(timeout) * time.Millisecond
	return j, err
}

// Job answers a job with the counts of its items, or NotFound.
func (s *Store) Job(ctx context.Context, id string) (Job, error) {
	j, err := scanJob(s.db.QueryRowContext(ctx, `SELECT `+jobColumns+` FROM jobs WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return j, pieces.Errorf(pieces.NotFound, "there is no job %.64q", id)
	}
	if err != nil {
		return j, s.failed(ctx, "reading job "+id, err)
	}
	one := []Job{j}
	err = s.countItems(ctx, one)
	return one[0], err
}

// JobFilter chooses jobs; zero fields choose all.
type JobFilter struct {
	Cluster string
	Kind    string
	State   JobState
}

// Jobs answers at most limit jobs, newest first, older than the job before
// (empty = from the start), with the counts of their items.
func (s *Store) Jobs(ctx context.Context, f JobFilter, before string, limit int) ([]Job, error) {
	q := where{}
	for column, value := range map[string]string{"cluster": f.Cluster, "kind": f.Kind, "state": string(f.State)} {
		if value != "" {
			q.and(column+` = ?`, value)
		}
	}
	if before != "" {
		q.and(`id < ?`, before)
	}
	jobs, err := query(ctx, s, "listing jobs", func(r *sql.Rows) (Job, error) { return scanJob(r) },
		`SELECT `+jobColumns+` FROM jobs`+q.sql()+` ORDER BY id DESC LIMIT `+q.param(limit), q.args...)
	if err != nil {
		return nil, err
	}
	return jobs, s.countItems(ctx, jobs)
}

func (s *Store) countItems(ctx context.Context, jobs []Job) error {
	if len(jobs) == 0 {
		return nil
	}
	q := where{}
	list := ""
	at := map[string]int{}
	for i := range jobs {
		if i > 0 {
			list += ", "
		}
		list += q.param(jobs[i].ID)
		at[jobs[i].ID] = i
		jobs[i].Counts = map[JobState]int{}
	}
	type row struct {
		job         string
		state       JobState
		n           int
		done, total int64
	}
	rows, err := query(ctx, s, "counting the items of jobs", func(r *sql.Rows) (x row, err error) {
		err = r.Scan(&x.job, &x.state, &x.n, &x.done, &x.total)
		return x, err
	}, `SELECT job, state, COUNT(*), CAST(SUM(done) AS BIGINT), CAST(SUM(CASE WHEN total > 0 THEN total ELSE 0 END) AS BIGINT)
		FROM job_items WHERE job IN (`+list+`) GROUP BY job, state`, q.args...)
	for _, x := range rows {
		j := &jobs[at[x.job]]
		j.Counts[x.state] += x.n
		j.Done += x.done
		j.Total += x.total
	}
	return err
}

// Items answers at most limit items of a job with numbers above after, of one
// state unless that is empty.
func (s *Store) Items(ctx context.Context, job string, state JobState, after, limit int) ([]JobItem, error) {
	q := where{}
	q.and(`job = ? AND number > ?`, job, after)
	if state != "" {
		q.and(`state = ?`, string(state))
	}
	return query(ctx, s, "listing the items of job "+job, func(r *sql.Rows) (i JobItem, err error) {
		var updated int64
		err = r.Scan(&i.Number, &i.Task, &i.Host, &i.Hostname, &i.State, &i.Attempts, &i.Done, &i.Total, &i.Result, &i.Error, &updated)
		i.Updated = timeOf(updated)
		return i, err
	}, `SELECT number, task_id, host_id, hostname, state, attempts, done, total, result, error, updated FROM job_items`+
		q.sql()+` ORDER BY number LIMIT `+q.param(limit), q.args...)
}

// CancelJob asks for the end of a job that is not done; one that is stays as
// it is. revision 0 is any, another only that, else it is a Changed error.
func (s *Store) CancelJob(ctx context.Context, id string, revision uint64) error {
	r, err := s.db.ExecContext(ctx, `UPDATE jobs SET canceled = 1, revision = revision + 1
		WHERE id = $1 AND (CAST($2 AS BIGINT) = 0 OR revision = $2) AND state IN ('queued', 'running') AND canceled = 0`, id, int64(revision))
	return s.changed(ctx, "canceling job "+id, r, err, func(ctx context.Context) error {
		return s.failed(ctx, "canceling job "+id, notSteered(ctx, s.db, id, revision))
	})
}

// RetryJob puts what failed or was canceled of a job that is done back to
// waiting, and the job to queued; one that succeeded or is not done stays as it
// is.
func (s *Store) RetryJob(ctx context.Context, id string, revision uint64) error {
	return s.within(ctx, "retrying job "+id, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `UPDATE jobs SET state = 'queued', error = '', canceled = 0, started = 0, finished = 0,
				owner = '', lease = 0, revision = revision + 1
			WHERE id = $1 AND (CAST($2 AS BIGINT) = 0 OR revision = $2) AND state IN ('failed', 'canceled')`, id, int64(revision))
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, notSteered(ctx, tx, id, revision))
		}
		_, err = tx.ExecContext(ctx, `UPDATE job_items SET state = 'waiting', attempts = 0, error = ''
			WHERE job = $1 AND state IN ('failed', 'canceled')`, id)
		return err
	})
}

// notSteered says why a job's state was not changed: nil if that did not allow
// it.
func notSteered(ctx context.Context, db rower, id string, revision uint64) error {
	var now uint64
	err := db.QueryRowContext(ctx, `SELECT revision FROM jobs WHERE id = $1`, id).Scan(&now)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return pieces.Errorf(pieces.NotFound, "there is no job %.64q", id)
	case err == nil && revision != 0 && now != revision:
		return pieces.Errorf(pieces.Changed, "job %s is at revision %d, not %d; read it again first", id, now, revision)
	}
	return err
}

// RemoveJobs removes jobs that were done before t, and answers how many.
func (s *Store) RemoveJobs(ctx context.Context, t time.Time) (int, error) {
	r, err := s.db.ExecContext(ctx, `DELETE FROM jobs WHERE state IN ('succeeded', 'failed', 'canceled') AND finished < $1`, t.UnixMilli())
	if err != nil {
		return 0, s.failed(ctx, "removing old jobs", err)
	}
	n, err := r.RowsAffected()
	return int(n), s.failed(ctx, "removing old jobs", err)
}
