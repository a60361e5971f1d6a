package oidc

import (
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/manager/people"
	"damselfly/manager/store"
	"damselfly/pieces"
)

// house is a manager's front door with a provider that vouches for people.
type house struct {
	t        *testing.T
	url      string
	people   *people.People
	store    *store.Store
	provider *provider
	// logins tells how each ended.
	logins chan string
}

func newHouse(t *testing.T, tune func(*Options)) *house {
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "m.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	var door *Provider
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { door.ServeHTTP(w, r) }))
	t.Cleanup(s.Close)
	h := &house{t: t, url: strings.Replace(s.URL, "127.0.0.1", "localhost", 1), store: db, logins: make(chan string, 100)}
	h.people = people.New(people.Options{Store: db, Login: func(via, result string) { h.logins <- via + " " + result }})
	h.provider = startProvider(t, h.url, map[string]person{
		"1": {"ann", []string{"staff", "ops"}},
		"2": {"bob", []string{"guests"}},
		"3": {"Admin", []string{"root"}},
		"4": {"<script>alert(1)</script>", []string{"root"}},
	})
	o := Options{
		Issuer: h.provider.url, ClientID: "dfmanager", ClientSecret: "client secret", URL: h.url, People: h.people,
		Roles: map[string]store.Role{"staff": store.Viewer, "ops": store.Operator, "root": store.Admin},
	}
	if tune != nil {
		tune(&o)
	}
	door, err = New(o)
	require.NoError(t, err)
	return h
}

// ended answers how logins ended since it was asked.
func (h *house) ended() (all []string) {
	for len(h.logins) > 0 {
		all = append(all, <-h.logins)
	}
	return all
}

func (h *house) browser() *browser {
	jar, err := cookiejar.New(nil)
	require.NoError(h.t, err)
	return &browser{&http.Client{Jar: jar}, h.t}
}

// session is that of a browser, or nobody's.
func (h *house) session(b *browser) people.Identity {
	u, err := url.Parse(h.url)
	require.NoError(h.t, err)
	for _, c := range b.Jar.Cookies(u) {
		if c.Name == people.CookieName {
			who, err := h.people.Authenticate(h.t.Context(), c.Value)
			require.NoError(h.t, err)
			return who
		}
	}
	return people.Identity{}
}

func TestALoginFromEndToEnd(t *testing.T) {
	h := newHouse(t, nil)
	b := h.browser()
	form := b.get(h.url + LoginPath)
	require.Equal(t, 401, b.prove(form, "ann", "wrong").status)
	at := b.prove(form, "ann", theirPassword)
	require.Equal(t, 200, at.status, at.text)
	require.Contains(t, at.text, `href="/"`)
	who := h.session(b)
	require.Equal(t, "ann", who.User)
	require.Equal(t, store.Operator, who.Role, "the highest of her groups")
	require.Len(t, h.provider.forms, 1)
	require.NotEmpty(t, h.provider.forms[0].Get("code_verifier"), "PKCE")

	u, err := h.store.User(t.Context(), "ann")
	require.NoError(t, err)
	require.Equal(t, [2]string{h.provider.url, "1"}, [2]string{u.Issuer, u.Subject})
	_, _, err = h.people.Login(t.Context(), "ann", "", "10.0.0.1")
	require.Error(t, err, "she has no password here")
	lines, err := h.store.Audits(t.Context(), store.AuditFilter{User: "ann"}, "", 10)
	require.NoError(t, err)
	require.Equal(t, h.provider.url, lines[len(lines)-1].Via)

	// Promoted there, she is promoted here when she comes again; she may also
	// be called otherwise.
	h.provider.persons["1"] = person{"ann.smith", []string{"root"}}
	again := h.browser()
	require.Equal(t, 200, again.prove(again.get(h.url+LoginPath), "ann.smith", theirPassword).status)
	require.Equal(t, "ann", h.session(again).User)
	require.Equal(t, store.Admin, h.session(again).Role)
	require.Equal(t, store.Admin, h.session(b).Role, "at once")

	// Disabled here, she stays out whatever they say there.
	u, err = h.store.User(t.Context(), "ann")
	require.NoError(t, err)
	require.NoError(t, h.store.AddUser(t.Context(), store.User{Name: "root", Role: store.Admin}))
	u.Disabled = true
	require.NoError(t, h.store.ChangeUser(t.Context(), u))
	out := h.browser()
	require.Equal(t, 403, out.prove(out.get(h.url+LoginPath), "ann.smith", theirPassword).status)
	require.False(t, h.session(out).Known())
}

func TestWhoIsNotLetIn(t *testing.T) {
	h := newHouse(t, nil)
	require.NoError(t, h.store.AddUser(t.Context(), store.User{Name: "admin", Role: store.Admin}))
	for name, want := range map[string]string{
		"bob":                       "no role",
		"Admin":                     "belongs to another user",
		"<script>alert(1)</script>": "want 1 to 64",
	} {
		b := h.browser()
		at := b.prove(b.get(h.url+LoginPath), name, theirPassword)
		require.Equal(t, 403, at.status, name)
		require.Contains(t, at.text, want)
		require.Contains(t, at.header.Get("Content-Type"), "text/plain", "nothing is markup")
		require.False(t, h.session(b).Known())
	}
	users, err := h.store.Users(t.Context(), "", "", 10)
	require.NoError(t, err)
	require.Len(t, users, 1, "nothing was stored")
}

func TestADefaultRoleAndAClaimOfAnotherName(t *testing.T) {
	h := newHouse(t, func(o *Options) {
		o.DefaultRole, o.RoleClaim = store.Viewer, "email"
		o.Roles = map[string]store.Role{"bob@example.org": store.Operator}
	})
	for name, role := range map[string]store.Role{"ann": store.Viewer, "bob": store.Operator} {
		b := h.browser()
		at := b.prove(b.get(h.url+LoginPath), name, theirPassword)
		require.Equal(t, 200, at.status, at.text)
		require.Equal(t, role, h.session(b).Role)
	}
}

// A callback counts only in the browser that began the login, and once.
func TestCallbacksOfOthers(t *testing.T) {
	h := newHouse(t, nil)
	attacker := h.browser()
	form := attacker.get(h.url + LoginPath)
	attacker.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.Path, Prefix) {
			return http.ErrUseLastResponse
		}
		return nil
	}
	stolen := attacker.prove(form, "ann", theirPassword).header.Get("Location")
	require.Contains(t, stolen, "code=")
	victim := h.browser()
	require.Equal(t, 400, victim.get(stolen).status, "without a login")
	victim.get(h.url + LoginPath)
	require.Equal(t, 400, victim.get(stolen).status, "in the middle of another one")
	require.False(t, h.session(victim).Known())
	require.Equal(t, 200, attacker.get(stolen).status)
	require.Equal(t, 400, attacker.get(stolen).status, "its cookie is gone")

	b := h.browser()
	state := b.get(h.url + LoginPath).url
	for path, want := range map[string]int{
		"callback": 400, "callback?state=x&code=y": 400, "callback?error=access_denied&error_description=%3Cb%3E": 400, "nothing": 404,
	} {
		require.Equal(t, want, b.get(h.url+Prefix+path).status, "%s %s", path, state)
	}
	post := b.open(b.Post(h.url+LoginPath, "text/plain", nil))
	require.Equal(t, 405, post.status)
}

// A wrong code, and a provider that is away, are refusals; wrong ones are
// limited.
func TestWrongCodesAndAProviderThatIsAway(t *testing.T) {
	h := newHouse(t, nil)
	var last int
	for range people.DefaultAddressBurst + 1 {
		b := h.browser()
		b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		at := b.get(h.url + LoginPath)
		to, err := url.Parse(at.header.Get("Location"))
		require.NoError(t, err)
		last = b.get(h.url + callbackPath + "?code=guess&state=" + to.Query().Get("state")).status
		require.Contains(t, []int{401, 429}, last)
	}
	require.Equal(t, 429, last)
	ends := h.ended()
	require.Len(t, ends, people.DefaultAddressBurst+1, "each counts once")
	require.Equal(t, "oidc limited", ends[people.DefaultAddressBurst])

	b := h.browser()
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	to, err := url.Parse(b.get(h.url + LoginPath).header.Get("Location"))
	require.NoError(t, err)
	refused := b.get(h.url + callbackPath + "?error=access_denied&state=" + to.Query().Get("state"))
	require.Equal(t, 403, refused.status, refused.text)
	require.Equal(t, []string{"oidc refused"}, h.ended(), "by the provider")

	away := newHouse(t, func(o *Options) { o.Issuer = "http://127.0.0.1:1" })
	at := away.browser().get(away.url + LoginPath)
	require.Equal(t, 503, at.status)
	require.Contains(t, at.text, "can't be reached")
	require.Equal(t, []string{"oidc failed"}, away.ended())
}

func TestOptionsAreChecked(t *testing.T) {
	good := Options{Issuer: "https://i", URL: "https://m", ClientID: "c", DefaultRole: store.Viewer}
	require.NoError(t, good.Check())
	for _, spoil := range []func(*Options){
		func(o *Options) { o.Issuer = "http://i" },
		func(o *Options) { o.Issuer = "i" },
		func(o *Options) { o.URL = "" },
		func(o *Options) { o.URL = "https://u:p@m" },
		func(o *Options) { o.ClientID = "" },
		func(o *Options) { o.DefaultRole = "" },
		func(o *Options) { o.DefaultRole = "king" },
		func(o *Options) { o.Roles = map[string]store.Role{"x": "king"} },
	} {
		o := good
		spoil(&o)
		require.Equal(t, pieces.Invalid, pieces.KindOf(o.Check()))
	}
}

func TestClaims(t *testing.T) {
	c := claims{"groups": []any{"a", 7, "b"}, "role": "x", "realm_access": map[string]any{"roles": []any{"ops"}}, "a.b": "c"}
	require.Equal(t, []string{"a", "b"}, c.texts("groups"))
	require.Equal(t, []string{"x"}, c.texts("role"))
	require.Equal(t, []string{"ops"}, c.texts("realm_access.roles"))
	require.Equal(t, []string{"c"}, c.texts("a.b"))
	require.Empty(t, c.texts("realm_access.none"))
	require.Empty(t, c.texts("role.x"))
	require.Empty(t, c.text("groups"))
}
