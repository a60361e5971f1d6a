package client

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/boot"
	"damselfly/daemon/control"
	"damselfly/daemon/control/controltest"
	"damselfly/pieces"
)

// The test binary plays dfdaemon when this variable is set.
const playDaemon = "TEST_PLAY_DFDAEMON"

func TestMain(m *testing.M) {
	switch os.Getenv(playDaemon) {
	case "":
		os.Exit(m.Run())
	case "refuse":
		fmt.Fprintln(os.Stderr, "some log\ndfdaemon: --cache-size big: want a size")
		os.Exit(boot.ExitUsage)
	case "fail":
		os.Exit(1)
	}
	if err := serve(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "dfdaemon:", err)
		os.Exit(boot.ExitCode(err))
	}
}

// serve is a dfdaemon that leaves after its last umount.
func serve(args []string) error {
	lis, err := control.Listen(args[2], false)
	if err != nil {
		return err
	}
	defer lis.Close()
	fmt.Println(strings.Join(args[1:], " "))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	mounts := &leaving{stop: stop}
	return control.NewServer(control.Options{Engine: &controltest.Engine{}, Mounts: mounts, Version: "test"}).Serve(ctx, lis)
}

type leaving struct {
	controltest.Mounts
	stop func()
}

func (m *leaving) Unmount(context.Context, string, bool) (bool, error) {
	m.stop()
	return true, nil
}

func target(t *testing.T, role string) Target {
	t.Helper()
	t.Setenv(playDaemon, role)
	self, err := os.Executable()
	require.NoError(t, err)
	dir := t.TempDir()
	return Target{Socket: filepath.Join(dir, "run", "d.sock"), Program: self, LogFile: filepath.Join(dir, "data", "dfdaemon.log")}
}

func TestConnectStartsOneDaemonForAll(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	to := target(t, "serve")
	to.Args = []string{"--config", "/c.yaml"}
	_, err := to.Find(ctx)
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err))
	require.ErrorContains(t, err, "'dfmount MOUNTPOINT' starts one")

	const askers = 8
	pids := make([]int, askers)
	var starts [askers]bool
	var wg sync.WaitGroup
	for i := range askers {
		wg.Go(func() {
			c, started, err := to.Connect(ctx, "--idle-timeout", "5m")
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			p, err := c.Ping(ctx)
			if err != nil {
				t.Error(err)
			}
			pids[i], starts[i] = p.PID, started
		})
	}
	wg.Wait()
	count := 0
	for i := range askers {
		require.Equal(t, pids[0], pids[i])
		if starts[i] {
			count++
		}
	}
	require.Equal(t, 1, count)
	out, err := os.ReadFile(to.LogFile)
	require.NoError(t, err)
	require.Equal(t, "--socket "+to.Socket+" --config /c.yaml --idle-timeout 5m\n", string(out))

	c, err := to.Find(ctx)
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Unmount(ctx, "/", false)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return !control.Served(to.Socket) }, 10*time.Second, 5*time.Millisecond)
}

func TestConnectSaysWhyTheDaemonDidNotStart(t *testing.T) {
	for _, c := range []struct {
		role string
		kind pieces.Kind
		want string
	}{
		{"refuse", pieces.Invalid, "dfdaemon did not start: --cache-size big: want a size"},
		{"fail", pieces.Unavailable, "dfdaemon did not start: it ended without a word; its log is "},
	} {
		_, _, err := target(t, c.role).Connect(context.Background())
		require.ErrorContains(t, err, c.want)
		require.Equal(t, c.kind, pieces.KindOf(err))
	}
	missing := target(t, "serve")
	missing.Program = "/nonexistent/dfdaemon"
	_, _, err := missing.Connect(context.Background())
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err))

	nowhere := target(t, "serve")
	nowhere.Socket = "/dev/null/d.sock"
	_, _, err = nowhere.Connect(context.Background())
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err))
}

func TestConnectWaitsForWhoStartsAlready(t *testing.T) {
	to := target(t, "fail") // would fail if we started it
	lis, err := control.Listen(to.Socket, false)
	require.NoError(t, err)
	defer lis.Close()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	defer func() {
		cancel()
		require.NoError(t, <-done)
	}()
	time.AfterFunc(200*time.Millisecond, func() {
		done <- control.NewServer(control.Options{Engine: &controltest.Engine{}, Mounts: &controltest.Mounts{}}).Serve(ctx, lis)
	})
	c, started, err := to.Connect(ctx)
	require.NoError(t, err)
	require.False(t, started)
	c.Close()
}

func TestTarget(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "d.yaml")
	require.NoError(t, os.WriteFile(file, []byte("socket: /from/file\ndata-dir: /data\n"), 0o600))
	env := func(socket string) boot.Env {
		return boot.Env{UID: 7, Getenv: func(k string) string {
			return map[string]string{"HOME": dir, "DAMSELFLY_SOCKET": socket}[k]
		}}
	}
	for _, c := range []struct {
		name   string
		flags  Flags
		env    string
		socket string
		args   string
	}{
		{"defaults", Flags{}, "", dir + "/.local/state/damselfly/damselfly.sock", "--data-dir " + dir + "/.local/state/damselfly"},
		{"file", Flags{Config: file}, "", "/from/file", "--config " + file + " --data-dir /data"},
		{"file by -o", Flags{Mount: []string{"config=" + file}}, "", "/from/file", "--config " + file + " --data-dir /data"},
		{"environment", Flags{Config: file}, "/from/env", "/from/env", "--config " + file + " --data-dir /data"},
		{"-o", Flags{Mount: []string{"socket=/o,data-dir=/d"}}, "/from/env", "/o", "--data-dir /d"},
		{"flag", Flags{Socket: "/flag", Mount: []string{"ro,manager=a:1,b:2,seed-peer", "scheduler=c:3"}}, "/from/env", "/flag",
			"--data-dir " + dir + "/.local/state/damselfly --manager=a:1 --manager=b:2 --seed-peer --scheduler=c:3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.flags.Target(env(c.env))
			require.NoError(t, err)
			require.Equal(t, c.socket, got.Socket)
			require.Equal(t, c.args, strings.Join(got.Args, " "))
		})
	}
	got, err := ParseMountOptions([]string{"rw,_netdev,x-systemd.automount,X-mount.mkdir,nofail,lazytime", "uid=7,umask=077,allow_other,fsname=here"})
	require.NoError(t, err)
	require.Equal(t, MountOptions{Mount: []string{"uid=7", "umask=077", "allow_other", "source=here"}}, got)
	got, err = ParseMountOptions([]string{"sloppy,nobody-knows,manager=a:1", "wsize=5"})
	require.NoError(t, err)
	require.Equal(t, MountOptions{Daemon: []string{"--manager=a:1"}}, got)
	for _, bad := range []string{"uid", "allow_other=1", "nobody-knows", "remount"} {
		_, err := ParseMountOptions([]string{bad})
		require.Equal(t, pieces.Invalid, pieces.KindOf(err), bad)
	}
	broken := filepath.Join(dir, "broken.yaml")
	require.NoError(t, os.WriteFile(broken, []byte("sokket: x\n"), 0o600))
	for _, f := range []Flags{
		{Config: broken}, {Config: file + "x"}, {Mount: []string{"manager"}}, {Mount: []string{"manger=a:1"}},
		{Mount: []string{"a:1"}}, {Mount: []string{"data-dir=x,a:1"}},
	} {
		_, err := f.Target(env(""))
		require.Equal(t, pieces.Invalid, pieces.KindOf(err), "%v", f)
	}
}

func TestTaskFlags(t *testing.T) {
	f := TaskFlags{Digest: "SHA256:" + strings.Repeat("A", 64), Tag: "t", Headers: []string{"X-A: 1", "X-A:2", "Empty:"}}
	o, err := f.Options()
	require.NoError(t, err)
	require.EqualValues(t, "sha256:"+strings.Repeat("a", 64), o.Digest)
	require.Equal(t, []string{"1", "2"}, o.Header["X-A"])
	require.NoError(t, CheckURL("http://h/", o))
	require.Equal(t, pieces.Invalid, pieces.KindOf(CheckURL("h", o)))
	for _, bad := range []TaskFlags{
		{Digest: "sha256:12"}, {Digest: "x"}, {Headers: []string{"secret-without-colon"}}, {Headers: []string{"Range: bytes=0-secret"}},
		{Headers: []string{"A B: secret"}}, {Headers: []string{"A: secret\x01"}},
	} {
		_, err := bad.Options()
		require.Equal(t, pieces.Invalid, pieces.KindOf(err))
		require.False(t, bytes.Contains([]byte(err.Error()), []byte("secret")), err.Error())
	}
}
