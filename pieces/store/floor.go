package store

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"damselfly/pieces"

	"golang.org/x/sys/unix"
)

const (
	// dbFloor is the free space under which nothing more is recorded: Badger
	// writes through maps, where a full disk is fatal. Removals may go lower.
	// Both shrink on a tiny file system.
	dbFloor, dbRemovalFloor = 16 << 20, 1 << 20
	// maxRewrite is the most that one round of compaction writes before it
	// gives space back, where the disk is small enough for that to matter.
	maxRewrite = 64 << 20
	// spareFiles is how many descriptors Badger may need for one commit: a new
	// memtable and the table of the old one, with room for others' haste.
	spareFiles = 4
)

func floorOf(total int64) int64 { return min(dbFloor, total/16) }

// recordable returns a Full error unless the database may be written now.
func (s *Store) recordable(removal bool) error {
	free, total, err := s.free()
	if err != nil {
		return pieces.WithKind(pieces.Full, err, "look for free space")
	}
	floor := floorOf(total) + min(s.dbBytes.Load(), maxRewrite)
	if removal {
		floor = min(dbRemovalFloor, total/64)
	}
	if free < floor {
		return pieces.Errorf(pieces.Full, "only %d bytes of disk are free: nothing is recorded", free)
	}
	return haveFiles(int(s.lockFD.Fd()), spareFiles)
}

// haveFiles returns a Full error unless n more descriptors can be had.
func haveFiles(fd, n int) error {
	for range n {
		d, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return pieces.WithKind(pieces.Full, err, "nothing is recorded")
		}
		defer unix.Close(d)
	}
	return nil
}

// haveFilesToOpen returns a Full error unless the database can be opened with
// the descriptors there are: Badger keeps one for each of its files.
func (s *Store) haveFilesToOpen() error {
	entries, err := os.ReadDir(s.dir.db())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return haveFiles(int(s.lockFD.Fd()), len(entries)+4*spareFiles)
}

// makeFloor sees to it that the database can be opened and closed without
// running out of space: if somebody else has filled the disk, the store that was
// moved aside goes, then content files, oldest first. Records without a file are
// dropped when they are loaded. Full if that is not enough. Nothing may be open.
func (s *Store) makeFloor() error {
	free, total, err := s.free()
	if err != nil {
		return err
	}
	if free >= floorOf(total) {
		return nil
	}
	s.log.Warnf("store: only %d bytes of disk are free: cached content goes", free)
	if err := os.RemoveAll(s.dir.path("aside")); err != nil {
		return err
	}
	for _, path := range s.filesByAge() {
		if free, _, err = s.free(); err != nil || free >= floorOf(total) {
			return err
		}
		if err := s.disk.Remove(path); err != nil {
			return err
		}
	}
	if free, _, err = s.free(); err == nil && free < floorOf(total) {
		err = pieces.Errorf(pieces.Full, "only %d bytes of disk are free, at least %d are needed: make room", free, floorOf(total))
	}
	return err
}

// hasFloor returns a Full error if makeFloor would have something to do.
func (s *Store) hasFloor() error {
	free, total, err := s.free()
	if err == nil && free < floorOf(total) {
		err = pieces.Errorf(pieces.Full, "only %d bytes of disk are free", free)
	}
	return err
}

// filesByAge lists the content files, the one that was written first first.
func (s *Store) filesByAge() []string {
	entries, _ := os.ReadDir(s.dir.content())
	type aged struct {
		path    string
		written time.Time
	}
	var files []aged
	for _, e := range entries {
		if st, err := e.Info(); err == nil && st.Mode().IsRegular() {
			files = append(files, aged{dataDir(s.dir.content()).path(e.Name()), st.ModTime()})
		}
	}
	slices.SortFunc(files, func(a, b aged) int { return a.written.Compare(b.written) })
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = f.path
	}
	return paths
}

// measureDB notes how much disk the database takes, if that matters.
func (s *Store) measureDB() {
	if s.cacheless() != nil {
		return
	}
	free, _, err := s.free()
	if err != nil || free > s.reserve+1<<30 {
		return
	}
	entries, _ := os.ReadDir(s.dir.db())
	var n int64
	for _, e := range entries {
		if st, err := e.Info(); err == nil {
			n += blocksOf(st)
		}
	}
	s.dbBytes.Store(n)
}

// dropAside removes a store that was moved aside, for want of space.
func (s *Store) dropAside() {
	aside := s.dir.path("aside")
	if _, err := os.Lstat(aside); err != nil {
		return
	}
	s.log.Warnf("store: the disk is nearly full: %s goes", aside)
	if err := os.RemoveAll(aside); err != nil {
		s.log.WithError(err).Warn("store: remove what was moved aside")
	}
}

// closeDB closes the database, which writes. Where there is no space for that
// it is left open: its log has all of it, and the process ends soon anyway.
func (s *Store) closeDB() error {
	if s.cacheless() == nil {
		err := cmp.Or(s.makeFloor(), haveFiles(int(s.lockFD.Fd()), spareFiles))
		if pieces.KindOf(err) == pieces.Full {
			return err
		}
	}
	return s.db.Close()
}
