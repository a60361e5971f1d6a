package manager

import (
	"context"
	"fmt"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"damselfly/manager/store"
	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/managerpb"
	"damselfly/proto/rpc"
	"damselfly/proto/schedulerpb"
)

// asksAtOnce bounds the schedulers that are asked at the same time.
const asksAtOnce = 16

// maxSwarmPeers bounds the Peers of an answer, as schedulers do.
const maxSwarmPeers = 1000

// GetTraffic asks all live schedulers what they counted. Those that don't
// answer are named; they are no error.
func (a admin) GetTraffic(ctx context.Context, _ *managerpb.GetTrafficRequest) (*managerpb.Traffic, error) {
	m, err := a.glances.get(ctx, "traffic", func(ctx context.Context) (proto.Message, error) {
		totals, silent, err := askSchedulers(ctx, a.Server, func(ctx context.Context, c schedulerpb.CensusClient, n store.Scheduler) (*commonpb.SchedulerTotals, error) {
			t, err := c.GetTotals(ctx, &schedulerpb.GetTotalsRequest{})
			if err == nil {
				t.Scheduler = n.Address
			}
			return t, err
		})
		return &managerpb.Traffic{Schedulers: totals, Silent: silent}, err
	})
	if err != nil {
		return nil, err
	}
	return m.(*managerpb.Traffic), nil
}

// GetSwarm asks the live schedulers who takes part in a Task just now. No
// swarms is an answer, also of a Task that nobody knows.
func (a admin) GetSwarm(ctx context.Context, req *managerpb.GetTaskSwarmRequest) (*managerpb.TaskSwarm, error) {
	id, err := pieces.ParseTaskID(req.Id)
	if err != nil {
		return nil, err
	}
	if req.MaxPeers > maxSwarmPeers {
		return nil, pieces.Errorf(pieces.Invalid, "max_peers %d: want 1 to %d, or 0 for 200", req.MaxPeers, maxSwarmPeers)
	}
	m, err := a.glances.get(ctx, fmt.Sprint(id, req.MaxPeers), func(ctx context.Context) (proto.Message, error) {
		reply := &managerpb.TaskSwarm{}
		found, silent, err := askSchedulers(ctx, a.Server, func(ctx context.Context, c schedulerpb.CensusClient, n store.Scheduler) (*schedulerpb.GetSwarmReply, error) {
			r, err := c.GetSwarm(ctx, &schedulerpb.GetSwarmRequest{Task: string(id), MaxPeers: req.MaxPeers})
			if pieces.KindOf(err) == pieces.NotFound {
				return &schedulerpb.GetSwarmReply{}, nil
			}
			for _, v := range r.GetVersions() {
				v.Scheduler = n.Address
			}
			return r, err
		})
		for _, r := range found {
			reply.Swarms = append(reply.Swarms, r.Versions...)
		}
		reply.Silent = silent
		return reply, err
	})
	if err != nil {
		return nil, err
	}
	return m.(*managerpb.TaskSwarm), nil
}

// askSchedulers asks every live scheduler, each on a connection of its own, and
// answers what they said by cluster and address, and who said nothing.
func askSchedulers[T any](ctx context.Context, s *Server, ask func(context.Context, schedulerpb.CensusClient, store.Scheduler) (T, error)) (said []T, silent []string, err error) {
	live, err := s.store.Schedulers(ctx, s.nodes.activeSince())
	if err != nil {
		return nil, nil, err
	}
	replies, errs := make([]T, len(live)), make([]error, len(live))
	var asking errgroup.Group
	asking.SetLimit(asksAtOnce)
	for i, n := range live {
		asking.Go(func() error {
			conn, err := rpc.Dial(n.Address, s.opts.Peers.Dial)
			if err == nil {
				replies[i], err = ask(ctx, schedulerpb.NewCensusClient(conn), n)
				conn.Close()
			}
			errs[i] = err
			return nil
		})
	}
	_ = asking.Wait() // errors are in errs
	for i, n := range live {
		if errs[i] != nil {
			silent = append(silent, n.Address)
			s.log.WithError(errs[i]).WithFields(logrus.Fields{"scheduler": n.Address, "cluster": n.Cluster}).Debug("a scheduler did not answer")
			continue
		}
		said = append(said, replies[i])
	}
	return said, silent, nil
}
