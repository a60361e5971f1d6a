package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Where the memory controller may be, and its file for the limit there.
const (
	memoryV1, limitV1 = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
	memoryV2, limitV2 = "/sys/fs/cgroup", "memory.max"
)

// MemoryGroup is a control group whose processes have a limited memory between
// them, page cache included. The lab removes it when it ends.
type MemoryGroup struct{ dir string }

// AddMemoryGroup makes one of limit bytes, without swap. The error is
// errors.ErrUnsupported where there is no memory controller, of either version.
func (l *Lab) AddMemoryGroup(name string, limit int64) (*MemoryGroup, error) {
	root, file, err := memoryController()
	if err != nil {
		return nil, err
	}
	g := &MemoryGroup{dir: filepath.Join(root, l.prefix()+name)}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, err
	}
	if root == memoryV2 {
		if err := g.set("memory.swap.max", 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return g, g.set(file, limit)
}

func memoryController() (root, file string, err error) {
	var fs unix.Statfs_t
	if unix.Statfs(memoryV1, &fs) == nil && fs.Type == unix.CGROUP_SUPER_MAGIC {
		return memoryV1, limitV1, nil
	}
	if unix.Statfs(memoryV2, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
		b, err := os.ReadFile(filepath.Join(memoryV2, "cgroup.subtree_control"))
		if err == nil && slices.Contains(strings.Fields(string(b)), "memory") {
			return memoryV2, limitV2, nil
		}
	}
	return "", "", fmt.Errorf("there is no memory controller below %s: %w", memoryV2, errors.ErrUnsupported)
}

func (g *MemoryGroup) set(file string, n int64) error {
	return os.WriteFile(filepath.Join(g.dir, file), []byte(strconv.FormatInt(n, 10)), 0o644)
}

// Enter is the line of sh that puts the shell and its children into the group.
func (g *MemoryGroup) Enter() string {
	return "echo $$ > " + filepath.Join(g.dir, "cgroup.procs")
}

// Highest returns the most memory that was in use at a time, in bytes.
func (g *MemoryGroup) Highest() (int64, error) {
	b, err := g.first("memory.max_usage_in_bytes", "memory.peak")
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
}

// Kills returns how many processes were killed for want of memory.
func (g *MemoryGroup) Kills() (int, error) {
	b, err := g.first("memory.oom_control", "memory.events")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return strconv.Atoi(strings.TrimSpace(n))
		}
	}
	return 0, fmt.Errorf("%s counts no kills: %q", g.dir, b)
}

// first reads the file that is there, of those of the two versions.
func (g *MemoryGroup) first(files ...string) (b []byte, err error) {
	for _, f := range files {
		if b, err = os.ReadFile(filepath.Join(g.dir, f)); err == nil {
			return b, nil
		}
	}
	return nil, err
}

// removeGroups removes the memory groups that begin with prefix, as soon as the
// last of their processes is gone.
func removeGroups(ctx context.Context, prefix string) error {
	var errs []error
	for _, root := range []string{memoryV1, memoryV2} {
		dirs, _ := filepath.Glob(filepath.Join(root, prefix+"*")) // the pattern is fine
		for _, dir := range dirs {
			err := unix.Rmdir(dir)
			for errors.Is(err, unix.EBUSY) && ctx.Err() == nil {
				pause(ctx, 20*time.Millisecond)
				err = unix.Rmdir(dir)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("remove %s: %w", dir, err))
			}
		}
	}
	return errors.Join(errs...)
}
