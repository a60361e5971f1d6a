package store

import (
	"encoding/binary"
	"hash/fnv"
	"os"
	"syscall"

	"damselfly/pieces"
)

// stamp is how a content file looks to the file system. The kernel changes it
// with every write, whoever writes: bytes that were verified once are good for
// as long as it stays the same. (A write by somebody else in the same tick of
// the clock as our last one can't be seen, nor can a medium that changes bits
// by itself.) The zero stamp is that of no file.
type stamp struct {
	inode        uint64
	size         int64
	mtime, ctime int64 // ns
}

// stampOf looks at f; zero if it can't.
func stampOf(f *os.File) stamp {
	st, err := f.Stat()
	if err != nil {
		return stamp{}
	}
	return stampFrom(st)
}

func stampFrom(st os.FileInfo) stamp {
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{}
	}
	return stamp{sys.Ino, sys.Size, sys.Mtim.Nano(), sys.Ctim.Nano()}
}

// blocksOf is how many bytes of disk a file takes.
func blocksOf(st os.FileInfo) int64 {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return sys.Blocks * 512
	}
	return st.Size()
}

// trust is what is written down of bytes that were good: all pieces of the set
// that hashes to held, while the content file has this stamp. The zero trust
// vouches for nothing.
type trust struct {
	file stamp
	held uint64
}

// hashSet names a set of pieces. Records that were lost or came back from the
// dead make another set of it.
func hashSet(s *pieces.Set) uint64 {
	h := fnv.New64a()
	var b [16]byte
	for e := range s.Extents() {
		binary.BigEndian.PutUint64(b[:8], uint64(e.First))
		binary.BigEndian.PutUint64(b[8:], uint64(e.End))
		h.Write(b[:])
	}
	return h.Sum64()
}

// trusted returns what can be vouched for now; call with mu.
func (v *version) trusted() trust {
	if v.inline || !v.allVerified() || v.held.Count() == 0 {
		return trust{}
	}
	held := hashSet(&v.held)
	s := v.stamp.Load()
	if s == nil || *s == (stamp{}) {
		return trust{}
	}
	return trust{*s, held}
}

// trustChanged reports whether more can be vouched for than the database does;
// call with mu.
func (v *version) trustChanged() bool { return v.ready.Load() && v.trusted() != v.savedTrust }

// changed reports whether somebody else wrote to the content file since our
// last write. While a write of ours is under way it is not known: false.
func (v *version) changed() bool {
	f, want := v.file.Load(), v.stamp.Load()
	if f == nil || want == nil || stampOf(f) == *want || !v.writing.TryLock() {
		return false
	}
	defer v.writing.Unlock()
	f, want = v.file.Load(), v.stamp.Load()
	return f != nil && want != nil && stampOf(f) != *want
}

// checkChanged looks for changes by somebody else, and if there are any, has
// every held piece verified again before it is served.
func (v *version) checkChanged() (changed bool) {
	if v.inline || !v.changed() {
		return false
	}
	v.writing.Lock()
	defer v.writing.Unlock()
	v.distrust()
	return true
}

// distrust takes the file as it is now for the one to verify; call with
// writing.
func (v *version) distrust() {
	f := v.file.Load()
	if f == nil {
		return
	}
	now := stampOf(f)
	if want := v.stamp.Load(); want == nil || *want == now {
		return // somebody else did it
	}
	v.s.log.Warnf("store: the content file of %s was changed by another program: it is verified again", v.key)
	v.mu.Lock()
	v.stamp.Store(&now)
	v.doubts.Add(1)
	v.unverified = v.held.Clone()
	v.setReady()
	v.mu.Unlock()
}

// restamp notes how the file looks after a change of ours; call with writing.
func (v *version) restamp(f *os.File) {
	now := stampOf(f)
	v.stamp.Store(&now)
}
