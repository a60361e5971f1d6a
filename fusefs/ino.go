package fusefs

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"damselfly/pieces"
)

// Kinds of inode, so that no two namespaces share a number.
const (
	inoFile   = "file"
	inoName   = "name"
	inoText   = "text"
	inoFolder = "folder"
)

// stableAttr derives inode number and generation from what the inode shows.
// They are the same on every host and after every restart; 128 bits together,
// as go-fuse merges inodes that share both.
func stableAttr(mode uint32, kind string, parts ...string) fs.StableAttr {
	h := sha256.New()
	for _, p := range append([]string{kind}, parts...) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	sum := h.Sum(nil)
	ino := binary.BigEndian.Uint64(sum)
	if ino <= 1 || ino == ^uint64(0) { // reserved
		ino = 2
	}
	return fs.StableAttr{Mode: mode, Ino: ino, Gen: binary.BigEndian.Uint64(sum[8:])}
}

func fileAttr(key pieces.Key) fs.StableAttr {
	return stableAttr(fuse.S_IFREG, inoFile, string(key.Task), string(key.Version))
}
