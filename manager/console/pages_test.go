package console_test

import (
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/manager"
	"damselfly/manager/people"
	"damselfly/manager/store"
)

const evil = `<script>alert(1)</script>`

func TestEveryAnswerHasItsPolicy(t *testing.T) {
	s := newSite(t, 3)
	for _, path := range append(s.paths(), "/login", "/nothing", "/assets/app.js") {
		w := s.ask("GET", path, "")
		policy := w.Header().Get("Content-Security-Policy")
		require.Contains(t, policy, "default-src 'none'", path)
		require.NotContains(t, policy, "unsafe", path)
		require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"), path)
		if strings.HasPrefix(path, "/assets/") {
			continue
		}
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"), path)
		for _, inline := range []string{"<script>", " style=", " onclick=", "javascript:"} {
			require.NotContains(t, w.Body.String(), inline, path)
		}
	}
}

func TestForgedFormsAreRefused(t *testing.T) {
	s := newSite(t, 3)
	for _, header := range [][]string{
		{"Origin", "http://evil.example"},
		{"Origin", "null"},
		{"Origin", "", "Sec-Fetch-Site", "cross-site"},
		{"Origin", "", "Sec-Fetch-Site", "same-site"},
		{"Origin", ""},
	} {
		w := s.ask("POST", "/tasks/"+string(s.task)+"/delete", "etag=*", header...)
		require.Equal(t, 403, w.Code, "%v: %s", header, w.Body)
	}
	s.get(t, "/tasks/"+string(s.task))
	require.Equal(t, 303, s.ask("POST", "/tasks/"+string(s.task)+"/delete", "etag=*").Code)
	require.Equal(t, 404, s.ask("GET", "/tasks/"+string(s.task), "").Code)
	require.Equal(t, 404, s.ask("DELETE", "/tasks", "", "Origin", "http://127.0.0.1").Code)
}

func TestFormsKeepWhatWasTypedAndSayWhatIsWrong(t *testing.T) {
	s := newSite(t, 3)
	for _, c := range []struct {
		path, body string
		status     int
		field      string // the label in which it says so; "" = above
		says       string
	}{
		{"/catalogue", "url=", 400, "URL", "which URL?"},
		{"/catalogue", "url=https://u:p@example.org/x&tag=kept", 400, "URL", "credential"},
		{"/catalogue", "url=https://example.org/x&name=a/b&tag=kept", 400, "Name", "name"},
		{"/catalogue", "url=https://example.org/x&digest=md5:1&tag=kept", 400, "Pinned digest", "digest"},
		{"/catalogue", "url=https://example.org/x&expires=2001-01-01T00:00&tag=kept", 400, "Ends", "expires"},
		{"/catalogue", "url=https://example.org/x&expires=soon&tag=kept", 400, "Ends", "expires"},
		{"/catalogue", "url=https://example.org/x&name=file-00001&tag=kept", 409, "Name", "file-00001"},
		{"/clusters", "name=UP", 400, "Name", "cluster"},
		{"/jobs", "kind=preheat&target=seed&tag=kept", 400, "Files", "which files?"},
		{"/jobs", "kind=preheat&target=labels&what=https://example.org/y&labels=nothing&tag=kept", 400, "Labels", "KEY=VALUE"},
		{"/jobs", "kind=preheat&target=host&host=x&what=https://example.org/y&tag=kept", 400, "Host id", "host"},
		{"/jobs", "kind=preheat&target=seed&what=https://example.org/y&timeout=1x&tag=kept", 400, "Timeout", "duration"},
		{"/jobs", "kind=preheat&target=seed&what=https://example.org/y&timeout=1000h&tag=kept", 400, "Timeout", "7 days"},
		{"/users", "name=Bad+Name&role=viewer", 400, "Name", "user"},
	} {
		w := s.ask("POST", c.path, c.body)
		body := w.Body.String()
		require.Equal(t, c.status, w.Code, "%s: %.300s", c.body, body)
		if strings.Contains(c.body, "kept") {
			require.Contains(t, body, `value="kept"`, c.body)
		}
		beside := ""
		for _, label := range strings.Split(body, "<label")[1:] {
			label, _, _ = strings.Cut(label, "</label>")
			if strings.Contains(label, `class="wrong"`) {
				beside = label
			}
		}
		require.True(t, strings.HasPrefix(beside, ">"+c.field+" "), "%s: beside %q", c.body, beside)
		require.Contains(t, beside, c.says, c.body)
	}
}

func TestConfigForm(t *testing.T) {
	s := newSite(t, 3)
	edit := func(etag string, values url.Values) (int, string) {
		values.Set("etag", etag)
		w := s.ask("POST", "/clusters/default/config", values.Encode())
		return w.Code, w.Body.String()
	}
	require.Equal(t, 303, s.ask("POST", "/clusters/default", "etag=*&description="+url.QueryEscape(evil)).Code)
	body := s.get(t, "/clusters/default")
	require.Contains(t, body, `name="scheduler.candidate_parent_limit" value="" placeholder="4"`)
	require.NotContains(t, body, evil)

	code, body := edit("1", url.Values{"scheduler.candidate_parent_limit": {"many"}})
	require.Equal(t, 400, code)
	require.Contains(t, body, "is no number")
	code, body = edit("1", url.Values{"scheduler.weights.free_upload": {"500"}})
	require.Equal(t, 400, code)
	_, label, _ := strings.Cut(body, `name="scheduler.weights.free_upload"`)
	label, _, _ = strings.Cut(label, "</label>")
	require.Contains(t, label, "free_upload is 500")
	code, body = edit("1", url.Values{"blocklist.tasks": {"zz"}})
	require.Equal(t, 400, code)
	_, label, _ = strings.Cut(body, `name="blocklist.tasks"`)
	label, _, _ = strings.Cut(label, "</label>")
	require.Contains(t, label, `class="wrong"`)

	code, _ = edit("1", url.Values{"scheduler.candidate_parent_limit": {"9"}, "blocklist.tags": {"a\r\n" + evil + "\r\n"}})
	require.Equal(t, 303, code)
	code, body = edit("1", url.Values{"scheduler.candidate_parent_limit": {"10"}})
	require.Equal(t, 412, code)
	require.Contains(t, body, "Somebody changed this")
	require.Contains(t, body, `value="10"`)
	body = s.get(t, "/clusters/default")
	require.Contains(t, body, `name="scheduler.candidate_parent_limit" value="9"`)
	require.Contains(t, body, "a\n&lt;script&gt;alert(1)&lt;/script&gt;</textarea>")

	// Empty is the default again; what was not in the form stays.
	code, _ = edit("2", url.Values{"scheduler.candidate_parent_limit": {""}})
	require.Equal(t, 303, code)
	body = s.get(t, "/clusters/default")
	require.Contains(t, body, `name="scheduler.candidate_parent_limit" value="" placeholder="4"`)
	require.Contains(t, body, "a\n&lt;script&gt;")
}

func TestWhenAnEntryEnds(t *testing.T) {
	s := newSite(t, 3)
	path := "/tasks/" + string(s.task)
	for body, status := range map[string]int{"etag=*&expires=yesterday": 400, "etag=*&expires=2001-01-01T00:00": 400, "etag=77&expires=2099-01-02T03:04": 412, "expires=2099-01-02T03:04": 400} {
		w := s.ask("POST", path+"/expires", body)
		require.Equal(t, status, w.Code, body)
		require.Contains(t, w.Body.String(), `role="alert"`, body)
	}
	require.Equal(t, 303, s.ask("POST", path+"/expires", "etag=*&expires=2099-01-02T03:04").Code)
	body := s.get(t, path)
	require.Contains(t, body, "2099-01-02 03:04:00 UTC")
	require.Contains(t, body, `value="2099-01-02T03:04:00"`)
	require.Equal(t, 303, s.ask("POST", path+"/expires", "etag=*&expires=").Code)
	require.Contains(t, s.get(t, path), "<dd>never</dd>")
}

func TestPartsAreThePartAlone(t *testing.T) {
	s := newSite(t, 3)
	for _, path := range []string{"/", "/hosts", "/tasks", "/catalogue", "/jobs", "/tasks/" + string(s.task) + "/swarm", "/clusters/default"} {
		body := s.get(t, path, "Part", "1")
		require.NotContains(t, body, "<html", path)
		require.NotContains(t, body, "<h1", path)
		require.NotEmpty(t, strings.TrimSpace(body), path)
	}
	w := s.ask("GET", "/hosts?after=!", "", "Part", "1")
	require.Equal(t, 400, w.Code)
	require.NotContains(t, w.Body.String(), "<html")
}

// TestWhoMayWhat: what a viewer may not do is neither offered nor done.
func TestWhoMayWhat(t *testing.T) {
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "m.db"))
	require.NoError(t, err)
	defer db.Close()
	m, err := manager.New(manager.Options{Store: db, SSO: manager.SSO{Path: "/oidc/login", Name: "id.example.org"}})
	require.NoError(t, err)
	h, err := m.Console()
	require.NoError(t, err)
	password, err := m.People().Bootstrap(t.Context())
	require.NoError(t, err)
	s := &site{Handler: h}
	w := s.ask("GET", "/hosts?search=x", "")
	require.Equal(t, 303, w.Code)
	require.Equal(t, "/login?next=%2Fhosts%3Fsearch%3Dx", w.Header().Get("Location"))
	w = s.ask("GET", "/hosts?search=x", "", "Sec-Fetch-Site", "cross-site")
	require.Equal(t, 200, w.Code)
	require.Equal(t, "0;url=/hosts?search=x", w.Header().Get("Refresh"))
	require.Contains(t, w.Body.String(), `href="/hosts?search=x"`)
	require.Contains(t, s.get(t, "/login"), `<a class="button" href="/oidc/login">Log in with id.example.org</a>`)
	require.Equal(t, 401, s.ask("POST", "/jobs", "").Code)
	require.Equal(t, 401, s.ask("GET", "/", "", "Part", "1").Code)

	login := func(user, password string) string {
		w := s.ask("POST", "/login?next=/hosts%3Fseeds%3D1", url.Values{"user": {user}, "password": {password}}.Encode())
		require.Equal(t, 303, w.Code, w.Body)
		require.Equal(t, "/hosts?seeds=1", w.Header().Get("Location"))
		c := w.Result().Cookies()[0]
		require.Equal(t, people.CookieName, c.Name)
		require.True(t, c.HttpOnly)
		require.Equal(t, http.SameSiteStrictMode, c.SameSite)
		return c.Name + "=" + c.Value
	}
	w = s.ask("POST", "/login?next=//evil.example", "user=admin&password=x")
	require.Equal(t, 401, w.Code)
	require.Contains(t, w.Body.String(), `action="/login?next=%2f"`)
	admin := login("admin", password)
	require.Equal(t, 303, s.ask("POST", "/users", url.Values{"name": {"vera"}, "role": {"viewer"}, "password": {"just looking around"}}.Encode(), "Cookie", admin).Code)
	viewer := login("vera", "just looking around")
	for path, offered := range map[string]string{"/catalogue": "Add a URL", "/jobs": "/jobs/new", "/clusters": "Add a cluster"} {
		require.Contains(t, s.get(t, path, "Cookie", admin), offered)
		require.NotContains(t, s.get(t, path, "Cookie", viewer), offered)
	}
	for _, path := range []string{"/users", "/audit"} {
		s.get(t, path, "Cookie", admin)
		require.Equal(t, 403, s.ask("GET", path, "", "Cookie", viewer).Code)
		require.NotContains(t, s.get(t, "/", "Cookie", viewer), `href="`+path+`"`)
	}
	for path, body := range map[string]string{"/catalogue": "url=https://example.org/x", "/clusters": "name=x", "/jobs": "kind=collect&target=all", "/users": "name=x&role=admin"} {
		require.Equal(t, 403, s.ask("POST", path, body, "Cookie", viewer).Code, path)
	}
	require.Equal(t, 303, s.ask("POST", "/logout", "", "Cookie", viewer).Code)
	require.Equal(t, 303, s.ask("GET", "/", "", "Cookie", viewer).Code, "the session is over")
}
