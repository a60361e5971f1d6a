package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"syscall"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
	"damselfly/cmd/internal/e2e/origin"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A sample of the matrix of package origin, in a swarm, as programs of two
// hosts see it: through the page cache, around it and through maps.
func TestMisbehavingOriginInASwarm(t *testing.T) {
	w := newWorld(t, 3*time.Minute)
	o := w.hostile()
	c := w.cluster(1, 2, 0)
	for name, tc := range map[string]struct {
		when  origin.When
		fault origin.Fault
		want  error
	}{
		"cut":         {origin.First(3, origin.Data), origin.Cut(.5, origin.Close), nil},
		"some-500":    {origin.First(2, origin.Data), origin.Status(500, ""), nil},
		"reset":       {origin.First(2, origin.Data), origin.Refuse, nil},
		"stall":       {origin.First(1, origin.Data), origin.Pause(-1), nil},
		"500":         {origin.Data, origin.Status(500, ""), unix.EIO},
		"gzip":        {origin.Data, origin.Gzip, unix.EIO},
		"range":       {origin.Data, origin.IgnoreRange, unix.EIO},
		"shifted":     {origin.Data, origin.ContentRange("bytes", 1, 0), unix.EIO},
		"login":       {origin.Data, origin.Login(""), unix.ESTALE},
		"403":         {origin.Data, origin.Status(403, ""), unix.EACCES},
		"total":       {origin.Data, origin.ContentRange("bytes", 0, 5<<20), unix.ESTALE},
		"retry-after": {origin.Data, origin.Status(503, "3600"), unix.EIO},
	} {
		f := o.Add(name+".bin", 2<<20+77)
		rule := f.Misbehave(tc.when, tc.fault)
		paths := map[string]string{}
		path := w.add(c.Hosts[0], f.URL())
		for _, d := range c.Hosts {
			for _, mode := range []string{buffered, direct, mapped} {
				paths[d.Host.Name+" "+mode] = d.Path(path)
			}
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			read := func() error {
				results := make(chan error, len(paths))
				for way, path := range paths {
					go func() {
						began := time.Now()
						err := readAs(way[3:], f.Content(1), path)
						switch took := time.Since(began); {
						case tc.want != nil && way[3:] == mapped && errors.Is(err, unix.EFAULT):
							err = tc.want // a map knows no other errors
						case took > 31*time.Second:
							err = fmt.Errorf("took %v: %w", took, err)
						}
						if err != nil {
							err = fmt.Errorf("%s: %w", way, err)
						}
						results <- err
					}()
				}
				var errs []error
				for range paths {
					errs = append(errs, <-results)
				}
				if tc.want != nil && rule.Fired() > 0 {
					for _, err := range errs {
						require.ErrorIs(t, err, tc.want)
					}
					return tc.want
				}
				return errors.Join(errs...)
			}
			require.ErrorIs(t, read(), tc.want)
			require.Positive(t, rule.Fired())
			require.LessOrEqual(t, f.Requests(), 60, "three hosts and six readers share what is learnt")
			f.Heal()
			tc.want = nil
			require.NoError(t, lab.Until(w.ctx, 30*time.Second, "right bytes", read))
		})
	}
}

// readAs reads all of a file in one of the ways of a reader and checks it.
func readAs(mode string, f content.File, path string) (err error) {
	flags := unix.O_RDONLY
	if mode == direct {
		flags |= unix.O_DIRECT
	}
	file, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	buf := alignedBuffer(128 << 10)
	defer func() { err = errors.Join(err, unix.Munmap(buf)) }()
	if mode != mapped {
		for off := int64(0); off < f.Size; {
			n, err := unix.Pread(int(file.Fd()), buf, off)
			if err == nil && n == 0 {
				err = io.ErrUnexpectedEOF
			}
			if err == nil {
				err = f.Check(buf[:n], off)
			}
			if err != nil {
				return err
			}
			off += int64(n)
		}
		return nil
	}
	mem, err := unix.Mmap(int(file.Fd()), 0, int(f.Size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Munmap(mem)) }()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%v: %w", v, syscall.EFAULT)
		}
	}()
	for off := int64(0); off < f.Size; off += int64(len(buf)) {
		n := copy(buf, mem[off:])
		if err := f.Check(buf[:n], off); err != nil {
			return err
		}
	}
	return nil
}
