package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/boot"
	"damselfly/daemon/control"
	"damselfly/daemon/control/controltest"
	"damselfly/pieces"
)

const fileURL = "http://origin.test/dir/file.bin"

// The test binary plays dfget when this variable is set.
const playDfget = "TEST_PLAY_DFGET"

func TestMain(m *testing.M) {
	if os.Getenv(playDfget) != "" {
		main()
	}
	os.Exit(m.Run())
}

func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 31 >> 4)
	}
	return b
}

// isolated keeps the machine's own daemon and config out of a test, and gives
// the directory it runs in.
func isolated(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("DAMSELFLY_SOCKET", filepath.Join(dir, "none", "d.sock"))
	work := filepath.Join(dir, "work")
	require.NoError(t, os.Mkdir(work, 0o755))
	t.Chdir(work)
	return work
}

// dfget runs the command in the test's process.
func dfget(t *testing.T, args ...string) (code int, errOut string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var out, e bytes.Buffer
	code = boot.Execute(ctx, newCommand(), args, &out, &e)
	return code, e.String()
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	list := []string{}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func serve(t *testing.T, e *controltest.Engine) {
	t.Helper()
	if e.Contents == nil {
		e.Contents = map[string][]byte{fileURL: content(3_000_000)}
	}
	socket, _ := controltest.Serve(t, e, nil)
	t.Setenv("DAMSELFLY_SOCKET", socket)
}

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func TestUsageErrors(t *testing.T) {
	dir := isolated(t)
	config := filepath.Join(dir, "c.yaml")
	require.NoError(t, os.WriteFile(config, []byte("manager: a:1\nchache-size: 1\n"), 0o600))
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{}, "dfget: want one URL: dfget URL -O FILE (see 'dfget --help')\n"},
		{[]string{"--nope", fileURL}, "dfget: unknown flag: --nope (see 'dfget --help')\n"},
		{[]string{"ftp://x/y"}, "dfget: URL \"ftp://x/y\": scheme must be http or https\n"},
		{[]string{"file.bin"}, "dfget: URL \"file.bin\": scheme must be http or https\n"},
		{[]string{"http://x/"}, "dfget: the URL names no file; give one with -O FILE\n"},
		{[]string{fileURL, "--digest", "md5:11"}, "dfget: digest \"md5:11\": want sha256:HEX, sha512:HEX or blake3:HEX\n"},
		{[]string{fileURL, "--digest", "sha256:11"}, "dfget: digest \"sha256:11\": sha256 takes 64 hex digits\n"},
		{[]string{fileURL, "--digest", sha(nil), "--range", "0-1"}, "dfget: --digest pins the whole content and can't be checked with --range; leave one of them out\n"},
		{[]string{fileURL, "--range", "5-4"}, "dfget: --range \"5-4\": want FIRST-LAST in bytes from 0, both inclusive, such as 0-1023 for the first KiB\n"},
		{[]string{fileURL, "-O", "."}, "dfget: -O .: is a directory; name a file in it\n"},
		{[]string{fileURL, "-O", "no/such/f"}, "dfget: -O no/such/f: there is no such directory; make it first\n"},
		{[]string{fileURL, "-H", "nonsense"}, "dfget: -H: want 'Name: value', with a colon\n"},
		{[]string{fileURL, "--config", config}, "dfget: " + config + ":2: unknown key \"chache-size\""},
		{[]string{fileURL, "-o", "managr=a:1"}, "dfget: -o managr=a:1: no such option"},
	} {
		code, errOut := dfget(t, c.args...)
		require.Contains(t, errOut, c.want)
		require.Equal(t, 1, strings.Count(errOut, "\n"), errOut)
		require.Equal(t, boot.ExitUsage, code, errOut)
	}
	require.Equal(t, []string{"c.yaml"}, names(t, dir))
}

func TestThroughTheDaemon(t *testing.T) {
	for _, inFile := range []bool{true, false} {
		dir := isolated(t)
		e := &controltest.Engine{}
		if inFile {
			e.Dir = t.TempDir()
		}
		serve(t, e)
		data := e.Contents[fileURL]

		code, errOut := dfget(t, fileURL)
		require.Zero(t, code, errOut)
		require.Regexp(t, `^dfget: .*file.bin: 2.9 MiB in \d+\.\d s \(.*/s\), origin 2.9 MiB\n$`, errOut)
		got, err := os.ReadFile("file.bin")
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got))

		code, errOut = dfget(t, fileURL, "-q", "-O", "out", "--digest", sha(data))
		require.Zero(t, code, errOut)
		require.Empty(t, errOut)
		got, err = os.ReadFile("out")
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got))

		code, errOut = dfget(t, fileURL, "-O", "part", "--range", "10-19")
		require.Zero(t, code, errOut)
		got, err = os.ReadFile("part")
		require.NoError(t, err)
		require.Equal(t, data[10:20], got)
		require.Equal(t, []string{"file.bin", "out", "part"}, names(t, dir))
	}
}

func TestTheOutputIsNotTheCache(t *testing.T) {
	isolated(t)
	e := &controltest.Engine{Dir: t.TempDir()}
	serve(t, e)
	code, errOut := dfget(t, fileURL, "-O", "out")
	require.Zero(t, code, errOut)
	require.NoError(t, os.WriteFile("out", []byte("changed"), 0o600))
	files := names(t, e.Dir)
	require.Len(t, files, 1)
	cached, err := os.ReadFile(filepath.Join(e.Dir, files[0]))
	require.NoError(t, err)
	require.True(t, bytes.Equal(e.Contents[fileURL], cached))
}

func TestFailuresLeaveNoFile(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{fileURL, "--digest", sha([]byte("other"))}, boot.ExitIntegrity, "content digest is sha256:"},
		{[]string{"http://origin.test/none"}, boot.ExitOrigin, "answered 404"},
		{[]string{fileURL, "--range", "3000000-"}, boot.ExitUsage, "range begins at byte 3000000, but the content has 3000000 bytes"},
	} {
		dir := isolated(t)
		serve(t, &controltest.Engine{Dir: t.TempDir()})
		code, errOut := dfget(t, c.args...)
		require.Contains(t, errOut, c.want)
		require.Equal(t, c.code, code)
		require.Empty(t, names(t, dir))
	}
}

func TestOutputKinds(t *testing.T) {
	dir := isolated(t)
	e := &controltest.Engine{Dir: t.TempDir()}
	serve(t, e)
	require.NoError(t, os.WriteFile("real", []byte("old"), 0o600))
	require.NoError(t, os.Chmod("real", 0o640))
	require.NoError(t, os.Symlink("real", "link"))
	code, errOut := dfget(t, fileURL, "-O", "link")
	require.Zero(t, code, errOut)
	st, err := os.Lstat("link")
	require.NoError(t, err)
	require.Equal(t, os.ModeSymlink, st.Mode().Type(), "the link is still one")
	st, err = os.Stat("real")
	require.NoError(t, err)
	require.EqualValues(t, 3_000_000, st.Size())
	require.Equal(t, os.FileMode(0o640), st.Mode().Perm())

	code, errOut = dfget(t, fileURL, "-O", "/dev/null")
	require.Zero(t, code, errOut)
	st, err = os.Stat("/dev/null")
	require.NoError(t, err)
	require.Equal(t, os.ModeDevice|os.ModeCharDevice, st.Mode().Type())
	require.Equal(t, []string{"link", "real"}, names(t, dir))
}

func TestDirectFallback(t *testing.T) {
	data := content(700_000)
	plain := false
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/f":
			if plain {
				w.Write(data) // no ranges, no validator
				return
			}
			w.Header().Set("ETag", `"1"`)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		case "/secret":
			http.Error(w, "no", http.StatusForbidden)
		default:
			http.NotFound(w, r)
		}
	}))
	defer origin.Close()
	for _, mode := range []bool{false, true} {
		plain = mode
		dir := isolated(t)
		t.Setenv("DAMSELFLY_SOCKET", "/dev/null/d.sock") // no daemon can have this one
		code, errOut := dfget(t, origin.URL+"/f", "--digest", sha(data))
		require.Zero(t, code, errOut)
		require.Contains(t, errOut, "reading from the origin instead\n")
		require.Contains(t, errOut, "origin 683.6 KiB")
		got, err := os.ReadFile("f")
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got))

		for _, r := range []struct {
			arg      string
			from, to int
		}{{"0-9", 0, 10}, {"65530-65545", 65530, 65546}, {"100000-", 100000, 700000}, {"699999-800000", 699999, 700000}} {
			code, errOut = dfget(t, origin.URL+"/f", "--direct", "-O", "part", "--range", r.arg)
			require.Zero(t, code, errOut)
			got, err = os.ReadFile("part")
			require.NoError(t, err)
			require.True(t, bytes.Equal(data[r.from:r.to], got), r.arg)
		}
		for _, c := range []struct {
			args []string
			code int
		}{
			{[]string{"/f", "--digest", sha([]byte("x"))}, boot.ExitIntegrity},
			{[]string{"/f", "--range", "700000-"}, boot.ExitUsage},
			{[]string{"/none"}, boot.ExitOrigin},
			{[]string{"/secret"}, boot.ExitDenied},
		} {
			args := append([]string{origin.URL + c.args[0], "--direct", "-O", "x"}, c.args[1:]...)
			code, errOut = dfget(t, args...)
			require.Equal(t, c.code, code, errOut)
		}
		require.Equal(t, []string{"f", "part"}, names(t, dir))
	}
}

func TestADaemonThatGoesAwayIsReplacedByTheOrigin(t *testing.T) {
	isolated(t)
	data := content(500_000)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Unix(1e9, 0), bytes.NewReader(data))
	}))
	defer origin.Close()
	serve(t, &controltest.Engine{
		Contents: map[string][]byte{origin.URL + "/f": make([]byte, len(data))},
		Fail:     pieces.Errorf(pieces.Unavailable, "the daemon stops"),
	})
	code, errOut := dfget(t, origin.URL+"/f", "--digest", sha(data))
	require.Zero(t, code, errOut)
	require.Contains(t, errOut, "the daemon stops; reading from the origin instead\n")
	got, err := os.ReadFile("f")
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got))
}

func TestInterruptLeavesNoFile(t *testing.T) {
	dir := isolated(t)
	serve(t, &controltest.Engine{Gate: make(chan struct{})})
	cmd := exec.Command(os.Args[0], fileURL, "-O", "out")
	cmd.Env = append(os.Environ(), playDfget+"=1")
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool { return len(names(t, dir)) == 1 }, 20*time.Second, 5*time.Millisecond, "the download begins")
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	require.Error(t, cmd.Wait())
	require.Equal(t, boot.ExitInterrupted, cmd.ProcessState.ExitCode())
	require.Equal(t, "dfget: interrupted\n", errOut.String())
	require.Empty(t, names(t, dir))
}

// grow has the fake daemon put data[off:off+n] into its content file.
func grow(e *controltest.Engine, off, n int64) {
	e.Arrive <- controltest.Arrival{Range: control.Range{Off: off, N: n}}
}

// size is how long dfget's temporary file in dir is.
func size(t *testing.T, dir string) int64 {
	t.Helper()
	for _, name := range names(t, dir) {
		if st, err := os.Stat(filepath.Join(dir, name)); err == nil && strings.Contains(name, ".dfget-") {
			return st.Size()
		}
	}
	return -1
}

// The output grows with the download, under another name until it is complete.
func TestCopiedWhileItComes(t *testing.T) {
	dir := isolated(t)
	e := &controltest.Engine{Dir: t.TempDir(), Arrive: make(chan controltest.Arrival)}
	serve(t, e)
	data := e.Contents[fileURL]
	done := make(chan string, 1)
	go func() {
		code, errOut := dfget(t, fileURL, "-q", "-O", "out", "--digest", sha(data))
		done <- fmt.Sprint(code, errOut)
	}()
	grow(e, 1<<20, 1<<20)
	require.Eventually(t, func() bool { return size(t, dir) == 2<<20 }, 20*time.Second, time.Millisecond)
	require.NotContains(t, names(t, dir), "out")
	grow(e, 2<<20, int64(len(data))-2<<20)
	grow(e, 0, 1<<20)
	close(e.Arrive)
	require.Equal(t, "0", <-done)
	require.Equal(t, []string{"out"}, names(t, dir))
	got, err := os.ReadFile("out")
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got))
}

// What was copied already is dropped when the fetch fails, or the daemon goes:
// then the origin is read.
func TestHalfACopyIsNoFile(t *testing.T) {
	data := content(500_000)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Unix(1e9, 0), bytes.NewReader(data))
	}))
	defer origin.Close()
	for _, c := range []struct {
		kind pieces.Kind
		code int
		want []string
	}{
		{pieces.Changed, boot.ExitOrigin, []string{}},
		{pieces.Integrity, boot.ExitIntegrity, []string{}},
		{pieces.Unavailable, 0, []string{"f"}},
	} {
		dir := isolated(t)
		e := &controltest.Engine{
			Contents: map[string][]byte{origin.URL + "/f": make([]byte, 700_000)},
			Dir:      t.TempDir(), Arrive: make(chan controltest.Arrival), Fail: pieces.Errorf(c.kind, "failed"),
		}
		serve(t, e)
		done := make(chan int, 1)
		go func() {
			code, _ := dfget(t, origin.URL+"/f", "-q")
			done <- code
		}()
		grow(e, 0, 600_000)
		require.Eventually(t, func() bool { return size(t, dir) == 600_000 }, 20*time.Second, time.Millisecond)
		close(e.Arrive)
		require.Equal(t, c.code, <-done, "%v", c.kind)
		require.Equal(t, c.want, names(t, dir))
		if c.code == 0 {
			got, err := os.ReadFile("f")
			require.NoError(t, err)
			require.True(t, bytes.Equal(data, got))
		}
	}
}

// An output that has no room ends the download at once, and nothing stays.
func TestAnOutputWithoutRoom(t *testing.T) {
	dir := isolated(t)
	e := &controltest.Engine{Dir: t.TempDir(), Arrive: make(chan controltest.Arrival)}
	serve(t, e)
	cmd := exec.Command("/bin/sh", "-c", `trap '' XFSZ; ulimit -f 2048; exec "$0" "$@"`, os.Args[0], fileURL, "-q", "-O", "out")
	cmd.Env = append(os.Environ(), playDfget+"=1")
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	require.NoError(t, cmd.Start())
	grow(e, 2<<20, 1<<19) // sh counts in blocks of 512 bytes
	require.Error(t, cmd.Wait(), "though the fetch goes on")
	require.Contains(t, errOut.String(), "dfget: -O ")
	require.Contains(t, errOut.String(), "file too large")
	require.Empty(t, names(t, dir))
}

func TestStandardOutput(t *testing.T) {
	isolated(t)
	e := &controltest.Engine{Dir: t.TempDir()}
	serve(t, e)
	cmd := exec.Command(os.Args[0], fileURL, "-O", "-", "--digest", sha(e.Contents[fileURL]))
	cmd.Env = append(os.Environ(), playDfget+"=1")
	got, err := cmd.Output()
	require.NoError(t, err)
	require.True(t, bytes.Equal(e.Contents[fileURL], got))
}

func TestHelpAndCompletion(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"--version"}, {"completion", "bash"}} {
		var out, errOut bytes.Buffer
		require.Zero(t, boot.Execute(context.Background(), newCommand(), args, &out, &errOut), errOut.String())
		require.Contains(t, out.String(), "dfget")
	}
}

func TestNameFromURL(t *testing.T) {
	for in, want := range map[string]string{
		"http://h/a/b.bin?x=1": "b.bin", "http://h/a%20b": "a b", "http://h/": "", "http://h": "", "http://h/a/": "",
		"http://h/a/..": "", "http://h/a%2Fb": "b",
	} {
		require.Equal(t, want, nameFromURL(in), in)
	}
}
