package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/boot"
	"damselfly/cmd/internal/boot/doctor"
	"damselfly/daemon/control"
	"damselfly/daemon/control/controltest"
	"damselfly/pieces"
)

const fileURL = "http://origin.test/file.bin"

// dfmount runs the command in the test's process.
func dfmount(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var o, e bytes.Buffer
	code = boot.Execute(ctx, newCommand(), args, &o, &e)
	return code, o.String(), e.String()
}

// ok wants success and returns what was printed.
func ok(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errOut := dfmount(t, args...)
	require.Zero(t, code, errOut)
	return out
}

// fake serves a fake daemon and points the environment at it.
func fake(t *testing.T) (*controltest.Engine, *controltest.Mounts) {
	t.Helper()
	e := &controltest.Engine{Contents: map[string][]byte{fileURL: make([]byte, 1<<20)}}
	socket, mounts := controltest.Serve(t, e, func(o *control.Options) {
		o.Doctor = func(context.Context) []control.Check {
			return []control.Check{{Name: "FUSE device", OK: true, Detail: "fine"}, {Name: "free space", Detail: "none left", Fix: "delete something"}}
		}
	})
	t.Setenv("DAMSELFLY_SOCKET", socket)
	return e, mounts
}

func TestMountAndUmount(t *testing.T) {
	_, mounts := fake(t)
	dir := t.TempDir()
	t.Chdir(dir)
	for _, d := range []string{"a", "b", "c"} {
		require.NoError(t, os.Mkdir(d, 0o755))
	}
	require.Empty(t, ok(t, "a"))
	require.Empty(t, ok(t, "mount", "label", "b", "-o", "rw,nosuid,_netdev"))
	require.JSONEq(t, `{"path":"`+dir+`/c","mounted":true}`, ok(t, "label", "c", "--json"))
	require.Len(t, mounts.List(), 3)

	require.Empty(t, ok(t, "umount", "a"))
	require.Empty(t, ok(t, "unmount", "--lazy", "b"))
	require.JSONEq(t, `{"path":"`+dir+`/c","mounted":false}`, ok(t, "umount", "-l", "c", "--json"))
	require.Empty(t, mounts.List())
}

func TestWorkWithTasks(t *testing.T) {
	_, mounts := fake(t)
	id := strings.TrimSpace(ok(t, "add", fileURL))
	require.Len(t, id, 64, "without a mount the id is printed")
	require.NoError(t, mounts.Mount(context.Background(), "/mnt/a", nil))
	require.Equal(t, "/mnt/a/"+id+"\n", ok(t, "add", fileURL))
	require.Equal(t, "/mnt/a/by-name/model\n", ok(t, "add", fileURL, "--name", "model"))
	require.JSONEq(t, `{"id":"`+id+`","paths":["/mnt/a/`+id+`"]}`, ok(t, "add", fileURL, "--json"))

	out := ok(t, "stat", "model")
	require.Regexp(t, `task +`+id+`\nURL +`+fileURL+`\nname +model\n`, out)
	require.Regexp(t, `size +1048576 \(1 MiB\)\n`, out)
	require.Regexp(t, `path +/mnt/a/`+id+"\n", out)
	var info control.TaskInfo
	require.NoError(t, json.Unmarshal([]byte(ok(t, "stat", fileURL, "--json")), &info))
	require.EqualValues(t, id, info.ID)
	require.EqualValues(t, 1<<20, info.Facts.Size)

	require.Regexp(t, `^TASK +SIZE +CACHED +STATE +AGE +SOURCE +NAME +URL\n`+id[:12]+` +1 MiB +- +idle +\d+d +- +model +`+fileURL+`\n$`, ok(t, "ls"))
	var list []control.TaskInfo
	require.NoError(t, json.Unmarshal([]byte(ok(t, "ls", "--json")), &list))
	require.Len(t, list, 1)

	require.JSONEq(t, `{"done":1048576,"total":1048576,"traffic":{"origin":1048576,"peers":0,"seeds":0,"cache":0,"uploaded":0}}`, ok(t, "warm", "/mnt/a/by-name/model", "--json"))
	_, _, errOut := dfmount(t, "warm", "model", "--range", "0-9")
	require.Regexp(t, `^dfmount: model: 10 B in `, errOut)
	require.Equal(t, "1 MiB freed\n", ok(t, "evict", id))
	require.JSONEq(t, `{"freed":1048576}`, ok(t, "rm", "model", "--json"))
	require.JSONEq(t, `[]`, ok(t, "ls", "--json"))
}

func TestStatus(t *testing.T) {
	_, mounts := fake(t)
	require.NoError(t, mounts.Mount(context.Background(), "/mnt/a", nil))
	out := ok(t, "status")
	for _, want := range []string{"daemon +test, pid ", `host +fake \(0123456789ab\), 127.0.0.1, ports 65000 and 65002`,
		`mount +/mnt/a \(no passthrough: fake\)`, `scheduler +s:8002 \(ok\)`, "cache +0 B of 1 TiB"} {
		require.Regexp(t, want, out)
	}
	var st control.Status
	require.NoError(t, json.Unmarshal([]byte(ok(t, "status", "--json")), &st))
	require.Equal(t, os.Getpid(), st.PID)
	require.Equal(t, controltest.Host.ID, st.Host.ID)
}

func TestDoctor(t *testing.T) {
	fake(t)
	code, out, errOut := dfmount(t, "doctor")
	require.Equal(t, boot.ExitFailed, code)
	require.Regexp(t, `(?m)^ok +FUSE device +fine$`, out)
	require.Regexp(t, `(?m)^WRONG +free space +none left\n +fix: delete something$`, out)
	require.Regexp(t, `(?m)^ok +daemon +answers at /`, out)
	require.Equal(t, "dfmount: 1 of 3 checks failed\n", errOut)

	var checks []control.Check
	code, out, _ = dfmount(t, "doctor", "--json")
	require.Equal(t, boot.ExitFailed, code)
	require.NoError(t, json.Unmarshal([]byte(out), &checks))
	require.Len(t, checks, 3)
}

func TestDoctorWithoutADaemon(t *testing.T) {
	t.Setenv("DAMSELFLY_SOCKET", filepath.Join(t.TempDir(), "none.sock"))
	var out bytes.Buffer
	a := &app{out: &out}
	err := runDoctor(context.Background(), a, doctor.System{Root: t.TempDir(), Kernel: "6.9"})
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err))
	require.Regexp(t, `(?m)^WRONG +FUSE device +/dev/fuse is missing\n +fix: load it with 'modprobe fuse'`, out.String())
	require.Regexp(t, `(?m)^WRONG +daemon +no daemon runs at .*none.sock`, out.String())
}

func TestErrors(t *testing.T) {
	fake(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("cache-size: large\n"), 0o600))
	ok(t, "add", fileURL, "--name", "taken")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{}, 2, "want a directory to mount on: dfmount [SOURCE] MOUNTPOINT (see 'dfmount --help')"},
		{[]string{"a", "b", "c"}, 2, "want a directory to mount on"},
		{[]string{"--nope"}, 2, "unknown flag: --nope (see 'dfmount --help')"},
		{[]string{"add", "--nope"}, 2, "unknown flag: --nope (see 'dfmount add --help')"},
		{[]string{filepath.Join(dir, "none")}, 2, "does not exist; make it with 'mkdir -p " + dir + "/none'"},
		{[]string{file}, 2, "is not a directory"},
		{[]string{"sttaus"}, 2, `"sttaus" is neither a command nor a directory; did you mean 'dfmount status'?`},
		{[]string{"xyzzy"}, 2, `"xyzzy" is neither a command nor a directory; see 'dfmount --help'`},
		{[]string{dir, "-o", "mangaer=a:1"}, 2, "-o mangaer=a:1: no such option; known are"},
		{[]string{dir, "--config", file}, 2, file + ":1: cache-size: size \"large\": want bytes"},
		{[]string{dir, "-o", "umask=999"}, 2, `mount option "umask=999": want an octal mask`},
		{[]string{dir, "-o", "uid=root"}, 2, `mount option "uid=root": want a number`},
		{[]string{"add"}, 2, "want one URL: dfmount add URL (see 'dfmount add --help')"},
		{[]string{"add", "nonsense"}, 2, `URL "nonsense": scheme must be http or https`},
		{[]string{"add", "http://h/", "--digest", "sha1:00"}, 2, "want sha256:HEX"},
		{[]string{"add", "http://h/", "--name", "taken"}, 1, `name "taken" belongs to another URL`},
		{[]string{"stat", "unknown"}, 4, `"unknown" is no task here`},
		{[]string{"stat", "ftp://x/"}, 2, "scheme must be http or https"},
		{[]string{"stat", "/elsewhere/file"}, 2, "is not a file in a mount of this daemon"},
		{[]string{"warm", "http://origin.test/404"}, 4, "answered 404"},
		{[]string{"warm", "taken", "--range", "9-3"}, 2, `--range "9-3": want FIRST-LAST`},
		{[]string{"umount", dir}, 4, "is no mount of this daemon"},
		{[]string{"ls", "x"}, 2, "want no arguments"},
	} {
		code, out, errOut := dfmount(t, c.args...)
		require.Contains(t, errOut, c.want)
		require.True(t, strings.HasPrefix(errOut, "dfmount: "), errOut)
		require.Equal(t, 1, strings.Count(errOut, "\n"), errOut)
		require.Equal(t, c.code, code, errOut)
		require.Empty(t, out)
	}
}

// What can't be a name is refused before a daemon is started for it.
func TestBadNameStartsNoDaemon(t *testing.T) {
	t.Setenv("DAMSELFLY_SOCKET", "/dev/null/none.sock") // starting one there fails
	for _, name := range []string{"a/b", ".."} {
		code, _, errOut := dfmount(t, "add", fileURL, "--name", name)
		require.Equal(t, boot.ExitUsage, code, errOut)
		require.Contains(t, errOut, name)
	}
}

func TestNoDaemonToAsk(t *testing.T) {
	t.Setenv("DAMSELFLY_SOCKET", filepath.Join(t.TempDir(), "none.sock"))
	for _, args := range [][]string{{"status"}, {"umount", t.TempDir()}} {
		code, _, errOut := dfmount(t, args...)
		require.Equal(t, boot.ExitFailed, code)
		require.Contains(t, errOut, "'dfmount MOUNTPOINT' starts one")
	}
}

func TestCompletionAndHelp(t *testing.T) {
	fake(t)
	ok(t, "add", fileURL, "--name", "model")
	require.Regexp(t, `(?m)^model\n[0-9a-f]{64}\t`+fileURL+`$`, ok(t, "__complete", "stat", ""))
	require.Contains(t, ok(t, "completion", "bash"), "dfmount")
	require.Contains(t, ok(t, "--help"), "/etc/fstab")
	for _, sub := range newCommand().Commands() {
		require.NotEmpty(t, sub.Short)
		require.Contains(t, ok(t, sub.Name(), "--help"), "dfmount "+sub.Name())
	}
}
