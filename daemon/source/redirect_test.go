package source_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/daemon/source"
	"damselfly/pieces"
)

// hop is one server; it records what it was asked and answers with next.
type hop struct {
	*httptest.Server
	seen []*http.Request
	next http.HandlerFunc
}

func newHop(t *testing.T) *hop {
	h := &hop{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.seen = append(h.seen, r)
		h.next(w, r)
	}))
	t.Cleanup(h.Close)
	return h
}

func five(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("ETag", `"a"`)
	w.Header().Set("Content-Range", "bytes 0-4/5")
	w.WriteHeader(http.StatusPartialContent)
	_, _ = w.Write([]byte("01234"))
}

func to(status int, location string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Location"] = []string{location}
		w.WriteHeader(status)
	}
}

// Credentials go to the first origin only; and not there either once somebody
// else had a say.
func TestRedirectKeepsCredentials(t *testing.T) {
	first, other := newHop(t), newHop(t)
	other.next = func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/back" {
			to(307, first.URL+"/final")(w, r)
			return
		}
		five(w, r)
	}
	first.next = func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/start":
			to(302, "/same?x=1")(w, r)
		case "/same":
			to(308, strings.Replace(other.URL, "http://", "http://u:p@", 1)+"/back#frag")(w, r)
		default:
			five(w, r)
		}
	}
	o := source.NewHTTP(source.HTTPOptions{})
	defer o.Close()
	task := taskFor(t, strings.Replace(first.URL, "http://", "http://me:pw@", 1)+"/start", http.Header{
		"X-Token": {"t1", "t2"}, "Cookie": {"c=1"}, "User-Agent": {"mine"}, "Host": {"virtual.example"},
		"Range": {"bytes=7-8"}, "Accept-Encoding": {"br"}, "If-None-Match": {"*"}, "Connection": {"close"},
	})
	_, err := o.Stat(t.Context(), task)
	require.NoError(t, err)
	require.Len(t, first.seen, 3)
	require.Len(t, other.seen, 1)
	plain := http.Header{"Range": {"bytes=0-65535"}, "Accept-Encoding": {"identity"}, "Accept": {"*/*"}, "User-Agent": {"damselfly"}}
	full := plain.Clone()
	full["X-Token"], full["Cookie"], full["User-Agent"] = []string{"t1", "t2"}, []string{"c=1"}, []string{"mine"}
	full["Authorization"] = []string{"Basic bWU6cHc="}
	for i, want := range []http.Header{full, full, plain} {
		require.Equal(t, want, first.seen[i].Header, "request %d", i)
	}
	require.Equal(t, "virtual.example", first.seen[0].Host)
	require.Equal(t, "virtual.example", first.seen[1].Host)
	require.Equal(t, "/same?x=1", first.seen[1].RequestURI)
	require.NotEqual(t, "virtual.example", first.seen[2].Host)
	require.Equal(t, plain, other.seen[0].Header, "nor what a redirect says")
}

func TestRedirectRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		location string
		says     string
	}{
		"none":        {"", "without Location"},
		"a file":      {"file:///etc/passwd", "only http and https"},
		"ftp":         {"ftp://host/x", "only http and https"},
		"no URL":      {"http://[::1", "not a URL"},
		"no host":     {"http:///x", "only http and https"},
		"round about": {"/dir/file.bin", "more than 10 redirects"},
	} {
		t.Run(name, func(t *testing.T) {
			o, task := open(t, to(302, c.location), source.HTTPOptions{})
			_, err := o.Stat(t.Context(), task)
			require.Equal(t, pieces.Origin, pieces.KindOf(err), err)
			require.True(t, pieces.IsPermanent(err))
			require.ErrorContains(t, err, c.says)
			requireDiscreet(t, err, task)
		})
	}
}

func TestRedirectCount(t *testing.T) {
	for _, c := range []struct{ hops, limit, ok int }{{10, 0, 1}, {11, 0, 0}, {1, -1, 0}, {0, -1, 1}, {2, 2, 1}, {3, 2, 0}} {
		left := c.hops
		o, task := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if left--; left >= 0 {
				to(301, fmt.Sprintf("/%d", left))(w, r)
				return
			}
			five(w, r)
		}), source.HTTPOptions{MaxRedirects: c.limit})
		_, err := o.Stat(t.Context(), task)
		require.Equal(t, c.ok == 1, err == nil, "%+v: %v", c, err)
	}
}

// The cloud's metadata service is out of reach: by address, by redirect, by a
// name that leads there, through a proxy.
func TestDeniedAddresses(t *testing.T) {
	o := source.NewHTTP(source.HTTPOptions{})
	defer o.Close()
	requireDenied := func(o source.Origin, task *pieces.Task) {
		t.Helper()
		_, err := o.Stat(t.Context(), task)
		require.Equal(t, pieces.Denied, pieces.KindOf(err), err)
		require.True(t, pieces.IsPermanent(err))
		require.ErrorContains(t, err, "never connected to")
	}
	for _, host := range []string{"169.254.169.254", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "100.100.100.200"} {
		requireDenied(o, taskFor(t, "http://"+host+"/latest", nil))
	}
	redirecting, task := open(t, to(302, "http://169.254.169.254/latest"), source.HTTPOptions{})
	requireDenied(redirecting, task)

	srv := httptest.NewServer(http.HandlerFunc(five))
	defer srv.Close()
	byName := source.NewHTTP(source.HTTPOptions{Deny: func(a netip.Addr) bool { return a.IsLoopback() }})
	defer byName.Close()
	requireDenied(byName, taskFor(t, strings.Replace(srv.URL, "127.0.0.1", "localhost", 1), nil))

	proxy, err := url.Parse(srv.URL)
	require.NoError(t, err)
	proxied := source.NewHTTP(source.HTTPOptions{Proxy: http.ProxyURL(proxy)})
	defer proxied.Close()
	_, err = proxied.Stat(t.Context(), taskFor(t, "http://no.such.host.invalid/x", nil))
	require.NoError(t, err, "the proxy answers for any host")
	requireDenied(proxied, taskFor(t, "http://169.254.169.254/x", nil))
}

func TestUserHeaderIsChecked(t *testing.T) {
	o := source.NewHTTP(source.HTTPOptions{})
	defer o.Close()
	for name, value := range map[string]string{"X-A": "a\r\nX-B: b", "X\nA": "v", "X A": "v", "": "v", "X-N": "a\x00b"} {
		_, err := o.Stat(t.Context(), taskFor(t, "http://127.0.0.1:1/x", http.Header{name: {value}}))
		require.Equal(t, pieces.Invalid, pieces.KindOf(err), "%q: %v", name, err)
		require.NotContains(t, err.Error(), value+"\x00")
	}
}
