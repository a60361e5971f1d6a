package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"

	"damselfly/proto/managerpb"
	"damselfly/proto/rpc"
)

// Ports the servers get on their hosts: the defaults, since every host has an
// address of its own.
const (
	managerGRPC   = ":65003"
	managerHTTP   = "127.0.0.1:8080"
	schedulerGRPC = ":8002"
	metricsAddr   = "127.0.0.1:9002"
	peerPort      = 65000
	readyWait     = 20 * time.Second
)

// bin is the path of one of our programs.
func (l *Lab) bin(name string) string {
	p, err := filepath.Abs(filepath.Join(l.opts.Bin, name))
	if err != nil {
		return name // no working directory: starting it will say so
	}
	return p
}

// Manager is a running dfmanager.
type Manager struct {
	*Proc
	Host *Host
	// Addr is its gRPC service, HOST:PORT.
	Addr string

	args []string
}

// StartManager starts a dfmanager on the host, its SQLite database in the
// host's directory, and waits until it is ready.
func (h *Host) StartManager(ctx context.Context, extra ...string) (*Manager, error) {
	m := &Manager{Host: h, Addr: h.IP + managerGRPC, args: append([]string{
		"--grpc", managerGRPC, "--http", managerHTTP,
		"--database", "sqlite:" + filepath.Join(h.Dir, "manager.db")}, extra...)}
	return m, m.Start(ctx)
}

// Start starts the manager again with the same arguments, after it ended.
func (m *Manager) Start(ctx context.Context) (err error) {
	m.Proc, err = m.Host.startReady(ctx, "dfmanager", managerHTTP, m.args)
	return err
}

// Admin connects to the manager as somebody on its host does: with
// --insecure-local-admin, an administrator. The caller closes the connection.
func (m *Manager) Admin() (managerpb.AdminClient, *grpc.ClientConn, error) {
	conn, err := rpc.Dial("127.0.0.1"+managerGRPC, rpc.DialOptions{Dialer: m.Host.dialTCP})
	if err != nil {
		return nil, nil, err
	}
	return managerpb.NewAdminClient(conn), conn, nil
}

// Scheduler is a running dfscheduler.
type Scheduler struct {
	*Proc
	Host *Host
	// Addr is its gRPC service, HOST:PORT.
	Addr string

	args []string
}

// StartScheduler starts a dfscheduler on the host and waits until it is ready;
// extra are further arguments, such as --manager.
func (h *Host) StartScheduler(ctx context.Context, extra ...string) (*Scheduler, error) {
	s := &Scheduler{Host: h, Addr: h.IP + schedulerGRPC, args: append([]string{
		"--listen", schedulerGRPC, "--advertise", h.IP + schedulerGRPC, "--metrics", metricsAddr}, extra...)}
	return s, s.Start(ctx)
}

// Start starts the scheduler again with the same arguments, after it ended.
func (s *Scheduler) Start(ctx context.Context) (err error) {
	s.Proc, err = s.Host.startReady(ctx, "dfscheduler", metricsAddr, s.args)
	return err
}

// startReady starts one of our servers and waits until its /healthz says 200.
func (h *Host) startReady(ctx context.Context, program, http string, args []string) (*Proc, error) {
	p, err := h.Start(program, append([]string{h.lab.bin(program)}, args...)...)
	if err != nil {
		return nil, err
	}
	return p, Until(ctx, readyWait, p.Name+" to be ready", func() error {
		if err := p.Alive(); err != nil {
			return err
		}
		_, err := h.get(ctx, "http://"+http+"/healthz")
		return err
	})
}

// get fetches a small page from inside the host; any status but 200 is an
// error.
func (h *Host) get(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := h.Client().Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.200s", url, resp.Status, body)
	}
	return string(body), err
}

// Metrics returns the samples of the server with --metrics on this host, by
// name and labels as Prometheus writes them. Each host of a lab runs at most
// one such server.
func (h *Host) Metrics(ctx context.Context) (map[string]float64, error) {
	return h.metrics(ctx, metricsAddr)
}

// Metrics returns the manager's samples as Host.Metrics does.
func (m *Manager) Metrics(ctx context.Context) (map[string]float64, error) {
	return m.Host.metrics(ctx, managerHTTP)
}

func (h *Host) metrics(ctx context.Context, addr string) (map[string]float64, error) {
	text, err := h.get(ctx, "http://"+addr+"/metrics")
	if err != nil {
		return nil, err
	}
	samples := map[string]float64{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, value, ok := cutLast(line, " ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		if samples[name], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, fmt.Errorf("metrics of %s: %q: %w", h.Name, line, err)
		}
	}
	return samples, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// dialUnix tells whether somebody listens on a unix socket.
func dialUnix(ctx context.Context, path string) error {
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path)
	return errors.Join(err, closeIf(c))
}

func closeIf(c net.Conn) error {
	if c == nil {
		return nil
	}
	return c.Close()
}
