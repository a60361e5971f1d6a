package hostcfg

import (
	"cmp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/boot"
	"damselfly/pieces"
)

func user() boot.Env {
	return boot.Env{UID: 7, Getenv: func(k string) string { return map[string]string{"HOME": "/h", "XDG_RUNTIME_DIR": "/r"}[k] }}
}

func TestDefaultsAreRight(t *testing.T) {
	o := Defaults(user())
	require.NoError(t, o.Check())
	require.True(t, o.Alone())
	require.Equal(t, "/h/.local/state/damselfly", o.DataDir)
	require.Equal(t, "/r/damselfly.sock", o.Socket)
}

// Every flag's name is a key of the file, so that a file can say all that the
// command line can.
func TestEveryFlagIsAKey(t *testing.T) {
	o := Defaults(user())
	fs := pflag.NewFlagSet("dfdaemon", pflag.ContinueOnError)
	o.Flags(fs)
	values := map[string]string{"bool": "true", "int": "5", "size": "5MiB", "rate": "5MiB", "duration": "5s", "key=value": "{a: b}", "string": "a", "stringSlice": "[a]", "stringArray": "[a]", "float64": "0.5"}
	nested := map[string]string{"log-level": "log: {level: debug}", "log-format": "log: {format: json}", "oidc-role": "oidc: {roles: {a: b}}"}
	fs.VisitAll(func(f *pflag.Flag) {
		key := f.Name + ": " + values[f.Value.Type()]
		group, inner, _ := strings.Cut(f.Name, "-")
		switch {
		case nested[f.Name] != "":
			key = nested[f.Name]
		case group == "oidc", group == "trace":
			key = group + ": {" + inner + ": " + values[f.Value.Type()] + "}"
		}
		before := f.Value.String()
		require.NoError(t, boot.DecodeConfig("f", []byte(key), &o), f.Name)
		require.NotEqual(t, before, f.Value.String(), f.Name)
	})
	require.NoError(t, boot.DecodeConfig("f", []byte("fuse: {read-deadline: 5s, helper: true}"), &o))
	require.Equal(t, 5*time.Second, o.FUSE.ReadDeadline)
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.Cluster = "EU west" }, `--cluster: cluster "EU west": want 1 to 63`},
		{func(o *Options) { o.Managers = []string{"m"} }, `--manager "m": want HOST:PORT`},
		{func(o *Options) { o.Schedulers = []string{":8002"} }, `--scheduler ":8002": want HOST:PORT`},
		{func(o *Options) { o.PeerPort = 70000 }, "--peer-port 70000: want a port"},
		{func(o *Options) { o.Supervisor.Beat = -1 }, "supervisor: beat, mute and restart-every can't be negative"},
		{func(o *Options) { o.Supervisor.Mute = time.Second }, "supervisor: mute 1s: want at least three beats (of 1s)"},
		{func(o *Options) { o.Restart, o.Supervisor.Off = true, true }, "--restart: it is the supervisor that restarts"},
		{func(o *Options) { o.UploadPort = -1 }, "--upload-port -1: want a port"},
		{func(o *Options) { o.AdvertiseIP = "host" }, `--advertise-ip "host": want the IP address`},
		{func(o *Options) { o.AdvertiseIP = "0.0.0.0" }, "--advertise-ip"},
		{func(o *Options) { o.Metrics = "9000" }, `--metrics "9000": want HOST:PORT`},
		{func(o *Options) { o.DataDir = "" }, "--data-dir is empty"},
		{func(o *Options) { o.Socket = "" }, "--socket is empty"},
		{func(o *Options) { o.IdleTimeout = -1 }, "--idle-timeout"},
		{func(o *Options) { o.CacheSize = 0 }, "--cache-size 0"},
		{func(o *Options) { o.AllInOne, o.Managers = true, []string{"m:1"} }, "--all-in-one brings its own"},
		{func(o *Options) { o.Database = "postgres://db/x" }, "--database is for the manager of an --all-in-one daemon"},
		{func(o *Options) { o.LocalAdmin = true }, "--insecure-local-admin is for"},
		{func(o *Options) { o.ManagerURL = "https://m" }, "--manager-url is for"},
		{func(o *Options) { o.OIDC.Issuer = "https://login" }, "--oidc-issuer is for"},
	} {
		o := Defaults(user())
		c.change(&o)
		err := cmp.Or(o.Check(), o.CheckManager())
		require.ErrorContains(t, err, c.want)
		require.Equal(t, pieces.Invalid, pieces.KindOf(err))
	}
}

func TestPathsBecomeAbsolute(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	o := Defaults(user())
	o.DataDir, o.Mounts = "d", []string{"m/../n"}
	require.NoError(t, o.Check())
	require.Equal(t, dir+"/d", o.DataDir)
	require.Equal(t, []string{dir + "/n"}, o.Mounts)
}
