package main

import (
	"cmp"
	"context"
	"io"
	"net"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"damselfly/cmd/internal/boot"
	"damselfly/cmd/internal/boot/tracing"
	"damselfly/pieces"
	"damselfly/proto/rpc"
	"damselfly/scheduler"
	"damselfly/scheduler/swarm"
)

// options of dfscheduler; the yaml tags are the keys of its config file.
type options struct {
	Listen    string          `yaml:"listen"`
	Advertise string          `yaml:"advertise"`
	Metrics   string          `yaml:"metrics"`
	Managers  []string        `yaml:"manager"`
	Cluster   string          `yaml:"cluster"`
	StateFile string          `yaml:"state-file"`
	Peers     []string        `yaml:"peers"`
	SeedPeers []string        `yaml:"seed-peers"`
	Policy    string          `yaml:"policy"`
	Times     timeOptions     `yaml:"times"`
	Log       boot.LogOptions `yaml:"log"`
	Trace     tracing.Options `yaml:"trace"`
}

// timeOptions tune the scheduler; zero values are the defaults of packages
// scheduler and swarm, where they are explained.
type timeOptions struct {
	Heartbeat     time.Duration `yaml:"heartbeat"`
	AnnounceEvery time.Duration `yaml:"announce-every"`
	HostTTL       time.Duration `yaml:"host-ttl"`
	PeerTTL       time.Duration `yaml:"peer-ttl"`
	TaskTTL       time.Duration `yaml:"task-ttl"`
	Grace         time.Duration `yaml:"grace"`
	YoungFor      time.Duration `yaml:"young-for"`
	AskTimeout    time.Duration `yaml:"ask-timeout"`
	RecallEvery   time.Duration `yaml:"recall-every"`
	HandBackAfter time.Duration `yaml:"hand-back-after"`
	HandBackEvery time.Duration `yaml:"hand-back-every"`
}

var policies = map[string]pieces.Policy{"swarm": pieces.PolicySwarm, "classic": pieces.PolicyClassic}

func newCommand() *cobra.Command {
	o := options{Listen: ":8002", Metrics: "127.0.0.1:8003", Policy: "swarm", Trace: tracing.Defaults()}
	cmd := &cobra.Command{
		Use:   "dfscheduler",
		Short: "Scheduler of a Damselfly cluster: who reads from the origin, who from whom",
		Example: `  # a scheduler that the manager lists to all hosts
  dfscheduler --advertise 10.0.0.5:8002 --manager 10.0.0.2:65003

  # two schedulers without a manager, and the seed they share
  dfscheduler --advertise 10.0.0.5:8002 --peers 10.0.0.5:8002,10.0.0.6:8002 --seed-peers 10.0.0.9:65000`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := boot.LoadConfig(cmd, &o); err != nil {
				return err
			}
			return run(cmd.Context(), o, cmd.ErrOrStderr())
		},
	}
	fs := cmd.Flags()
	boot.ConfigFlag(fs, "dfscheduler")
	o.Log.Flags(fs)
	fs.StringVar(&o.Listen, "listen", o.Listen, "serve hosts on HOST:PORT; port 0 is any")
	fs.StringVar(&o.Advertise, "advertise", o.Advertise, "HOST:PORT at which hosts reach this scheduler (default: found out from --listen)")
	fs.StringVar(&o.Metrics, "metrics", o.Metrics, "serve /metrics and /healthz on HOST:PORT; port 0 is any")
	fs.StringSliceVar(&o.Managers, "manager", o.Managers, "managers, HOST:65003,…")
	fs.StringVar(&o.Cluster, "cluster", o.Cluster, "cluster that this scheduler serves (default: default)")
	fs.StringVar(&o.StateFile, "state-file", o.StateFile, "keep what the manager said last in a file, for a start while no manager answers")
	fs.StringSliceVar(&o.Peers, "peers", o.Peers, "all schedulers of the ring, HOST:8002,…, where no manager lists them")
	fs.StringSliceVar(&o.SeedPeers, "seed-peers", o.SeedPeers, "seed peers, HOST:65000,…, beside those that announce themselves")
	fs.StringVar(&o.Policy, "policy", o.Policy, "swarm, or classic to measure against")
	o.Trace.EndpointFlag(fs)
	return cmd
}

// run serves until ctx ends. The log goes to stderr.
func run(ctx context.Context, o options, stderr io.Writer) error {
	log, err := o.Log.Logger(stderr, "dfscheduler")
	if err != nil {
		return err
	}
	defer boot.FollowLevelSignals(log)()
	rules, err := o.rules()
	if err != nil {
		return err
	}
	lis, err := boot.Listen(ctx, "listen", o.Listen)
	if err != nil {
		return err
	}
	defer lis.Close()
	httpLis, err := boot.Listen(ctx, "metrics", o.Metrics)
	if err != nil {
		return err
	}
	defer httpLis.Close()
	if o.Advertise == "" {
		o.Advertise = reachable(lis.Addr().String())
	}
	reg := boot.NewRegistry()
	traces, err := tracing.Start(o.Trace, boot.Version(), reg, log)
	if err != nil {
		return err
	}
	defer traces.Close()
	tracer := traces.Tracer("dfscheduler", "")
	s, err := scheduler.New(scheduler.Options{
		Advertise: o.Advertise, Managers: o.Managers, Cluster: o.Cluster, StateFile: o.StateFile, Peers: o.Peers, SeedPeers: o.SeedPeers,
		Heartbeat: o.Times.Heartbeat, AnnounceEvery: o.Times.AnnounceEvery, HostTTL: o.Times.HostTTL,
		YoungFor: o.Times.YoungFor, AskTimeout: o.Times.AskTimeout, RecallEvery: o.Times.RecallEvery,
		HandBackAfter: o.Times.HandBackAfter, HandBackEvery: o.Times.HandBackEvery,
		Swarm: rules, Tracer: tracer, Registry: reg, Log: log,
	})
	if err != nil {
		return err
	}
	srv := rpc.NewServer(rpc.ServerOptions{Log: log, Registry: reg, Tracer: tracer, MaxConns: rpc.ClusterMaxConns, ConnShare: 2})
	s.Register(srv)

	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return s.Run(ctx) })
	all.Go(func() error { return srv.Serve(ctx, lis) })
	all.Go(func() error { return boot.ServeHTTP(ctx, httpLis, boot.DebugHandler(reg, s.Ready)) })
	log.WithFields(logrus.Fields{
		"listen": lis.Addr().String(), "advertise": o.Advertise, "metrics": httpLis.Addr().String(),
		"policy": o.Policy, "software": boot.Version(),
	}).Info("scheduler is ready")
	boot.Announce(log, boot.StateReady)
	context.AfterFunc(ctx, func() { boot.Announce(log, boot.StateStopping) })
	err = all.Wait()
	log.Info("scheduler stopped")
	return err
}

// rules checks what only this command can check, and returns the swarm's
// options.
func (o options) rules() (*swarm.Options, error) {
	policy, ok := policies[strings.ToLower(o.Policy)]
	if !ok {
		return nil, pieces.Errorf(pieces.Invalid, "--policy %.40q: want swarm or classic", o.Policy)
	}
	lists := map[string][]string{"manager": o.Managers, "peers": o.Peers, "seed-peers": o.SeedPeers}
	if o.Cluster != "" {
		if err := pieces.CheckCluster(o.Cluster); err != nil {
			return nil, pieces.WithKind(pieces.Invalid, err, "--cluster")
		}
	}
	if o.Advertise != "" {
		lists["advertise"] = []string{o.Advertise}
	}
	for flag, addrs := range lists {
		if err := boot.CheckPeerAddrs(flag, addrs); err != nil {
			return nil, err
		}
	}
	if t := o.Times; min(t.Heartbeat, t.AnnounceEvery, t.HostTTL, t.PeerTTL, t.TaskTTL, t.Grace,
		t.YoungFor, t.AskTimeout, t.RecallEvery, t.HandBackAfter, t.HandBackEvery) < 0 {
		return nil, pieces.Errorf(pieces.Invalid, "times: want 0 (the default) or more")
	}
	rules := swarm.Defaults()
	rules.Policy = policy
	rules.PeerTTL = cmp.Or(o.Times.PeerTTL, rules.PeerTTL)
	rules.TaskTTL = cmp.Or(o.Times.TaskTTL, rules.TaskTTL)
	rules.Grace = cmp.Or(o.Times.Grace, rules.Grace)
	return &rules, nil
}

// reachable returns the address at which others reach a listener: its own, or,
// if it listens everywhere, this machine's address towards the outside. Nothing
// is sent to find that out.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || !net.ParseIP(host).IsUnspecified() {
		return listen
	}
	ip := "127.0.0.1"
	if c, err := net.Dial("udp", "192.0.2.1:9"); err == nil {
		ip, _, _ = net.SplitHostPort(c.LocalAddr().String())
		c.Close()
	}
	return net.JoinHostPort(ip, port)
}
