package store

import (
	"context"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// faultDisk is the real disk with an error per operation and a free space that
// tests choose.
type faultDisk struct {
	osDisk
	mu    sync.Mutex
	fail  map[string]error // by operation: open, write, read, punch, sync, remove, free
	fired map[string]int
	free  int64 // 0: what there is
	total int64
	// onRead, onPunch and onRemove are called before the operation.
	onRead   func()
	onPunch  func()
	onRemove func(path string)
}

func newFaultDisk(t *testing.T) *faultDisk {
	d := &faultDisk{fail: map[string]error{}, fired: map[string]int{}}
	t.Cleanup(func() {
		for op := range d.fail {
			require.NotZero(t, d.fired[op], "the fault of %s never fired", op)
		}
	})
	return d
}

func (d *faultDisk) set(op string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail[op] = err
}

func (d *faultDisk) setFree(free, total int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.free, d.total = free, total
}

func (d *faultDisk) check(op string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.fail[op]
	if err != nil {
		d.fired[op]++
	}
	return err
}

func (d *faultDisk) Open(path string, flag int) (*os.File, error) {
	if err := d.check("open"); err != nil {
		return nil, err
	}
	return d.osDisk.Open(path, flag)
}

func (d *faultDisk) WriteAt(f *os.File, p []byte, off int64) (int, error) {
	if err := d.check("write"); err != nil {
		n, _ := d.osDisk.WriteAt(f, p[:len(p)/2], off) // a torn write
		return n, err
	}
	return d.osDisk.WriteAt(f, p, off)
}

func (d *faultDisk) ReadAt(f *os.File, p []byte, off int64) (int, error) {
	if d.onRead != nil {
		d.onRead()
	}
	if err := d.check("read"); err != nil {
		return 0, err
	}
	return d.osDisk.ReadAt(f, p, off)
}

func (d *faultDisk) Punch(f *os.File, off, n int64) error {
	if d.onPunch != nil {
		d.onPunch()
	}
	if err := d.check("punch"); err != nil {
		return err
	}
	return d.osDisk.Punch(f, off, n)
}

func (d *faultDisk) Sync(ctx context.Context, f *os.File) error {
	if err := d.check("sync"); err != nil {
		return err
	}
	return d.osDisk.Sync(ctx, f)
}

func (d *faultDisk) Remove(path string) error {
	if d.onRemove != nil {
		d.onRemove(path)
	}
	if err := d.check("remove"); err != nil {
		return err
	}
	return d.osDisk.Remove(path)
}

func (d *faultDisk) Free(dir string) (int64, int64, error) {
	if err := d.check("free"); err != nil {
		return 0, 0, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.total == 0 {
		return d.osDisk.Free(dir)
	}
	return d.free, d.total, nil
}
