package boot

import (
	"os"
	"path/filepath"
	"strconv"
)

// Env is what the default paths depend on; the zero value is an ordinary user
// without any variable set.
type Env struct {
	// UID is the effective user.
	UID int
	// Getenv looks a variable up, "" if unset.
	Getenv func(string) string
}

// ProcessEnv is the Env of this process.
func ProcessEnv() Env { return Env{UID: os.Geteuid(), Getenv: os.Getenv} }

func (e Env) get(name string) string {
	if e.Getenv == nil {
		return ""
	}
	return e.Getenv(name)
}

// dir returns the XDG directory in variable, else fallback below the home.
func (e Env) dir(variable string, fallback ...string) string {
	if d := e.get(variable); filepath.IsAbs(d) {
		return d
	}
	home := e.get("HOME")
	if home == "" {
		home = filepath.Join(os.TempDir(), "damselfly-"+strconv.Itoa(e.UID))
	}
	return filepath.Join(append([]string{home}, fallback...)...)
}

// DataDir is where a binary keeps what outlives it: root /var/lib/damselfly,
// others $XDG_STATE_HOME/damselfly.
func (e Env) DataDir() string {
	if e.UID == 0 {
		return "/var/lib/damselfly"
	}
	return filepath.Join(e.dir("XDG_STATE_HOME", ".local", "state"), "damselfly")
}

// Socket is the daemon's control socket: $DAMSELFLY_SOCKET, else as root
// /run/damselfly/daemon.sock, others $XDG_RUNTIME_DIR/damselfly.sock (without
// that variable a file in the data dir).
func (e Env) Socket() string {
	if s := e.get("DAMSELFLY_SOCKET"); s != "" {
		return s
	}
	if e.UID == 0 {
		return "/run/damselfly/daemon.sock"
	}
	if d := e.get("XDG_RUNTIME_DIR"); filepath.IsAbs(d) {
		return filepath.Join(d, "damselfly.sock")
	}
	return filepath.Join(e.DataDir(), "damselfly.sock")
}

// ConfigFile is the default --config of a binary: /etc/damselfly/NAME.yaml,
// for others than root $XDG_CONFIG_HOME/damselfly/NAME.yaml.
func (e Env) ConfigFile(binary string) string {
	if e.UID == 0 {
		return filepath.Join("/etc/damselfly", binary+".yaml")
	}
	return filepath.Join(e.dir("XDG_CONFIG_HOME", ".config"), "damselfly", binary+".yaml")
}
