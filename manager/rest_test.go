package manager

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"damselfly/manager/jobs"
	"damselfly/manager/rest"
	"damselfly/manager/store"
	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

// site is a manager's REST API on a real port.
type site struct {
	*running
	url string
}

// startSite takes callers on this machine for administrators.
func startSite(t *testing.T, database string, o Options) *site {
	o.LocalAdmin = true
	return startClosedSite(t, database, o)
}

func startClosedSite(t *testing.T, database string, o Options) *site {
	m := start(t, database, o)
	h, err := m.server.REST()
	require.NoError(t, err)
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return &site{m, s.URL}
}

// answered is what came back.
type answered struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

// do makes one call; header is pairs.
func (s *site) do(t *testing.T, method, path, body string, header ...string) answered {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	a := answered{status: resp.StatusCode, header: resp.Header, text: string(text)}
	_ = json.Unmarshal(text, &a.body)
	return a
}

// ok is do that must succeed.
func (s *site) ok(t *testing.T, method, path, body string, header ...string) answered {
	t.Helper()
	a := s.do(t, method, path, body, header...)
	require.Equal(t, 200, a.status, a.text)
	return a
}

func TestClustersOverREST(t *testing.T) {
	onEach(t, func(t *testing.T, db string) {
		s := startSite(t, db, Options{})
		s.beat(t, "10.0.0.1:8002", "wild")
		a := s.ok(t, "POST", "/api/v1/clusters", `{"name":"eu","description":"<b>x</b>","scopes":{"cidrs":["10.0.0.0/8"],"idcs":["fra"]}}`)
		require.Equal(t, `"1"`, a.header.Get("ETag"))
		require.Equal(t, "no-store", a.header.Get("Cache-Control"))
		a = s.ok(t, "GET", "/api/v1/clusters", "")
		require.Len(t, a.body["clusters"], 3, a.text)
		require.Equal(t, 1.0, s.ok(t, "GET", "/api/v1/clusters/wild", "").body["schedulers"])

		a = s.ok(t, "PUT", "/api/v1/clusters/eu", `{"description":"y"}`, "If-Match", `"1"`)
		require.Equal(t, `"2"`, a.header.Get("ETag"))
		require.Empty(t, a.body["scopes"].(map[string]any)["cidrs"], "replaced")
		stale := s.do(t, "PUT", "/api/v1/clusters/eu", `{"description":"z"}`, "If-Match", `"1"`)
		require.Equal(t, 412, stale.status, stale.text)
		require.Equal(t, rest.ProblemType, stale.header.Get("Content-Type"))
		require.Equal(t, "changed", stale.body["kind"])
		require.Equal(t, 412.0, stale.body["status"])
		require.Equal(t, 400, s.do(t, "PUT", "/api/v1/clusters/eu", `{"description":"z"}`).status, "no etag")
		s.ok(t, "PUT", "/api/v1/clusters/eu", `{"description":"z"}`, "If-Match", "*")
		require.Equal(t, 412, s.do(t, "DELETE", "/api/v1/clusters/eu?etag=2", "").status)
		s.ok(t, "DELETE", "/api/v1/clusters/eu?etag=3", "")
		require.Equal(t, 404, s.do(t, "GET", "/api/v1/clusters/eu", "").status)
	})
}

func TestConfigOverRESTReachesReadersAtOnce(t *testing.T) {
	s := startSite(t, tempDB(t), Options{ConfigPoll: time.Hour})
	stream, err := s.WatchConfig(t.Context(), &managerpb.WatchConfigRequest{Version: 1})
	require.NoError(t, err)
	a := s.ok(t, "GET", "/api/v1/clusters/default/config", "")
	require.Equal(t, `"1"`, a.header.Get("ETag"))
	require.Empty(t, a.body["changes"])
	require.Equal(t, 15.0, a.body["effective"].(map[string]any)["scheduler"].(map[string]any)["filter_parent_limit"])
	a = s.ok(t, "PUT", "/api/v1/clusters/default/config", `{"changes":{"scheduler":{"filter_parent_limit":20}}}`, "If-Match", `"1"`)
	require.Equal(t, `"2"`, a.header.Get("ETag"))
	got, err := stream.Recv()
	require.NoError(t, err)
	require.EqualValues(t, 2, got.Version)
	require.Contains(t, got.Config, `"filter_parent_limit":20`)
	for body, want := range map[string]int{
		`{"changes":{"scheduler":{"filter_parent_limit":0}}}`:    400,
		`{"changes":{"scheduler":{"filter_parent_limit":"20"}}}`: 400,
		`{"changes":{"sched":{}}}`:                               400,
		`{"changes":[]}`:                                         400,
		`{"changes":{}}`:                                         412, // the etag is old
	} {
		a := s.do(t, "PUT", "/api/v1/clusters/default/config", body, "If-Match", `"1"`)
		require.Equal(t, want, a.status, "%s: %s", body, a.text)
	}
}

func TestTheCatalogueOverREST(t *testing.T) {
	s := startSite(t, tempDB(t), Options{})
	script := `https://example.org/%3Cscript%3E?q=';DROP TABLE tasks;--`
	body, err := json.Marshal(map[string]any{"url": script, "tag": `<script>alert(1)</script>`, "name": "it's"})
	require.NoError(t, err)
	a := s.ok(t, "POST", "/api/v1/tasks", string(body))
	id, etag := a.body["id"].(string), a.header.Get("ETag")
	require.Equal(t, `<script>alert(1)</script>`, a.body["tag"])
	require.Equal(t, []string{"application/json", "nosniff"}, []string{a.header.Get("Content-Type"), a.header.Get("X-Content-Type-Options")}, "no browser takes it for markup")
	for i := range 5 {
		s.ok(t, "POST", "/api/v1/tasks", fmt.Sprintf(`{"url":"https://example.org/%d","name":"n%d","cluster":"eu"}`, i, i))
	}
	seen, token := 0, ""
	for {
		a := s.ok(t, "GET", "/api/v1/tasks?search=example.org&page_size=4&page_token="+token, "")
		seen += len(a.body["tasks"].([]any))
		if token = a.body["next_page_token"].(string); token == "" {
			break
		}
	}
	require.Equal(t, 6, seen)
	require.Len(t, s.ok(t, "GET", "/api/v1/tasks?cluster=eu&search=n3", "").body["tasks"], 1)
	require.Equal(t, 409, s.do(t, "POST", "/api/v1/tasks", `{"url":"https://example.org/other","name":"it's"}`).status)
	s.ok(t, "POST", "/api/v1/tasks", `{"url":"https://example.org/other","name":"it's","cluster":"eu"}`)

	a = s.ok(t, "PATCH", "/api/v1/tasks/"+id, `{"expires":"2100-01-01T00:00:00Z"}`, "If-Match", etag)
	require.Equal(t, "2100-01-01T00:00:00Z", a.body["expires"])
	require.Equal(t, 412, s.do(t, "DELETE", "/api/v1/tasks/"+id, "", "If-Match", etag).status)
	require.Equal(t, 400, s.do(t, "DELETE", "/api/v1/tasks/"+id, "").status)
	s.ok(t, "DELETE", "/api/v1/clusters/default/names/it's", "")
	s.ok(t, "DELETE", "/api/v1/tasks/"+id, "", "If-Match", "*")
	require.Equal(t, 404, s.do(t, "GET", "/api/v1/tasks/"+id, "").status)
}

func TestCredentialsDoNotReachTheManager(t *testing.T) {
	s := startSite(t, tempDB(t), Options{})
	for _, body := range []string{
		`{"url":"https://u:hunter2@example.org/a"}`,
		`{"url":"https://example.org/a?sig=hunter2","filter_query":["sig"]}`,
	} {
		a := s.do(t, "POST", "/api/v1/tasks", body)
		require.Equal(t, 400, a.status, a.text)
		require.NotContains(t, a.text, "hunter2")
	}
	a := s.do(t, "POST", "/api/v1/jobs", `{"kind":"preheat","urls":["https://u:hunter2@example.org/a"]}`)
	require.Equal(t, 400, a.status)
	require.Empty(t, s.ok(t, "GET", "/api/v1/tasks", "").body["tasks"])
	require.Empty(t, s.ok(t, "GET", "/api/v1/jobs", "").body["jobs"])
}

func TestHostsOverREST(t *testing.T) {
	s := startSite(t, tempDB(t), Options{})
	var hosts []store.Host
	for i := range 25 {
		h := pieces.Host{ID: pieces.NewHostID([16]byte{byte(i)}), Hostname: fmt.Sprintf("h%d", i), IP: "10.0.0.1", PeerPort: 1, UploadPort: 1}
		hosts = append(hosts, store.Host{Cluster: "default", Host: h, Seen: time.Now()})
	}
	hosts[3].Seen = time.Now().Add(-time.Hour)
	require.NoError(t, s.store.Beat(t.Context(), nil, hosts, nil))
	require.Len(t, s.ok(t, "GET", "/api/v1/hosts", "").body["hosts"], 25)
	require.Len(t, s.ok(t, "GET", "/api/v1/hosts?active=true", "").body["hosts"], 24)
	a := s.ok(t, "GET", "/api/v1/hosts?search=h2&page_size=3", "")
	require.Len(t, a.body["hosts"], 3)
	require.NotEmpty(t, a.body["next_page_token"])
	path := "/api/v1/hosts/" + string(hosts[3].Host.ID)
	require.Equal(t, false, s.ok(t, "GET", path, "").body["active"])
	s.ok(t, "DELETE", path, "")
	require.Equal(t, 404, s.do(t, "DELETE", path, "").status)
	a = s.ok(t, "GET", "/api/v1/overview", "")
	require.Equal(t, 24.0, a.body["known_hosts"])
}

func TestJobsOverREST(t *testing.T) {
	// A manager looks for work when it is woken alone, not between two calls.
	s := startSite(t, tempDB(t), Options{Jobs: jobs.Options{Poll: time.Hour}})
	a := s.ok(t, "POST", "/api/v1/jobs", `{"kind":"preheat","urls":["https://example.org/a","https://example.org/b","https://example.org/a"],"target":{"kind":"all"},"timeout":"60s"}`)
	require.Len(t, a.body["task_ids"], 2, "each once")
	path := "/api/v1/jobs/" + a.body["id"].(string)
	require.Eventually(t, func() bool {
		a = s.ok(t, "GET", path, "")
		return a.body["state"] == "failed"
	}, time.Minute, 20*time.Millisecond)
	require.Equal(t, "no live host fits the target all", a.body["error"])
	require.Len(t, s.ok(t, "GET", "/api/v1/tasks", "").body["tasks"], 2, "they are in the catalogue")
	require.Len(t, s.ok(t, "GET", "/api/v1/jobs?state=failed&kind=preheat", "").body["jobs"], 1)
	require.Empty(t, s.ok(t, "GET", path+"/items", "").body["items"])
	require.Equal(t, 412, s.do(t, "POST", path+"/retry", `{"etag":"1"}`).status)
	require.Equal(t, "queued", s.ok(t, "POST", path+"/retry", `{}`).body["state"])
	s.ok(t, "POST", path+"/cancel", `{}`)
}

// Nonsense is a clear 4xx, and nothing of it is stored.
func TestNonsenseOverREST(t *testing.T) {
	s := startSite(t, tempDB(t), Options{})
	hash := strings.Repeat("ab", 32)
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/api/v1/nothing", "", 404},
		{"POST", "/api/v1/overview", "{}", 405},
		{"GET", "/api/v1/hosts?page_size=1001", "", 400},
		{"GET", "/api/v1/hosts?page_size=-1", "", 400},
		{"GET", "/api/v1/hosts?page_size=999999999999", "", 400},
		{"GET", "/api/v1/hosts?page_size=x", "", 400},
		{"GET", "/api/v1/hosts?page_token=%25%25", "", 400},
		{"GET", "/api/v1/hosts?nonsense=1", "", 400},
		{"GET", "/api/v1/hosts?search=a%00b", "", 400},
		{"GET", "/api/v1/hosts?search=" + strings.Repeat("a", 2000), "", 400},
		{"GET", "/api/v1/hosts/x", "", 400},
		{"GET", "/api/v1/hosts/" + strings.Repeat("0", 32), "", 404},
		{"GET", "/api/v1/tasks/x'%20OR%201=1", "", 400},
		{"GET", "/api/v1/tasks/" + hash, "", 404},
		{"GET", "/api/v1/tasks?page_token=eA", "", 400},
		{"GET", "/api/v1/clusters/A%20b", "", 400},
		{"GET", "/api/v1/jobs/x", "", 400},
		{"GET", "/api/v1/jobs/" + strings.Repeat("0", 24) + "/items", "", 404},
		{"POST", "/api/v1/jobs/" + strings.Repeat("0", 24) + "/cancel", "{}", 404},
		{"POST", "/api/v1/clusters", `{"name":"eu","nonsense":1}`, 400},
		{"POST", "/api/v1/clusters", `{"name":1}`, 400},
		{"POST", "/api/v1/clusters", `{"name":"eu","scopes":{"hostnames":["("]}}`, 400},
		{"POST", "/api/v1/clusters", `{"name":"eu","description":"a\u0000b"}`, 400},
		{"POST", "/api/v1/clusters", `{`, 400},
		{"POST", "/api/v1/clusters", ``, 415},
		{"POST", "/api/v1/tasks", `{"url":"ftp://x"}`, 400},
		{"POST", "/api/v1/tasks", `{"url":"https://example.org/","name":"../x"}`, 400},
		{"POST", "/api/v1/tasks", `{"url":"https://example.org/","tag":"a\u0000"}`, 400},
		{"POST", "/api/v1/tasks", `{"url":"https://example.org/","expires":"2001-01-01T00:00:00Z"}`, 400},
		{"POST", "/api/v1/tasks", `{"url":"https://example.org/","expires":"soon"}`, 400},
		{"PATCH", "/api/v1/tasks/" + hash, `{"etag":"1"}`, 404},
		{"POST", "/api/v1/jobs", `{"kind":"wash"}`, 400},
		{"POST", "/api/v1/jobs", `{"kind":"preheat"}`, 400},
		{"POST", "/api/v1/jobs", `{"kind":"preheat","task_ids":["` + hash + `"]}`, 404},
		{"POST", "/api/v1/jobs", `{"kind":"delete","urls":["https://example.org/"]}`, 400},
		{"POST", "/api/v1/jobs", `{"kind":"collect","target":{"kind":"moon"}}`, 400},
		{"POST", "/api/v1/jobs", `{"kind":"collect","timeout":"0s"}`, 400},
	} {
		a := s.do(t, c.method, c.path, c.body)
		require.Equal(t, c.want, a.status, "%s %s %s: %s", c.method, c.path, c.body, a.text)
		require.Equal(t, rest.ProblemType, a.header.Get("Content-Type"), c.path)
		require.NotEmpty(t, a.body["detail"], c.path)
	}
	big := s.do(t, "POST", "/api/v1/tasks", `{"url":"`+strings.Repeat("a", 9<<20)+`"}`)
	require.Equal(t, 400, big.status)
	require.Equal(t, 415, s.do(t, "POST", "/api/v1/tasks", `{"url":"https://example.org/"}`, "Content-Type", "text/plain").status)
	for _, list := range []string{"tasks", "jobs", "hosts"} {
		require.Empty(t, s.ok(t, "GET", "/api/v1/"+list, "").body[list])
	}
	require.Len(t, s.ok(t, "GET", "/api/v1/clusters", "").body["clusters"], 1)
	doc := s.ok(t, "GET", "/api/v1/openapi.json", "")
	require.Contains(t, doc.body["paths"], "/api/v1/jobs/{id}/cancel")
}

// fakeRegistrar takes services as a server would.
type fakeRegistrar struct{ desc *grpc.ServiceDesc }

func (f *fakeRegistrar) RegisterService(d *grpc.ServiceDesc, _ any) { f.desc = d }

func TestStreamsAreGuardedToo(t *testing.T) {
	var f fakeRegistrar
	ran := false
	g := guarded{&f, fakeGuard(func(ctx context.Context, method string) (context.Context, error) {
		require.Equal(t, "/s/Watch", method)
		if ctx.Value(callKey{}) == nil {
			return nil, pieces.Errorf(pieces.Denied, "no")
		}
		return context.WithValue(ctx, callKey{}, "checked"), nil
	})}
	g.RegisterService(&grpc.ServiceDesc{ServiceName: "s", Streams: []grpc.StreamDesc{{StreamName: "Watch", Handler: func(_ any, s grpc.ServerStream) error {
		ran = true
		require.Equal(t, "checked", s.Context().Value(callKey{}))
		return nil
	}}}}, nil)
	h := f.desc.Streams[0].Handler
	require.Equal(t, pieces.Denied, pieces.KindOf(h(nil, fakeStream{ctx: t.Context()})))
	require.False(t, ran)
	require.NoError(t, h(nil, fakeStream{ctx: context.WithValue(t.Context(), callKey{}, "x")}))
	require.True(t, ran)
}

type callKey struct{}

type fakeGuard func(ctx context.Context, method string) (context.Context, error)

func (f fakeGuard) authorize(ctx context.Context, method string) (context.Context, error) {
	return f(ctx, method)
}

func (f fakeGuard) audited(context.Context, string, any, any, error) {}

type fakeStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (f fakeStream) Context() context.Context { return f.ctx }
