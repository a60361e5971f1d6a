package load

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"damselfly/pieces"
)

// startTimeout is how long a scheduler may take until it is ready.
const startTimeout = 30 * time.Second

// Process is a dfscheduler of our own. Stop it.
type Process struct {
	// Address serves hosts, Metrics is its /metrics and pprof, both HOST:PORT.
	Address, Metrics string

	cmd  *exec.Cmd
	done chan struct{}
	last tail
}

// Start runs the dfscheduler at path on loopback with GOMAXPROCS=1; core ≥ 0 is
// the processor that it is bound to by taskset. It returns when the scheduler
// is ready.
func Start(ctx context.Context, path string, core int, args ...string) (*Process, error) {
	argv := append([]string{path, "--log-format", "json", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"}, args...)
	if core >= 0 {
		argv = append([]string{"taskset", "-c", strconv.Itoa(core)}, argv...)
	}
	p := &Process{cmd: exec.Command(argv[0], argv[1:]...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, pieces.WithKind(pieces.Invalid, err, "starting the scheduler")
	}
	ready := make(chan error, 1)
	go func() {
		defer close(p.done)
		ready <- p.awaitReady(log)
		io.Copy(&p.last, log)
		p.cmd.Wait()
	}()
	late := time.NewTimer(startTimeout)
	defer late.Stop()
	select {
	case err = <-ready:
	case <-late.C:
		err = pieces.Errorf(pieces.Timeout, "the scheduler was not ready after %v", startTimeout)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

// awaitReady reads the log up to the line that tells the addresses.
func (p *Process) awaitReady(log io.Reader) error {
	lines := bufio.NewReader(log)
	for {
		line, err := lines.ReadBytes('\n')
		p.last.Write(line)
		if err != nil {
			return pieces.Errorf(pieces.Unavailable, "the scheduler ended before it was ready: %s", p.last.String())
		}
		var at struct{ Msg, Listen, Metrics string }
		if json.Unmarshal(line, &at) == nil && at.Msg == "scheduler is ready" {
			p.Address, p.Metrics = at.Listen, at.Metrics
			return nil
		}
	}
}

// Stop ends the process and waits for its end, for 10 s at most before it is
// killed. Its error is what the process was up to, if it ended by itself.
func (p *Process) Stop() error {
	select {
	case <-p.done:
		return fmt.Errorf("the scheduler ended: %s", p.last.String())
	default:
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(10*time.Second, func() { p.cmd.Process.Kill() })
	defer kill.Stop()
	<-p.done
	return nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 2 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if over := len(t.text) - tailSize; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
