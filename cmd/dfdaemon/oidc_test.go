package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/boot"
)

// TestAllInOneLogsInByAProvider: the manager inside has the login that dfmanager
// has. What follows it is tested there.
func TestAllInOneLogsInByAProvider(t *testing.T) {
	var provider *httptest.Server
	provider = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"issuer":%[1]q,"authorization_endpoint":"%[2]s/authorize","token_endpoint":"%[2]s/token","jwks_uri":"%[2]s/keys"}`,
			provider.URL, provider.URL)
	}))
	t.Cleanup(provider.Close)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	web := lis.Addr().String()
	lis.Close()

	args := []string{"--all-in-one", "--manager-grpc", "127.0.0.1:0", "--manager-http", web, "--scheduler-listen", "127.0.0.1:0",
		"--oidc-issuer", provider.URL, "--oidc-client-id", "damselfly", "--oidc-role", "ops=admin"}
	code, stderr := newMachine(t).execute(args...)
	require.Equal(t, boot.ExitUsage, code)
	require.Contains(t, stderr, "the manager's own URL")

	one := newMachine(t).start(append(args, "--manager-url", "http://"+web)...)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get("http://" + web + "/auth/oidc/login")
	require.NoError(t, err)
	resp.Body.Close()
	to, err := resp.Location()
	require.NoError(t, err)
	require.Equal(t, provider.URL+"/authorize", "http://"+to.Host+to.Path)
	require.Equal(t, "damselfly", to.Query().Get("client_id"))
	require.Zero(t, one.stop(), one.stderr.String())
}
