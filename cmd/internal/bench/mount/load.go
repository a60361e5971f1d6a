package mount

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/pieces"
)

// A model is loaded by several processes, one for each device. Each reads the
// header, which says where the tensors are, and then its own blocks, through a
// mapping, in an order that is not the file's.
const (
	loadRanks  = 2
	loadBlock  = 8 << 20
	loadHeader = 100 << 10
)

// LoadCommand is what dfbench calls the process that is one rank.
const LoadCommand = "load"

// loaded is what one rank says, times in nanoseconds since 1970.
type loaded struct{ Began, Ended int64 }

// loaders loads a file with processes of their own.
func (r *rig) loaders(ctx context.Context, f content.File, path string) (time.Duration, error) {
	said := make([]loaded, loadRanks)
	var g errgroup.Group
	for i := range said {
		g.Go(func() error {
			res, err := r.origin.Host.Run(ctx, filepath.Join(r.bin(), "dfbench"), "mount", LoadCommand, path,
				strconv.FormatUint(r.o.Seed, 10), f.Name, strconv.FormatInt(f.Size, 10), strconv.Itoa(i))
			if err == nil {
				err = res.Err()
			}
			if err != nil {
				return err
			}
			return json.Unmarshal([]byte(res.Stdout), &said[i])
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	began, ended := said[0].Began, said[0].Ended
	for _, s := range said {
		began, ended = min(began, s.Began), max(ended, s.Ended)
	}
	return time.Duration(ended - began), nil
}

func (r *rig) bin() string {
	p, err := filepath.Abs(r.o.Bin)
	if err != nil {
		return r.o.Bin // no working directory: starting it will say so
	}
	return p
}

// Load is one rank: PATH SEED NAME SIZE RANK. It reads, says when, and checks.
func Load(args []string, out io.Writer) error {
	if len(args) != 5 {
		return pieces.Errorf(pieces.Invalid, "want PATH SEED NAME SIZE RANK")
	}
	seed, err1 := strconv.ParseUint(args[1], 10, 64)
	size, err2 := strconv.ParseInt(args[3], 10, 64)
	rank, err3 := strconv.Atoi(args[4])
	if err := errors.Join(err1, err2, err3); err != nil {
		return pieces.WithKind(pieces.Invalid, err, "arguments")
	}
	f := content.New(seed, args[2], size)
	blocks := blocksOf(size, seed, rank)
	buf := make([]byte, loadHeader+len(blocks)*loadBlock)
	for i := 0; i < len(buf); i += pageSize {
		buf[i] = 1
	}
	began := time.Now()
	file, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer file.Close()
	mem, err := unix.Mmap(int(file.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	head := buf[:min(size, loadHeader)]
	copy(head, mem[:8]) // its length stands first
	copy(head, mem)
	at := buf[len(head):]
	for _, k := range blocks {
		at = at[copy(at, mem[k*loadBlock:min(size, (k+1)*loadBlock)]):]
	}
	ended := time.Now()
	if err := unix.Munmap(mem); err != nil {
		return err
	}
	if err := f.Check(head, 0); err != nil {
		return err
	}
	at = buf[len(head):]
	for _, k := range blocks {
		n := min(size, (k+1)*loadBlock) - k*loadBlock
		if err := f.Check(at[:n], k*loadBlock); err != nil {
			return err
		}
		at = at[n:]
	}
	if err := json.NewEncoder(out).Encode(loaded{began.UnixNano(), ended.UnixNano()}); err != nil {
		return fmt.Errorf("say it: %w", err)
	}
	return nil
}

// blocksOf are the blocks of a rank in their order.
func blocksOf(size int64, seed uint64, rank int) (own []int64) {
	all := rand.New(rand.NewPCG(seed, 3)).Perm(int((size + loadBlock - 1) / loadBlock))
	for i, k := range all {
		if i%loadRanks == rank {
			own = append(own, int64(k))
		}
	}
	return own
}
