package store

import (
	"context"
	"database/sql"
	"time"
)

// Audit is one thing that somebody did, or tried to.
type Audit struct {
	// ID grows with time.
	ID   string
	At   time.Time
	User string
	// Via is what the user proved itself with: session, token ID, password, …
	Via     string
	Address string
	Method  string
	// Object is to what it was done; no secrets.
	Object string
	// Result is "ok", or why not.
	Result string
}

// AddAudit adds a line.
func (s *Store) AddAudit(ctx context.Context, a Audit) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO audit (id, at, user_name, via, address, method, object, result) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		a.ID, a.At.UnixMilli(), a.User, a.Via, a.Address, a.Method, a.Object, a.Result)
	return s.failed(ctx, "writing the audit log", err)
}

// AuditFilter chooses lines; zero fields choose all.
type AuditFilter struct {
	User string
	// Search finds a part of method, object, address or result, in any case.
	Search string
}

// Audits answers at most limit lines, newest first, older than the one of id
// before (empty = from the start).
func (s *Store) Audits(ctx context.Context, f AuditFilter, before string, limit int) ([]Audit, error) {
	q := where{}
	if f.User != "" {
		q.and(`user_name = ?`, f.User)
	}
	if f.Search != "" {
		q.search(f.Search, "method", "object", "address", "result")
	}
	if before != "" {
		q.and(`id < ?`, before)
	}
	return query(ctx, s, "reading the audit log", func(r *sql.Rows) (a Audit, err error) {
		var at int64
		err = r.Scan(&a.ID, &at, &a.User, &a.Via, &a.Address, &a.Method, &a.Object, &a.Result)
		a.At = timeOf(at)
		return a, err
	}, `SELECT id, at, user_name, via, address, method, object, result FROM audit`+q.sql()+` ORDER BY id DESC LIMIT `+q.param(limit), q.args...)
}

// RemoveAudits removes lines from before t.
func (s *Store) RemoveAudits(ctx context.Context, t time.Time) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM audit WHERE at < $1`, t.UnixMilli())
	return s.failed(ctx, "removing old lines of the audit log", err)
}
