package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"damselfly/pieces"
)

// CredentialKind is who shows a credential.
type CredentialKind string

// The kinds.
const (
	Session CredentialKind = "session" // a person who logged in
	Token   CredentialKind = "token"   // a script
)

// Credential is what callers show; only the digest of the secret is kept.
type Credential struct {
	// ID is the public part of the secret.
	ID   string
	Kind CredentialKind
	User string
	// Digest of the whole secret, in hex.
	Digest string
	// Title says what a token is for, Scopes what it may.
	Title  string
	Scopes []string
	// Address is where a session began.
	Address string
	// Expires: zero = never. Used is the last use, or Created.
	Created, Used, Expires time.Time
}

const credentialColumns = `credentials.id, credentials.kind, credentials.user_name, credentials.digest, credentials.title,
	credentials.scopes, credentials.address, credentials.created, credentials.used, credentials.expires`

// credentialRow reads credentialColumns.
type credentialRow struct {
	c                      Credential
	scopes                 string
	created, used, expires int64
}

func (r *credentialRow) fields() []any {
	return []any{&r.c.ID, &r.c.Kind, &r.c.User, &r.c.Digest, &r.c.Title, &r.scopes, &r.c.Address, &r.created, &r.used, &r.expires}
}

func (r *credentialRow) credential() (Credential, error) {
	r.c.Created, r.c.Used, r.c.Expires = timeOf(r.created), timeOf(r.used), timeOf(r.expires)
	return r.c, json.Unmarshal([]byte(r.scopes), &r.c.Scopes)
}

// AddCredential adds one; NotFound if there is no such user, Full if the user
// has most of that kind that have not expired at c.Created.
func (s *Store) AddCredential(ctx context.Context, c Credential, most int) error {
	scopes, err := json.Marshal(append([]string{}, c.Scopes...))
	if err != nil {
		return err
	}
	r, err := s.db.ExecContext(ctx, `INSERT INTO credentials (id, kind, user_name, digest, title, scopes, address, created, used, expires)
		SELECT $1, $2, name, $4, $5, $6, $7, CAST($8 AS BIGINT), CAST($8 AS BIGINT), CAST($9 AS BIGINT) FROM users WHERE name = $3 AND
			(SELECT COUNT(*) FROM credentials WHERE user_name = $3 AND kind = $2 AND (expires = 0 OR expires > $8)) < $10`,
		c.ID, string(c.Kind), c.User, c.Digest, c.Title, string(scopes), c.Address, c.Created.UnixMilli(), msOf(c.Expires), most)
	return s.changed(ctx, "adding a "+string(c.Kind), r, err, func(ctx context.Context) error {
		if _, err := s.User(ctx, c.User); err != nil {
			return err
		}
		return pieces.Errorf(pieces.Full, "user %s has %d of kind %s already; remove some first", c.User, most, c.Kind)
	})
}

// Credential answers one and its user, or NotFound.
func (s *Store) Credential(ctx context.Context, id string) (Credential, User, error) {
	var c credentialRow
	var u userRow
	err := s.db.QueryRowContext(ctx, `SELECT `+credentialColumns+`, `+userColumns+`
		FROM credentials JOIN users ON users.name = credentials.user_name WHERE credentials.id = $1`, id).Scan(append(c.fields(), u.fields()...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return Credential{}, User{}, pieces.Errorf(pieces.NotFound, "there is no session or token %.40q", id)
	}
	if err != nil {
		return Credential{}, User{}, s.failed(ctx, "reading a credential", err)
	}
	found, err := c.credential()
	return found, u.user(), err
}

// Credentials answers at most limit credentials of a kind that have not expired
// at now, of one user or of all (empty), with ids above after, by id.
func (s *Store) Credentials(ctx context.Context, kind CredentialKind, user, after string, limit int, now time.Time) ([]Credential, error) {
	q := where{}
	q.and(`kind = ? AND id > ? AND (expires = 0 OR expires > ?)`, string(kind), after, now.UnixMilli())
	if user != "" {
		q.and(`user_name = ?`, user)
	}
	return query(ctx, s, "listing credentials", func(r *sql.Rows) (Credential, error) {
		var c credentialRow
		if err := r.Scan(c.fields()...); err != nil {
			return Credential{}, err
		}
		return c.credential()
	}, `SELECT `+credentialColumns+` FROM credentials`+q.sql()+` ORDER BY id LIMIT `+q.param(limit), q.args...)
}

// UseCredential keeps that one was used.
func (s *Store) UseCredential(ctx context.Context, id string, at time.Time) error {
	_, err := s.db.ExecContext(ctx, `UPDATE credentials SET used = $2 WHERE id = $1 AND used < $2`, id, at.UnixMilli())
	return s.failed(ctx, "noting the use of a credential", err)
}

// RemoveCredential removes one of that kind and user (empty = anybody's), or is
// NotFound.
func (s *Store) RemoveCredential(ctx context.Context, kind CredentialKind, user, id string) error {
	r, err := s.db.ExecContext(ctx, `DELETE FROM credentials WHERE id = $1 AND kind = $2 AND (CAST($3 AS TEXT) = '' OR user_name = $3)`, id, string(kind), user)
	return s.changed(ctx, "removing a credential", r, err, func(context.Context) error {
		return pieces.Errorf(pieces.NotFound, "there is no %s %.40q", kind, id)
	})
}

// KeepCredentials removes what a user has of a kind but the most that were used
// last.
func (s *Store) KeepCredentials(ctx context.Context, kind CredentialKind, user string, most int) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM credentials WHERE user_name = $1 AND kind = $2 AND id NOT IN
		(SELECT id FROM credentials WHERE user_name = $1 AND kind = $2 ORDER BY used DESC, id LIMIT $3)`, user, string(kind), most)
	return s.failed(ctx, "removing old credentials", err)
}

// RemoveCredentials removes what expired before now, and sessions last used
// before idle.
func (s *Store) RemoveCredentials(ctx context.Context, now, idle time.Time) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM credentials WHERE expires <> 0 AND expires <= $1 OR kind = 'session' AND used < $2`,
		now.UnixMilli(), idle.UnixMilli())
	return s.failed(ctx, "removing expired credentials", err)
}
