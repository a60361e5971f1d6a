package console_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/manager"
	"damselfly/manager/store"
	"damselfly/pieces"
)

// many is how many hosts and tasks there are.
const many = 10_000

// site is the console of a manager on a real SQLite database, as somebody on
// the manager's machine sees it.
type site struct {
	http.Handler
	host pieces.HostID
	task pieces.TaskID
}

func hostID(i int) pieces.HostID { return pieces.NewHostID([16]byte{byte(i), byte(i >> 8), 1}) }

func newSite(t testing.TB, n int) *site {
	t.Helper()
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "m.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	now := time.Now()
	hosts, puts := make([]store.Host, n), make([]store.Put, n)
	s := &site{host: hostID(0)}
	for i := range n {
		hosts[i] = store.Host{Cluster: "default", Added: now, Seen: now, Host: pieces.Host{
			ID: hostID(i), Hostname: fmt.Sprintf("host-%05d", i), IP: "10.0.0.1", PeerPort: 65000, UploadPort: 65002,
			IDC: "east", Location: "eu|de", Labels: map[string]string{"rack": "7"}, UploadSlots: 64,
		}}
		task, err := pieces.NewTask(fmt.Sprintf("https://example.org/data/%05d.bin", i), pieces.Options{Tag: "many"}, nil)
		require.NoError(t, err)
		puts[i] = store.Put{Task: task, Cluster: "default", Name: fmt.Sprintf("file-%05d", i), Now: now.Add(time.Duration(i) * time.Millisecond)}
		s.task = task.ID
	}
	require.NoError(t, db.Beat(t.Context(), nil, hosts, nil))
	require.NoError(t, db.PutTasks(t.Context(), puts))
	m, err := manager.New(manager.Options{Store: db, LocalAdmin: true, Version: "test"})
	require.NoError(t, err)
	s.Handler, err = m.Console()
	require.NoError(t, err)
	return s
}

// ask sends one request; header is pairs.
func (s *site) ask(method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1"+path, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:4711"
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://127.0.0.1")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// get wants a page.
func (s *site) get(t testing.TB, path string, header ...string) string {
	t.Helper()
	w := s.ask("GET", path, "", header...)
	require.Equal(t, 200, w.Code, "%s: %.500s", path, w.Body)
	return w.Body.String()
}

func (s *site) paths() []string {
	return []string{"/", "/clusters", "/clusters/default", "/hosts", "/hosts?search=host-09999", "/hosts/" + string(s.host), "/tasks", "/tasks?search=09999",
		"/tasks/" + string(s.task), "/tasks/" + string(s.task) + "/swarm", "/catalogue", "/catalogue?search=file-0777", "/jobs", "/jobs/new", "/users", "/audit"}
}

// TestManyRows: a page shows a bounded part of ten thousand rows, and its size,
// its allocations and the server's time are bounded too.
func TestManyRows(t *testing.T) {
	n := many
	if testing.Short() {
		n /= 10
	}
	s := newSite(t, n)
	for _, path := range s.paths() {
		body := s.get(t, path)
		require.LessOrEqual(t, strings.Count(body, "<tr>"), 51, path)
		require.Less(t, len(body), 128<<10, path)
		allocs := testing.AllocsPerRun(1, func() { s.get(t, path) })
		require.Less(t, allocs, 12_000.0, path)
		if !testing.Short() { // the race detector is slow
			require.Less(t, s.cost(t, path), pageTime, path)
		}
	}
	for _, path := range []string{"/hosts", "/tasks", "/catalogue"} {
		require.Equal(t, 50, strings.Count(s.get(t, path), "<tr>")-1, path)
	}
	require.Contains(t, s.get(t, "/"), map[int]string{many: "<b>10,000</b> tasks", many / 10: "<b>1,000</b> tasks"}[n])
}

// pageTime is how long the server may take for any page with ten thousand hosts
// and tasks.
const pageTime = 200 * time.Millisecond

// cost is the time that processors spend on a page, database included: what it
// took by the clock is the machine's other work too, and a page does nothing but
// work.
func (s *site) cost(t *testing.T, path string) time.Duration {
	least := time.Hour
	for range 3 {
		began := cpuTime()
		s.get(t, path)
		least = min(least, cpuTime()-began)
	}
	return least
}

// cpuTime of this process, in user mode and in the kernel.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // can't fail
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var nextPage = regexp.MustCompile(`<a href="([^"]*)" rel="next">`)

// TestPagesFollowEachOther walks all pages of a search.
func TestPagesFollowEachOther(t *testing.T) {
	s := newSite(t, 230)
	for _, start := range []string{"/hosts?search=host-001", "/catalogue?search=file-001", "/tasks?search=data"} {
		seen, path := map[string]bool{}, start
		for pages := 0; path != ""; pages++ {
			require.Less(t, pages, 10)
			body := s.get(t, path)
			for _, m := range regexp.MustCompile(`(host|file)-\d{5}`).FindAllString(body, -1) {
				seen[m] = true
			}
			path = ""
			if m := nextPage.FindStringSubmatch(body); m != nil {
				path = strings.ReplaceAll(m[1], "&amp;", "&")
			}
		}
		want := 100
		if strings.HasPrefix(start, "/tasks") {
			want = 230
		}
		require.Len(t, seen, want, start)
	}
}

// BenchmarkPages is the server's time of each page with 10,000 hosts and tasks.
func BenchmarkPages(b *testing.B) {
	s := newSite(b, many)
	for _, path := range s.paths() {
		b.Run(strings.NewReplacer("/", "_", string(s.task), "ID", string(s.host), "ID").Replace(path), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.get(b, path)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/1e3/float64(b.N), "ms/page")
		})
	}
}
