package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"damselfly/pieces"
)

// Claim gives owner the oldest job that nobody runs, or whose owner has let its
// lease end, until lease from now by the database's clock; ok is false if there
// is none. Of managers that try at once, each gets another one or none.
func (s *Store) Claim(ctx context.Context, owner string, lease time.Duration, now time.Time) (j Job, ok bool, err error) {
	// The outer condition is looked at again by whoever waited for the row.
	const free = `state IN ('queued', 'running') AND lease < `
	clock := s.dialect.now
	j, err = scanJob(s.db.QueryRowContext(ctx, `UPDATE jobs SET owner = $1, lease = `+clock+` + $2, fence = fence + 1,
			started = CASE WHEN started = 0 THEN $3 ELSE started END, state = 'running',
			revision = CASE WHEN state = 'running' THEN revision ELSE revision + 1 END
		WHERE id = (SELECT id FROM jobs WHERE `+free+clock+` ORDER BY id LIMIT 1) AND `+free+clock+`
		RETURNING `+jobColumns, owner, lease.Milliseconds(), now.UnixMilli()))
	if errors.Is(err, sql.ErrNoRows) {
		return j, false, nil
	}
	return j, err == nil, s.failed(ctx, "claiming a job", err)
}

// errFenced is what a manager hears that writes to a job it has lost.
func errFenced(id string) error {
	return pieces.Errorf(pieces.Changed, "job %s is run by another manager now", id)
}

// fenced runs f in a transaction in which the job is owned by the claim fence;
// otherwise it is a Changed error.
func (s *Store) fenced(ctx context.Context, doing, id string, fence int64, f func(*sql.Tx) error) error {
	return s.within(ctx, doing+" of job "+id, func(tx *sql.Tx) error {
		// Takes the row's lock, so that nobody can claim it meanwhile.
		r, err := tx.ExecContext(ctx, `UPDATE jobs SET owner = owner WHERE id = $1 AND fence = $2 AND state = 'running'`, id, fence)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, errFenced(id))
		}
		return f(tx)
	})
}

// Renew makes a claim last until lease from now and answers whether somebody
// asked for the job's end. A claim that was lost is a Changed error.
func (s *Store) Renew(ctx context.Context, id string, fence int64, lease time.Duration) (canceled bool, err error) {
	var c int
	err = s.db.QueryRowContext(ctx, `UPDATE jobs SET lease = `+s.dialect.now+` + $3
		WHERE id = $1 AND fence = $2 AND state = 'running' RETURNING canceled`, id, fence, lease.Milliseconds()).Scan(&c)
	if errors.Is(err, sql.ErrNoRows) {
		return false, errFenced(id)
	}
	return c != 0, s.failed(ctx, "renewing the lease of job "+id, err)
}

// Release gives a claim back, so that another manager takes the job at once.
// One that was lost is no error.
func (s *Store) Release(ctx context.Context, id string, fence int64) error {
	_, err := s.db.ExecContext(ctx, `UPDATE jobs SET owner = '', lease = 0 WHERE id = $1 AND fence = $2 AND state = 'running'`, id, fence)
	return s.failed(ctx, "giving job "+id+" back", err)
}

// Plan adds the items of a job and marks it planned.
func (s *Store) Plan(ctx context.Context, id string, fence int64, items []JobItem, now time.Time) error {
	return s.fenced(ctx, "planning", id, fence, func(tx *sql.Tx) error {
		add, err := tx.PrepareContext(ctx, `INSERT INTO job_items (job, number, task_id, host_id, hostname, state, updated)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`)
		if err != nil {
			return err
		}
		defer add.Close()
		for _, i := range items {
			if _, err := add.ExecContext(ctx, id, i.Number, string(i.Task), string(i.Host), i.Hostname, string(Waiting), now.UnixMilli()); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `UPDATE jobs SET planned = 1 WHERE id = $1`, id)
		return err
	})
}

// PutItems writes how far these items are.
func (s *Store) PutItems(ctx context.Context, id string, fence int64, items []JobItem) error {
	if len(items) == 0 {
		return nil
	}
	return s.fenced(ctx, "writing the progress", id, fence, func(tx *sql.Tx) error {
		put, err := tx.PrepareContext(ctx, `UPDATE job_items SET state = $3, attempts = $4, done = $5, total = $6, result = $7, error = $8, updated = $9
			WHERE job = $1 AND number = $2`)
		if err != nil {
			return err
		}
		defer put.Close()
		for _, i := range items {
			if _, err := put.ExecContext(ctx, id, i.Number, string(i.State), i.Attempts, i.Done, i.Total, i.Result, i.Error, i.Updated.UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	})
}

// Finish ends a job; why is its error. What of it still waits or runs fails for
// the same reason if the job failed, else it is canceled.
func (s *Store) Finish(ctx context.Context, id string, fence int64, state JobState, why string, now time.Time) error {
	rest, restWhy := Canceled, ""
	if state == Failed {
		rest, restWhy = Failed, why
	}
	return s.fenced(ctx, "ending", id, fence, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE job_items SET state = $2, error = $3, updated = $4
			WHERE job = $1 AND state IN ('waiting', 'running')`, id, string(rest), restWhy, now.UnixMilli()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE jobs SET state = $2, error = $3, finished = $4, owner = '', lease = 0, revision = revision + 1
			WHERE id = $1`, id, string(state), why, now.UnixMilli())
		return err
	})
}
