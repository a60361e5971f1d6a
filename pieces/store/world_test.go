package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"damselfly/pieces"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// world is what a data directory of the damage tests holds: complete and
// partial content, inline content, removed content, a catalogue.
type world struct {
	all  []content
	task *pieces.Task
}

const worldName = "a-name"

func newWorld(t testing.TB) world {
	task, err := pieces.NewTask("http://origin/file", pieces.Options{Tag: "x"}, nil)
	require.NoError(t, err)
	w := world{task: task}
	for i, size := range []int{4 * pieces.MinPieceSize, 3*pieces.MinPieceSize + 5, 9000, 70_000, 2 * pieces.MinPieceSize} {
		w.all = append(w.all, makeContent(t, i+1, uint64(i+1), size))
	}
	return w
}

// fill puts it all into a store, in two generations, so that the database has
// older records of the same keys, and removals.
func (w world) fill(s *Store) error {
	put := func(v *Version, c content, is ...int) (err error) {
		for _, i := range is {
			err = errors.Join(err, v.Put(context.Background(), i, c.piece(i), pieces.SumOf(c.piece(i)), host1))
		}
		return err
	}
	var errs []error
	for n, c := range w.all {
		v, err := s.OpenVersion(c.key, c.facts)
		if err != nil {
			return err
		}
		for i := range c.geo.All().All() {
			errs = append(errs, put(v, c, i))
		}
		if n == 1 { // a partial one, of which some came back
			errs = append(errs, v.Drop(pieces.Extent{First: 0, End: 3}), put(v, c, 1))
		}
		errs = append(errs, v.Close(), s.PutFacts(c.key.Task, c.facts, time.Unix(1, 0)))
	}
	_, err := s.Evict(w.all[4].key.Task)
	return errors.Join(append(errs, err, s.PutEntry(Entry{Task: *w.task, Names: []string{worldName}}))...)
}

// make fills a new directory and stops cleanly.
func (w world) make(t testing.TB, dir string) {
	s, err := Open(context.Background(), Options{Dir: dir, Reserve: -1})
	require.NoError(t, err)
	require.NoError(t, w.fill(s))
	require.NoError(t, s.Close())
}

// makeWorldAndDie fills a directory and is killed.
func makeWorldAndDie(dir string) error {
	s, err := Open(context.Background(), Options{Dir: dir, Reserve: -1})
	if err != nil {
		return err
	}
	if err := newWorld(&testing.T{}).fill(s); err != nil {
		return err
	}
	return unix.Kill(os.Getpid(), unix.SIGKILL)
}

// tally is what was found of a world.
type tally struct{ right, lost int }

// check reads everything in every way: each answer is right, or an error.
func (w world) check(t testing.TB, s *Store) (n tally) {
	t.Helper()
	for _, c := range w.all {
		v, err := s.OpenVersion(c.key, c.facts)
		require.NoError(t, err)
		if f, err := v.Passthrough(); err == nil {
			got := make([]byte, len(c.data))
			_, err := f.ReadAt(got, 0)
			require.NoError(t, err)
			require.True(t, bytes.Equal(c.data, got), "the kernel reads wrong bytes of %s", c.key)
			f.Close()
		}
		for i := range c.geo.All().All() {
			if f, ok := v.File(); ok && v.Has(i) {
				got := make([]byte, c.geo.Len(i))
				_, err := f.ReadAt(got, c.geo.Offset(i))
				require.NoError(t, err)
				require.True(t, bytes.Equal(c.piece(i), got), "wrong bytes are sent of piece %d of %s", i, c.key)
			}
			got := make([]byte, c.geo.Len(i))
			if _, err := v.ReadAt(got, c.geo.Offset(i)); err != nil {
				n.lost++
				continue
			}
			require.True(t, bytes.Equal(c.piece(i), got), "wrong bytes of piece %d of %s", i, c.key)
			sum, setter, ok := v.Sum(i)
			require.True(t, !ok || sum == pieces.SumOf(c.piece(i)) && (setter == host1 || setter == ""))
			n.right++
		}
		if f, _, err := s.Facts(c.key.Task); err == nil {
			require.Equal(t, c.facts, f)
		}
		require.NoError(t, v.Close())
	}
	if id, err := s.Name(worldName); err == nil {
		require.Equal(t, w.task.ID, id)
	}
	if e, err := s.Entry(w.task.ID); err == nil {
		require.Equal(t, *w.task, e.Task)
	}
	return n
}

// heal puts everything again; all must be right then.
func (w world) heal(t testing.TB, s *Store) {
	t.Helper()
	for _, c := range w.all {
		v, err := s.OpenVersion(c.key, c.facts)
		require.NoError(t, err)
		for i := range c.geo.All().All() {
			if _, err := v.ReadAt(make([]byte, 1), c.geo.Offset(i)); err != nil {
				require.NoError(t, v.Drop(pieces.Extent{First: i, End: i + 1})) // as the engine does
			}
			c.put(t, v, i)
			c.requirePieces(t, v, i)
		}
		require.NoError(t, v.Close())
	}
}

func (n tally) String() string { return fmt.Sprintf("%d pieces right, %d lost", n.right, n.lost) }
