package lab

import (
	"context"
	"fmt"
	"slices"
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
	// Sites spreads the hosts evenly over so many data centres, "idc1", …; the
	// seed is in the first. 0 = all are in one that has no name.
	Sites int
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
	// Sites of ClusterOptions.
	Sites []*Site

	opts ClusterOptions
}

// StartCluster starts a manager, schedulers, one seed and hosts, and waits
// until every daemon knows all schedulers.
func (l *Lab) StartCluster(ctx context.Context, o ClusterOptions) (*Cluster, error) {
	c := &Cluster{opts: o}
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
	for i := range o.Sites {
		site, err := l.AddSite(ctx, fmt.Sprintf("idc%d", i+1))
		if err != nil {
			return nil, err
		}
		c.Sites = append(c.Sites, site)
	}
	if c.Seed, err = l.startDaemon(ctx, "seed", o.Rate, c.site(0), c.daemonOptions(DaemonOptions{Seed: true}), nil); err != nil {
		return nil, err
	}
	for i := range o.Hosts {
		site := c.site(i * o.Sites / o.Hosts)
		d, err := l.startDaemon(ctx, fmt.Sprintf("h%d", i+1), o.Rate, site, c.daemonOptions(DaemonOptions{Mount: !o.NoMount}), nil)
		if err != nil {
			return nil, err
		}
		c.Hosts = append(c.Hosts, d)
	}
	for _, d := range c.Daemons() {
		if err := c.WaitReady(ctx, d); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// site returns the i-th one, nil if there are none.
func (c *Cluster) site(i int) *Site {
	if len(c.Sites) == 0 {
		return nil
	}
	return c.Sites[i]
}

func (c *Cluster) daemonOptions(o DaemonOptions) DaemonOptions {
	o.Managers = []string{c.Manager.Addr}
	o.Extra = append(slices.Clone(c.opts.Extra), o.Extra...)
	return o
}

// Join adds a host with a daemon to a running cluster. It is not in c.Hosts.
// prepare, if not nil, is called before the daemon starts. The daemon's managers
// are those of the cluster, the cluster's extra arguments come before its own.
func (c *Cluster) Join(ctx context.Context, name string, o DaemonOptions, prepare func(*Host) error) (*Daemon, error) {
	d, err := c.Manager.Host.lab.startDaemon(ctx, name, c.opts.Rate, nil, c.daemonOptions(o), prepare)
	if err != nil {
		return nil, err
	}
	return d, c.WaitReady(ctx, d)
}

// WaitReady waits until a daemon of the cluster knows all schedulers.
func (c *Cluster) WaitReady(ctx context.Context, d *Daemon) error {
	return d.waitForSchedulers(ctx, c.opts.Schedulers)
}

func (l *Lab) startDaemon(ctx context.Context, name string, rate Rate, site *Site, o DaemonOptions, prepare func(*Host) error) (*Daemon, error) {
	h, err := l.AddHost(ctx, name)
	if err != nil {
		return nil, err
	}
	if site != nil {
		if err := site.Move(ctx, h); err != nil {
			return nil, err
		}
		o.Extra = append(o.Extra, "--idc", site.Name)
	}
	if prepare != nil {
		if err := prepare(h); err != nil {
			return nil, err
		}
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
