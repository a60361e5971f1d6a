package store

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/pressly/goose/v3"

	"damselfly/pieces"
)

// Backup writes a copy of a SQLite database, as it is at one moment, to a new
// file for its owner only; managers go on meanwhile. The copy is a database to
// open. For PostgreSQL it is an Invalid error: that has tools of its own.
func (s *Store) Backup(ctx context.Context, path string) error {
	if s.dialect.goose != goose.DialectSQLite3 {
		return pieces.Errorf(pieces.Invalid, "a backup of PostgreSQL is made by pg_dump")
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return pieces.Errorf(pieces.Invalid, "%s is there already", path)
	case err != nil:
		return pieces.WithKind(pieces.Invalid, err, "making a backup")
	}
	if err := f.Close(); err != nil {
		return pieces.WithKind(pieces.Full, err, "making a backup")
	}
	if _, err := s.db.ExecContext(ctx, `VACUUM INTO $1`, path); err != nil {
		return s.failed(ctx, "making a backup", errors.Join(err, os.Remove(path)))
	}
	return nil
}
