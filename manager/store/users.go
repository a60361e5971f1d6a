package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"damselfly/pieces"
)

// Role is what a user may do; each may all that the one before may.
type Role string

// The roles.
const (
	Viewer   Role = "viewer"
	Operator Role = "operator"
	Admin    Role = "admin"
)

// User is somebody who may do something.
type User struct {
	Name string
	Role Role
	// Password is the digest of one, as package people makes it; empty: no
	// login by password.
	Password string
	// Issuer and Subject name the user at who vouches for it; empty for none.
	Issuer, Subject string
	// Disabled: may do nothing.
	Disabled bool
	Created  time.Time
	// Seen is the last login; zero = never.
	Seen time.Time
	// Revision grows with each change of Role, Password and Disabled.
	Revision uint64
}

const userColumns = `users.name, users.role, users.password, users.issuer, users.subject, users.disabled, users.created, users.seen, users.revision`

// userRow reads userColumns: scan its fields, then take its user.
type userRow struct {
	u             User
	disabled      int
	created, seen int64
}

func (r *userRow) fields() []any {
	return []any{&r.u.Name, &r.u.Role, &r.u.Password, &r.u.Issuer, &r.u.Subject, &r.disabled, &r.created, &r.seen, &r.u.Revision}
}

func (r *userRow) user() User {
	r.u.Disabled, r.u.Created, r.u.Seen = r.disabled != 0, timeOf(r.created), timeOf(r.seen)
	return r.u
}

func scanUser(s interface{ Scan(...any) error }) (User, error) {
	var r userRow
	err := s.Scan(r.fields()...)
	return r.user(), err
}

// AddUser adds a user; Exists if there is one of that name or subject.
func (s *Store) AddUser(ctx context.Context, u User) error {
	r, err := s.db.ExecContext(ctx, `INSERT INTO users (name, role, password, issuer, subject, created)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
		u.Name, string(u.Role), u.Password, u.Issuer, u.Subject, u.Created.UnixMilli())
	return s.changed(ctx, "adding user "+u.Name, r, err, func(context.Context) error {
		return pieces.Errorf(pieces.Exists, "there is a user %q already", u.Name)
	})
}

// AddFirstUser adds a user if there is none at all; of several that try at once
// one succeeds.
func (s *Store) AddFirstUser(ctx context.Context, u User) (added bool, err error) {
	r, err := s.db.ExecContext(ctx, `INSERT INTO users (name, role, password, created)
		SELECT $1, $2, $3, CAST($4 AS BIGINT) WHERE NOT EXISTS (SELECT 1 FROM users) ON CONFLICT DO NOTHING`,
		u.Name, string(u.Role), u.Password, u.Created.UnixMilli())
	added = true
	err = s.changed(ctx, "adding the first user", r, err, func(context.Context) error {
		added = false
		return nil
	})
	return added && err == nil, err
}

// User answers one, or NotFound.
func (s *Store) User(ctx context.Context, name string) (User, error) {
	u, err := scanUser(s.db.QueryRowContext(ctx, `SELECT `+userColumns+` FROM users WHERE name = $1`, name))
	if errors.Is(err, sql.ErrNoRows) {
		return u, pieces.Errorf(pieces.NotFound, "there is no user %.64q", name)
	}
	return u, s.failed(ctx, "reading a user", err)
}

// UserOf answers the one that an issuer knows as subject, or NotFound.
func (s *Store) UserOf(ctx context.Context, issuer, subject string) (User, error) {
	u, err := scanUser(s.db.QueryRowContext(ctx, `SELECT `+userColumns+` FROM users WHERE issuer = $1 AND subject = $2 AND issuer <> ''`, issuer, subject))
	if errors.Is(err, sql.ErrNoRows) {
		return u, pieces.Errorf(pieces.NotFound, "nobody here is known there as %.64q", subject)
	}
	return u, s.failed(ctx, "reading a user", err)
}

// Users answers at most limit users that come after the name, by name; search
// is a part of it.
func (s *Store) Users(ctx context.Context, search, after string, limit int) ([]User, error) {
	q := where{}
	q.and(`name > ?`, after)
	if search != "" {
		q.search(search, "name")
	}
	return query(ctx, s, "listing users", func(r *sql.Rows) (User, error) { return scanUser(r) },
		`SELECT `+userColumns+` FROM users`+q.sql()+` ORDER BY name LIMIT `+q.param(limit), q.args...)
}

// lasting holds for a user $1 without whom there still is an administrator.
const lasting = `EXISTS (SELECT 1 FROM users AS others WHERE others.name <> $1 AND others.role = 'admin' AND others.disabled = 0)`

// ChangeUser sets role and disabled if the user still is at u.Revision;
// otherwise it is a Changed error. The last administrator stays one: that is
// Denied.
func (s *Store) ChangeUser(ctx context.Context, u User) error {
	disabled := 0
	if u.Disabled {
		disabled = 1
	}
	r, err := s.db.ExecContext(ctx, `UPDATE users SET role = $2, disabled = $3, revision = revision + 1
		WHERE name = $1 AND revision = $4 AND (role <> 'admin' OR disabled = 1 OR CAST($2 AS TEXT) = 'admin' AND CAST($3 AS BIGINT) = 0 OR `+lasting+`)`,
		u.Name, string(u.Role), disabled, u.Revision)
	return s.changed(ctx, "changing user "+u.Name, r, err, func(ctx context.Context) error { return s.userMoved(ctx, u.Name, u.Revision) })
}

// RemoveUser removes a user with all sessions and tokens if it still is at
// revision; not the last administrator.
func (s *Store) RemoveUser(ctx context.Context, name string, revision uint64) error {
	r, err := s.db.ExecContext(ctx, `DELETE FROM users WHERE name = $1 AND revision = $2 AND (role <> 'admin' OR disabled = 1 OR `+lasting+`)`, name, revision)
	return s.changed(ctx, "removing user "+name, r, err, func(ctx context.Context) error { return s.userMoved(ctx, name, revision) })
}

// userMoved says why a user was not changed.
func (s *Store) userMoved(ctx context.Context, name string, revision uint64) error {
	now, err := s.User(ctx, name)
	if err != nil {
		return err
	}
	if now.Revision == revision {
		return pieces.Errorf(pieces.Denied, "user %s is the last administrator; make another one first", name)
	}
	return pieces.Errorf(pieces.Changed, "user %s is at revision %d, not %d; read it again first", name, now.Revision, revision)
}

// SetPassword replaces the digest of a user's password, and ends the user's
// sessions but the one of that id (empty = all). NotFound if there is no user.
func (s *Store) SetPassword(ctx context.Context, name, digest, keep string) error {
	return s.within(ctx, "setting the password of user "+name, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `UPDATE users SET password = $2, revision = revision + 1 WHERE name = $1`, name, digest)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, pieces.Errorf(pieces.NotFound, "there is no user %.64q", name))
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM credentials WHERE user_name = $1 AND kind = 'session' AND id <> $2`, name, keep)
		return err
	})
}

// NoteLogin keeps when a user logged in last.
func (s *Store) NoteLogin(ctx context.Context, name string, at time.Time) error {
	_, err := s.db.ExecContext(ctx, `UPDATE users SET seen = $2 WHERE name = $1`, name, at.UnixMilli())
	return s.failed(ctx, "noting a login", err)
}

// SetRole sets the role of a user, whatever its revision. The last administrator
// stays one: then, and if nothing changes, changed is false.
func (s *Store) SetRole(ctx context.Context, name string, role Role) (changed bool, err error) {
	r, err := s.db.ExecContext(ctx, `UPDATE users SET role = $2, revision = revision + 1
		WHERE name = $1 AND role <> $2 AND (role <> 'admin' OR disabled = 1 OR `+lasting+`)`, name, string(role))
	if err != nil {
		return false, s.failed(ctx, "setting the role of user "+name, err)
	}
	n, err := r.RowsAffected()
	return n > 0, s.failed(ctx, "setting the role of user "+name, err)
}
