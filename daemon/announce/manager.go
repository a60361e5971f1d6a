package announce

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"damselfly/pieces"
	"damselfly/proto/managerpb"
	"damselfly/proto/rpc"
	"damselfly/proto/wire"
)

// managers are tried in turn, beginning with the one that answered last.
type managers struct {
	c     *Client
	addrs []string
	ok    atomic.Bool // the last call was answered

	mu sync.Mutex
	// Guarded by mu.
	conns   map[string]*grpc.ClientConn
	current int
	closed  bool
}

// call asks one manager after the other until one answers, within CallTimeout.
func (m *managers) call(ctx context.Context, f func(context.Context, managerpb.ManagerClient) error) error {
	if len(m.addrs) == 0 {
		return pieces.Errorf(pieces.Unavailable, "no manager is configured")
	}
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, m.c.o.CallTimeout)
	defer cancel()
	m.mu.Lock()
	first := m.current
	m.mu.Unlock()
	var err error
	for i := range m.addrs {
		n := (first + i) % len(m.addrs)
		if err = m.attempt(ctx, n, f); !unanswered(err) && (err == nil || pieces.KindOf(err) != pieces.Unavailable) {
			m.mu.Lock()
			m.current = n
			m.mu.Unlock()
			m.ok.Store(true)
			return err
		}
		if ctx.Err() != nil {
			break
		}
	}
	if gone := over(caller); gone != nil {
		return pieces.WithKind(pieces.KindOf(gone), gone, "asking a manager")
	}
	m.ok.Store(false)
	return &pieces.Error{Kind: pieces.Unavailable, Msg: "no manager answers", Err: err}
}

func (m *managers) attempt(ctx context.Context, n int, f func(context.Context, managerpb.ManagerClient) error) error {
	conn, err := m.conn(m.addrs[n])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, m.c.o.AttemptTimeout)
	defer cancel()
	err = f(ctx, managerpb.NewManagerClient(conn))
	if err != nil && over(ctx) != nil {
		return &pieces.Error{Kind: pieces.Unavailable, Msg: "manager " + m.addrs[n], Err: errMute}
	}
	return err
}

func (m *managers) conn(addr string) (*grpc.ClientConn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, pieces.Errorf(pieces.Unavailable, "this host is stopping")
	}
	if conn := m.conns[addr]; conn != nil {
		return conn, nil
	}
	conn, err := m.c.dial(addr)
	if err != nil {
		return nil, err
	}
	if m.conns == nil {
		m.conns = map[string]*grpc.ClientConn{}
	}
	m.conns[addr] = conn
	return conn, nil
}

func (m *managers) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	for _, conn := range m.conns {
		_ = conn.Close()
	}
}

// refreshSchedulers keeps the list of schedulers and the dynamic config fresh.
func (c *Client) refreshSchedulers(ctx context.Context) {
	retry := c.backoff()
	for {
		wait := c.o.RefreshEvery
		found, err := c.refreshOnce(ctx)
		if err != nil {
			c.o.Log.WithError(err).Warn("schedulers can't be asked for; going on with the last list")
		}
		if err != nil || !found {
			wait = retry.next()
		} else {
			retry.reset()
		}
		c.nowListed()
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-c.refresh:
			t.Stop()
		case <-t.C:
		}
	}
}

// refreshOnce asks once; found is false if no scheduler is listed, and then the
// last list stays.
func (c *Client) refreshOnce(ctx context.Context) (found bool, err error) {
	var list *managerpb.ListSchedulersReply
	err = c.managers.call(ctx, func(ctx context.Context, mc managerpb.ManagerClient) (err error) {
		list, err = mc.ListSchedulers(ctx, &managerpb.ListSchedulersRequest{Host: wire.HostTo(c.host()), Cluster: c.o.Cluster})
		return err
	})
	if err != nil {
		return false, err
	}
	next := c.lastState()
	next.Cluster = list.Cluster
	if list.ConfigVersion != next.ConfigVersion {
		if err := c.fetchConfig(ctx, &next); err != nil {
			c.o.Log.WithError(err).Warn("dynamic config can't be read; going on with the last one")
		}
	}
	var addrs []string
	for _, s := range list.Schedulers {
		if err := rpc.CheckAddress(s.GetAddress()); err != nil {
			c.o.Log.WithError(err).Warn("manager lists a scheduler that can't be dialled")
			continue
		}
		addrs = append(addrs, s.GetAddress())
	}
	if len(addrs) > 0 {
		next.Schedulers = addrs
		c.setSchedulers(addrs)
	}
	c.keep(next)
	return len(addrs) > 0, nil
}

func (c *Client) fetchConfig(ctx context.Context, s *state) error {
	return c.managers.call(ctx, func(ctx context.Context, mc managerpb.ManagerClient) error {
		r, err := mc.GetConfig(ctx, &managerpb.GetConfigRequest{Cluster: s.Cluster})
		if err != nil {
			return err
		}
		s.Config, s.ConfigVersion = r.Config, r.Version
		return nil
	})
}

// keep remembers a new state, on disk too.
func (c *Client) keep(s state) {
	c.mu.Lock()
	old := c.state
	c.state = s
	c.mu.Unlock()
	if slices.Equal(old.Schedulers, s.Schedulers) && old.Cluster == s.Cluster && old.Config == s.Config && old.ConfigVersion == s.ConfigVersion {
		return
	}
	if err := writeState(c.o.StateFile, s); err != nil {
		c.o.Log.WithError(err).Warn("scheduler list can't be kept for the next start")
	}
}

// kind is what this host is to the manager.
func (c *Client) kind() managerpb.NodeKind {
	if c.o.Host.Type == pieces.SeedHost {
		return managerpb.NodeKind_SEED_PEER
	}
	return managerpb.NodeKind_HOST
}

// keepAlive keeps this host listed.
func (c *Client) keepAlive(ctx context.Context) {
	retry := c.backoff()
	var config uint64
	for {
		wait := c.o.KeepAliveEvery
		var r *managerpb.KeepAliveReply
		err := c.managers.call(ctx, func(ctx context.Context, mc managerpb.ManagerClient) (err error) {
			r, err = mc.KeepAlive(ctx, &managerpb.KeepAliveRequest{Kind: c.kind(),
				Host: wire.HostTo(c.host()), Cluster: c.o.Cluster, Version: c.o.Host.SoftwareVersion})
			return err
		})
		if err != nil {
			wait = retry.next()
			c.o.Log.WithError(err).Warn("this host can't keep itself listed with a manager")
		} else {
			retry.reset()
			if r.IntervalMs > 0 {
				wait = interval(r.IntervalMs)
			}
			if config != 0 && config != r.ConfigVersion {
				c.refreshNow()
			}
			config = r.ConfigVersion
		}
		if !pause(ctx, wait) || c.stopped() {
			return
		}
	}
}

func (c *Client) refreshNow() {
	select {
	case c.refresh <- struct{}{}:
	default:
	}
}

// interval is a period that the other side asks for, within reason.
func interval(ms uint32) time.Duration {
	return min(max(time.Duration(ms)*time.Millisecond, 10*time.Millisecond), 10*time.Minute)
}
