package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/boot"
	"damselfly/daemon/control"
	"damselfly/pieces"
)

func TestWarmSeveral(t *testing.T) {
	e, mounts := fake(t)
	e.Contents["http://origin.test/a"] = make([]byte, 1000)
	e.Contents["http://origin.test/b"] = make([]byte, 500)
	ok(t, "add", "http://origin.test/a", "--name", "model-a")
	ok(t, "add", "http://origin.test/b", "--name", "model-b")
	require.NoError(t, mounts.Mount(t.Context(), "/mnt/a", nil))

	code, out, errOut := dfmount(t, "warm", "--check", "model-*")
	require.Equal(t, boot.ExitFailed, code)
	require.Equal(t, "dfmount: 2 of 2 are not whole here; 'dfmount warm' fetches what is missing\n", errOut)
	require.Regexp(t, `^CACHED +OF +SHARE +TASK\n- +- +0% +model-a\n- +- +0% +model-b\n$`, out)

	_, _, errOut = dfmount(t, "warm", "model-*")
	require.Regexp(t, `^dfmount: 2 files: 1.5 KiB in `, errOut)
	require.ElementsMatch(t, []control.Range{{Off: 0, N: 1000}, {Off: 0, N: 500}}, e.Fetched())
	require.Regexp(t, `1000 B +1000 B +100% +model-a\n`, ok(t, "warm", "--check", "model-a", "/mnt/a/by-name/model-b"))
	for line := range strings.Lines(ok(t, "warm", "model-*", "--json")) {
		var w warmed
		require.NoError(t, json.Unmarshal([]byte(line), &w))
		require.Equal(t, w.Total, w.Done)
	}

	list := filepath.Join(t.TempDir(), "list")
	require.NoError(t, os.WriteFile(list, []byte("# two\nmodel-a\t0-9\n\nhttp://origin.test/b\t400-\r\n"), 0o600))
	ok(t, "warm", "--from-file", list)
	require.ElementsMatch(t, []control.Range{{Off: 0, N: 10}, {Off: 400, N: 100}}, e.Fetched()[4:])

	// One that fails does not stop the others; the first failure's code counts.
	code, _, errOut = dfmount(t, "warm", "model-a", "http://origin.test/404", "model-b")
	require.Equal(t, boot.ExitOrigin, code)
	require.Contains(t, errOut, "dfmount: http://origin.test/404: origin of http://origin.test/404 answered 404\n")
	require.Contains(t, errOut, "dfmount: 1 of 3 were not warmed\n")
	require.Len(t, e.Fetched(), 8)
}

func TestWarmInTheBackground(t *testing.T) {
	e, _ := fake(t)
	e.Gate = make(chan struct{})
	ok(t, "add", fileURL, "--name", "model")
	_, _, errOut := dfmount(t, "warm", "model", "--wait=false")
	require.Contains(t, errOut, "model: 1 MiB are fetched in the background")
	require.Empty(t, e.Fetched())
	require.Equal(t, 1, e.Handles())
	close(e.Gate)
	require.Eventually(t, func() bool { return len(e.Fetched()) == 1 }, 10*time.Second, time.Millisecond)
}

func TestOrderShowExportImport(t *testing.T) {
	e, _ := fake(t)
	ok(t, "add", fileURL, "--name", "model")
	code, _, errOut := dfmount(t, "order", "show", "model")
	require.Equal(t, boot.ExitOrigin, code)
	require.Equal(t, "dfmount: no access order of model is known yet: it is recorded as programs read the file\n", errOut)
	code, _, errOut = dfmount(t, "warm", "model", "--order")
	require.Equal(t, boot.ExitOrigin, code)
	require.Contains(t, errOut, "no access order of task")

	file := filepath.Join(t.TempDir(), "order")
	require.NoError(t, os.WriteFile(file, []byte("524288 262144\n0 10\n"), 0o600))
	_, _, errOut = dfmount(t, "order", "import", "model", file)
	require.Equal(t, "dfmount: 2 extents are known now\n", errOut)
	require.Regexp(t, `^2 extents, 256 KiB of 1 MiB \(25%\)\nOFFSET +LENGTH\n524288 +256 KiB\n0 +10 B\n$`, ok(t, "order", "show", "model"))
	text := ok(t, "order", "export", "model")
	require.Regexp(t, `^# damselfly access order 1\n# task [0-9a-f]{64}\n# version .+\n# size 1048576\n524288 262144\n0 10\n$`, text)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	require.JSONEq(t, `{"kept":2}`, ok(t, "order", "import", "model", file, "--json"))
	require.Contains(t, ok(t, "order", "show", "model", "--json"), `"ranges":[{"offset":524288,"length":262144},{"offset":0,"length":10}]`)

	ok(t, "warm", "model", "--order")
	require.Equal(t, []control.Range{{Off: 524288, N: 262144}, {Off: 0, N: 10}}, e.Fetched())
	require.Contains(t, ok(t, "warm", "model", "--order", "--check"), "100%")

	other := strings.Replace(text, "# version ", "# version "+strings.Repeat("0", 32)+"\n#", 1)
	require.NoError(t, os.WriteFile(file, []byte(other), 0o600))
	code, _, errOut = dfmount(t, "order", "import", "model", file)
	require.NotZero(t, code)
	require.Contains(t, errOut, "leave its version line out")
}

func TestReadOrder(t *testing.T) {
	for in, want := range map[string]string{
		"":               "f:0: no extent: want lines of OFFSET LENGTH",
		"# nothing\n":    "f:1: no extent",
		"1\n":            `f:1: "1": want OFFSET LENGTH, both in bytes`,
		"0 10\n-1 5\n":   `f:2: "-1 5": want OFFSET LENGTH`,
		"0 0\n":          "LENGTH not 0",
		"0 1 2\n":        "want OFFSET LENGTH",
		"# version x y ": "f:1: ",
	} {
		_, err := readOrder(strings.NewReader(in), "f")
		require.ErrorContains(t, err, want)
		require.Equal(t, pieces.Invalid, pieces.KindOf(err))
	}
	o, err := readOrder(strings.NewReader("\n 5   6 # no\n"), "f")
	require.Error(t, err, "%v", o)
}

// What is written is read back.
func FuzzReadOrder(f *testing.F) {
	f.Add([]byte("# version 0123456789abcdef0123456789abcdef\n0 10\n20 5\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := readOrder(bytes.NewReader(data), "f")
		if err != nil {
			return
		}
		var b bytes.Buffer
		require.NoError(t, writeOrder(&b, o))
		again, err := readOrder(&b, "f")
		if o.Version == "" {
			require.Error(t, err, "an export names a version")
			return
		}
		require.NoError(t, err)
		require.Equal(t, o, again)
	})
}

func TestListsTheManagersNames(t *testing.T) {
	e, _ := fake(t)
	ok(t, "add", fileURL, "--name", "model", "--fill", "always")
	far := pieces.TaskID(strings.Repeat("ab", 32))
	here := pieces.TaskID(strings.TrimSpace(ok(t, "add", fileURL)))
	e.Remote = map[string]pieces.TaskID{"far-a": far, "far-b": far, "model": here, "near": here}
	require.Regexp(t, `(?m) model,near +`+fileURL+`$`, ok(t, "ls"))
	require.Contains(t, ok(t, "warm", "nea*", "--json"), `"done":1048576`)
	require.Regexp(t, `(?m)^abababababab +- +- +remote +- +- +far-a,far-b +-$`, ok(t, "ls"))
	require.Contains(t, ok(t, "ls", "--json"), `"fill":"always"`)
	e.Remote, e.RemoteFail = nil, pieces.Errorf(pieces.Unavailable, "no manager answers")
	code, out, errOut := dfmount(t, "ls")
	require.Zero(t, code)
	require.Contains(t, out, "model")
	require.Equal(t, "dfmount: names that only the manager knows are not listed: no manager answers\n", errOut)
	code, _, errOut = dfmount(t, "warm", "far-*")
	require.NotZero(t, code)
	require.Contains(t, errOut, `no name here matches "far-*", and those of the manager are not known`)
}

func TestWarmErrors(t *testing.T) {
	fake(t)
	ok(t, "add", fileURL, "--name", "model")
	list := filepath.Join(t.TempDir(), "list")
	require.NoError(t, os.WriteFile(list, []byte("model\nmodel\t9-3\n"), 0o600))
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(empty, []byte("# none\n"), 0o600))
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"warm"}, 2, "want a URL, task id, name or path in a mount: dfmount warm TASK..., or --from-file"},
		{[]string{"warm", "none-*"}, 4, `no name matches "none-*"; 'dfmount ls' lists them`},
		{[]string{"warm", "mod[el"}, 2, `pattern "mod[el": want *, ? and [a-z] with closed brackets`},
		{[]string{"warm", "model", "--order", "--range", "0-1"}, 2, "--range and --order exclude each other"},
		{[]string{"warm", "--from-file", list}, 2, list + `:2: --range "9-3": want FIRST-LAST`},
		{[]string{"warm", "--from-file", empty}, 2, "names no task: want one a line"},
		{[]string{"warm", "--from-file", list + "x"}, 2, "no such file"},
		{[]string{"warm", "--check", "unknown"}, 4, `unknown: "unknown" is no task here`},
		{[]string{"add", fileURL, "--fill", "often"}, 2, `--fill "often": want auto, always or never`},
		{[]string{"order"}, 2, "want show, export or import"},
		{[]string{"order", "import", "model"}, 2, "and a file or -"},
		{[]string{"order", "import", "model", list}, 2, list + `:1: "model": want OFFSET LENGTH`},
	} {
		code, out, errOut := dfmount(t, c.args...)
		require.Contains(t, errOut, c.want)
		require.Equal(t, 1, strings.Count(errOut, "\n"), errOut)
		require.Equal(t, c.code, code, errOut)
		require.Empty(t, out)
	}
}

func TestAgesAndSources(t *testing.T) {
	now := time.Unix(1e9, 0)
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 59 * time.Second: "59s", time.Minute: "1m", 90 * time.Minute: "1h", 47 * time.Hour: "47h", 72 * time.Hour: "3d",
	} {
		require.Equal(t, want, age(now.Add(-d), now))
	}
	require.Equal(t, "-", age(time.Time{}, now))
	require.Equal(t, "-", source(control.Traffic{Cache: 5}))
	require.Equal(t, "seeds", source(control.Traffic{Seeds: 5}))
	require.Equal(t, "origin 75%,peers 25%", source(control.Traffic{Origin: 3, Peers: 1}))
	require.Equal(t, "99%", percent(999, 1000))
	require.Equal(t, "100%", percent(0, 0))
}

func TestRename(t *testing.T) {
	e, mounts := fake(t)
	require.NoError(t, mounts.Mount(t.Context(), "/mnt/a", nil))
	id := pieces.TaskID(filepath.Base(strings.TrimSpace(ok(t, "add", fileURL))))
	ok(t, "add", fileURL, "--name", "old")
	ok(t, "add", "http://origin.test/other", "--name", "taken")
	require.Equal(t, "/mnt/a/by-name/new\n", ok(t, "rename", "old", "new"))
	code, _, errOut := dfmount(t, "rename", "old", "newer")
	require.Equal(t, boot.ExitOrigin, code, errOut)
	code, _, errOut = dfmount(t, "rename", "new", "taken")
	require.Equal(t, boot.ExitFailed, code)
	require.Contains(t, errOut, `name "taken" belongs to another URL`)
	code, _, _ = dfmount(t, "rename", "new", "a/b")
	require.Equal(t, boot.ExitUsage, code)
	e.Remote = map[string]pieces.TaskID{"new": id}
	_, _, errOut = dfmount(t, "rename", "new", "newest")
	require.Equal(t, "dfmount: the manager is of an older release and still knows it as new too; 'dfctl task unname new' ends that\n", errOut)
}
