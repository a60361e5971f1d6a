package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/daemon/control"
	"damselfly/daemon/control/controltest"
	"damselfly/pieces"
)

const url = "http://origin.test/file"

// sink remembers how it got its bytes.
type sink struct {
	bytes.Buffer
	files  int
	onFile func(*os.File)
}

func (s *sink) Parts() control.Parts { return nil }

func (s *sink) CopyFile(_ context.Context, f *os.File, off, n int64) error {
	s.files++
	if s.onFile != nil {
		s.onFile(f)
	}
	_, err := io.Copy(&s.Buffer, io.NewSectionReader(f, off, n))
	return err
}

func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return b
}

func start(t *testing.T, e *controltest.Engine, change func(*control.Options)) (*control.Client, *controltest.Mounts) {
	t.Helper()
	if e.Contents == nil {
		e.Contents = map[string][]byte{url: content(3_000_000)}
	}
	socket, mounts := controltest.Serve(t, e, change)
	c, err := control.Dial(socket)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c, mounts
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestCatalogueOverTheSocket(t *testing.T) {
	ctx := within(t)
	c, mounts := start(t, &controltest.Engine{}, nil)
	require.NoError(t, mounts.Mount(ctx, "/mnt/a", nil))

	p, err := c.Ping(ctx)
	require.NoError(t, err)
	require.Equal(t, control.Ping{Version: "test", HostID: controltest.Host.ID, PID: os.Getpid()}, p)

	id, paths, err := c.Add(ctx, url, pieces.Options{Tag: "x"}, "")
	require.NoError(t, err)
	require.Equal(t, []string{"/mnt/a/" + string(id)}, paths)
	_, paths, err = c.Add(ctx, url, pieces.Options{Tag: "x"}, "nice")
	require.NoError(t, err)
	require.Equal(t, []string{"/mnt/a/by-name/nice"}, paths)
	_, _, err = c.Add(ctx, url, pieces.Options{}, "nice")
	require.Equal(t, pieces.Exists, pieces.KindOf(err))

	for _, ref := range []string{string(id), "nice", "/mnt/a/" + string(id), "/mnt/a/by-name/nice", "/mnt/a/./by-name//nice"} {
		info, err := c.Stat(ctx, control.Ref{Text: ref})
		require.NoError(t, err, ref)
		require.Equal(t, id, info.ID, ref)
		require.EqualValues(t, 3_000_000, info.Facts.Size)
		require.Equal(t, []string{"nice"}, info.Names)
	}
	info, err := c.Stat(ctx, control.Ref{Text: url, Options: pieces.Options{Tag: "x"}})
	require.NoError(t, err)
	require.Equal(t, id, info.ID)

	list, err := c.List(ctx)
	require.NoError(t, err)
	require.Equal(t, []control.TaskInfo{info}, list)

	freed, err := c.Evict(ctx, control.Ref{Text: "nice"})
	require.NoError(t, err)
	require.EqualValues(t, 3_000_000, freed)
	_, err = c.Remove(ctx, control.Ref{Text: "nice"})
	require.NoError(t, err)
	list, err = c.List(ctx)
	require.NoError(t, err)
	require.Empty(t, list)
}

func TestRefusals(t *testing.T) {
	ctx := within(t)
	c, mounts := start(t, &controltest.Engine{}, nil)
	require.NoError(t, mounts.Mount(ctx, "/mnt/a", nil))
	stat := func(ref string) error { _, err := c.Stat(ctx, control.Ref{Text: ref}); return err }
	for _, tc := range []struct {
		name string
		err  error
		kind pieces.Kind
		text string
	}{
		{"unknown name", stat("nobody"), pieces.NotFound, `"nobody" is no task here`},
		{"unknown URL", stat(url), pieces.NotFound, "add it with 'dfmount add'"},
		{"bad URL", stat("ftp://x/"), pieces.Invalid, "scheme must be http or https"},
		{"path outside", stat("/tmp/x"), pieces.Invalid, "/tmp/x is not a file in a mount"},
		{"path too deep", stat("/mnt/a/x/y"), pieces.Invalid, "is not a file in a mount"},
		{"path beside", stat("/mnt/abc/x"), pieces.Invalid, "is not a file in a mount"},
		{"relative mount point", c.Mount(ctx, "x", nil), pieces.Invalid, "not an absolute path"},
		{"header", func() error {
			_, _, err := c.Add(ctx, url, pieces.Options{Header: http.Header{"Range": {"bytes=0-"}}}, "")
			return err
		}(), pieces.Invalid, `header "Range" is set by the daemon itself`},
		{"digest", func() error {
			_, _, err := c.Add(ctx, url, pieces.Options{Digest: "md5:00"}, "")
			return err
		}(), pieces.Invalid, "want sha256:HEX"},
	} {
		require.Equal(t, tc.kind, pieces.KindOf(tc.err), tc.name)
		require.ErrorContains(t, tc.err, tc.text, tc.name)
	}
}

func TestDownloadByDescriptor(t *testing.T) {
	ctx := within(t)
	e := &controltest.Engine{Dir: t.TempDir()}
	c, _ := start(t, e, nil)
	var seen control.Progress
	s := &sink{onFile: func(f *os.File) {
		require.Equal(t, 1, e.Handles(), "the bytes are held while they are copied")
		_, err := f.Write([]byte("x"))
		require.Error(t, err, "the descriptor is read-only")
	}}
	err := c.Download(ctx, url, pieces.Options{}, control.Whole, func(p control.Progress) { seen = p }, s)
	require.NoError(t, err)
	require.Equal(t, 1, s.files)
	require.True(t, bytes.Equal(e.Contents[url], s.Bytes()))
	require.Equal(t, control.Progress{Done: 3_000_000, Total: 3_000_000, Traffic: control.Traffic{Origin: 3_000_000}}, seen)
	require.Eventually(t, func() bool { return e.Handles() == 0 }, 5*time.Second, time.Millisecond, "hanging up lets go")
}

func TestDownloadByMessages(t *testing.T) {
	for _, tc := range []struct {
		name   string
		engine *controltest.Engine
		r      control.Range
		want   control.Range
	}{
		{"no file", &controltest.Engine{}, control.Whole, control.Range{Off: 0, N: 3_000_000}},
		{"range", &controltest.Engine{Dir: "/nonexistent"}, control.Range{Off: 5, N: 10}, control.Range{Off: 5, N: 10}},
		{"last byte", &controltest.Engine{}, control.Range{Off: 2_999_999, N: 5}, control.Range{Off: 2_999_999, N: 1}},
		{"to the end", &controltest.Engine{}, control.Range{Off: 2_000_000, N: -1}, control.Range{Off: 2_000_000, N: 1_000_000}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, _ := start(t, tc.engine, nil)
			s := &sink{}
			require.NoError(t, c.Download(within(t), url, pieces.Options{}, tc.r, nil, s))
			require.Zero(t, s.files)
			require.True(t, bytes.Equal(tc.engine.Contents[url][tc.want.Off:tc.want.Off+tc.want.N], s.Bytes()))
			require.Equal(t, []control.Range{tc.want}, tc.engine.Fetched())
		})
	}
}

func TestDownloadEmptyContent(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		e := &controltest.Engine{Contents: map[string][]byte{url: {}}, Dir: dir}
		c, _ := start(t, e, nil)
		s := &sink{}
		require.NoError(t, c.Download(within(t), url, pieces.Options{}, control.Whole, nil, s))
		require.Zero(t, s.Len())
	}
}

func TestDownloadByWindowsWhenNothingStaysCached(t *testing.T) {
	data := content(40 << 20)
	e := &controltest.Engine{Contents: map[string][]byte{url: data}, Dir: t.TempDir(), Full: true}
	c, _ := start(t, e, nil)
	s := &sink{}
	var last control.Progress
	require.NoError(t, c.Download(within(t), url, pieces.Options{}, control.Whole, func(p control.Progress) { last = p }, s))
	require.True(t, bytes.Equal(data, s.Bytes()))
	require.Equal(t, []control.Range{{Off: 0, N: 16 << 20}, {Off: 16 << 20, N: 16 << 20}, {Off: 32 << 20, N: 8 << 20}}, e.Fetched())
	require.Equal(t, control.Progress{Done: 40 << 20, Total: 40 << 20, Traffic: control.Traffic{Origin: 40 << 20}}, last)
}

func TestDownloadErrors(t *testing.T) {
	for _, tc := range []struct {
		name string
		url  string
		o    pieces.Options
		r    control.Range
		kind pieces.Kind
	}{
		{"404", "http://origin.test/none", pieces.Options{}, control.Whole, pieces.NotFound},
		{"beyond the end", url, pieces.Options{}, control.Range{Off: 3_000_000, N: 1}, pieces.Invalid},
		{"digest", url, pieces.Options{Digest: "sha256:" + pieces.Digest(bytes.Repeat([]byte("0"), 64))}, control.Whole, pieces.Integrity},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := &controltest.Engine{Dir: t.TempDir()}
			c, _ := start(t, e, nil)
			s := &sink{}
			err := c.Download(within(t), tc.url, tc.o, tc.r, nil, s)
			require.Equal(t, tc.kind, pieces.KindOf(err), "%v", err)
			require.Zero(t, s.files+s.Len())
			require.Zero(t, e.Handles())
		})
	}
}

func TestGivingUpEndsTheFetch(t *testing.T) {
	e := &controltest.Engine{Gate: make(chan struct{})}
	c, _ := start(t, e, nil)
	ctx, cancel := context.WithCancel(within(t))
	told := make(chan struct{}, 1)
	done := make(chan error, 1)
	go func() {
		done <- c.Download(ctx, url, pieces.Options{}, control.Whole, func(control.Progress) {
			select {
			case told <- struct{}{}:
			default:
			}
		}, &sink{})
	}()
	<-told
	cancel()
	require.Equal(t, pieces.Canceled, pieces.KindOf(<-done))
	require.Eventually(t, func() bool { return e.Handles() == 0 }, 5*time.Second, time.Millisecond)
}

func TestWarm(t *testing.T) {
	ctx := within(t)
	e := &controltest.Engine{}
	c, _ := start(t, e, nil)
	p, err := c.Warm(ctx, control.Ref{Text: url}, control.Whole, nil)
	require.NoError(t, err)
	require.EqualValues(t, 3_000_000, p.Done)
	_, err = c.Warm(ctx, control.Ref{Text: url}, control.Range{Off: 10, N: 20}, nil)
	require.NoError(t, err)
	require.Equal(t, []control.Range{{Off: 0, N: 3_000_000}, {Off: 10, N: 20}}, e.Fetched())

	e.Fail = pieces.Errorf(pieces.Denied, "origin answered 403")
	_, err = c.Warm(ctx, control.Ref{Text: url}, control.Whole, nil)
	require.Equal(t, pieces.Denied, pieces.KindOf(err))
}

func TestMountsAndStatus(t *testing.T) {
	ctx := within(t)
	c, _ := start(t, &controltest.Engine{}, func(o *control.Options) {
		o.Doctor = func(context.Context) []control.Check {
			return []control.Check{{Name: "FUSE", Detail: "missing", Fix: "modprobe fuse"}}
		}
	})
	require.NoError(t, c.Mount(ctx, "/mnt/a", nil))
	require.NoError(t, c.Mount(ctx, "/mnt/b", nil))
	st, err := c.Status(ctx)
	require.NoError(t, err)
	require.Equal(t, controltest.Host.ID, st.Host.ID)
	require.Len(t, st.Mounts, 2)
	require.EqualValues(t, 6, st.FuseReads)
	require.Equal(t, os.Getpid(), st.PID)
	require.True(t, st.Caching)
	stopping, err := c.Unmount(ctx, "/mnt/a", false)
	require.NoError(t, err)
	require.False(t, stopping)
	stopping, err = c.Unmount(ctx, "/mnt/b", false)
	require.NoError(t, err)
	require.True(t, stopping)

	checks, err := c.Doctor(ctx)
	require.NoError(t, err)
	require.Equal(t, []control.Check{{Name: "FUSE", Detail: "missing", Fix: "modprobe fuse"}}, checks)
}

func TestJSON(t *testing.T) {
	info := control.TaskInfo{ID: "ab", URL: "http://x/", State: control.StateIdle,
		Facts: &pieces.Facts{Size: 7, Validator: pieces.Validator{Kind: pieces.StrongETag, Value: `"v"`}}}
	out, err := json.Marshal(info)
	require.NoError(t, err)
	require.JSONEq(t, `{"id":"ab","url":"http://x/","private":false,"cached_bytes":0,"pieces":0,"cached_pieces":0,"piece_size":0,
		"state":"idle","open_handles":0,"traffic":{"origin":0,"peers":0,"seeds":0,"cache":0,"uploaded":0},"size":7,"validator":"\"v\"","validator_kind":"etag","ranges":false}`, string(out))
	var back control.TaskInfo
	require.NoError(t, json.Unmarshal(out, &back))
	require.Equal(t, info, back)

	st := control.Status{Host: controltest.Host, PID: 3, Mounts: []control.MountInfo{{Path: "/m"}}}
	st.Host.Type = pieces.SeedHost
	out, err = json.Marshal(st)
	require.NoError(t, err)
	var st2 control.Status
	require.NoError(t, json.Unmarshal(out, &st2))
	require.Equal(t, st, st2)
	require.Contains(t, string(out), `"host":{"id":"0123456789abcdef0123456789abcdef","hostname":"fake","ip":"127.0.0.1","peer_port":65000,"upload_port":65002,"seed":true}`)
}

func TestOneDaemonPerSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "d.sock")
	first, err := control.Listen(path, true)
	require.NoError(t, err)
	st, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o666), st.Mode().Perm())

	_, err = control.Listen(path, true)
	require.Equal(t, pieces.Exists, pieces.KindOf(err))
	require.ErrorContains(t, err, "a daemon (pid ")
	require.True(t, control.Served(path))
	require.NoError(t, first.Close())
	require.NoFileExists(t, path)
	require.False(t, control.Served(path))
	require.False(t, control.Served(path+"x"))

	// What a killed daemon leaves behind is replaced.
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	again, err := control.Listen(path, false)
	require.NoError(t, err)
	st, err = os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.ModeSocket|0o600, st.Mode())
	require.NoError(t, again.Close())
	require.NoError(t, again.Close())

	_, err = control.Listen(filepath.Join(t.TempDir(), string(bytes.Repeat([]byte("x"), 120))), false)
	require.Equal(t, pieces.Invalid, pieces.KindOf(err))
}

func TestNobodyThere(t *testing.T) {
	c, err := control.Dial(filepath.Join(t.TempDir(), "none.sock"))
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Ping(within(t))
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err))
}

func TestParseRef(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "mnt"), 0o755))
	require.NoError(t, os.Symlink("mnt", filepath.Join(dir, "link")))
	t.Chdir(dir)
	for in, want := range map[string]string{
		"name": "name", "http://x/a": "http://x/a", "/no/such/file": "/no/such/file",
		"./name": dir + "/name", "link/f": dir + "/mnt/f",
	} {
		ref, err := control.ParseRef(in, pieces.Options{})
		require.NoError(t, err)
		require.Equal(t, want, ref.Text, in)
	}
	_, err = control.ParseRef("", pieces.Options{})
	require.Equal(t, pieces.Invalid, pieces.KindOf(err))
}
