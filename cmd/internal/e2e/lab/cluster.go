package lab

import (
	"context"
	"fmt"
	"time"

	"damselfly/proto/managerpb"
	"damselfly/proto/rpc"
)

// ClusterOptions say what a Cluster consists of.
type ClusterOptions struct {
	Schedulers int
	Hosts      int
	// Rate shapes the links of seed and hosts, both ways; 0 = unshaped.
	Rate Rate
	// NoMount: the hosts get no FUSE mount.
	NoMount bool
	// Extra are further arguments of every daemon, SchedulerExtra of every
	// scheduler.
	Extra, SchedulerExtra []string
}

// Cluster is a whole installation, each part on a host of its own: "manager",
// "sched1", …, "seed", "h1", ….
type Cluster struct {
	Manager    *Manager
	Schedulers []*Scheduler
	Seed       *Daemon
	Hosts      []*Daemon
}

// StartCluster starts a manager, schedulers, one seed and hosts, and waits
// until every daemon knows all schedulers.
func (l *Lab) StartCluster(ctx context.Context, o ClusterOptions) (*Cluster, error) {
	c := &Cluster{}
	h, err := l.AddHost(ctx, "manager")
	if err != nil {
		return nil, err
	}
	if c.Manager, err = h.StartManager(ctx); err != nil {
		return nil, err
	}
	for i := range o.Schedulers {
		h, err := l.AddHost(ctx, fmt.Sprintf("sched%d", i+1))
		if err != nil {
			return nil, err
		}
		s, err := h.StartScheduler(ctx, append([]string{"--manager", c.Manager.Addr}, o.SchedulerExtra...)...)
		if err != nil {
			return nil, err
		}
		c.Schedulers = append(c.Schedulers, s)
	}
	// Daemons ask for the list when they start, and then only now and then.
	if err := c.Manager.waitListed(ctx, o.Schedulers); err != nil {
		return nil, err
	}
	managers := []string{c.Manager.Addr}
	if c.Seed, err = l.startDaemon(ctx, "seed", o.Rate, DaemonOptions{Seed: true, Managers: managers, Extra: o.Extra}); err != nil {
		return nil, err
	}
	for i := range o.Hosts {
		d, err := l.startDaemon(ctx, fmt.Sprintf("h%d", i+1), o.Rate, DaemonOptions{Mount: !o.NoMount, Managers: managers, Extra: o.Extra})
		if err != nil {
			return nil, err
		}
		c.Hosts = append(c.Hosts, d)
	}
	for _, d := range c.Daemons() {
		if err := d.waitForSchedulers(ctx, o.Schedulers); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (l *Lab) startDaemon(ctx context.Context, name string, rate Rate, o DaemonOptions) (*Daemon, error) {
	h, err := l.AddHost(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := h.Shape(ctx, rate, rate); err != nil {
		return nil, err
	}
	return h.StartDaemon(ctx, o)
}

// waitListed waits until the manager lists n schedulers.
func (m *Manager) waitListed(ctx context.Context, n int) error {
	conn, err := rpc.Dial(m.Addr, rpc.DialOptions{Dialer: m.Host.dialTCP})
	if err != nil {
		return err
	}
	defer conn.Close()
	return Until(ctx, readyWait, "the manager to list the schedulers", func() error {
		r, err := managerpb.NewManagerClient(conn).ListSchedulers(ctx, &managerpb.ListSchedulersRequest{})
		if err == nil && len(r.Schedulers) != n {
			err = fmt.Errorf("it lists %v", r.Schedulers)
		}
		return err
	})
}

// waitForSchedulers waits until d knows n schedulers and its manager answers.
func (d *Daemon) waitForSchedulers(ctx context.Context, n int) error {
	return Until(ctx, 20*time.Second, d.Host.Name+" to know the schedulers", func() error {
		s, err := d.Status(ctx)
		if err == nil && (!s.ManagerOK || len(s.Schedulers) != n) {
			err = fmt.Errorf("manager ok: %v, schedulers: %v", s.ManagerOK, s.Schedulers)
		}
		return err
	})
}

// Daemons returns the seed and the hosts.
func (c *Cluster) Daemons() []*Daemon { return append([]*Daemon{c.Seed}, c.Hosts...) }
