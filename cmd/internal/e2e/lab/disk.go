package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Disk is a file system on a device of its own that writes no faster than a
// given rate, whoever writes.
type Disk struct {
	image, dir, device string // device: "major:minor"
}

// writeLimit is where cgroup v1 limits what a device writes. The limit is set in
// the root group: with cgroup v1 cached bytes are written by the kernel on
// behalf of that group, so that a limit in another group holds for O_DIRECT
// alone (measured here: 101 MB/s through the cache with a limit of 20).
const writeLimit = "/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device"

// AddDisk mounts an empty file system of size bytes at dir, which it makes. Its
// device writes rate bytes per second at most, and at most dirty bytes wait for
// it in the page cache. The error is errors.ErrUnsupported where there is no
// blkio controller of cgroup v1. Close it after its users have ended; what is not
// closed ends with the lab.
func (h *Host) AddDisk(ctx context.Context, dir string, size, rate, dirty int64) (*Disk, error) {
	if _, err := os.Stat(writeLimit); err != nil {
		return nil, fmt.Errorf("a slow disk needs the blkio controller of cgroup v1: %w", errors.ErrUnsupported)
	}
	d := &Disk{image: filepath.Join(h.Dir, "disk.img"), dir: dir}
	f, err := os.Create(d.image)
	if err == nil {
		err = errors.Join(f.Truncate(size), f.Close(), os.MkdirAll(dir, 0o755))
	}
	if err != nil {
		return nil, err
	}
	if err := run(ctx, "mkfs.ext4", "-q", "-F", "-m", "0", "-N", "4096", "-O", "^has_journal", d.image); err != nil {
		return nil, err
	}
	if err := run(ctx, "mount", "-o", "loop,noatime", d.image, dir); err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	d.device = fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
	if err := d.limit(rate, dirty); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Disk) limit(rate, dirty int64) error {
	bdi := "/sys/class/bdi/" + d.device + "/"
	return errors.Join(
		os.WriteFile(writeLimit, []byte(d.device+" "+strconv.FormatInt(rate, 10)), 0),
		os.WriteFile(bdi+"max_bytes", []byte(strconv.FormatInt(dirty, 10)), 0),
		os.WriteFile(bdi+"strict_limit", []byte("1"), 0))
}

// Written returns the bytes its device has written.
func (d *Disk) Written() (int64, error) {
	text, err := os.ReadFile("/sys/dev/block/" + d.device + "/stat")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 7 {
		return 0, fmt.Errorf("statistics of device %s: %q", d.device, text)
	}
	sectors, err := strconv.ParseInt(fields[6], 10, 64)
	return sectors * 512, err
}

// Unlimit makes the disk as fast as it can be.
func (d *Disk) Unlimit() error {
	if d.device == "" {
		return nil
	}
	return unlimit(d.device)
}

func unlimit(device string) error {
	bdi := "/sys/class/bdi/" + device + "/"
	return errors.Join(
		os.WriteFile(writeLimit, []byte(device+" 0"), 0),
		os.WriteFile(bdi+"strict_limit", []byte("0"), 0),
		os.WriteFile(bdi+"max_ratio", []byte("100"), 0))
}

// unlimitBelow lifts the limits of the loop devices that are mounted below dir:
// they would stay with the device, which the next image gets.
func unlimitBelow(dir string) error {
	if _, err := os.Stat(writeLimit); err != nil {
		return nil // no device has one
	}
	mounts, err := mountsBelow(dir)
	errs := []error{err}
	for _, m := range mounts {
		if strings.HasPrefix(m.device, loopMajor+":") {
			errs = append(errs, unlimit(m.device))
		}
	}
	return errors.Join(errs...)
}

// loopMajor is the number of the loop devices' driver.
const loopMajor = "7"

// Close lifts the limits, unmounts and removes the disk.
func (d *Disk) Close() error {
	return errors.Join(d.Unlimit(), unmountBelow(d.dir), os.Remove(d.image))
}
