package machine

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Ballast fills free memory with a cached file. A virtual machine that reports
// its free memory gives it back to the machine below, and pays for the first
// touch of each page of it again: here 2.8 CPU-s per GB, more than all else that
// a transfer costs. The memory of a host that has run for a while is full of
// cached files, and new ones take the place of old ones. Ballast makes it so: a
// sparse file, read before runs.
type Ballast struct {
	file *os.File
	size int64
}

// spare is memory that ballast leaves free, in bytes.
const spare = 1 << 30

// NewBallast returns nil where free memory stays with the machine; nil is a
// Ballast, too. dir is where its file is made, empty = os.TempDir(). Close it.
func NewBallast(dir string) (*Ballast, error) {
	if _, err := os.Stat("/sys/module/page_reporting"); err != nil {
		return nil, nil
	}
	available, err := memory("MemAvailable")
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, "damselfly-bench-ballast-")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(f.Name()) // gone with the descriptor
	b := &Ballast{f, max(0, available-spare)}
	return b, f.Truncate(b.size)
}

// Fill puts the whole file into the page cache, unless hardly more than spare is free.
func (b *Ballast) Fill(ctx context.Context) error {
	if b == nil {
		return nil
	}
	if free, err := memory("MemFree"); err != nil || free <= 2*spare {
		return err
	}
	buf := make([]byte, 4<<20)
	for off := int64(0); off < b.size; off += int64(len(buf)) {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if _, err := b.file.ReadAt(buf, off); err != nil && err != io.EOF {
			return err
		}
	}
	return nil
}

// Close frees the memory.
func (b *Ballast) Close() {
	if b != nil {
		_ = b.file.Close()
	}
}

// memory returns a value of /proc/meminfo, in bytes.
func memory(name string) (int64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != name+":" {
			continue
		}
		kib, err := strconv.ParseInt(f[1], 10, 64)
		return kib << 10, err
	}
	return 0, fmt.Errorf("/proc/meminfo has no %s", name)
}
