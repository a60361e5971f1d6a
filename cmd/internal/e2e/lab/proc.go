package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Proc is a process that runs on a host. Its output goes to LogFile.
type Proc struct {
	// Name is "<host>-<what>", unique unless a process is started again.
	Name    string
	LogFile string

	cmd  *exec.Cmd
	done chan struct{} // closed when the process was waited for
	err  error         // of Wait; read after done
}

// command prepares argv to run inside the host, with an environment of its own
// (HOME and the XDG directories lie in the lab) and extra variables. The
// process dies when the lab's process dies.
func (h *Host) command(env []string, argv ...string) *exec.Cmd {
	args := append([]string{"--net=" + filepath.Join(netnsDir, h.lab.netns(h.Name)), "--"}, argv...)
	cmd := exec.Command("nsenter", args...)
	home := filepath.Join(h.lab.Dir, "home")
	cmd.Dir = h.Dir
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + home, "TMPDIR=" + h.Dir, "LANG=C.UTF-8",
		"GORACE=atexit_sleep_ms=0", // for programs built with the race detector
		"XDG_CONFIG_HOME=" + home, "XDG_STATE_HOME=" + h.Dir, "XDG_RUNTIME_DIR=" + h.Dir,
	}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Start runs argv on the host in the background; what names it in the logs.
// The process belongs to the lab: Close kills it and waits for it.
func (h *Host) Start(what string, argv ...string) (*Proc, error) {
	p := &Proc{Name: h.Name + "-" + what, done: make(chan struct{})}
	p.LogFile = filepath.Join(h.lab.Dir, "logs", p.Name+".log")
	log, err := os.OpenFile(p.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	fmt.Fprintf(log, "--- %s\n", strings.Join(argv, " "))
	p.cmd = h.command(nil, argv...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	if err := h.lab.register(p); err != nil {
		return nil, errors.Join(err, p.Kill())
	}
	return p, nil
}

// PID is the id of the process itself.
func (p *Proc) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Proc) Done() <-chan struct{} { return p.done }

// ExitCode is the exit code once Done is closed; -1 if a signal ended the
// process, or if it still runs.
func (p *Proc) ExitCode() int {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	default:
		return -1
	}
}

// Alive returns nil while the process runs, else an error with the end of its
// log. A stopped process is alive.
func (p *Proc) Alive() error {
	select {
	case <-p.done:
		return fatalError{fmt.Errorf("%s has ended (%v):\n%s", p.Name, p.cmd.ProcessState, p.Tail(15))}
	default:
		return nil
	}
}

func (p *Proc) signalKill() error { return p.signal(syscall.SIGKILL) }

// signal never hits a foreign process: it goes through the process handle.
func (p *Proc) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s %v: %w", p.Name, s, err)
	}
	return nil
}

// Kill sends SIGKILL and waits until the process is gone.
func (p *Proc) Kill() error {
	if err := p.signalKill(); err != nil {
		return err
	}
	return p.waitDead(killWait)
}

// Stop sends SIGSTOP; Continue wakes the process again.
func (p *Proc) Stop() error { return p.signal(syscall.SIGSTOP) }

// Continue sends SIGCONT.
func (p *Proc) Continue() error { return p.signal(syscall.SIGCONT) }

// Signal sends any other signal and does not wait.
func (p *Proc) Signal(s syscall.Signal) error { return p.signal(s) }

// Terminate sends SIGTERM and waits for a clean end: exit code 0 within d.
func (p *Proc) Terminate(d time.Duration) error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := p.waitDead(d); err != nil {
		return err
	}
	if p.err != nil {
		return fmt.Errorf("%s after SIGTERM: %w:\n%s", p.Name, p.err, p.Tail(15))
	}
	return nil
}

func (p *Proc) waitDead(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-p.done:
		return nil
	case <-t.C:
		return fmt.Errorf("%s (pid %d) still runs after %s", p.Name, p.PID(), d)
	}
}

// Tail returns the last n lines the process wrote.
func (p *Proc) Tail(n int) string {
	b, err := os.ReadFile(p.LogFile)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return "  | " + strings.Join(lines[max(0, len(lines)-n):], "\n  | ")
}

// Result is what a command left behind.
type Result struct {
	Stdout, Stderr string
	// Exit is the exit code; -1 if a signal ended it.
	Exit int
	Took time.Duration
}

// Err returns nil for exit code 0, else an error with everything printed.
func (r Result) Err() error {
	if r.Exit == 0 {
		return nil
	}
	return fmt.Errorf("exit code %d\nstdout: %s\nstderr: %s", r.Exit, r.Stdout, r.Stderr)
}

// Run executes argv on the host and waits for it; the end of ctx kills it. The
// error is about running it at all; a non-zero exit code is in the Result.
func (h *Host) Run(ctx context.Context, argv ...string) (Result, error) {
	return h.RunEnv(ctx, nil, argv...)
}

// RunEnv is Run with extra environment variables.
func (h *Host) RunEnv(ctx context.Context, env []string, argv ...string) (Result, error) {
	cmd := h.command(env, argv...)
	var out, diag bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diag
	// Whoever it left behind must not hold our pipes.
	cmd.WaitDelay = 5 * time.Second
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return Result{}, fmt.Errorf("run %s on %s: %w", argv[0], h.Name, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) })
	err := cmd.Wait()
	stop()
	r := Result{Stdout: out.String(), Stderr: diag.String(), Exit: cmd.ProcessState.ExitCode(), Took: time.Since(begin)}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return r, fmt.Errorf("run %s on %s: %w\n%s%s", strings.Join(argv, " "), h.Name, context.Cause(ctx), r.Stdout, r.Stderr)
	case err != nil && !errors.As(err, &exit):
		return r, fmt.Errorf("run %s on %s: %w", strings.Join(argv, " "), h.Name, err)
	}
	return r, nil
}
