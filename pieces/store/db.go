package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"damselfly/pieces"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// Badger's settings. Memory is about three memtables, since nothing is
// compressed and so no block cache is needed; blocks are read from the map.
const (
	memTableSize = 3 << 20
	// inlineThreshold keeps every value in the LSM tree: the largest is a piece
	// of maxInline with its record. The value log stays empty.
	inlineThreshold = maxInline + 4<<10
	// blockSize holds an inline piece of the usual sizes: a table builder asks
	// three times the memory for values that outgrow their block.
	blockSize = DefaultInline + 8<<10
	// valueLogSize is only the size of a map of a sparse file.
	valueLogSize = 1 << 20
)

func dbOptions(dir string, log *logrus.Entry) badger.Options {
	return badger.DefaultOptions(dir).
		WithSyncWrites(false).
		WithDetectConflicts(false). // one goroutine writes
		WithMetricsEnabled(false).
		WithCompression(options.None).
		WithBlockCacheSize(0).
		WithMemTableSize(memTableSize).
		WithNumMemtables(1).
		WithBlockSize(blockSize).
		WithNumCompactors(2).
		WithNumLevelZeroTables(3).
		WithNumLevelZeroTablesStall(8).
		WithValueThreshold(inlineThreshold).
		WithValueLogFileSize(valueLogSize).
		// A damaged block then is an error before its entries are looked at.
		WithChecksumVerificationMode(options.OnBlockRead).
		WithLogger(badgerLog{log})
}

// openDB opens Badger; what it panics with in this goroutine becomes an error.
func openDB(dir string, log *logrus.Entry) (db *badger.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			db, err = nil, pieces.Errorf(pieces.Integrity, "Badger can't open %s: panic: %v", dir, p)
		}
	}()
	if err := removeUnborn(dir); err != nil {
		return nil, err
	}
	return badger.Open(dbOptions(dir, log))
}

// removeUnborn removes memtables without a byte, which a process leaves that is
// killed between two steps of making one; Badger would not open with them.
func removeUnborn(dir string) error {
	paths, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	for _, path := range paths {
		if st, serr := os.Lstat(path); serr == nil && st.Size() == 0 {
			err = errors.Join(err, os.Remove(path))
		}
	}
	return err
}

// openMemory opens a database that lives in memory alone.
func openMemory(log *logrus.Entry) (*badger.DB, error) {
	return badger.Open(dbOptions("", log).WithInMemory(true))
}

// MachineFault reports whether err speaks of the machine rather than of what is
// stored, and may be gone next time: no space, no descriptors or memory,
// read-only.
func MachineFault(err error) bool {
	for _, passing := range []error{unix.ENOSPC, unix.EDQUOT, unix.EROFS, unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EAGAIN} {
		// Badger passes some on as text alone.
		if err != nil && (errors.Is(err, passing) || strings.Contains(err.Error(), passing.Error())) {
			return true
		}
	}
	kind := pieces.KindOf(err)
	return kind == pieces.Full || kind == pieces.Unavailable
}

// badgerLog passes Badger's log on, one level down: its news is our debug.
type badgerLog struct{ log *logrus.Entry }

func line(format string, args []any) string {
	return "badger: " + strings.TrimSpace(fmt.Sprintf(format, args...))
}

func (l badgerLog) Errorf(f string, a ...any)   { l.log.Error(line(f, a)) }
func (l badgerLog) Warningf(f string, a ...any) { l.log.Warn(line(f, a)) }
func (l badgerLog) Infof(f string, a ...any) {
	if l.log.Logger.IsLevelEnabled(logrus.DebugLevel) {
		l.log.Debug(line(f, a))
	}
}
func (l badgerLog) Debugf(f string, a ...any) {
	if l.log.Logger.IsLevelEnabled(logrus.TraceLevel) {
		l.log.Trace(line(f, a))
	}
}
