package client

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"damselfly/cmd/internal/boot"
	"damselfly/daemon/control"
	"damselfly/pieces"
)

// Times of Connect.
const (
	// StartTimeout is how long a daemon may take to become ready.
	StartTimeout = 30 * time.Second
	startPoll    = 20 * time.Millisecond
	dialTimeout  = 2 * time.Second
)

// Find returns a client of the daemon if one is ready or about to be. Without
// one the error is Unavailable and says how to start it.
func (t Target) Find(ctx context.Context) (*control.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, StartTimeout)
	defer cancel()
	c, err := t.ping(ctx)
	if pieces.KindOf(err) == pieces.Unavailable && !control.Served(t.Socket) {
		return nil, pieces.Errorf(pieces.Unavailable, "no daemon runs at %s; 'dfmount MOUNTPOINT' starts one", t.Socket)
	}
	return c, err
}

// Connect returns a client of the daemon, which is started if none runs, and
// reports whether it was. The daemon gets extra behind its other arguments.
func (t Target) Connect(ctx context.Context, extra ...string) (c *control.Client, started bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, StartTimeout,
		pieces.Errorf(pieces.Timeout, "dfdaemon was not ready within %s; its log is %s", StartTimeout, t.LogFile))
	defer cancel()
	if c, err = t.ping(ctx); pieces.KindOf(err) != pieces.Unavailable {
		return c, false, err
	}
	s := starter{target: t, extra: extra}
	defer s.close()
	c, err = s.run(ctx)
	return c, s.child != nil, err
}

// ping returns a client once the daemon is ready; Unavailable if there is none.
func (t Target) ping(ctx context.Context) (*control.Client, error) {
	// A dial of our own first: a gRPC client would back off after a failure.
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "unix", t.Socket)
	if errors.Is(err, os.ErrPermission) {
		return nil, pieces.Errorf(pieces.Denied, "socket %s: permission denied; the daemon belongs to another user", t.Socket)
	}
	if err != nil {
		return nil, pieces.WithKind(pieces.Unavailable, err, "no daemon")
	}
	conn.Close()
	c, err := control.Dial(t.Socket)
	if err != nil {
		return nil, err
	}
	if _, err := c.Ping(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// starter waits for a daemon, and starts it if it is the one to do so.
type starter struct {
	target Target
	extra  []string
	lock   *os.File
	locked bool
	child  *os.Process
}

func (s *starter) run(ctx context.Context) (*control.Client, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	tick := time.NewTicker(startPoll)
	defer tick.Stop()
	for {
		if err := s.step(); err != nil {
			return nil, err
		}
		c, err := s.target.ping(ctx)
		if err == nil {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// open makes the directories and the lock that decides who starts the daemon.
func (s *starter) open() (err error) {
	for dir, mode := range map[string]os.FileMode{filepath.Dir(s.target.Socket): 0o755, filepath.Dir(s.target.LogFile): 0o700} {
		if err := os.MkdirAll(dir, mode); err != nil {
			return pieces.Errorf(pieces.Unavailable, "can't start a daemon: %w", err)
		}
	}
	if s.lock, err = os.OpenFile(s.target.Socket+".start", os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return pieces.Errorf(pieces.Unavailable, "can't start a daemon: %w", err)
	}
	return nil
}

// step starts the daemon if nobody else does, and notices if it ended.
func (s *starter) step() error {
	switch {
	case s.child != nil:
		return s.watch()
	case control.Served(s.target.Socket):
		return nil
	case !s.locked:
		s.locked = unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil
	}
	if !s.locked || control.Served(s.target.Socket) {
		return nil
	}
	return s.start()
}

func (s *starter) start() error {
	program, err := findProgram(s.target.Program)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(s.target.LogFile, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return pieces.Errorf(pieces.Unavailable, "can't start a daemon: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(program, append(append([]string{"--socket", s.target.Socket}, s.target.Args...), s.extra...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return pieces.WithKind(pieces.Unavailable, err, "can't start a daemon")
	}
	s.child = cmd.Process
	return nil
}

// watch returns an error once the child has ended and nobody else serves the
// socket: Invalid if it refused its options.
func (s *starter) watch() error {
	var status unix.WaitStatus
	pid, err := unix.Wait4(s.child.Pid, &status, unix.WNOHANG, nil)
	if err == nil && pid == 0 || control.Served(s.target.Socket) {
		return nil
	}
	kind := pieces.Unavailable
	if err == nil && status.ExitStatus() == boot.ExitUsage {
		kind = pieces.Invalid
	}
	return pieces.Errorf(kind, "dfdaemon did not start: %s", s.lastWords())
}

// lastWords is the last line the daemon printed, without its name.
func (s *starter) lastWords() string {
	data, _ := os.ReadFile(s.target.LogFile)
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	last := strings.TrimPrefix(lines[len(lines)-1], "dfdaemon: ")
	if last == "" {
		return "it ended without a word; its log is " + s.target.LogFile
	}
	return last
}

func (s *starter) close() {
	if s.child != nil {
		s.child.Release()
	}
	if s.lock != nil {
		s.lock.Close()
	}
}

func findProgram(program string) (string, error) {
	if program != "" {
		return program, nil
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "dfdaemon")
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	path, err := exec.LookPath("dfdaemon")
	if err != nil {
		return "", pieces.Errorf(pieces.Unavailable, "no daemon runs, and dfdaemon is neither beside this program nor in PATH; install it")
	}
	return path, nil
}
