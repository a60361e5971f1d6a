package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
	"damselfly/cmd/internal/e2e/origin"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A sample of the matrix of package origin, in a swarm, as programs of two
// hosts see it: through the page cache, around it and through maps (in processes of
// their own: a thread that waits for a page keeps its processor).
func TestMisbehavingOriginInASwarm(t *testing.T) {
	w := newWorld(t, 3*time.Minute)
	o, busy := w.hostile(), w.hostileOn("busy")
	c := w.cluster(1, 2, 0)
	for name, tc := range map[string]struct {
		when  origin.When
		fault origin.Fault
		want  []unix.Errno // any of them; none: right bytes
	}{
		"cut":         {origin.First(3, origin.Data), origin.Cut(.5, origin.Close), nil},
		"some-500":    {origin.First(2, origin.Data), origin.Status(500, ""), nil},
		"reset":       {origin.First(2, origin.Data), origin.Refuse, nil},
		"stall":       {origin.First(1, origin.Data), origin.Pause(-1), nil},
		"500":         {origin.Data, origin.Status(500, ""), []unix.Errno{unix.EIO}},
		"gzip":        {origin.Data, origin.Gzip, []unix.Errno{unix.EIO}},
		"range":       {origin.Data, origin.IgnoreRange, []unix.Errno{unix.EIO}},
		"shifted":     {origin.Data, origin.ContentRange("bytes", 1, 0), []unix.Errno{unix.EIO}},
		"login":       {origin.Data, origin.Login(""), []unix.Errno{unix.ESTALE, unix.EIO}},
		"403":         {origin.Data, origin.Status(403, ""), []unix.Errno{unix.EACCES}},
		"total":       {origin.Data, origin.ContentRange("bytes", 0, 5<<20), []unix.Errno{unix.ESTALE}},
		"retry-after": {origin.Data, origin.Status(503, "3600"), []unix.Errno{unix.EIO}},
	} {
		at := o
		if name == "retry-after" {
			at = busy
		}
		f := at.Add(name+".bin", 2<<20+77)
		rule := f.Misbehave(tc.when, tc.fault)
		path := w.add(c.Hosts[0], f.URL())
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var maps []*readerProc
			for _, d := range c.Hosts {
				maps = append(maps, w.startReader(mapped, d.Path(path), f.Content(1)))
			}
			read := func() []error {
				results := make(chan error, 2*len(c.Hosts))
				for _, d := range c.Hosts {
					for _, mode := range []string{buffered, direct} {
						go func() {
							began := time.Now()
							err := readAs(mode, f.Content(1), d.Path(path))
							if took := time.Since(began); took > 31*time.Second {
								err = fmt.Errorf("took %v: %v", took, err)
							}
							results <- err
						}()
					}
				}
				var errs []error
				for range cap(results) {
					errs = append(errs, <-results)
				}
				return errs
			}
			for _, err := range read() {
				if tc.want == nil {
					require.NoError(t, err)
					continue
				}
				var no unix.Errno
				require.ErrorAs(t, err, &no)
				require.Contains(t, tc.want, no)
			}
			for _, m := range maps {
				require.NoError(t, lab.Until(w.ctx, 31*time.Second, "what a map shows", func() error {
					oks, errs := m.count()
					if tc.want == nil && oks < 10 || tc.want != nil && errs == 0 {
						return fmt.Errorf("%d reads were right, %d failed", oks, errs)
					}
					return nil
				}))
				_, errs := m.count()
				require.Equal(t, tc.want != nil, errs > 0)
			}
			require.Positive(t, rule.Fired())
			if tc.want == nil {
				require.LessOrEqual(t, f.Requests(), 40, "three hosts and six readers share what is learnt")
			}
			f.Heal()
			require.NoError(t, lab.Until(w.ctx, 30*time.Second, "right bytes", func() error { return errors.Join(read()...) }))
			for _, m := range maps {
				before, _ := m.count()
				require.NoError(t, lab.Until(w.ctx, 30*time.Second, "right bytes in a map", func() error {
					if oks, _ := m.count(); oks < before+10 {
						return errors.New("none yet")
					}
					return nil
				}))
				require.NoError(t, m.cmd.Process.Kill())
				<-m.done
				require.Empty(t, m.wrong)
			}
		})
	}
}

// readAs reads all of a file with pread(2), past the page cache or through it,
// and checks it.
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
