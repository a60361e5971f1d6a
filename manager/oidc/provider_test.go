package oidc

import (
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/example/server/storage"
	vendor "github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// Persons that the provider of the tests knows; all have one password.
const theirPassword = "open sesame"

type person struct {
	name   string
	groups []string
}

// provider is an OpenID provider on a port of its own.
type provider struct {
	*storage.Storage
	persons map[string]person // by subject
	url     string
	forms   []url.Values // what was posted to its token endpoint
}

func (p *provider) GetUserByID(id string) *storage.User {
	if who, ok := p.persons[id]; ok {
		return &storage.User{ID: id, Username: who.name, Password: theirPassword, Email: who.name + "@example.org"}
	}
	return nil
}

func (p *provider) GetUserByUsername(name string) *storage.User {
	for id, who := range p.persons {
		if who.name == name {
			return p.GetUserByID(id)
		}
	}
	return nil
}

func (p *provider) ExampleClientID() string { return "service" }

// SetUserinfoFromToken answers the endpoint userinfo; groups stand there alone.
func (p *provider) SetUserinfoFromToken(ctx context.Context, info *vendor.UserInfo, tokenID, subject, origin string) error {
	if err := p.Storage.SetUserinfoFromToken(ctx, info, tokenID, subject, origin); err != nil {
		return err
	}
	info.AppendClaims("groups", p.persons[subject].groups)
	return nil
}

// startProvider runs one that knows the client dfmanager of base.
func startProvider(t *testing.T, base string, persons map[string]person) *provider {
	p := &provider{persons: persons}
	storage.RegisterClients(storage.WebClient("dfmanager", "client secret", base+"/auth/oidc/callback"))
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(lis.Addr().String())
	require.NoError(t, err)
	p.url = "http://localhost:" + port
	p.Storage = storage.NewStorage(p)
	server, err := op.NewProvider(&op.Config{CryptoKey: sha256.Sum256([]byte("key")), CryptoKeyId: "key", CodeMethodS256: true},
		p, op.StaticIssuer(p.url), op.WithAllowInsecure(), op.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
	require.NoError(t, err)
	mux := http.NewServeMux()
	back := op.AuthCallbackURL(server)
	issuer := op.NewIssuerInterceptor(server.IssuerFromRequest)
	mux.Handle("/login/username", issuer.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.FormValue("authRequestID")
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, "who are you?")
			return
		}
		if err := p.CheckUsernamePassword(r.FormValue("username"), r.FormValue("password"), id); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		http.Redirect(w, r, back(r.Context(), id), http.StatusFound)
	})))
	mux.Handle("/oauth/token", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.NoError(t, r.ParseForm())
		p.forms = append(p.forms, r.PostForm)
		server.ServeHTTP(w, r)
	}))
	mux.Handle("/", server)
	s := &httptest.Server{Listener: lis, Config: &http.Server{Handler: mux}}
	s.Start()
	t.Cleanup(s.Close)
	return p
}

// browser keeps cookies and follows links, as a person's would.
type browser struct {
	*http.Client
	t *testing.T
}

// page is what a browser shows in the end.
type page struct {
	status int
	url    *url.URL
	text   string
	header http.Header
}

func (b *browser) open(resp *http.Response, err error) page {
	b.t.Helper()
	require.NoError(b.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	return page{resp.StatusCode, resp.Request.URL, string(text), resp.Header}
}

func (b *browser) get(url string) page { return b.open(b.Get(url)) }

// prove fills in the provider's form on a page.
func (b *browser) prove(at page, name, password string) page {
	b.t.Helper()
	require.Equal(b.t, "who are you?", at.text, "%d %s", at.status, at.url)
	form := url.Values{"username": {name}, "password": {password}, "authRequestID": {at.url.Query().Get("authRequestID")}}
	return b.open(b.Post(at.url.Scheme+"://"+at.url.Host+at.url.Path, "application/x-www-form-urlencoded", strings.NewReader(form.Encode())))
}
