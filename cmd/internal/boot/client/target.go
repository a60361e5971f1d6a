package client

import (
	"path/filepath"

	"github.com/spf13/pflag"

	"damselfly/cmd/internal/boot"
	"damselfly/cmd/internal/boot/hostcfg"
	"damselfly/cmd/internal/boot/tracing"
	"damselfly/pieces"
)

// Flags choose a daemon and say how to start it.
type Flags struct {
	Socket string
	Config string
	Mount  []string
}

// Bind adds --socket, --config and -o.
func (f *Flags) Bind(fs *pflag.FlagSet) {
	env := boot.ProcessEnv()
	usual := env
	usual.Getenv = func(name string) string {
		if name == "DAMSELFLY_SOCKET" {
			return ""
		}
		return env.Getenv(name)
	}
	fs.StringVar(&f.Socket, "socket", "", "control socket of the daemon (default: $DAMSELFLY_SOCKET, else "+usual.Socket()+")")
	fs.StringVar(&f.Config, "config", "", "YAML file of the daemon (default "+env.ConfigFile("dfdaemon")+")")
	fs.StringArrayVarP(&f.Mount, "options", "o", nil, "for the dfdaemon that is started: manager=HOST:PORT,scheduler=HOST:PORT,…")
}

// Target is a daemon that runs or can be started.
type Target struct {
	Socket string
	// Program is the dfdaemon to start; empty: beside this program, or in PATH.
	Program string
	// Args are its arguments after --socket.
	Args []string
	// LogFile, in DataDir, gets what it prints.
	LogFile, DataDir string
	// Chosen: the user said more than which daemon, so it matters if one runs
	// already.
	Chosen bool
	// Trace is how the daemon's file says that it traces.
	Trace tracing.Options
}

// Target reads the flags and the daemon's config file. The socket is that of
// --socket, else of -o, else of DAMSELFLY_SOCKET, else of the file, else the
// default.
func (f *Flags) Target(env boot.Env) (Target, error) {
	m, err := ParseMountOptions(f.Mount)
	if err != nil {
		return Target{}, err
	}
	config := firstOf(f.Config, m.Config)
	o := hostcfg.Defaults(env)
	if err := boot.ReadConfig(firstOf(config, env.ConfigFile("dfdaemon")), config != "", &o); err != nil {
		return Target{}, err
	}
	if env.Getenv != nil {
		o.Socket = firstOf(env.Getenv("DAMSELFLY_SOCKET"), o.Socket)
	}
	o.Socket = firstOf(f.Socket, m.Socket, o.Socket)
	o.DataDir = firstOf(m.DataDir, o.DataDir)
	if err := o.Check(); err != nil {
		return Target{}, err
	}
	t := Target{Socket: o.Socket, DataDir: o.DataDir, LogFile: filepath.Join(o.DataDir, "dfdaemon.log"), Chosen: len(m.Daemon) > 0, Trace: o.Trace}
	if config != "" {
		if config, err = filepath.Abs(config); err != nil {
			return Target{}, pieces.WithKind(pieces.Invalid, err, "--config")
		}
		t.Args = append(t.Args, "--config", config)
	}
	t.Args = append(t.Args, "--data-dir", o.DataDir)
	for _, arg := range m.Daemon {
		if m.DataDir == "" || arg != "--data-dir="+m.DataDir {
			t.Args = append(t.Args, arg)
		}
	}
	return t, nil
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
