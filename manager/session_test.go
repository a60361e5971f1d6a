package manager

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/manager/people"
	"damselfly/manager/rest"
	"damselfly/manager/store"
	"damselfly/manager/store/pgtest"
	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

const thePassword = "a long enough one"

// populated has a user of each role, named like it.
func populated(t *testing.T, database string, o Options) *site {
	s := startClosedSite(t, database, o)
	for _, r := range []store.Role{store.Admin, store.Operator, store.Viewer} {
		_, err := s.server.People().AddUser(t.Context(), string(r), r, thePassword)
		require.NoError(t, err)
	}
	return s
}

// login answers the Cookie header of a new session.
func (s *site) login(t *testing.T, user, password string) string {
	t.Helper()
	a := s.ok(t, "POST", "/api/v1/session", fmt.Sprintf(`{"user":%q,"password":%q}`, user, password))
	require.Equal(t, user, a.body["user"])
	require.Empty(t, a.body["secret"], "scripts of a page don't see it")
	c, err := http.ParseSetCookie(a.header.Get("Set-Cookie"))
	require.NoError(t, err)
	require.Equal(t, people.CookieName, c.Name)
	require.True(t, c.HttpOnly)
	require.Equal(t, http.SameSiteStrictMode, c.SameSite)
	require.Equal(t, "/", c.Path)
	return c.Name + "=" + c.Value
}

func TestSessionsOverREST(t *testing.T) {
	onEach(t, func(t *testing.T, db string) {
		s := populated(t, db, Options{})
		a := s.do(t, "POST", "/api/v1/session", `{"user":"admin","password":"wrong"}`)
		require.Equal(t, 401, a.status)
		require.Empty(t, a.header.Get("Set-Cookie"))
		cookie := s.login(t, "viewer", thePassword)
		other := s.login(t, "viewer", thePassword)
		me := s.ok(t, "GET", "/api/v1/session", "", "Cookie", "x=y; "+cookie)
		require.Equal(t, "viewer", me.body["role"])
		s.ok(t, "GET", "/api/v1/hosts", "", "Cookie", cookie)
		require.Equal(t, 403, s.do(t, "POST", "/api/v1/tasks", `{"url":"https://example.org/"}`, "Cookie", cookie).status)
		require.Equal(t, 403, s.do(t, "GET", "/api/v1/users", "", "Cookie", cookie).status)

		wrong := s.do(t, "POST", "/api/v1/session/password", `{"old_password":"wrong","new_password":"another long one"}`, "Cookie", cookie)
		require.Equal(t, 403, wrong.status, wrong.text)
		short := s.do(t, "POST", "/api/v1/session/password", `{"old_password":"`+thePassword+`","new_password":"short"}`, "Cookie", cookie)
		require.Equal(t, 400, short.status, short.text)
		s.ok(t, "POST", "/api/v1/session/password", `{"old_password":"`+thePassword+`","new_password":"another long one"}`, "Cookie", cookie)
		require.Equal(t, 401, s.do(t, "GET", "/api/v1/session", "", "Cookie", other).status, "other sessions end")
		require.Equal(t, 401, s.do(t, "POST", "/api/v1/session", `{"user":"viewer","password":"`+thePassword+`"}`).status)
		s.login(t, "viewer", "another long one")

		out := s.ok(t, "DELETE", "/api/v1/session", "", "Cookie", cookie)
		require.Contains(t, out.header.Get("Set-Cookie"), "Max-Age=0")
		require.Equal(t, 401, s.do(t, "GET", "/api/v1/session", "", "Cookie", cookie).status)
		token := s.token(t, store.Admin, "admin")
		require.Equal(t, 400, s.do(t, "DELETE", "/api/v1/session", "", "Authorization", "Bearer "+token).status)
		require.Equal(t, 401, s.do(t, "GET", "/api/v1/session", "", "Cookie", people.CookieName+"=x", "Authorization", "Bearer "+cookie).status)
	})
}

// Failed logins from one address are limited, over REST as over gRPC.
func TestFailedLoginsOverREST(t *testing.T) {
	s := populated(t, tempDB(t), Options{People: people.Options{AddressBurst: 3, AddressEvery: time.Hour}})
	for range 2 {
		require.Equal(t, 401, s.do(t, "POST", "/api/v1/session", `{"user":"admin","password":"wrong"}`).status)
	}
	_, err := managerpb.NewAdminClient(s.conn).CreateSession(t.Context(), &managerpb.CreateSessionRequest{User: "admin"})
	require.Equal(t, pieces.Unauthenticated, pieces.KindOf(err))
	a := s.do(t, "POST", "/api/v1/session", `{"user":"admin","password":"`+thePassword+`"}`)
	require.Equal(t, 429, a.status, a.text)
	require.Equal(t, "throttled", a.body["kind"])
	after, err := strconv.Atoi(a.header.Get("Retry-After"))
	require.NoError(t, err)
	require.InDelta(t, 3600, after, 60)
	require.Empty(t, a.header.Get("Set-Cookie"))
}

// What one manager lets in, the other knows; what it ends, has ended there.
func TestTwoManagersKnowTheSamePeople(t *testing.T) {
	db := pgtest.New(t)
	one, other := populated(t, db, Options{}), startClosedSite(t, db, Options{})
	cookie := one.login(t, "admin", thePassword)
	require.Equal(t, "admin", other.ok(t, "GET", "/api/v1/session", "", "Cookie", cookie).body["user"])
	other.ok(t, "POST", "/api/v1/users", `{"name":"ann","role":"viewer"}`, "Cookie", cookie)
	lines := one.ok(t, "GET", "/api/v1/audit?user=admin", "", "Cookie", cookie).body["lines"].([]any)
	require.Equal(t, "CreateUser", lines[0].(map[string]any)["method"])
	other.ok(t, "DELETE", "/api/v1/session", "", "Cookie", cookie)
	require.Equal(t, 401, one.do(t, "GET", "/api/v1/session", "", "Cookie", cookie).status)
}

// A page of another origin can't make a browser change anything with the
// cookie it has, whatever it claims to send.
func TestForeignPagesChangeNothing(t *testing.T) {
	s := populated(t, tempDB(t), Options{URL: "https://manager.example.org"})
	cookie := s.login(t, "admin", thePassword)
	put := func(header ...string) int {
		return s.do(t, "POST", "/api/v1/tasks", `{"url":"https://example.org/"}`, append([]string{"Cookie", cookie}, header...)...).status
	}
	for _, foreign := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Origin", "https://evil.example"},
		{"Origin", "null"},
		{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"},
	} {
		require.Equal(t, 403, put(foreign...), foreign)
		require.Equal(t, 403, s.do(t, "POST", "/api/v1/session", `{"user":"admin","password":"`+thePassword+`"}`, foreign...).status, "a login into somebody else's account")
		require.Equal(t, 403, s.do(t, "DELETE", "/api/v1/session", "", append([]string{"Cookie", cookie}, foreign...)...).status)
	}
	require.Empty(t, s.ok(t, "GET", "/api/v1/tasks", "", "Cookie", cookie).body["tasks"])
	require.Equal(t, 200, put("Sec-Fetch-Site", "same-origin"))
	require.Equal(t, 200, put("Origin", s.url))
	require.Equal(t, 200, put("Origin", "https://manager.example.org", "Sec-Fetch-Site", "cross-site"), "the URL that we are told is ours")
	a := s.do(t, "POST", "/api/v1/session", `{"user":"admin","password":"`+thePassword+`"}`)
	require.Contains(t, a.header.Get("Set-Cookie"), "Secure", "TLS ends before us")
}

func TestUsersAndTokensOverREST(t *testing.T) {
	onEach(t, func(t *testing.T, db string) {
		s := populated(t, db, Options{})
		boss := s.login(t, "admin", thePassword)
		as := func(cookie, method, path, body string, header ...string) answered {
			t.Helper()
			return s.do(t, method, path, body, append([]string{"Cookie", cookie}, header...)...)
		}
		a := as(boss, "POST", "/api/v1/users", `{"name":"ann@example.org","role":"operator"}`)
		require.Equal(t, 200, a.status, a.text)
		require.Equal(t, false, a.body["has_password"])
		require.Equal(t, `"1"`, a.header.Get("ETag"))
		require.Equal(t, 409, as(boss, "POST", "/api/v1/users", `{"name":"ann@example.org","role":"viewer"}`).status)
		a = as(boss, "POST", "/api/v1/users/ann@example.org/password", `{}`)
		require.Equal(t, 200, a.status, a.text)
		ann := s.login(t, "ann@example.org", a.body["password"].(string))

		require.Equal(t, 412, as(boss, "PUT", "/api/v1/users/ann@example.org", `{"role":"viewer"}`, "If-Match", `"1"`).status)
		a = as(boss, "PUT", "/api/v1/users/ann@example.org", `{"role":"viewer"}`, "If-Match", `"2"`)
		require.Equal(t, "viewer", a.body["role"], a.text)
		require.Equal(t, "viewer", as(ann, "GET", "/api/v1/session", "").body["role"], "at once")

		// A token may no more than who makes it.
		require.Equal(t, 403, as(ann, "POST", "/api/v1/tokens", `{"title":"x","scopes":["operate"]}`).status)
		require.Equal(t, 403, as(ann, "POST", "/api/v1/tokens", `{"title":"x","scopes":["read"],"user":"admin"}`).status)
		a = as(ann, "POST", "/api/v1/tokens", `{"title":"<b>ci</b>","scopes":["read","account"]}`)
		require.Equal(t, 200, a.status, a.text)
		bearer := "Bearer " + a.body["secret"].(string)
		id := a.body["id"].(string)
		require.Equal(t, "token", s.ok(t, "GET", "/api/v1/session", "", "Authorization", bearer).body["via"])
		reader := s.ok(t, "POST", "/api/v1/tokens", `{"title":"r","scopes":["read"]}`, "Authorization", bearer).body["secret"].(string)
		require.Equal(t, 403, s.do(t, "POST", "/api/v1/tokens", `{"title":"r","scopes":["read"]}`, "Authorization", "Bearer "+reader).status)
		list := as(ann, "GET", "/api/v1/tokens", "")
		require.Len(t, list.body["tokens"], 2)
		require.NotContains(t, list.text, bearer[len("Bearer dft_0123456789abcdef_"):])
		require.Equal(t, 403, as(ann, "GET", "/api/v1/tokens?user=admin", "").status)
		require.Len(t, as(boss, "GET", "/api/v1/tokens?user=ann@example.org&page_size=1", "").body["tokens"], 1)
		require.Equal(t, 404, as(s.login(t, "viewer", thePassword), "DELETE", "/api/v1/tokens/"+id, "").status, "somebody else's")
		require.Equal(t, 200, as(boss, "DELETE", "/api/v1/tokens/"+id, "").status)
		require.Equal(t, 401, s.do(t, "GET", "/api/v1/session", "", "Authorization", bearer).status)

		require.Equal(t, 403, as(boss, "DELETE", "/api/v1/users/admin?etag=*", "").status, "the last administrator")
		require.Equal(t, 200, as(boss, "PUT", "/api/v1/users/ann@example.org", `{"role":"viewer","disabled":true}`, "If-Match", "*").status)
		require.Equal(t, 401, as(ann, "GET", "/api/v1/session", "").status)
		require.Equal(t, 200, as(boss, "DELETE", "/api/v1/users/ann@example.org?etag=*", "").status)
		require.Equal(t, 404, as(boss, "GET", "/api/v1/users/ann@example.org", "").status)

		// Who did what, in pages.
		var methods []string
		for path := "/api/v1/audit?page_size=5"; path != ""; {
			a := as(boss, "GET", path, "")
			require.Equal(t, 200, a.status, a.text)
			for _, l := range a.body["lines"].([]any) {
				l := l.(map[string]any)
				require.Equal(t, "127.0.0.1", l["address"])
				methods = append(methods, fmt.Sprint(l["user"], " ", l["method"], " ", l["object"], " ", l["result"]))
			}
			path = ""
			if next := a.body["next_page_token"].(string); next != "" {
				path = "/api/v1/audit?page_size=5&page_token=" + next
			}
		}
		for _, want := range []string{
			"admin CreateUser name=ann@example.org role=operator ok",
			"admin CreateUser name=ann@example.org role=viewer exists",
			"admin UpdateUser name=ann@example.org role=viewer changed",
			"ann@example.org CreateToken title=<b>ci</b> scopes=read scopes=account id=" + id + " ok",
			"ann@example.org CreateToken title=x scopes=operate denied",
			"admin DeleteToken id=" + id + " ok",
			"admin UpdateUser name=ann@example.org role=viewer disabled=true ok",
			"admin DeleteUser name=ann@example.org ok",
		} {
			require.Contains(t, methods, want)
		}
	})
}

// An audit log and ended sessions do not grow for ever.
func TestPeopleAreTidied(t *testing.T) {
	c := newClock()
	s := populated(t, tempDB(t), Options{Now: c.now, Forget: time.Hour, People: people.Options{AuditKeep: 24 * time.Hour}})
	s.login(t, "admin", thePassword)
	lines := func() int {
		all, err := s.store.Audits(t.Context(), store.AuditFilter{}, "", 100)
		require.NoError(t, err)
		return len(all)
	}
	require.Equal(t, 1, lines())
	c.advance(23 * time.Hour)
	require.NoError(t, s.server.people.Tidy(t.Context()))
	require.Equal(t, 1, lines())
	c.advance(2 * time.Hour)
	s.server.tidy(t.Context())
	require.Zero(t, lines())
}

// What looks like SQL or markup is a name like any other where names are free,
// and refused where they are not; it is stored as it came, or not at all.
func TestHostileTextsOverREST(t *testing.T) {
	onEach(t, func(t *testing.T, db string) {
		s := startSite(t, db, Options{})
		texts := []string{
			`'; DROP TABLE users; --`, `" OR ""="`, `1 UNION SELECT * FROM credentials`, `%' OR 1=1 --`, `\'; --`, `$1`, `{{.}}`,
			`<script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `javascript:alert(1)`, "\u202egnp.exe", "../../etc/passwd", "a\x00b",
		}
		for _, text := range texts {
			inQuotes, err := json.Marshal(text)
			require.NoError(t, err)
			js := string(inQuotes[1 : len(inQuotes)-1])
			for what, c := range map[string]struct{ method, path, body string }{
				"cluster":       {"POST", "/api/v1/clusters", `{"name":"` + js + `"}`},
				"task's name":   {"POST", "/api/v1/tasks", `{"url":"https://example.org/","name":"` + js + `"}`},
				"cluster of it": {"POST", "/api/v1/tasks", `{"url":"https://example.org/","name":"x","cluster":"` + js + `"}`},
				"user":          {"POST", "/api/v1/users", `{"name":"` + js + `","role":"viewer"}`},
				"role":          {"POST", "/api/v1/users", `{"name":"x","role":"` + js + `"}`},
				"scope":         {"POST", "/api/v1/tokens", `{"title":"x","scopes":["` + js + `"]}`},
				"kind":          {"POST", "/api/v1/jobs", `{"kind":"` + js + `"}`},
			} {
				a := s.do(t, c.method, c.path, c.body)
				if what == "task's name" && a.status == 200 { // file names are free
					require.Equal(t, text, a.body["names"].([]any)[0].(map[string]any)["name"])
					s.ok(t, "DELETE", "/api/v1/tasks/"+a.body["id"].(string)+"?etag=*", "")
					continue
				}
				require.Contains(t, []int{400, 404}, a.status, "%s %q: %s", what, text, a.text)
				require.Equal(t, rest.ProblemType, a.header.Get("Content-Type"))
				require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
			}
			// A description and a search are free texts.
			a := s.do(t, "POST", "/api/v1/clusters", `{"name":"c","description":"`+js+`"}`)
			if a.status == 200 {
				require.Equal(t, text, s.ok(t, "GET", "/api/v1/clusters/c", "").body["description"])
				s.ok(t, "DELETE", "/api/v1/clusters/c?etag=*", "")
			} else {
				require.Equal(t, 400, a.status, "%q: %s", text, a.text)
			}
			for _, list := range []string{"users", "audit", "hosts", "tasks"} {
				a := s.do(t, "GET", "/api/v1/"+list+"?search="+url.QueryEscape(text), "")
				require.Contains(t, []int{200, 400}, a.status, "%s %q: %s", list, text, a.text)
			}
		}
		for list, want := range map[string]int{"users": 0, "tasks": 0, "jobs": 0, "tokens": 0, "clusters": 1} {
			require.Len(t, s.ok(t, "GET", "/api/v1/"+list, "").body[list], want, list)
		}
	})
}

// Nonsense about people is a clear 4xx, and nothing of it is stored.
func TestNonsenseAboutPeopleOverREST(t *testing.T) {
	s := startSite(t, tempDB(t), Options{})
	s.ok(t, "POST", "/api/v1/users", `{"name":"ann","role":"viewer"}`)
	zero := strings.Repeat("0", 16)
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "/api/v1/session", `{"user":1}`, 400},
		{"POST", "/api/v1/session", `{"user":"a","password":["x"]}`, 400},
		{"POST", "/api/v1/session", `{"user":"a","pass":"x"}`, 400},
		{"POST", "/api/v1/session", `[]`, 400},
		{"POST", "/api/v1/session", ``, 415},
		{"PUT", "/api/v1/session", `{}`, 405},
		{"POST", "/api/v1/session/password", `{"old_password":"x","new_password":"long enough to be one"}`, 400},
		{"GET", "/api/v1/users?page_size=1001", "", 400},
		{"GET", "/api/v1/users?page_size=99999999999999999999", "", 400},
		{"GET", "/api/v1/users?page_token=!", "", 400},
		{"GET", "/api/v1/users?search=" + strings.Repeat("a", 2000), "", 400},
		{"GET", "/api/v1/users?nonsense=1", "", 400},
		{"GET", "/api/v1/users/nobody", "", 404},
		{"GET", "/api/v1/users/No%20Body", "", 400},
		{"POST", "/api/v1/users", `{"name":"b","role":"king"}`, 400},
		{"POST", "/api/v1/users", `{"name":"b"}`, 400},
		{"POST", "/api/v1/users", `{"name":"b","role":"viewer","password":"short"}`, 400},
		{"POST", "/api/v1/users", `{"name":"b","role":"viewer","password":"` + strings.Repeat("x", 300) + `"}`, 400},
		{"POST", "/api/v1/users", `{"name":"` + strings.Repeat("b", 65) + `","role":"viewer"}`, 400},
		{"POST", "/api/v1/users", `{"name":"\ud800","role":"viewer"}`, 400},
		{"POST", "/api/v1/users", "{\"name\":\"\xff\",\"role\":\"viewer\"}", 400},
		{"POST", "/api/v1/users", `{"name":"ann","role":"viewer"}`, 409},
		{"PUT", "/api/v1/users/ann", `{"role":"viewer"}`, 400},
		{"PUT", "/api/v1/users/ann", `{"role":"viewer","etag":"7"}`, 412},
		{"PUT", "/api/v1/users/ann", `{"role":"viewer","etag":"x"}`, 412},
		{"PUT", "/api/v1/users/ann", `{"role":"viewer","disabled":"yes","etag":"*"}`, 400},
		{"PUT", "/api/v1/users/nobody", `{"role":"viewer","etag":"*"}`, 404},
		{"DELETE", "/api/v1/users/ann?etag=9", "", 412},
		{"DELETE", "/api/v1/users/nobody?etag=*", "", 404},
		{"POST", "/api/v1/users/nobody/password", `{}`, 404},
		{"POST", "/api/v1/users/ann/password", `{"password":"short"}`, 400},
		{"GET", "/api/v1/tokens?page_size=5000", "", 400},
		{"GET", "/api/v1/tokens?user=nobody", "", 404},
		{"POST", "/api/v1/tokens", `{"title":"x","scopes":["read"],"user":"nobody"}`, 404},
		{"POST", "/api/v1/tokens", `{"title":"","scopes":["read"],"user":"ann"}`, 400},
		{"POST", "/api/v1/tokens", `{"title":"x","user":"ann"}`, 400},
		{"POST", "/api/v1/tokens", `{"title":"x","scopes":["operate"],"user":"ann"}`, 403},
		{"POST", "/api/v1/tokens", `{"title":"x","scopes":["read"],"user":"ann","expires":"2001-01-01T00:00:00Z"}`, 400},
		{"POST", "/api/v1/tokens", `{"title":"x","scopes":["read"],"user":"ann","expires":"9999-01-01T00:00:00Z"}`, 400},
		{"POST", "/api/v1/tokens", `{"title":"x","scopes":["read"],"user":"ann","expires":5}`, 400},
		{"DELETE", "/api/v1/tokens/" + zero, "", 404},
		{"DELETE", "/api/v1/tokens/1%27%20OR%201=1", "", 400},
		{"GET", "/api/v1/audit?page_size=1001", "", 400},
		{"GET", "/api/v1/audit?page_token=%00", "", 400},
		{"DELETE", "/api/v1/audit", "", 405},
	} {
		a := s.do(t, c.method, c.path, c.body)
		require.Equal(t, c.want, a.status, "%s %s %s: %s", c.method, c.path, c.body, a.text)
		require.Equal(t, rest.ProblemType, a.header.Get("Content-Type"), c.path)
		require.NotEmpty(t, a.body["detail"], c.path)
	}
	require.Len(t, s.ok(t, "GET", "/api/v1/users", "").body["users"], 1)
	require.Empty(t, s.ok(t, "GET", "/api/v1/tokens?user=*", "").body["tokens"])
	u, err := s.store.User(t.Context(), "ann")
	require.NoError(t, err)
	require.EqualValues(t, 1, u.Revision)
	require.Empty(t, u.Password)
}
