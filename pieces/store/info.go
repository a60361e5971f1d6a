package store

import (
	"slices"
	"time"

	"damselfly/pieces"
)

// VersionInfo is what is held of a Version.
type VersionInfo struct {
	Key   pieces.Key
	Facts pieces.Facts
	// Bytes and Pieces held.
	Bytes    int64
	Pieces   int
	Complete bool
	// Whole: the pinned digest of the whole content matched.
	Whole bool
	// Suspect: not all of it was verified since an unclean stop.
	Suspect bool
	// Passthrough: its file may be open outside this process.
	Passthrough bool
	Accessed    time.Time
	// Open is the number of handles and of writes under way.
	Open int
}

// Version tells what is held of one Version; false if nothing is.
func (s *Store) Version(key pieces.Key) (VersionInfo, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.known.byKey[key]
	if v == nil {
		return VersionInfo{}, false
	}
	info := v.info()
	return info, info.Pieces > 0
}

// Versions lists everything held, last accessed first.
func (s *Store) Versions() []VersionInfo {
	s.mu.Lock()
	infos := make([]VersionInfo, 0, len(s.known.byKey))
	for _, v := range s.known.byKey {
		if info := v.info(); info.Pieces > 0 {
			infos = append(infos, info)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(infos, func(a, b VersionInfo) int { return b.Accessed.Compare(a.Accessed) })
	return infos
}

// Usage is how full the store is, in bytes.
type Usage struct {
	// Used of Size by held pieces.
	Used, Size int64
	// DiskFree of the file system, of which Reserve is never used.
	DiskFree, Reserve int64
	// Removed content files are still open somewhere, and RemovedBytes of the
	// disk are only free when they are closed.
	Removed      int
	RemovedBytes int64
	// Caching: pieces are being kept. False after one was refused for want of
	// room, until there is room again.
	Caching bool
	// Uncached says why nothing at all is kept; nil if there is a disk. It
	// becomes nil when the cause is gone.
	Uncached error
}

// Usage returns how full the store is; DiskFree is −1 if it can't be told.
func (s *Store) Usage() Usage {
	free, _, err := s.free()
	if err != nil {
		free = -1
	}
	u := Usage{Used: s.used.Load(), Size: s.opt.CacheSize, DiskFree: free, Caching: !s.full.Load(), Uncached: s.cacheless()}
	u.Removed, u.RemovedBytes = s.orphans.usage()
	if u.Uncached == nil {
		u.Reserve = s.reserve
	}
	return u
}

func (v *version) info() VersionInfo {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return VersionInfo{
		Key: v.key, Facts: v.facts, Bytes: v.bytes(), Pieces: v.held.Count(),
		Complete: v.held.Count() == v.geo.Count(), Whole: v.flags&flagWhole != 0,
		Suspect:     !v.allVerified() && v.flags&flagSuspect != 0,
		Passthrough: v.flags&flagPassthrough != 0, Accessed: v.accessed, Open: v.refs,
	}
}
