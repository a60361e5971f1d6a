package announce

import (
	"context"
	"sync"

	"google.golang.org/grpc"

	"damselfly/proto/managerpb"
	"damselfly/proto/schedulerpb"
)

// Leave tells every scheduler, and the manager, that this host goes.
// Nothing is announced or registered after it. It takes CallTimeout at most and
// works before and after the end of Run; who can't be reached notices anyway.
func (c *Client) Leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, c.o.CallTimeout)
	defer cancel()
	c.mu.Lock()
	c.leaving = true
	addrs := c.ring.Members()
	c.mu.Unlock()
	var asking sync.WaitGroup
	for _, addr := range addrs {
		asking.Go(func() {
			c.tell(ctx, addr, func(ctx context.Context, conn *grpc.ClientConn) error {
				_, err := schedulerpb.NewSchedulerClient(conn).LeaveHost(ctx, &schedulerpb.LeaveHostRequest{HostId: string(c.o.Host.ID)})
				return err
			})
		})
	}
	if len(c.o.Managers) > 0 {
		asking.Go(func() { c.leaveManager(ctx) })
	}
	asking.Wait()
}

// leaveManager takes this host off the lists of the first manager that answers.
func (c *Client) leaveManager(ctx context.Context) {
	for _, addr := range c.o.Managers {
		if c.tell(ctx, addr, func(ctx context.Context, conn *grpc.ClientConn) error {
			_, err := managerpb.NewManagerClient(conn).Leave(ctx, &managerpb.LeaveRequest{
				Kind: c.kind(), HostId: string(c.o.Host.ID), Cluster: c.o.Cluster})
			return err
		}) {
			return
		}
	}
}

// tell makes one call over a connection of its own and reports success.
func (c *Client) tell(ctx context.Context, addr string, call func(context.Context, *grpc.ClientConn) error) bool {
	ctx, cancel := context.WithTimeout(ctx, c.o.AttemptTimeout)
	defer cancel()
	conn, err := c.dial(addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	if err := call(ctx, conn); err != nil {
		c.o.Log.WithError(err).WithField("address", addr).Debug("did not hear that this host leaves")
		return false
	}
	return true
}
