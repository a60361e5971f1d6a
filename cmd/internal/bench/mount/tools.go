package mount

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"damselfly/cmd/internal/e2e/lab"
)

// mountBy starts a program that mounts something at mnt, which it makes, and
// waits until it has. stop ends the program; the end of the lab does, too.
func mountBy(ctx context.Context, h *lab.Host, mnt string, argv ...string) (stop func(), err error) {
	if err := os.Mkdir(mnt, 0o755); err != nil {
		return nil, err
	}
	name := filepath.Base(argv[0]) + "-" + filepath.Base(mnt)
	p, err := h.Start(name, argv...)
	if err != nil {
		return nil, err
	}
	stop = func() { _ = p.Terminate(15 * time.Second) }
	err = lab.Until(ctx, 20*time.Second, name+" to mount", func() error {
		if err := p.Alive(); err != nil {
			return err
		}
		if !lab.Mounted(mnt) {
			return errors.New("not mounted yet")
		}
		return nil
	})
	if err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

var ddSaid = regexp.MustCompile(`(\d+) bytes .* copied, ([0-9.e-]+) s`)

// dd reads path in blocks of 1 MiB and returns MB/s.
func dd(ctx context.Context, c *complete, path string) (float64, error) {
	r, err := c.d.Host.Run(ctx, "dd", "if="+path, "of=/dev/null", "bs=1M")
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		return 0, err
	}
	m := ddSaid.FindStringSubmatch(r.Stderr)
	if m == nil || m[1] != strconv.FormatInt(c.f.Size, 10) {
		return 0, fmt.Errorf("dd of %s said %q", path, r.Stderr)
	}
	seconds, err := strconv.ParseFloat(m[2], 64)
	return float64(c.f.Size) / 1e6 / seconds, err
}

// fio reads 4 KiB at random places of path for a while and returns how many a
// second. It leaves the page cache alone. An engine that has a queue keeps 16 in it.
func fio(ctx context.Context, h *lab.Host, path, engine string, d time.Duration) (float64, error) {
	depth := 16
	if engine == "psync" {
		depth = 1
	}
	r, err := h.Run(ctx, "fio", "--name=r", "--filename="+path, "--rw=randread", "--bs=4k", "--ioengine="+engine, fmt.Sprintf("--iodepth=%d", depth),
		"--readonly", "--invalidate=0", "--norandommap", "--time_based", fmt.Sprintf("--runtime=%dms", d.Milliseconds()), "--output-format=json")
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		return 0, err
	}
	var said struct {
		Jobs []struct {
			Error int
			Read  struct {
				IOPS float64
			}
		}
	}
	if err := json.Unmarshal([]byte(r.Stdout), &said); err != nil || len(said.Jobs) != 1 || said.Jobs[0].Error != 0 {
		return 0, fmt.Errorf("fio on %s said %.300q", path, r.Stdout)
	}
	return said.Jobs[0].Read.IOPS, nil
}
