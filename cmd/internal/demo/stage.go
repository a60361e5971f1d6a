package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"damselfly/daemon/control"
)

// stage is the demo's processes and directories. It is used by one goroutine,
// but for reading from the hosts.
type stage struct {
	dir   string
	bin   string
	hosts []*host
	procs []*proc
}

// host is one daemon.
type host struct {
	name   string
	dir    string
	socket string
	// mount is empty when FUSE is missing.
	mount string
	bin   string
}

type proc struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

func newStage(o options) (*stage, error) {
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(bin, "dfdaemon")); err != nil {
		return nil, fmt.Errorf("no dfdaemon in %s; run make build", bin)
	}
	if err := os.MkdirAll(parent(), 0o700); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(parent(), "")
	return &stage{dir: dir, bin: bin}, err
}

// start runs a program in the background, in a session of its own so that
// Ctrl-C reaches the demo alone.
func (s *stage) start(name string, argv ...string) (*proc, error) {
	p := &proc{name: name, log: filepath.Join(s.dir, strings.ReplaceAll(name, " ", "-")+".log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Dir = s.dir
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its log and ProcessState
		close(p.done)
	}()
	s.procs = append(s.procs, p)
	return p, nil
}

func (p *proc) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// wait polls until ready returns nil, for at most 30 s, and gives up as soon as
// a process of the demo has ended.
func (s *stage) wait(ctx context.Context, what string, ready func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		for _, p := range s.procs {
			if p.ended() {
				return fmt.Errorf("%s has ended", p.name)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, errors.Join(ctx.Err(), err))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// startHosts starts the daemon with everything in one process, then the two
// that join it.
func (s *stage) startHosts(ctx context.Context, mount bool) error {
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	manager := "127.0.0.1:" + ports[0]
	roles := []struct {
		name string
		args []string
	}{
		{"all-in-one", []string{"--all-in-one", "--manager-grpc", manager,
			"--manager-http", "127.0.0.1:" + ports[1], "--scheduler-listen", "127.0.0.1:" + ports[2]}},
		{"host-2", []string{"--manager", manager}},
		{"host-3", []string{"--manager", manager}},
	}
	for _, r := range roles {
		h := &host{name: r.name, dir: filepath.Join(s.dir, r.name), bin: s.bin}
		h.socket = filepath.Join(h.dir, "df.sock")
		if mount {
			h.mount = filepath.Join(h.dir, "mnt")
		}
		if err := os.MkdirAll(filepath.Join(h.dir, "mnt"), 0o755); err != nil {
			return err
		}
		args := append([]string{
			"--data-dir", filepath.Join(h.dir, "data"), "--socket", h.socket,
			"--advertise-ip", "127.0.0.1", "--peer-port", "0", "--upload-port", "0", "--metrics", "127.0.0.1:0",
		}, r.args...)
		if mount {
			args = append(args, "--mount", h.mount)
		}
		if _, err := s.start(r.name, append([]string{filepath.Join(s.bin, "dfdaemon")}, args...)...); err != nil {
			return err
		}
		s.hosts = append(s.hosts, h)
		if err := s.wait(ctx, r.name, func() error { return h.ready(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// ready returns nil once the daemon knows its scheduler and has its mount.
func (h *host) ready(ctx context.Context) error {
	var st control.Status
	if err := h.dfmount(ctx, &st, "status"); err != nil {
		return err
	}
	if len(st.Schedulers) == 0 || h.mount != "" && len(st.Mounts) == 0 {
		return fmt.Errorf("%s: schedulers %v, mounts %v", h.name, st.Schedulers, st.Mounts)
	}
	return nil
}

// dfmount runs dfmount --json for this host and decodes its answer.
func (h *host) dfmount(ctx context.Context, into any, args ...string) error {
	out, err := h.tool(ctx, "dfmount", append(args, "--json")...)
	if err != nil {
		return err
	}
	return json.Unmarshal(out, into)
}

// tool runs dfmount or dfget against this host's daemon.
func (h *host) tool(ctx context.Context, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(h.bin, program), args...)
	cmd.Env = append(os.Environ(), "DAMSELFLY_SOCKET="+h.socket)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%s: %s", h.name, strings.TrimSpace(string(exit.Stderr)))
	}
	return out, err
}

func (h *host) describe() string {
	if h.mount == "" {
		return "socket " + h.socket
	}
	return h.mount
}

// freePorts returns TCP ports of loopback that nobody uses just now.
func freePorts(n int) ([]string, error) {
	var ports []string
	for range n {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer lis.Close()
		ports = append(ports, strconv.Itoa(lis.Addr().(*net.TCPAddr).Port))
	}
	return ports, nil
}
