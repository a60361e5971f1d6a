package store

import (
	"context"

	"damselfly/pieces"
)

// takeRoom counts n bytes as used, after an eviction if need be. Full if there
// is no room.
func (s *Store) takeRoom(ctx context.Context, n int64) error {
	if why := s.cacheless(); why != nil {
		return why // an eviction is of no help
	}
	err := s.tryRoom(n)
	if pieces.KindOf(err) == pieces.Full && s.janitor.ask(ctx, n) {
		err = s.tryRoom(n)
	}
	s.full.Store(err != nil)
	return err
}

func (s *Store) tryRoom(n int64) error {
	used := s.used.Add(n)
	err := s.hasRoom(used, n)
	switch {
	case err != nil:
		s.used.Add(-n)
	case used > s.highWater():
		s.janitor.wake()
	}
	return err
}

// hasRoom tells whether n bytes more, which make used, may be written.
func (s *Store) hasRoom(used, n int64) error {
	if why := s.cacheless(); why != nil {
		return why
	}
	if used > s.opt.CacheSize {
		return pieces.Errorf(pieces.Full, "the cache is full (%d of %d bytes): evict something or raise --cache-size", used-n, s.opt.CacheSize)
	}
	free, _, err := s.free()
	if err != nil {
		return pieces.WithKind(pieces.Full, err, "look for free space")
	}
	if free-n < s.reserve {
		return pieces.Errorf(pieces.Full, "the disk of %s has %d bytes free, %d of them are reserved", s.dir, free, s.reserve)
	}
	return nil
}

func (s *Store) highWater() int64 { return int64(s.opt.HighWater * float64(s.opt.CacheSize)) }
func (s *Store) lowWater() int64  { return int64(s.opt.LowWater * float64(s.opt.CacheSize)) }

// shortage returns how much has to go so that n bytes more have room; ≤ 0 where
// nothing has to.
func (s *Store) shortage(n int64) (need room) {
	if s.cacheless() != nil {
		return need
	}
	if used := s.used.Load(); used > s.highWater() || used+n > s.opt.CacheSize {
		need.cache = used + n - s.lowWater()
	}
	if free, _, err := s.free(); err == nil && s.lacksDisk(n) {
		slack := min(s.reserve/8, 256<<20)
		need.disk = s.reserve + slack + n - free
	}
	return need
}

// lacksDisk reports whether n bytes more would go into the reserve.
func (s *Store) lacksDisk(n int64) bool {
	if s.cacheless() != nil {
		return false
	}
	free, _, err := s.free()
	return err == nil && free-n < s.reserve
}
