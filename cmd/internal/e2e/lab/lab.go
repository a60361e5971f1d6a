package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options of a lab. The zero value works.
type Options struct {
	// Bin holds the Damselfly binaries; only the Start functions for them need it.
	Bin string
	// Dir is where the lab's directory is made; empty = os.TempDir(). It must
	// be on a real file system if passthrough is to work.
	Dir string
	// Keep leaves the lab's directory, with all logs, after Close.
	Keep bool
}

// Lab is a running laboratory.
type Lab struct {
	// Dir holds everything of this lab: logs, data directories, mounts.
	Dir string

	opts Options
	id   string
	lock *os.File

	mu     sync.Mutex
	hosts  []*Host
	procs  []*Proc
	names  map[string]bool // of hosts
	closed bool
}

// subnet of every lab; the hosts count up from .2.
const (
	subnet    = "10.77.0."
	firstHost = 2
	maxHosts  = 250
	bridge    = "br0"
)

// New cleans up after dead labs and makes an empty one: a directory and a
// switch. Close it, also when a later step fails.
func New(ctx context.Context, o Options) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the lab makes network namespaces and needs root: run it with sudo")
	}
	if o.Dir == "" {
		o.Dir = os.TempDir()
	}
	if err := CleanStale(ctx, o.Dir); err != nil {
		return nil, err
	}
	l := &Lab{opts: o, names: map[string]bool{}}
	if err := l.claim(); err != nil {
		return nil, err
	}
	if err := l.build(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) build(ctx context.Context) error {
	for _, d := range []string{"logs", "home", "run"} {
		if err := os.MkdirAll(filepath.Join(l.Dir, d), 0o755); err != nil {
			return err
		}
	}
	if err := roomForNeighbours("/proc/sys/net/ipv4/neigh/default/"); err != nil {
		return err
	}
	if err := run(ctx, "ip", "netns", "add", l.netns("switch")); err != nil {
		return err
	}
	if err := l.plainSwitch(ctx); err != nil {
		return err
	}
	return l.ip(ctx, "switch",
		"link add "+bridge+" type bridge forward_delay 0",
		"link set "+bridge+" up",
		"link set lo up")
}

// roomForNeighbours lets the kernel remember the link addresses of maxHosts hosts
// on each of them. Its limits, in dir, count those of all namespaces together;
// with the usual 1,024 a crowd of 32 hosts loses connections ("no route to host",
// and "neighbor table overflow" in the kernel's log). They stay raised.
func roomForNeighbours(dir string) error {
	const room = maxHosts * maxHosts
	for _, limit := range []string{"gc_thresh3", "gc_thresh2", "gc_thresh1"} {
		text, err := os.ReadFile(dir + limit)
		if errors.Is(err, os.ErrNotExist) {
			return nil // a container: the limits are the machine's below
		}
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return fmt.Errorf("%s: %w", limit, err)
		}
		if n >= room {
			continue
		}
		if err := os.WriteFile(dir+limit, []byte(strconv.Itoa(room)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// plainSwitch keeps packets that are only switched out of the machine's packet
// filter, where it has one for bridges.
func (l *Lab) plainSwitch(ctx context.Context) error {
	for _, f := range []string{"iptables", "ip6tables", "arptables"} {
		name := "/proc/sys/net/bridge/bridge-nf-call-" + f
		if _, err := os.Stat(name); err != nil {
			continue
		}
		if err := run(ctx, "nsenter", "--net=/run/netns/"+l.netns("switch"), "sh", "-c", "echo 0 > "+name); err != nil {
			return err
		}
	}
	return nil
}

// netns is the name of a host's namespace.
func (l *Lab) netns(host string) string { return "df" + l.id + "-" + host }

// Hosts returns the hosts in the order they were added.
func (l *Lab) Hosts() []*Host {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.hosts)
}

// Procs returns every process started in this lab, the ended ones too.
func (l *Lab) Procs() []*Proc {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.procs)
}

// Kill sends SIGKILL to every process of the lab and returns at once. Readers
// that hang in a mount of the lab get an error. It is what a watchdog calls.
func (l *Lab) Kill() {
	for _, p := range l.Procs() {
		_ = p.signalKill()
	}
	for _, pid := range pidsInNamespaces(l.prefix()) {
		_ = killPID(pid)
	}
}

// Close ends every process, unmounts, deletes the namespaces and, unless
// Options.Keep, the directory. It may be called more than once.
func (l *Lab) Close() error {
	l.mu.Lock()
	closed := l.closed
	l.closed = true
	l.mu.Unlock()
	if closed {
		return nil
	}
	l.Kill()
	var errs []error
	for _, p := range l.Procs() {
		errs = append(errs, p.waitDead(killWait))
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanWait)
	defer cancel()
	errs = append(errs, remove(ctx, l.prefix(), l.Dir, !l.opts.Keep))
	if l.lock != nil {
		errs = append(errs, os.Remove(l.lock.Name()), l.lock.Close())
	}
	return errors.Join(errs...)
}

const (
	killWait  = 10 * time.Second // for a killed process to be gone
	cleanWait = 20 * time.Second // for all of a cleaning
)

func (l *Lab) prefix() string { return "df" + l.id + "-" }

// register adds a process that was started, or says that the lab is closed.
func (l *Lab) register(p *Proc) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fmt.Errorf("start %s: the lab is closed", p.Name)
	}
	l.procs = append(l.procs, p)
	return nil
}
