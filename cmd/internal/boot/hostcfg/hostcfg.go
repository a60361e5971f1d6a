// Package hostcfg is the options of dfdaemon: its flags and its YAML file.
// dfmount and dfget read the same file, to find the daemon it describes and to
// refuse a broken one before they start a daemon with it.
package hostcfg

import (
	"cmp"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"damselfly/cmd/internal/boot"
	"damselfly/cmd/internal/boot/tracing"
	"damselfly/pieces"
)

// Default ports. If one is taken and was not asked for, any free one is used.
const (
	DefaultPeerPort   = 65000
	DefaultUploadPort = 65002
	DefaultMetrics    = "127.0.0.1:65001"
)

// Options of one daemon. Keys of the file are the names of the flags.
type Options struct {
	Managers []string `yaml:"manager"`
	// Cluster is the manager's for this host; empty: the manager chooses.
	Cluster    string   `yaml:"cluster"`
	Schedulers []string `yaml:"scheduler"`
	// SeedPeer makes this host a seed. AllInOne adds a manager and a scheduler
	// in the same process, and implies SeedPeer.
	SeedPeer bool `yaml:"seed-peer"`
	AllInOne bool `yaml:"all-in-one"`

	// AdvertiseIP is what other hosts dial; empty: found out.
	AdvertiseIP string `yaml:"advertise-ip"`
	PeerPort    int    `yaml:"peer-port"`
	UploadPort  int    `yaml:"upload-port"`
	Metrics     string `yaml:"metrics"`

	DataDir string `yaml:"data-dir"`
	Socket  string `yaml:"socket"`
	// Mounts are directories to mount on at start.
	Mounts []string `yaml:"mount"`

	CacheSize boot.Bytes `yaml:"cache-size"`
	// Memory in flight: pieces received but not yet on disk.
	Memory       boot.Bytes `yaml:"memory"`
	UploadRate   boot.Rate  `yaml:"upload-rate"`
	DownloadRate boot.Rate  `yaml:"download-rate"`
	OriginRate   boot.Rate  `yaml:"origin-rate"`

	// IdleTimeout ends a daemon that has had nothing to do for so long; 0
	// never.
	IdleTimeout time.Duration `yaml:"idle-timeout"`
	// UntilUnmount ends the daemon after its last umount.
	UntilUnmount bool `yaml:"until-unmount"`

	IDC      string      `yaml:"idc"`
	Location string      `yaml:"location"`
	Labels   boot.Labels `yaml:"label"`

	// Only with AllInOne.
	ManagerGRPC     string `yaml:"manager-grpc"`
	ManagerHTTP     string `yaml:"manager-http"`
	SchedulerListen string `yaml:"scheduler-listen"`
	Database        string `yaml:"database"`
	LocalAdmin      bool   `yaml:"insecure-local-admin"`
	// ManagerURL is how browsers reach the manager.
	ManagerURL string           `yaml:"manager-url"`
	OIDC       boot.OIDCOptions `yaml:"oidc"`

	// UploadSlots is how many uploads run at once; 0 is the default.
	UploadSlots int `yaml:"upload-slots"`

	// Restart has the supervisor start another daemon after one that ended
	// uncleanly or had to be ended.
	Restart bool `yaml:"restart"`

	FUSE       FUSEOptions       `yaml:"fuse"`
	Supervisor SupervisorOptions `yaml:"supervisor"`
	Times      TimeOptions       `yaml:"times"`
	Log        boot.LogOptions   `yaml:"log"`
	Trace      tracing.Options   `yaml:"trace"`
}

// SupervisorOptions tune the child that ends the mounts of a daemon that can't
// serve them; zero values are the defaults of package supervisor.
type SupervisorOptions struct {
	// Off starts none.
	Off bool `yaml:"off"`
	// Beat is how often the daemon says that it lives, Mute after how long
	// without that its mounts are ended.
	Beat time.Duration `yaml:"beat"`
	Mute time.Duration `yaml:"mute"`
	// RestartEvery is how much time lies between two starts, at least.
	RestartEvery time.Duration `yaml:"restart-every"`
}

// TimeOptions tune the daemon; zero values are the defaults of package daemon,
// where they are explained.
type TimeOptions struct {
	FactsTimeout time.Duration `yaml:"facts-timeout"`
	FactsFresh   time.Duration `yaml:"facts-fresh"`
	SumFresh     time.Duration `yaml:"sum-fresh"`
	SpoolTimeout time.Duration `yaml:"spool-timeout"`
	FailureMemo  time.Duration `yaml:"failure-memo"`
	LeaveTimeout time.Duration `yaml:"leave-timeout"`
}

// FUSEOptions tune the mounts; zero values are the defaults of package fusefs.
type FUSEOptions struct {
	ReadDeadline   time.Duration `yaml:"read-deadline"`
	LookupDeadline time.Duration `yaml:"lookup-deadline"`
	// Timeout is how long the kernel trusts names and attributes.
	Timeout       time.Duration `yaml:"timeout"`
	ReadAheadKiB  int           `yaml:"read-ahead-kib"`
	NoPassthrough bool          `yaml:"no-passthrough"`
	// Private keeps other users out even as root.
	Private bool `yaml:"private"`
	// Helper mounts with fusermount3 even as root.
	Helper bool `yaml:"helper"`
	// Options of every mount, as after -o: allow_other, private, uid=N, gid=N,
	// umask=OCTAL.
	Options []string `yaml:"options"`
}

// Defaults are the options of a daemon about which nothing was said.
func Defaults(env boot.Env) Options {
	return Options{
		PeerPort: DefaultPeerPort, UploadPort: DefaultUploadPort, Metrics: DefaultMetrics,
		DataDir: env.DataDir(), Socket: env.Socket(),
		CacheSize:   50 << 30,
		ManagerGRPC: ":65003", ManagerHTTP: "127.0.0.1:8080", SchedulerListen: ":8002",
		Trace: tracing.Defaults(),
	}
}

// Flags binds all options to flags.
func (o *Options) Flags(fs *pflag.FlagSet) {
	fs.StringSliceVar(&o.Managers, "manager", o.Managers, "managers, HOST:PORT split by commas")
	fs.StringVar(&o.Cluster, "cluster", o.Cluster, "cluster of this host (default: the manager chooses by its scopes)")
	fs.StringSliceVar(&o.Schedulers, "scheduler", o.Schedulers, "schedulers, HOST:PORT split by commas, if there is no manager")
	fs.BoolVar(&o.SeedPeer, "seed-peer", o.SeedPeer, "be a seed: read from origins first, for the others")
	fs.BoolVar(&o.AllInOne, "all-in-one", o.AllInOne, "run a manager, a scheduler and one seed host in this process")
	fs.StringVar(&o.AdvertiseIP, "advertise-ip", o.AdvertiseIP, "address that other hosts dial (default: found out)")
	fs.IntVar(&o.PeerPort, "peer-port", o.PeerPort, "port of the peer gRPC service (0 = any)")
	fs.IntVar(&o.UploadPort, "upload-port", o.UploadPort, "port of the HTTP piece server (0 = any)")
	fs.StringVar(&o.Metrics, "metrics", o.Metrics, "address of /metrics and /healthz")
	fs.StringVar(&o.DataDir, "data-dir", o.DataDir, "directory for the cache, the catalogue and the host's identity")
	fs.StringVar(&o.Socket, "socket", o.Socket, "control socket of this daemon")
	fs.StringArrayVar(&o.Mounts, "mount", o.Mounts, "mount on this directory (may be repeated)")
	fs.Var(&o.CacheSize, "cache-size", "most bytes kept in the cache")
	fs.Var(&o.Memory, "memory", "most bytes in flight in memory (0 = default)")
	fs.IntVar(&o.UploadSlots, "upload-slots", o.UploadSlots, "most uploads at once (0 = default)")
	fs.Var(&o.UploadRate, "upload-rate", "most bytes per second sent to other hosts (0 = unlimited)")
	fs.Var(&o.DownloadRate, "download-rate", "most bytes per second received (0 = unlimited)")
	fs.Var(&o.OriginRate, "origin-rate", "most bytes per second read from origins (0 = unlimited)")
	fs.DurationVar(&o.IdleTimeout, "idle-timeout", o.IdleTimeout, "stop after being idle for so long: no mount, open handle, download or upload (0 = never)")
	fs.BoolVar(&o.UntilUnmount, "until-unmount", o.UntilUnmount, "stop after the last umount")
	fs.BoolVar(&o.Restart, "restart", o.Restart, "with mounts: start another daemon after one that died or hangs")
	fs.StringVar(&o.IDC, "idc", o.IDC, "data centre of this host")
	fs.StringVar(&o.Location, "location", o.Location, "where this host is, from wide to narrow: 'country|region|rack'")
	fs.Var(&o.Labels, "label", "label of this host (may be repeated)")
	fs.StringVar(&o.ManagerGRPC, "manager-grpc", o.ManagerGRPC, "all-in-one: listen address of the manager")
	fs.StringVar(&o.ManagerHTTP, "manager-http", o.ManagerHTTP, "all-in-one: HTTP address of the manager")
	fs.StringVar(&o.SchedulerListen, "scheduler-listen", o.SchedulerListen, "all-in-one: listen address of the scheduler")
	fs.StringVar(&o.Database, "database", o.Database, "all-in-one: database of the manager (default: sqlite in the data dir)")
	fs.BoolVar(&o.LocalAdmin, "insecure-local-admin", o.LocalAdmin, "all-in-one, for trials: everybody on this machine is administrator of the manager, without a password")
	fs.StringVar(&o.ManagerURL, "manager-url", o.ManagerURL, "all-in-one: how browsers reach the manager, https://HOST[:PORT], if a proxy ends TLS for it")
	o.OIDC.Flags(fs, "all-in-one: ", "manager-url")
	o.Log.Flags(fs)
	o.Trace.Flags(fs)
}

// Check returns an Invalid error that names the first option that can't be,
// after making paths absolute.
func (o *Options) Check() error {
	if err := boot.CheckPeerAddrs("manager", o.Managers); err != nil {
		return err
	}
	if err := boot.CheckPeerAddrs("scheduler", o.Schedulers); err != nil {
		return err
	}
	if o.Cluster != "" {
		if err := pieces.CheckCluster(o.Cluster); err != nil {
			return pieces.WithKind(pieces.Invalid, err, "--cluster")
		}
	}
	for flag, port := range map[string]int{"peer-port": o.PeerPort, "upload-port": o.UploadPort} {
		if port < 0 || port > 65535 {
			return invalid("--%s %d: want a port from 0 to 65535", flag, port)
		}
	}
	if ip, err := netip.ParseAddr(o.AdvertiseIP); o.AdvertiseIP != "" && (err != nil || ip.IsUnspecified() || ip.IsMulticast()) {
		return invalid("--advertise-ip %.60q: want the IP address under which other hosts reach this one", o.AdvertiseIP)
	}
	if o.Metrics != "" {
		if err := boot.CheckAddr("metrics", o.Metrics); err != nil {
			return err
		}
	}
	switch {
	case o.DataDir == "":
		return invalid("--data-dir is empty: give a directory that is to hold the cache")
	case o.Socket == "":
		return invalid("--socket is empty: give a path for the control socket")
	case o.UploadSlots < 0:
		return invalid("--upload-slots %d: want 0 (default) or more", o.UploadSlots)
	case o.IdleTimeout < 0:
		return invalid("--idle-timeout %s: want 0 (never) or more", o.IdleTimeout)
	case o.Supervisor.Beat < 0, o.Supervisor.Mute < 0, o.Supervisor.RestartEvery < 0:
		return invalid("supervisor: beat, mute and restart-every can't be negative")
	case o.Supervisor.Mute > 0 && o.Supervisor.Mute < 3*cmp.Or(o.Supervisor.Beat, time.Second):
		return invalid("supervisor: mute %s: want at least three beats (of %s)", o.Supervisor.Mute, cmp.Or(o.Supervisor.Beat, time.Second))
	case o.Restart && o.Supervisor.Off:
		return invalid("--restart: it is the supervisor that restarts; leave out supervisor: {off: true}")
	case o.CacheSize == 0:
		return invalid("--cache-size 0: want at least 1MiB")
	case o.AllInOne && len(o.Managers)+len(o.Schedulers) > 0:
		return invalid("--all-in-one brings its own manager and scheduler: leave out --manager and --scheduler, or --all-in-one")
	}
	if err := o.Trace.Check(); err != nil {
		return err
	}
	return o.absolute()
}

// CheckManager refuses options that mean nothing without AllInOne; those that
// have defaults say nothing. It is the daemon's own check: others who read its
// file don't know with which flags it was started.
func (o *Options) CheckManager() error {
	name := ""
	switch {
	case o.AllInOne:
	case o.Database != "":
		name = "database"
	case o.LocalAdmin:
		name = "insecure-local-admin"
	case o.ManagerURL != "":
		name = "manager-url"
	case o.OIDC.Issuer != "":
		name = "oidc-issuer"
	}
	if name != "" {
		return invalid("--%s is for the manager of an --all-in-one daemon: add that, or give it to dfmanager", name)
	}
	return nil
}

func (o *Options) absolute() error {
	paths := []*string{&o.DataDir, &o.Socket}
	for i := range o.Mounts {
		paths = append(paths, &o.Mounts[i])
	}
	for _, p := range paths {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return pieces.WithKind(pieces.Invalid, err, "path "+*p)
		}
		*p = abs
	}
	return nil
}

// Alone reports whether this daemon takes part in no cluster.
func (o *Options) Alone() bool {
	return len(o.Managers) == 0 && len(o.Schedulers) == 0 && !o.AllInOne
}

func invalid(format string, args ...any) error {
	return pieces.Errorf(pieces.Invalid, format, args...)
}
