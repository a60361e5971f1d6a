package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/sirupsen/logrus"

	"damselfly/cmd/internal/boot"
	"damselfly/cmd/internal/boot/sso"
	"damselfly/manager"
	"damselfly/manager/oidc"
	"damselfly/manager/store"
	"damselfly/pieces"
	"damselfly/proto/rpc"
	"damselfly/scheduler"
)

// Times of an all-in-one process.
const (
	// managerReadyTimeout bounds the question that /healthz asks the database.
	managerReadyTimeout = 2 * time.Second
	// meetTimeout is how long the host waits at start to hear of its own
	// scheduler.
	meetTimeout = 10 * time.Second
	meetPoll    = 20 * time.Millisecond
)

// startCluster starts the manager and the scheduler of an all-in-one process,
// and points the host at them.
func (p *process) startCluster(ctx context.Context) error {
	managerAddr, err := p.startManager(ctx)
	if err != nil {
		return err
	}
	// The host finds the scheduler as any other host does.
	p.o.Managers = []string{managerAddr}
	return p.startScheduler(ctx, managerAddr)
}

// startManager returns where this process reaches the manager.
func (p *process) startManager(ctx context.Context) (addr string, err error) {
	db, err := p.openDatabase(ctx)
	if err != nil {
		return "", err
	}
	p.undo.push(db.Close)
	grpc, err := boot.Listen(ctx, "manager-grpc", p.o.ManagerGRPC)
	if err != nil {
		return "", err
	}
	p.undo.push(func() error { grpc.Close(); return nil })
	http, err := boot.Listen(ctx, "manager-http", p.o.ManagerHTTP)
	if err != nil {
		return "", err
	}
	log := p.log.WithField("part", "manager")
	m, err := manager.New(manager.Options{Store: db, Log: log, Registry: p.reg, Version: boot.Version(), LocalAdmin: p.o.LocalAdmin,
		URL: p.o.ManagerURL, SSO: sso.Offer(p.o.OIDC)})
	if err == nil {
		err = boot.FirstLogin(ctx, m.People(), p.out)
	}
	if err != nil {
		http.Close()
		return "", err
	}
	srv := rpc.NewServer(rpc.ServerOptions{Log: log, Registry: p.reg, Tracer: p.traces.Tracer("dfmanager", ""), MaxConns: rpc.ClusterMaxConns})
	m.Register(srv)
	m.RegisterAdmin(srv)
	web := boot.DebugHandler(p.reg, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), managerReadyTimeout)
		defer cancel()
		return m.Ready(ctx)
	})
	api, err := m.REST()
	if err != nil {
		http.Close()
		return "", err
	}
	web.Handle(manager.APIPrefix, api)
	pages, err := m.Console()
	if err != nil {
		http.Close()
		return "", err
	}
	web.Handle("/", pages)
	door, err := sso.Provider(p.o.OIDC, p.o.ManagerURL, m.People(), log)
	if err != nil {
		http.Close()
		return "", err
	}
	if door != nil {
		web.Handle(oidc.Prefix, door)
	}
	// In this order the manager still writes what the last calls said.
	p.run(m.Run)
	p.run(func(ctx context.Context) error { return srv.Serve(ctx, grpc) })
	p.run(func(ctx context.Context) error { return boot.ServeHTTP(ctx, http, web) })
	log.WithFields(logrus.Fields{"grpc": grpc.Addr().String(), "http": http.Addr().String()}).Info("listening")
	return dialable(grpc.Addr(), "127.0.0.1"), nil
}

// openDatabase opens the manager's database, by default a file in the data dir.
func (p *process) openDatabase(ctx context.Context) (*store.Store, error) {
	name := p.o.Database
	if name == "" {
		if err := os.MkdirAll(p.o.DataDir, 0o700); err != nil {
			return nil, pieces.WithKind(pieces.KindOf(err), err, "--data-dir")
		}
		name = "sqlite:" + filepath.Join(p.o.DataDir, "manager.db")
	}
	if err := store.Check(name); err != nil {
		return nil, pieces.WithKind(pieces.Invalid, err, "--database")
	}
	db, err := store.Open(ctx, name)
	if err != nil {
		return nil, pieces.WithKind(pieces.KindOf(err), err, "--database")
	}
	return db, nil
}

func (p *process) startScheduler(ctx context.Context, managerAddr string) error {
	lis, err := boot.Listen(ctx, "scheduler-listen", p.o.SchedulerListen)
	if err != nil {
		return err
	}
	p.undo.push(func() error { lis.Close(); return nil })
	ip, _ := p.addresses()
	advertise := dialable(lis.Addr(), ip)
	log := p.log.WithField("part", "scheduler")
	tracer := p.traces.Tracer("dfscheduler", "")
	s, err := scheduler.New(scheduler.Options{
		Advertise: advertise, Managers: []string{managerAddr}, Tracer: tracer, Registry: p.reg, Log: log,
	})
	if err != nil {
		return err
	}
	srv := rpc.NewServer(rpc.ServerOptions{Log: log, Registry: p.reg, Tracer: tracer, MaxConns: rpc.ClusterMaxConns})
	s.Register(srv)
	p.run(s.Run)
	p.run(func(ctx context.Context) error { return srv.Serve(ctx, lis) })
	log.WithFields(logrus.Fields{"listen": lis.Addr().String(), "advertise": advertise}).Info("listening")
	return nil
}

// meetScheduler waits until the host knows its own scheduler, so that its first
// reader takes part in the cluster.
func (p *process) meetScheduler(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, meetTimeout)
	defer cancel()
	tick := time.NewTicker(meetPoll)
	defer tick.Stop()
	for {
		st, err := p.daemon.Control().Status(ctx)
		if err != nil {
			return err
		}
		if len(st.Schedulers) > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			p.log.Warn("the manager does not list the scheduler yet; until then origins are read alone")
			return nil
		case <-tick.C:
		}
	}
}

// dialable is the address of a listener as others dial it: one that listens
// everywhere is reached at ip.
func dialable(a net.Addr, ip string) string {
	tcp := a.(*net.TCPAddr)
	if !tcp.IP.IsUnspecified() {
		return tcp.String()
	}
	return net.JoinHostPort(ip, strconv.Itoa(tcp.Port))
}
