// Package pgtest runs a real PostgreSQL for tests, from the distribution's
// package. One server serves all tests of a test binary; each gets databases of
// its own. The server's only door is a unix socket in its own directory.
package pgtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver

	"damselfly/pieces/missing"
)

// Times of the server; a busy machine may be slow.
const (
	startTimeout = 60 * time.Second
	stopTimeout  = 20 * time.Second
	startPoll    = 20 * time.Millisecond
)

// where programs of PostgreSQL may be, besides PATH.
const where = "/usr/lib/postgresql/*/bin"

// errMissing: this machine has no PostgreSQL.
var errMissing = errors.New("PostgreSQL is not installed here; run scripts/deps.sh test")

var shared struct {
	once   sync.Once
	server *server
	err    error
	names  atomic.Int64
}

// Main runs the tests of a package and stops the server if one was started; it
// is for TestMain: os.Exit(pgtest.Main(m)).
func Main(m *testing.M) int {
	defer func() {
		if shared.server != nil {
			shared.server.stop()
		}
	}()
	return m.Run()
}

// New makes an empty database and returns its URL. Without PostgreSQL on this
// machine the test is skipped (missing.Skip); and in short runs, which look
// for races in our code that SQLite shows as well.
func New(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("PostgreSQL is for long runs")
	}
	shared.once.Do(func() { shared.server, shared.err = start() })
	if errors.Is(shared.err, errMissing) {
		missing.Skip(t, shared.err)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	name := fmt.Sprintf("test%d", shared.names.Add(1))
	admin, err := sql.Open("pgx", shared.server.url("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return shared.server.url(name)
}

// Copy dumps a database as operators do, restores it into a new one, and answers
// that one's URL.
func Copy(t testing.TB, from string) string {
	t.Helper()
	to := New(t)
	file := filepath.Join(t.TempDir(), "dump.sql")
	for _, step := range [][]string{{"pg_dump", "--no-owner", "--file", file, from}, {"psql", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", file, to}} {
		path, err := program(step[0])
		if err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), path, step[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", step[0], err, out)
		}
	}
	return to
}

// server is a running PostgreSQL.
type server struct {
	dir string
	cmd *exec.Cmd
}

func start() (s *server, err error) {
	initdb, err := program("initdb")
	if err != nil {
		return nil, err
	}
	postgres, err := program("postgres")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "dfpg")
	if err != nil {
		return nil, err
	}
	s = &server{dir: dir}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	asUser, err := unprivileged(dir)
	if err != nil {
		return s, err
	}
	data := filepath.Join(dir, "data")
	init := exec.Command(initdb, "-D", data, "-U", "damselfly", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
	init.Dir, init.SysProcAttr = dir, asUser
	if out, err := init.CombinedOutput(); err != nil {
		return s, fmt.Errorf("initdb: %w: %s", err, out)
	}
	s.cmd = exec.Command(postgres, "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200")
	s.cmd.Dir, s.cmd.SysProcAttr = dir, asUser
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return s, err
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		return s, err
	}
	return s, s.await()
}

// unprivileged gives dir to a user that is not root, since PostgreSQL refuses
// to run as root, and says how to start processes as that user. They end with
// the tests, however these end.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Geteuid() != 0 {
		return attr, nil
	}
	const nobody = 65534
	attr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	return attr, os.Chown(dir, nobody, nobody)
}

// await waits until the server answers.
func (s *server) await() error {
	db, err := sql.Open("pgx", s.url("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		if err = db.PingContext(ctx); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("PostgreSQL does not answer: %w: %s", err, log)
		case <-time.After(startPoll):
		}
	}
}

func (s *server) url(database string) string {
	u := url.URL{Scheme: "postgres", User: url.User("damselfly"), Path: "/" + database,
		RawQuery: url.Values{"host": {s.dir}}.Encode()}
	return u.String()
}

// stop ends the server at once and removes its files.
func (s *server) stop() {
	if s.cmd != nil {
		s.cmd.Process.Signal(syscall.SIGINT)
		kill := time.AfterFunc(stopTimeout, func() { s.cmd.Process.Kill() })
		s.cmd.Wait()
		kill.Stop()
	}
	os.RemoveAll(s.dir)
}

// program finds a program of PostgreSQL, of the newest release that is there.
func program(name string) (string, error) {
	found, err := filepath.Glob(filepath.Join(where, name))
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		slices.Sort(found)
		return found[len(found)-1], nil
	}
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return "", errMissing
}
