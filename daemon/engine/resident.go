package engine

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Resident returns how many bytes of the content file are in the kernel's page
// cache; false if that can't be told, as nobody has the content open, it has no
// file, or is not trusted yet.
func (c *Content) Resident() (int64, bool) {
	c.pinMu.Lock()
	v := c.v
	if v != nil {
		c.pins++
	}
	c.pinMu.Unlock()
	if v == nil {
		return 0, false
	}
	defer c.unpin()
	f, ok := v.File()
	if !ok {
		return 0, false
	}
	n, err := cacheStat(f, c.geo.Size)
	if err == unix.ENOSYS || err == unix.EPERM { // before Linux 6.5, or a sandbox
		n, err = residentByMap(f, c.geo.Size)
	}
	return n, err == nil
}

// cacheStat asks cachestat(2).
func cacheStat(f *os.File, size int64) (int64, error) {
	var st unix.Cachestat_t
	err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{Off: 0, Len: uint64(size)}, &st, 0)
	return min(int64(st.Cache)*int64(os.Getpagesize()), size), err
}

// mapAtOnce bounds the address space that residentByMap takes.
const mapAtOnce = 256 << 20

// residentByMap asks mincore(2) of mappings, which touch nothing.
func residentByMap(f *os.File, size int64) (int64, error) {
	page := int64(os.Getpagesize())
	pages := make([]byte, min(size, mapAtOnce)/page+1)
	var n int64
	for off := int64(0); off < size; off += mapAtOnce {
		part := min(size-off, mapAtOnce)
		m, err := unix.Mmap(int(f.Fd()), off, int(part), unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return 0, err
		}
		_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(part), uintptr(unsafe.Pointer(&pages[0])))
		err = unix.Munmap(m)
		if errno != 0 {
			return 0, syscall.Errno(errno)
		}
		if err != nil {
			return 0, err
		}
		for _, p := range pages[:(part+page-1)/page] {
			n += int64(p&1) * page
		}
	}
	return min(n, size), nil
}
