package store

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"damselfly/pieces"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// churnContent is the content of one of the churned Tasks: a function of its
// number. Every third is inline, so that the database flushes and compacts.
func churnContent(n int) content {
	size := (2+n%5)*pieces.MinPieceSize - n*100
	if n%3 == 0 {
		size = 200_000 - n
	}
	return makeContent(&testing.T{}, n, uint64(n), size)
}

const churnTasks = 24

// churnUntilKilled opens the store, checks everything in it, says "ready" and
// how much there is, and then writes, reads, drops and evicts until it is
// killed. It ends by itself only if it has read a wrong byte or can't open.
func churnUntilKilled(dir string) error {
	seed, _ := strconv.ParseUint(os.Getenv("SEED"), 10, 64)
	o := Options{Dir: dir, Reserve: -1, CacheSize: 6 << 20, Inline: maxInline, Interval: 5 * time.Millisecond, SaveEvery: 10 * time.Millisecond, Settle: -1, Log: warnings()}
	if seed%4 == 0 {
		o.Probe = probeSelf
	}
	s, err := Open(context.Background(), o)
	if err != nil {
		return err
	}
	if err := s.Usage().Uncached; err != nil {
		return err
	}
	all := make([]content, churnTasks)
	right := 0
	for n := range all {
		all[n] = churnContent(n)
		k, err := churnRead(s, all[n])
		if err != nil {
			return err
		}
		right += k
	}
	fmt.Println("ready", right)
	failed := make(chan error)
	for w := range 4 {
		r := rand.New(rand.NewPCG(seed, uint64(w)))
		go func() {
			for {
				if err := churn(s, r, all[r.IntN(len(all))]); err != nil {
					failed <- err
				}
			}
		}()
	}
	return <-failed
}

// churnRead reads what is held of c and compares.
func churnRead(s *Store, c content) (right int, err error) {
	v, err := s.OpenVersion(c.key, c.facts)
	if err != nil {
		return 0, err
	}
	defer v.Close()
	for e := range v.Held().Extents() {
		for i := range e.All() {
			p := make([]byte, c.geo.Len(i))
			if _, err := v.ReadAt(p, c.geo.Offset(i)); err != nil {
				continue // evicted, or lost
			}
			if !bytes.Equal(p, c.piece(i)) {
				return 0, fmt.Errorf("WRONG BYTES in piece %d of %s", i, c.key)
			}
			right++
		}
	}
	return right, nil
}

func churn(s *Store, r *rand.Rand, c content) error {
	switch r.IntN(10) {
	case 0:
		_, err := s.Evict(c.key.Task)
		return err
	case 1:
		_, err := churnRead(s, c)
		return err
	}
	v, err := s.OpenVersion(c.key, c.facts)
	if err != nil {
		return err
	}
	defer v.Close()
	for range 1 + r.IntN(4) {
		i := r.IntN(c.geo.Count())
		if r.IntN(8) == 0 {
			err = v.Drop(pieces.Extent{First: i, End: i + 1})
		} else {
			err = v.Put(context.Background(), i, c.piece(i), pieces.SumOf(c.piece(i)), host1)
		}
		if err != nil && pieces.KindOf(err) != pieces.Full {
			return err
		}
	}
	return nil
}

// kills is how often the loop kills; DAMSELFLY_SOAK_KILLS asks for more.
func kills() int {
	if n, err := strconv.Atoi(os.Getenv("DAMSELFLY_SOAK_KILLS")); err == nil {
		return n
	}
	if testing.Short() {
		return 10
	}
	return 100
}

func TestKilledAgainAndAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	n, warm := kills(), 0
	for k := range n {
		cmd := child(t, "churn", dir, fmt.Sprint("SEED=", k))
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatalf("run %d did not get ready: %v", k, cmd.Wait())
		}
		var right int
		_, err = fmt.Sscanf(strings.TrimSpace(line), "ready %d", &right)
		require.NoError(t, err)
		if right > 0 {
			warm++
		}
		time.Sleep(rand.N(50 * time.Millisecond))
		require.NoError(t, cmd.Process.Kill())
		require.ErrorContains(t, cmd.Wait(), "killed", "run %d ended by itself", k)
	}
	require.NoDirExists(t, filepath.Join(dir, "aside"), "a kill is no damage")
	require.Greater(t, warm, n/2, "the cache survives kills")
	t.Logf("%d kills, %d starts with a warm cache", n, warm)
}

// openAndDie dies as Badger would make it.
func openAndDie(dir string) error {
	if _, err := Open(context.Background(), Options{Dir: dir, Reserve: -1, Probe: probeSelf}); err != nil {
		return err
	}
	return unix.Kill(os.Getpid(), unix.SIGKILL)
}

func TestTwoDeathsSoonAfterStartMoveTheStoreAside(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(t.TempDir(), "store")
	w.make(t, dir)
	runToDeath(t, "die", dir)
	s := openStore(t, Options{Dir: dir, Settle: time.Millisecond}) // one death is none
	require.NotEmpty(t, s.Versions())
	require.Eventually(t, func() bool { return s.dir.readRun().Settled }, 5*time.Second, time.Millisecond)
	require.NoError(t, s.Close())

	runToDeath(t, "die", dir)
	runToDeath(t, "die", dir)
	s = openStore(t, Options{Dir: dir, Probe: probeSelf})
	require.Empty(t, s.Versions())
	require.DirExists(t, filepath.Join(dir, "aside", "db"))
	w.heal(t, s)
	require.NoError(t, s.Close())
	s = openStore(t, Options{Dir: dir})
	require.NotEmpty(t, s.Versions(), "the count begins anew")
}
