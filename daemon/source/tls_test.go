package source_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/daemon/source"
	"damselfly/daemon/source/sourcetest"
	"damselfly/pieces"
)

func tlsServer(t *testing.T, handler http.Handler, configure func(*tls.Config)) *httptest.Server {
	srv := httptest.NewUnstartedServer(handler)
	srv.TLS = &tls.Config{}
	srv.EnableHTTP2 = true
	srv.Config.ErrorLog = discardLog
	if configure != nil {
		configure(srv.TLS)
	}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

func trusting(srv *httptest.Server) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	return &tls.Config{RootCAs: pool}
}

func TestSuiteOverTLS(t *testing.T) {
	sourcetest.Run(t, func(t *testing.T) sourcetest.World {
		s := &site{header: func(n int) http.Header { return http.Header{"Last-Modified": {day(n)}} }, ranges: true}
		srv := tlsServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor != 1 {
				t.Errorf("asked over %s", r.Proto)
			}
			s.ServeHTTP(w, r)
		}), nil)
		o := source.NewHTTP(source.HTTPOptions{TLS: trusting(srv)})
		t.Cleanup(func() { _ = o.Close() })
		return sourcetest.World{Origin: o, Task: taskFor(t, srv.URL+"/f", nil), Put: s.put, Remove: s.remove, Validators: true}
	})
}

// What makes encryption impossible once makes it so again.
func TestTLSErrorsArePermanent(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(five))
	defer plain.Close()
	srv := tlsServer(t, http.HandlerFunc(five), nil)
	wantsClient := tlsServer(t, http.HandlerFunc(five), func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert })
	for name, c := range map[string]struct {
		url string
		tls *tls.Config
	}{
		"unknown authority":    {srv.URL, nil},
		"other name":           {strings.Replace(srv.URL, "127.0.0.1", "localhost", 1), trusting(srv)},
		"not TLS":              {strings.Replace(plain.URL, "http:", "https:", 1), nil},
		"no version in common": {srv.URL, &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS11}},
		"no client cert":       {wantsClient.URL, trusting(wantsClient)},
	} {
		t.Run(name, func(t *testing.T) {
			o := source.NewHTTP(source.HTTPOptions{TLS: c.tls})
			defer o.Close()
			_, err := o.Stat(t.Context(), taskFor(t, c.url+"/f", nil))
			require.Equal(t, pieces.Origin, pieces.KindOf(err), err)
			require.True(t, pieces.IsPermanent(err), err)
		})
	}
}

func TestDialErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	refused := "http://" + l.Addr().String()
	require.NoError(t, l.Close())
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	o := source.NewHTTP(source.HTTPOptions{TLSTimeout: 100 * time.Millisecond})
	defer o.Close()
	for url, kind := range map[string]pieces.Kind{
		refused:                             pieces.Origin,
		"https://" + silent.Addr().String(): pieces.Timeout,
		"http://no.such.host.invalid/":      pieces.Origin,
	} {
		_, err := o.Stat(t.Context(), taskFor(t, url, nil))
		require.Equal(t, kind, pieces.KindOf(err), err)
		require.False(t, pieces.IsPermanent(err), err)
	}
}

// Connections are used again, after redirects, small errors and ranges too.
func TestConnectionsAreReused(t *testing.T) {
	var dialled atomic.Int32
	s := &site{header: func(int) http.Header { return http.Header{"Etag": {`"a"`}} }, ranges: true}
	s.put(sourcetest.Content(1<<20, 1))
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/f", http.StatusFound)
		case "/gone":
			http.Error(w, "gone", http.StatusGone)
		default:
			s.ServeHTTP(w, r)
		}
	}))
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			dialled.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	o := source.NewHTTP(source.HTTPOptions{})
	defer o.Close()
	task := taskFor(t, srv.URL+"/moved", nil)
	st, err := o.Stat(t.Context(), task)
	require.NoError(t, err)
	for i := range 20 {
		body, err := o.ReadRange(t.Context(), task, st.Facts, int64(i)*1000, 50000)
		require.NoError(t, err)
		require.NoError(t, drain(body))
		_, err = o.Stat(t.Context(), taskFor(t, srv.URL+"/gone", nil))
		require.Equal(t, pieces.NotFound, pieces.KindOf(err))
	}
	require.EqualValues(t, 1, dialled.Load())
}

// An error's body is read for the connection's sake, but not waited for.
func TestErrorBodyIsNotWaitedFor(t *testing.T) {
	o, task := open(t, raw(t, func(*http.Request) string {
		return reply("404 No", "Content-Length: 100", "half"+stall)
	}), source.HTTPOptions{})
	began := time.Now()
	_, err := o.Stat(t.Context(), task)
	require.Equal(t, pieces.NotFound, pieces.KindOf(err), err)
	require.Less(t, time.Since(began), 10*time.Second)
}
