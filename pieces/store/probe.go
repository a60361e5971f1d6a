package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"damselfly/pieces"

	"github.com/dgraph-io/badger/v4"
	"github.com/sirupsen/logrus"
)

// Exit codes of a probe. Any other end, such as by a signal, is damage too.
const (
	probeFine    = 0
	probeDamage  = 4
	probeMachine = 5
)

// probeGrace is how long after its deadline a probe may take to die; one that
// hangs in the kernel is left behind.
const probeGrace = 2 * time.Second

// checksumTime bounds how long a probe reads every block of the database; what
// it has not reached by then is taken as good.
const checksumTime = 10 * time.Second

// ProbeBy returns an Options.Probe that runs a program, with args and the
// directory of the database, which calls RunProbe and exits with its result.
func ProbeBy(program string, args ...string) func(ctx context.Context, dir string) error {
	return func(ctx context.Context, dir string) error {
		cmd := exec.CommandContext(ctx, program, append(args[:len(args):len(args)], dir)...)
		cmd.WaitDelay = probeGrace / 2
		life, err := cmd.StdinPipe() // closes with this process
		if err != nil {
			return pieces.WithKind(pieces.Unavailable, err, "start probe of the store")
		}
		defer life.Close()
		said := &head{max: 2 << 10}
		cmd.Stderr = said
		if err := cmd.Start(); err != nil {
			return pieces.WithKind(pieces.Unavailable, err, "start probe of the store")
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err = <-ended:
		case <-stuck(ctx):
			return pieces.Errorf(pieces.Timeout, "the probe of the store hangs")
		}
		return probeResult(ctx, err, said)
	}
}

// stuck is closed some time after ctx ended.
func stuck(ctx context.Context) <-chan struct{} {
	c := make(chan struct{})
	context.AfterFunc(ctx, func() { time.AfterFunc(probeGrace, func() { close(c) }) })
	return c
}

func probeResult(ctx context.Context, err error, said *head) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return pieces.WithKind(pieces.KindOf(ctx.Err()), ctx.Err(), "probe of the store")
	}
	text := said.firstLine()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == probeMachine {
		return pieces.Errorf(pieces.Unavailable, "probe of the store: %s", text)
	}
	return pieces.Errorf(pieces.Integrity, "probe of the store: %w: %s", err, text)
}

// head keeps the first bytes written to it. It is written by one goroutine and
// read after that has ended.
type head struct {
	max int
	b   []byte
}

func (h *head) Write(p []byte) (int, error) {
	h.b = append(h.b, p[:min(len(p), h.max-len(h.b))]...)
	return len(p), nil
}

func (h *head) firstLine() string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(h.b)), "\n")
	return line
}

// RunProbe opens the database in dir, reads all of it and closes it: the part
// of ProbeBy that may die. It returns the exit code of the process, and ends
// the process when alive, the standard input, does.
func RunProbe(dir string, alive io.Reader, stderr io.Writer) int {
	go func() {
		_, _ = io.Copy(io.Discard, alive)
		os.Exit(probeMachine)
	}()
	err := probeDB(dir)
	if err == nil {
		return probeFine
	}
	fmt.Fprintln(stderr, strings.ReplaceAll(err.Error(), "\n", "; "))
	if MachineFault(err) {
		return probeMachine
	}
	return probeDamage
}

func probeDB(dir string) error {
	log := logrus.New()
	log.SetOutput(io.Discard)
	db, err := openDB(dir, logrus.NewEntry(log))
	if err != nil {
		return err
	}
	if err := guarded(func() error { return readAll(db) }); err != nil {
		return err
	}
	sums := make(chan error, 1)
	go func() { sums <- guarded(db.VerifyChecksum) }()
	select {
	case err = <-sums:
		return errors.Join(err, db.Close())
	case <-time.After(checksumTime):
		return nil // the process ends, and db with it
	}
}

// readAll looks at every record. Values other than bytes of content are read.
func readAll(db *badger.DB) error {
	return db.View(func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.IteratorOptions{})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if item := it.Item(); item.EstimatedSize() < 64<<10 {
				if err := item.Value(func([]byte) error { return nil }); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
