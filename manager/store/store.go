// Package store keeps what the manager knows in a SQL database: live
// schedulers and seed peers, the catalogue of Tasks and their names, and each
// cluster's config.
//
// The SQL is what SQLite and PostgreSQL have in common, with numbered
// parameters; what differs between databases is in one dialect value each. The
// schema is made and brought up to date by the migrations embedded here, when
// the store is opened.
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
	// open gets what follows the ':' of the database's name.
	open func(rest string) (*sql.DB, error)
	// kindOf classifies an error of the driver; ok is false if it can't.
	kindOf func(error) (kind pieces.Kind, ok bool)
}

// dialects by the scheme of the database's name.
var dialects = map[string]dialect{
	"sqlite": sqlite,
}

// Open opens the database that name tells ("sqlite:PATH"), making it if need
// be, and brings its schema up to date.
func Open(ctx context.Context, name string) (*Store, error) {
	d, rest, err := dialectOf(name)
	if err != nil {
		return nil, err
	}
	db, err := d.open(rest)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, dialect: d}
	if err := s.migrate(ctx); err != nil {
		db.Close()
		doing := "opening the database " + name
		if err = s.failed(ctx, doing, err); pieces.KindOf(err) == pieces.Integrity {
			return nil, pieces.WithKind(pieces.Integrity, err, "not a database or a damaged one, give another path or restore a copy")
		}
		return nil, err
	}
	return s, nil
}

// Check returns an Invalid error if Open would not know what name means.
func Check(name string) error {
	_, _, err := dialectOf(name)
	return err
}

func dialectOf(name string) (d dialect, rest string, err error) {
	scheme, rest, _ := strings.Cut(name, ":")
	d, ok := dialects[scheme]
	// What follows the scheme may hold a password: it is not repeated.
	switch {
	case scheme == "postgres" || scheme == "postgresql":
		return d, "", pieces.Errorf(pieces.Invalid, "database postgres:…: this release knows SQLite only; want sqlite:PATH")
	case !ok:
		return d, "", pieces.Errorf(pieces.Invalid, "database %.20q…: want sqlite:PATH", scheme)
	case rest == "":
		return d, "", pieces.Errorf(pieces.Invalid, "database %q: the path is missing; want sqlite:PATH", name)
	}
	return d, rest, nil
}

// Close waits for what runs and closes the database.
func (s *Store) Close() error { return s.db.Close() }

// Ping returns an error unless the database answers.
func (s *Store) Ping(ctx context.Context) error {
	return s.failed(ctx, "asking the database", s.db.PingContext(ctx))
}

func (s *Store) migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(s.dialect.goose, s.db, files,
		goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
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
