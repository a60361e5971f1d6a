package doctor

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"damselfly/cmd/internal/boot"
	"damselfly/daemon/control"
)

// fsNames are the file systems we know by their magic number.
var fsNames = map[int64]string{
	unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.TMPFS_MAGIC: "tmpfs",
	unix.F2FS_SUPER_MAGIC: "f2fs", 0x2fc12fc1: "zfs", unix.OVERLAYFS_SUPER_MAGIC: "overlayfs", unix.NFS_SUPER_MAGIC: "nfs",
	unix.FUSE_SUPER_MAGIC: "fuse", unix.SMB2_SUPER_MAGIC: "smb", unix.CIFS_SUPER_MAGIC: "cifs", unix.V9FS_MAGIC: "9p",
}

func cacheFS(dir string) control.Check {
	const name = "cache file system"
	var st unix.Statfs_t
	if err := unix.Statfs(existing(dir), &st); err != nil {
		return bad(name, dir+": "+err.Error(), "choose another --data-dir")
	}
	fsName, known := fsNames[int64(st.Type)]
	if !known {
		return good(name, "%s is on an unknown file system (0x%x)", dir, st.Type)
	}
	switch fsName {
	case "nfs", "fuse", "smb", "cifs", "9p":
		return bad(name, dir+" is on "+fsName, "put --data-dir on a disk of this machine: locks, holes and passthrough need it")
	case "overlayfs":
		return bad(name, dir+" is on overlayfs, a stacked file system without passthrough", "put --data-dir on a volume of its own")
	case "tmpfs":
		return good(name, "%s is on tmpfs: the cache takes memory and is gone after a restart", dir)
	}
	return good(name, "%s is on %s", dir, fsName)
}

// minFree is the least free space with which caching makes sense, in bytes.
const minFree = 256 << 20

func freeSpace(dir string) control.Check {
	const name = "free space"
	var st unix.Statfs_t
	if err := unix.Statfs(existing(dir), &st); err != nil {
		return bad(name, dir+": "+err.Error(), "choose another --data-dir")
	}
	free := int64(st.Bavail) * st.Bsize
	reserve := min(int64(st.Blocks)*st.Bsize/20, 10<<30)
	if free < reserve+minFree {
		return bad(name, fmt.Sprintf("%s has %s left, of which %s are kept free: little or nothing is cached", dir, boot.FormatBytes(free), boot.FormatBytes(reserve)),
			"free some space, or choose another --data-dir")
	}
	return good(name, "%s left", boot.FormatBytes(free))
}

// existing is dir or its nearest parent that is there.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == "/" || dir == "." {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}
