package store

import (
	"database/sql"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/pressly/goose/v3"
	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"damselfly/pieces"
)

var sqlite = dialect{
	goose: goose.DialectSQLite3, open: openSQLite, kindOf: sqliteKind,
	now:   `CAST(unixepoch('subsec') * 1000 AS INTEGER)`,
	beats: `(SELECT value ->> 'id' AS id, value ->> 'seen' AS seen FROM json_each($1)) AS b`,
}

// sqliteParams: writers queue up to 5 s for the one write lock, which a
// transaction takes when it begins; readers never wait (WAL); a commit is on
// the disk when it returns.
const sqliteParams = "_busy_timeout=5000&_foreign_keys=on&_journal_mode=WAL&_synchronous=FULL&_txlock=immediate&_dqs=0"

// sqliteConns bounds the open connections; readers beyond it queue.
const sqliteConns = 8

// openSQLite makes the file, for its owner only, and its directory. It takes
// sqlite:PATH.
func openSQLite(name string) (*sql.DB, error) {
	_, path, _ := strings.Cut(name, ":")
	path, err := filepath.Abs(strings.TrimPrefix(path, "//"))
	if err != nil {
		return nil, pieces.WithKind(pieces.Invalid, err, "database sqlite:"+path)
	}
	if err := makeFile(path); err != nil {
		kind := pieces.Invalid
		switch {
		case errors.Is(err, fs.ErrPermission):
			kind = pieces.Denied
		case errors.Is(err, syscall.ENOSPC):
			kind = pieces.Full
		}
		return nil, pieces.WithKind(kind, err, "the database needs a path that can be written")
	}
	dsn := url.URL{Scheme: "file", Path: path, OmitHost: true, RawQuery: sqliteParams}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, pieces.WithKind(pieces.Invalid, err, "database sqlite:"+path)
	}
	db.SetMaxOpenConns(sqliteConns)
	db.SetMaxIdleConns(sqliteConns)
	return db, nil
}

func makeFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func sqliteKind(err error) (pieces.Kind, bool) {
	var e *driver.Error
	if !errors.As(err, &e) {
		return 0, false
	}
	switch e.Code() & 0xff {
	case codes.SQLITE_FULL:
		return pieces.Full, true
	case codes.SQLITE_READONLY, codes.SQLITE_PERM, codes.SQLITE_AUTH:
		return pieces.Denied, true
	case codes.SQLITE_NOTADB, codes.SQLITE_CORRUPT:
		return pieces.Integrity, true
	}
	return pieces.Unavailable, true
}
