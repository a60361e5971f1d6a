package store

import (
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"damselfly/pieces"
)

var postgres = dialect{
	goose: goose.DialectPostgres, open: openPostgres, kindOf: postgresKind,
	// One manager migrates, the others wait for it: a minute at most.
	locked:  true,
	prepare: `CREATE COLLATION IF NOT EXISTS "binary" (provider = libc, locale = 'C')`,
	now:     `CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)`,
	beats:   `jsonb_to_recordset(CAST($1 AS jsonb)) AS b(id TEXT, seen BIGINT)`,
}

// postgresConns bounds the open connections of one manager; calls beyond it
// queue.
const (
	postgresConns    = 16
	postgresConnLife = 30 * time.Minute
)

// openPostgres takes a whole URL (postgres://USER:PASSWORD@HOST/DATABASE?…).
// What its errors say never has the password.
func openPostgres(url string) (*sql.DB, error) {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, pieces.Errorf(pieces.Invalid, "database postgres:…: not a URL of the form postgres://USER:PASSWORD@HOST:PORT/DATABASE")
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 5 * time.Second
	}
	c.RuntimeParams["application_name"] = "dfmanager"
	db := stdlib.OpenDB(*c)
	db.SetMaxOpenConns(postgresConns)
	db.SetMaxIdleConns(postgresConns)
	db.SetConnMaxLifetime(postgresConnLife)
	return db, nil
}

// migrationLock is held by the one that migrates.
func migrationLock() (lock.SessionLocker, error) {
	return lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 60), lock.WithUnlockTimeout(1, 5))
}

// postgresKind reads SQLSTATE: the first two characters are its class.
func postgresKind(err error) (pieces.Kind, bool) {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		var c *pgconn.ConnectError
		return pieces.Unavailable, errors.As(err, &c)
	}
	switch {
	case e.Code == "53100":
		return pieces.Full, true
	case e.Code == "42501", strings.HasPrefix(e.Code, "28"):
		return pieces.Denied, true
	case e.Code == "3D000": // no such database
		return pieces.Invalid, true
	case strings.HasPrefix(e.Code, "XX00"):
		return pieces.Integrity, true
	case strings.HasPrefix(e.Code, "22"): // a value that the column can't hold
		return pieces.Invalid, true
	}
	return pieces.Unavailable, true
}
