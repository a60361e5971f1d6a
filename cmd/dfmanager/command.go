package main

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"damselfly/cmd/internal/boot"
	"damselfly/cmd/internal/boot/sso"
	"damselfly/cmd/internal/boot/tracing"
	"damselfly/manager"
	"damselfly/manager/jobs"
	"damselfly/manager/oidc"
	"damselfly/manager/people"
	"damselfly/manager/store"
	"damselfly/pieces"
	"damselfly/proto/rpc"
)

// options of dfmanager; the yaml tags are the keys of its config file.
type options struct {
	GRPC     string `yaml:"grpc"`
	HTTP     string `yaml:"http"`
	Database string `yaml:"database"`
	// URL is how browsers reach this manager.
	URL string `yaml:"url"`
	// LocalAdmin takes callers on this machine for administrators.
	LocalAdmin bool `yaml:"insecure-local-admin"`
	// KeepAlive is how often schedulers and hosts are to say that they live.
	KeepAlive time.Duration `yaml:"keep-alive"`
	// JobLease is how long a job waits for a manager that died.
	JobLease time.Duration `yaml:"job-lease"`
	// SessionIdle and SessionLife end sessions.
	SessionIdle time.Duration    `yaml:"session-idle"`
	SessionLife time.Duration    `yaml:"session-life"`
	AuditKeep   time.Duration    `yaml:"audit-keep"`
	OIDC        boot.OIDCOptions `yaml:"oidc"`
	Trace       tracing.Options  `yaml:"trace"`
	Log         boot.LogOptions  `yaml:"log"`
}

func defaults() options {
	return options{
		GRPC:        ":65003",
		HTTP:        "127.0.0.1:8080",
		Database:    "sqlite:" + filepath.Join(boot.ProcessEnv().DataDir(), "manager.db"),
		KeepAlive:   manager.DefaultKeepAlive,
		JobLease:    jobs.DefaultLease,
		SessionIdle: people.DefaultIdle,
		SessionLife: people.DefaultSession,
		AuditKeep:   people.DefaultAuditKeep,
		Trace:       tracing.Defaults(),
	}
}

func newCommand() *cobra.Command {
	o := defaults()
	cmd := &cobra.Command{
		Use:   "dfmanager",
		Short: "Manager of a Damselfly cluster: registry, config, catalogue of URLs, jobs",
		Long: `Dfmanager is the control plane of a cluster. Schedulers and daemons speak to it
over gRPC; people use dfctl, or REST under /api/v1/ (described by
/api/v1/openapi.json). Several managers may share one PostgreSQL: each can take
any call, and each goes on with the jobs of one that died.

The first start makes the user admin and prints its password to stdout, once.
Log in with it ('dfctl login', or the console) and make users for the others;
'dfmanager users reset-password' on this machine helps when it is lost.`,
		Example: `  # serve hosts on port 65003, REST, metrics and health on 127.0.0.1:8080
  dfmanager

  # one of several managers on one PostgreSQL
  dfmanager --database 'postgres://damselfly:PASSWORD@db.example.org/damselfly'

  # another database, any free ports
  dfmanager --database sqlite:/srv/damselfly/manager.db --grpc :0 --http 127.0.0.1:0`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := boot.LoadConfig(cmd, &o); err != nil {
				return err
			}
			return run(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	boot.ConfigFlag(cmd.Flags(), "dfmanager")
	o.Log.Flags(cmd.Flags())
	cmd.Flags().StringVar(&o.GRPC, "grpc", o.GRPC, "serve schedulers and daemons on HOST:PORT; port 0 is any")
	cmd.Flags().StringVar(&o.HTTP, "http", o.HTTP, "serve the REST API, /metrics and /healthz on HOST:PORT; port 0 is any")
	databaseFlag(cmd, &o)
	cmd.Flags().StringVar(&o.URL, "url", o.URL, "how browsers reach this manager, https://HOST[:PORT], if a proxy ends TLS for it")
	cmd.Flags().DurationVar(&o.KeepAlive, "keep-alive", o.KeepAlive, "have schedulers and hosts say so often that they live; the same for all managers of a database")
	cmd.Flags().DurationVar(&o.JobLease, "job-lease", o.JobLease, "take up a job whose manager has said nothing for so long; the same for all managers of a database")
	cmd.Flags().DurationVar(&o.SessionIdle, "session-idle", o.SessionIdle, "end sessions that were not used for so long")
	cmd.Flags().DurationVar(&o.SessionLife, "session-life", o.SessionLife, "end sessions after so long in any case")
	cmd.Flags().DurationVar(&o.AuditKeep, "audit-keep", o.AuditKeep, "keep the audit log for so long")
	cmd.Flags().BoolVar(&o.LocalAdmin, "insecure-local-admin", o.LocalAdmin, "for trials: everybody on this machine is administrator, without a password")
	o.OIDC.Flags(cmd.Flags(), "", "url")
	o.Trace.EndpointFlag(cmd.Flags())
	cmd.AddCommand(newUsersCommand(), newBackupCommand())
	return cmd
}

func databaseFlag(cmd *cobra.Command, o *options) {
	cmd.Flags().StringVar(&o.Database, "database", o.Database, "keep everything in sqlite:PATH, or for several managers in postgres://USER:PASSWORD@HOST/DATABASE")
}

// Bounds of --keep-alive: nodes take no others.
const (
	leastKeepAlive = 10 * time.Millisecond
	mostKeepAlive  = 10 * time.Minute
)

// leastJobLease is what a busy machine keeps up with: it is renewed at least six
// times in a lease.
const leastJobLease = time.Second

// readyTimeout bounds the question that /healthz asks the database.
const readyTimeout = 2 * time.Second

// run serves until ctx ends. The first password goes to stdout, the log to
// stderr.
func run(ctx context.Context, o options, stdout, stderr io.Writer) (err error) {
	log, err := o.Log.Logger(stderr, "dfmanager")
	if err != nil {
		return err
	}
	defer boot.FollowLevelSignals(log)()
	if err := store.Check(o.Database); err != nil {
		return pieces.WithKind(pieces.Invalid, err, "--database")
	}
	if o.KeepAlive < leastKeepAlive || o.KeepAlive > mostKeepAlive {
		return pieces.Errorf(pieces.Invalid, "--keep-alive %s: want %s to %s", o.KeepAlive, leastKeepAlive, mostKeepAlive)
	}
	if o.JobLease < leastJobLease {
		return pieces.Errorf(pieces.Invalid, "--job-lease %s: want %s or more", o.JobLease, leastJobLease)
	}
	grpcLis, err := boot.Listen(ctx, "grpc", o.GRPC)
	if err != nil {
		return err
	}
	defer grpcLis.Close()
	httpLis, err := boot.Listen(ctx, "http", o.HTTP)
	if err != nil {
		return err
	}
	defer httpLis.Close()
	db, err := openStore(ctx, o.Database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	reg := boot.NewRegistry()
	traces, err := tracing.Start(o.Trace, boot.Version(), reg, log)
	if err != nil {
		return err
	}
	defer traces.Close()
	m, err := manager.New(manager.Options{
		Store: db, Log: log, Registry: reg, KeepAlive: o.KeepAlive, Jobs: jobs.Options{Lease: o.JobLease},
		Version: boot.Version(), URL: o.URL, LocalAdmin: o.LocalAdmin, SSO: sso.Offer(o.OIDC),
		People: people.Options{Idle: o.SessionIdle, Session: o.SessionLife, AuditKeep: o.AuditKeep},
	})
	if err != nil {
		return err
	}
	if o.LocalAdmin {
		log.Warn("everybody on this machine is administrator without a password: --insecure-local-admin")
	}
	srv := rpc.NewServer(rpc.ServerOptions{Log: log, Registry: reg, Tracer: traces.Tracer("dfmanager", ""), MaxConns: rpc.ClusterMaxConns, ConnShare: 2})
	m.Register(srv)
	m.RegisterAdmin(srv)
	web := boot.DebugHandler(reg, func() error {
		ctx, cancel := context.WithTimeout(ctx, readyTimeout)
		defer cancel()
		return m.Ready(ctx)
	})
	api, err := m.REST()
	if err != nil {
		return err
	}
	web.Handle(manager.APIPrefix, api)
	pages, err := m.Console()
	if err != nil {
		return err
	}
	web.Handle("/", pages)
	door, err := sso.Provider(o.OIDC, o.URL, m.People(), log)
	if err != nil {
		return err
	}
	if door != nil {
		web.Handle(oidc.Prefix, door)
	}

	// Last, when nothing can stand in the way of the one who reads it.
	if err := boot.FirstLogin(ctx, m.People(), stdout); err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	// Run goes on until the last call was answered, so that it is written too.
	runCtx, served := context.WithCancel(context.WithoutCancel(ctx))
	all.Go(func() error { return m.Run(runCtx) })
	all.Go(func() error {
		defer served()
		return srv.Serve(ctx, grpcLis)
	})
	all.Go(func() error { return boot.ServeHTTP(ctx, httpLis, web) })
	log.WithFields(logrus.Fields{
		"grpc": grpcLis.Addr().String(), "http": httpLis.Addr().String(), "software": boot.Version(),
	}).Info("manager is ready")
	boot.Announce(log, boot.StateReady)
	context.AfterFunc(ctx, func() { boot.Announce(log, boot.StateStopping) })
	err = all.Wait()
	log.Info("manager stopped")
	return err
}

// openStore opens the database; one that can't be what was meant is a usage
// error.
func openStore(ctx context.Context, name string) (*store.Store, error) {
	db, err := store.Open(ctx, name)
	switch pieces.KindOf(err) {
	case pieces.Denied, pieces.Integrity, pieces.Invalid:
		return nil, pieces.WithKind(pieces.Invalid, err, "--database")
	}
	return db, err
}
