// Package store keeps what the manager knows in a SQL database: clusters and
// their config, schedulers and hosts, the catalogue of Tasks and their names,
// jobs, users with what they prove themselves by, and an audit log.
//
// The SQL is what SQLite and PostgreSQL have in common, with numbered
// parameters; what differs between databases is in one dialect value each. The
// schema is made and brought up to date by the migrations embedded here, when
// the store is opened.
//
// Several managers may have one PostgreSQL open. A migration only adds (from
// the third on), so a manager built without the newest one goes on beside
// those that have it; a database newer than the program is no error.
//
// Errors have kinds: NotFound, Exists and Changed are answers, Full is a full
// disk, Unavailable a database that does not work just now. A Store may be used
// by many goroutines; every method takes effect whole or not at all.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/pressly/goose/v3"

	"damselfly/pieces"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store is an open database.
type Store struct {
	db      *sql.DB
	dialect dialect
}

// dialect is what one kind of database has of its own.
type dialect struct {
	goose goose.Dialect
	// open gets the database's whole name.
	open func(name string) (*sql.DB, error)
	// kindOf classifies an error of the driver; ok is false if it can't.
	kindOf func(error) (kind pieces.Kind, ok bool)
	// locked: several processes may migrate it at once, and take a lock.
	locked bool
	// prepare is run before migrations; may be empty.
	prepare string
	// now is the database's clock, in milliseconds since 1970.
	now string
	// beats is a table b(id, seen) made of the JSON array in $1.
	beats string
}

// dialects by the scheme of the database's name.
var dialects = map[string]dialect{
	"sqlite":     sqlite,
	"postgres":   postgres,
	"postgresql": postgres,
}

// Open opens the database that name tells ("sqlite:PATH", which is made if need
// be, or "postgres://…"), and brings its schema up to date.
func Open(ctx context.Context, name string) (*Store, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return open(ctx, name, files)
}

func open(ctx context.Context, name string, migrations fs.FS) (*Store, error) {
	d, err := dialectOf(name)
	if err != nil {
		return nil, err
	}
	db, err := d.open(name)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, dialect: d}
	if err := s.migrate(ctx, migrations); err != nil {
		db.Close()
		doing := "opening the database " + shown(name)
		if err = s.failed(ctx, doing, err); pieces.KindOf(err) == pieces.Integrity {
			return nil, pieces.WithKind(pieces.Integrity, err, "not a database or a damaged one, give another path or restore a copy")
		}
		return nil, err
	}
	return s, nil
}

// Check returns an Invalid error if Open would not know what name means.
func Check(name string) error {
	_, err := dialectOf(name)
	return err
}

func dialectOf(name string) (dialect, error) {
	scheme, rest, _ := strings.Cut(name, ":")
	d, ok := dialects[scheme]
	// What follows the scheme may hold a password: it is not repeated.
	switch {
	case !ok:
		return d, pieces.Errorf(pieces.Invalid, "database %.20q…: want sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE", scheme)
	case rest == "" || d.goose == goose.DialectPostgres && !strings.HasPrefix(rest, "//"):
		return d, pieces.Errorf(pieces.Invalid, "database %.20q…: want sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE", scheme+":")
	}
	return d, nil
}

// shown is a database's name without what may be secret.
func shown(name string) string {
	if scheme, rest, _ := strings.Cut(name, ":"); scheme == "sqlite" {
		return scheme + ":" + rest
	}
	return "postgres:…"
}

// Close waits for what runs and closes the database.
func (s *Store) Close() error { return s.db.Close() }

// Ping returns an error unless the database answers.
func (s *Store) Ping(ctx context.Context) error {
	return s.failed(ctx, "asking the database", s.db.PingContext(ctx))
}

// migrateAttempts: two processes that make the same SQLite file at once get in
// each other's way once.
const migrateAttempts = 3

func (s *Store) migrate(ctx context.Context, files fs.FS) (err error) {
	if s.dialect.prepare != "" {
		// Of two that do it at once one may fail, though it is there then.
		_, _ = s.db.ExecContext(ctx, s.dialect.prepare)
	}
	p, err := s.migrator(files)
	if err != nil {
		return err
	}
	for range migrateAttempts {
		if _, err = p.Up(ctx); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (s *Store) migrator(files fs.FS) (*goose.Provider, error) {
	options := []goose.ProviderOption{goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true)}
	if s.dialect.locked {
		l, err := migrationLock()
		if err != nil {
			return nil, fmt.Errorf("migration lock: %w", err)
		}
		options = append(options, goose.WithSessionLocker(l))
	}
	return goose.NewProvider(s.dialect.goose, s.db, files, options...)
}

// within runs f in a transaction that is committed if f returns nil.
func (s *Store) within(ctx context.Context, doing string, f func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return s.failed(ctx, doing, err)
	}
	if err := f(tx); err != nil {
		return s.failed(ctx, doing, errors.Join(err, rolledBack(tx.Rollback())))
	}
	return s.failed(ctx, doing, tx.Commit())
}

func rolledBack(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// failed gives err a kind and says what was being done; nil stays nil and
// errors with a kind stay as they are.
func (s *Store) failed(ctx context.Context, doing string, err error) error {
	var classified *pieces.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &classified):
		return classified
	case ctx.Err() != nil:
		return pieces.WithKind(pieces.KindOf(ctx.Err()), ctx.Err(), doing)
	}
	if kind, ok := s.dialect.kindOf(err); ok {
		return pieces.WithKind(kind, err, doing)
	}
	return pieces.WithKind(pieces.Unavailable, err, doing)
}
