package origin_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/cluster"
	"damselfly/cmd/internal/e2e/origin"
	"damselfly/daemon"
	"damselfly/pieces"
	"damselfly/scheduler"
)

// marker is the secret of every credential of the test.
const marker = "mk7Zq2XcV9-secret-marker"

// watched is a swarm of which everything is recorded.
type watched struct {
	t      *testing.T
	seed   *cluster.Host
	hosts  []*cluster.Host
	logs   record
	wire   []*listener
	metric []*prometheus.Registry
}

func watch(t *testing.T) *watched {
	w := &watched{t: t}
	l := logrus.New()
	l.SetOutput(&w.logs)
	l.SetLevel(logrus.TraceLevel)
	log := logrus.NewEntry(l)
	c := cluster.With(t, 1, func(o *scheduler.Options) {
		quickRules(o, 0)
		o.Log = log
	})
	front := listen(t)
	front.forward(t, c.Schedulers[0].Addr)
	w.wire = append(w.wire, front)
	host := func(seed bool) *cluster.Host {
		return c.Host(func(o *daemon.Options) {
			quick(o)
			o.PeerListen.Close()
			o.UploadListen.Close()
			peer, upload := listen(t), listen(t)
			w.wire = append(w.wire, peer, upload)
			o.Registry = prometheus.NewRegistry()
			w.metric = append(w.metric, o.Registry)
			o.Seed, o.Log, o.PeerListen, o.UploadListen, o.Schedulers = seed, log, peer, upload, []string{front.Addr().String()}
		})
	}
	w.seed, w.hosts = host(true), []*cluster.Host{host(false), host(false)}
	return w
}

// disks returns every file of the data dirs.
func (w *watched) disks() map[string][]byte {
	out := map[string][]byte{}
	for _, h := range append([]*cluster.Host{w.seed}, w.hosts...) {
		require.NoError(w.t, filepath.WalkDir(h.Dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil // it may go at any time
			}
			if b, err := os.ReadFile(path); err == nil {
				out[path] = b
			}
			return nil
		}))
	}
	return out
}

// said returns what people and monitoring are shown.
func (w *watched) said() string {
	var b strings.Builder
	for i, h := range append([]*cluster.Host{w.seed}, w.hosts...) {
		b.Write(h.StatusText())
		infos, err := h.Control().List(context.Background())
		require.NoError(w.t, err)
		for _, info := range infos {
			text, err := h.TaskJSON(info.ID)
			require.NoError(w.t, err)
			b.Write(text)
		}
		ms, err := w.metric[i].Gather()
		require.NoError(w.t, err)
		for _, m := range ms {
			b.WriteString(m.String())
		}
	}
	return b.String()
}

// nowhere fails if the text was logged, sent, shown, or, unless disk is set,
// written anywhere.
func (w *watched) nowhere(text string, disk bool) {
	w.t.Helper()
	has := func(b []byte) bool { return bytes.Contains(b, []byte(text)) }
	require.False(w.t, has(w.logs.bytes()), "logged")
	require.False(w.t, has([]byte(w.said())), "shown")
	require.False(w.t, w.sent([]byte(text)), "sent to another part")
	for path, b := range w.disks() {
		require.False(w.t, !disk && has(b), "in %s", path)
	}
}

// sent reports whether the bytes went over any connection between the parts.
func (w *watched) sent(b []byte) bool {
	for _, l := range w.wire {
		for _, s := range l.streams() {
			if bytes.Contains(s, b) {
				return true
			}
		}
	}
	return false
}

// guarded answers 401, naming nothing, unless ok.
func guarded(f *origin.File, ok func(origin.Asked) bool) {
	f.Misbehave(func(a origin.Asked) bool { return !ok(a) }, origin.Status(401, ""))
}

// Tasks with a header or userinfo stay on their host; their credential stays
// in its memory.
func TestAudience(t *testing.T) {
	w := watch(t)
	o := origin.New(t, 9)
	basic := base64.StdEncoding.EncodeToString([]byte("user:" + marker))
	for name, c := range map[string]struct {
		url  func(string) string
		opts pieces.Options
		want string // Authorization
	}{
		"header":   {func(u string) string { return u }, pieces.Options{Header: http.Header{"Authorization": {"Bearer " + marker}}}, "Bearer " + marker},
		"userinfo": {func(u string) string { return strings.Replace(u, "http://", "http://user:"+marker+"@", 1) }, pieces.Options{}, "Basic " + basic},
	} {
		f := o.Add("private-"+name, size)
		guarded(f, func(a origin.Asked) bool { return a.Header.Get("Authorization") == c.want })
		url := c.url(f.URL())
		r := reader{name, w.hosts}
		r.add(t, url, c.opts)
		ids := map[pieces.TaskID]bool{}
		for _, h := range w.hosts {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			file, n, err := open(ctx, h, url, c.opts)
			require.NoError(t, err)
			_, err = readAll(ctx, file, n, versions(f, 1))
			require.NoError(t, err)
			require.NoError(t, file.Close())
			cancel()
			spec, err := h.Control().NewTask(url, c.opts)
			require.NoError(t, err)
			ids[spec.ID] = true
			info, err := h.Lookup(t.Context(), spec.ID)
			require.NoError(t, err)
			require.True(t, info.Private)
			require.EqualValues(t, 4711, info.UID)
			require.EqualValues(t, 4712, info.GID)
			tr := h.Traffic()
			require.Zero(t, tr.Peers+tr.Seeds+tr.Uploaded, name)
		}
		require.Len(t, ids, 2, "no other host can name the Task")
		for id := range ids {
			require.False(t, w.sent([]byte(id[:32])), "a private Task's id was sent")
		}
		// Errors name the URL, without what is secret.
		f.Misbehave(origin.Every, origin.Status(500, ""))
		_, err := w.hosts[0].Fetch(t.Context(), strings.Replace(url, name, name+"-gone", 1), c.opts)
		require.Error(t, err)
		require.NotContains(t, err.Error(), marker)
		// Nobody without the credential gets anything from those who have it.
		r.add(t, f.URL(), pieces.Options{})
		require.Equal(t, pieces.Origin, pieces.KindOf(read(t, w.hosts[1], f, pieces.Options{}, 5*time.Second)))
		chunk := make([]byte, 64)
		_, _ = f.Content(1).ReadAt(chunk, 1<<20)
		require.False(t, w.sent(chunk), "private bytes were sent")
	}
	require.Zero(t, w.seed.Traffic().Origin)
	w.nowhere(marker, false)
	w.nowhere(basic, false)
	// A host that lost the credential with its memory asks nobody.
	for _, h := range w.hosts {
		h.Stop()
	}
	w.seed.Stop()
	for path, b := range w.disks() {
		require.False(t, bytes.Contains(b, []byte(marker)) || bytes.Contains(b, []byte(basic)), "in %s after the end", path)
	}
}

// Signed parameters that are filtered stay on the host that was given them; the
// Task is everybody's.
func TestSignedParameters(t *testing.T) {
	w := watch(t)
	o := origin.New(t, 10)
	f := o.Add("signed", size)
	guarded(f, func(a origin.Asked) bool { return strings.Contains(a.Query, "sig="+marker) })
	opts := pieces.Options{FilterQuery: []string{"sig", "expires"}}
	urls := []string{
		fmt.Sprintf("%s?part=1&sig=%s-a&expires=1", f.URL(), marker),
		fmt.Sprintf("%s?part=1&sig=%s-b&expires=2", f.URL(), marker),
	}
	for i, h := range w.hosts {
		r := reader{"", []*cluster.Host{h}}
		r.add(t, urls[i], opts)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		file, n, err := open(ctx, h, urls[i], opts)
		require.NoError(t, err)
		_, err = readAll(ctx, file, n, versions(f, 1))
		require.NoError(t, err)
		require.NoError(t, file.Close())
		cancel()
	}
	require.Positive(t, w.hosts[1].Traffic().Peers, "the swarm is shared")
	require.Zero(t, w.seed.Traffic().Origin, "the seed has no signature")
	for _, a := range f.Asked() {
		require.NotContains(t, a.Query, "-b", "the second signature was not needed")
	}
	chunk := make([]byte, 64)
	_, _ = f.Content(1).ReadAt(chunk, 1<<20)
	require.True(t, w.sent(chunk), "what is shared is seen on the wire: the recorder works")
	w.nowhere(marker, true)
	for path, b := range w.disks() {
		if !strings.HasPrefix(path, w.hosts[0].Dir) {
			require.False(t, bytes.Contains(b, []byte(marker+"-a")), "the first host's signature in %s", path)
		}
	}
}
