package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"damselfly/cmd/internal/boot"
	"damselfly/cmd/internal/boot/doctor"
	"damselfly/cmd/internal/boot/host"
	"damselfly/cmd/internal/boot/hostcfg"
	"damselfly/cmd/internal/boot/tracing"
	"damselfly/daemon"
	"damselfly/daemon/announce"
	"damselfly/daemon/control"
	"damselfly/fusefs"
	"damselfly/pieces"
	"damselfly/proto/trace"
)

// unmountTimeout bounds how long stopping waits for the mounts.
const unmountTimeout = 8 * time.Second

// scarceReadAheadKiB is the kernel's readahead, and so the size of its
// requests, where hundreds of readers with large ones would fill the memory.
const scarceReadAheadKiB = 128

// process is a dfdaemon while it runs.
type process struct {
	o     hostcfg.Options
	out   io.Writer // gets what is shown once and stands in no log
	log   *logrus.Entry
	reg   *prometheus.Registry
	quit  context.CancelFunc // asks for a clean stop
	ready atomic.Bool
	undo  stack
	// memory of the machine, as it is divided.
	memory boot.Memory

	// traces sends what tracer, the daemon's, and those of the cluster make; nil
	// without tracing, as is tracer.
	traces *tracing.Exporter
	tracer *trace.Tracer

	daemon *daemon.Daemon
	mounts *host.Mounts
}

// run is dfdaemon from its options to its clean end: when ctx ends, when it
// has been idle for long enough, after its last umount if so asked, or when a
// part of it fails.
func run(ctx context.Context, o hostcfg.Options, stdout, stderr io.Writer) error {
	log, err := o.Log.Logger(stderr, "dfdaemon")
	if err != nil {
		return err
	}
	defer boot.FollowLevelSignals(log)()
	if err := cmp.Or(o.Check(), o.CheckManager()); err != nil {
		return err
	}
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	p := &process{o: o, out: stdout, log: log, reg: boot.NewRegistry(), quit: quit}
	p.memory = boot.PlanMemory(boot.AvailableMemory(), int64(o.Memory))
	p.memory.Apply()
	if err = p.start(ctx); err == nil {
		p.ready.Store(true)
		log.WithField("software", boot.Version()).Info("daemon is ready")
		boot.Announce(log, boot.StateReady)
		<-ctx.Done()
		boot.Announce(log, boot.StateStopping)
		log.Info("daemon stops")
	}
	p.ready.Store(false)
	return errors.Join(err, p.undo.unwind())
}

// start brings everything up, listeners first. What it has done is in p.undo,
// also if it fails.
func (p *process) start(ctx context.Context) error {
	// Who can't have the socket must not touch the rest.
	socket, err := control.Listen(p.o.Socket, os.Geteuid() == 0)
	if err != nil {
		return err
	}
	p.undo.push(socket.Close)
	if err := p.startTracing(); err != nil {
		return err
	}
	if err := p.serveMetrics(ctx); err != nil {
		return err
	}
	if p.o.AllInOne {
		if err := p.startCluster(ctx); err != nil {
			return err
		}
	}
	if err := p.startDaemon(ctx); err != nil {
		return err
	}
	if p.o.AllInOne {
		if err := p.meetScheduler(ctx); err != nil {
			return err
		}
	}
	if err := p.makeMounts(ctx); err != nil {
		return err
	}
	p.serveControl(socket)
	p.watchIdle()
	return nil
}

// startTracing does nothing unless it is asked for.
func (p *process) startTracing() (err error) {
	if p.traces, err = tracing.Start(p.o.Trace, boot.Version(), p.reg, p.log); err != nil || p.traces == nil {
		return err
	}
	p.undo.push(func() error { p.traces.Close(); return nil })
	id, err := daemon.HostID(p.o.DataDir)
	p.tracer = p.traces.Tracer("dfdaemon", string(id))
	return err
}

// run starts a part of the process, which ends the process if it ends by
// itself.
func (p *process) run(part func(context.Context) error) {
	p.undo.push(startPart(part, p.quit).stop)
}

func (p *process) serveMetrics(ctx context.Context) error {
	if p.o.Metrics == "" {
		return nil
	}
	lis, err := p.listen(ctx, "metrics", p.o.Metrics, p.o.Metrics == hostcfg.DefaultMetrics)
	if err != nil {
		return err
	}
	h := boot.DebugHandler(p.reg, func() error {
		if !p.ready.Load() {
			return errors.New("starting or stopping")
		}
		return nil
	})
	p.run(func(ctx context.Context) error { return boot.ServeHTTP(ctx, lis, h) })
	return nil
}

func (p *process) startDaemon(ctx context.Context) error {
	o := p.o
	ip, bind := p.addresses()
	peers, err := p.listenPort(ctx, "peer-port", bind, o.PeerPort, hostcfg.DefaultPeerPort)
	if err != nil {
		return err
	}
	uploads, err := p.listenPort(ctx, "upload-port", bind, o.UploadPort, hostcfg.DefaultUploadPort)
	if err != nil {
		peers.Close()
		return err
	}
	p.daemon, err = daemon.New(ctx, daemon.Options{
		DataDir: o.DataDir, AdvertiseIP: ip, PeerListen: peers, UploadListen: uploads,
		Seed: o.SeedPeer || o.AllInOne, Managers: o.Managers, Schedulers: o.Schedulers,
		CacheSize: int64(o.CacheSize), Memory: p.memory.Buffers, UploadSlots: o.UploadSlots,
		UploadRate: int64(o.UploadRate), DownloadRate: int64(o.DownloadRate), OriginRate: int64(o.OriginRate),
		IDC: o.IDC, Location: o.Location, Labels: o.Labels, Version: boot.Version(),
		FactsTimeout: o.Times.FactsTimeout, FactsFresh: o.Times.FactsFresh, SumFresh: o.Times.SumFresh,
		SpoolTimeout: o.Times.SpoolTimeout, FailureMemo: o.Times.FailureMemo, LeaveTimeout: o.Times.LeaveTimeout,
		Announce: announce.Options{Cluster: o.Cluster}, Store: storeOptions(), Tracer: p.tracer, Registry: p.reg, Log: p.log,
	})
	if err != nil {
		return errors.Join(err, peers.Close(), uploads.Close())
	}
	debug.FreeOSMemory() // reading a large catalogue took more than keeping it
	p.run(p.daemon.Run)
	p.log.WithFields(logrus.Fields{"ip": ip, "peers": peers.Addr().String(), "uploads": uploads.Addr().String()}).Info("listening")
	return nil
}

// makeMounts makes the mounts that an unclean stop left, and those of --mount.
func (p *process) makeMounts(ctx context.Context) error {
	f := p.o.FUSE
	if f.ReadAheadKiB == 0 && p.memory.Scarce() {
		f.ReadAheadKiB = scarceReadAheadKiB
	}
	mo := host.MountsOptions{
		FUSE: fusefs.Options{
			Backend: host.Backend(p.daemon), ProbeDir: p.o.DataDir,
			ReadDeadline: f.ReadDeadline, LookupDeadline: f.LookupDeadline, Timeout: f.Timeout,
			ReadAheadKiB: f.ReadAheadKiB, NoPassthrough: f.NoPassthrough, Private: f.Private, Helper: f.Helper,
			Log: p.log.WithField("part", "fuse"), Registry: p.reg, Tracer: p.tracer,
		},
		Record: filepath.Join(p.o.DataDir, "mounts"),
		Log:    p.log.WithField("part", "mounts"),
	}
	for _, option := range f.Options {
		if err := mo.FUSE.Set(option); err != nil {
			return err
		}
	}
	if !p.o.Supervisor.Off {
		guard := newGuard(p.o, p.log)
		p.undo.push(guard.Close)
		mo.Guard = guard
	}
	if p.o.UntilUnmount {
		mo.Last = p.quit
	}
	p.mounts = host.NewMounts(mo)
	p.undo.push(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), unmountTimeout)
		defer cancel()
		return p.mounts.Close(ctx)
	})
	if err := p.mounts.Restore(ctx); err != nil {
		return err
	}
	for _, dir := range p.o.Mounts {
		if err := p.mounts.Mount(ctx, dir, nil); err != nil && pieces.KindOf(err) != pieces.Exists {
			return err
		}
	}
	return nil
}

func (p *process) serveControl(socket *control.Listener) {
	s := control.NewServer(control.Options{
		Engine: p.daemon.Control(), Mounts: p.mounts, Doctor: p.examine, Version: boot.Version(),
		Registry: p.reg, Tracer: p.tracer, Log: p.log.WithField("part", "control"),
	})
	p.run(func(ctx context.Context) error { return s.Serve(ctx, socket) })
}

// examine is the daemon's part of dfmount doctor.
func (p *process) examine(ctx context.Context) []control.Check {
	checks := doctor.Machine().Host(p.o.DataDir, p.mounts.List())
	st, err := p.daemon.Control().Status(ctx)
	if err != nil {
		return append(checks, control.Check{Name: "daemon", Detail: err.Error(), Fix: "see the daemon's log"})
	}
	return append(checks, doctor.Cluster(st)...)
}

// watchIdle ends the process once it has been idle for long enough.
func (p *process) watchIdle() {
	limit := p.o.IdleTimeout
	if limit == 0 {
		return
	}
	p.run(func(ctx context.Context) error {
		tick := time.NewTicker(min(limit/4+1, time.Second))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case now := <-tick.C:
				if idleFor(now, p.daemon.IdleSince(), p.mounts.IdleSince()) >= limit {
					p.log.Info("idle for long enough")
					return nil
				}
			}
		}
	})
}

// idleFor is for how long all parts have been idle; each time is since when
// one is, zero if it is busy.
func idleFor(now time.Time, since ...time.Time) time.Duration {
	var latest time.Time
	for _, t := range since {
		if t.IsZero() {
			return 0
		}
		if t.After(latest) {
			latest = t
		}
	}
	return now.Sub(latest)
}
