package manager

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"damselfly/manager/people"
	"damselfly/manager/store"
	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

const adminMethods = "/damselfly.manager.v1.Admin/"

// token makes a user of a role and answers a token of it.
func (s *site) token(t *testing.T, role store.Role, scopes ...string) string {
	t.Helper()
	name := fmt.Sprintf("%s-%s", role, strings.Join(scopes, "-"))
	_, err := s.server.People().AddUser(t.Context(), name, role, "")
	require.NoError(t, err)
	secret, _, err := s.server.People().NewToken(t.Context(), people.LocalAdmin(), name, "test", scopes, s.server.opts.Now().Add(people.DefaultTokenLife))
	require.NoError(t, err)
	return secret
}

// route is one of the REST API, and the method it leads to.
type route struct{ verb, path, method string }

// routes reads them from the published OpenAPI document.
func (s *site) routes(t *testing.T) (all []route) {
	resp, err := http.Get(s.url + "/api/v1/openapi.json")
	require.NoError(t, err)
	defer resp.Body.Close()
	var doc struct {
		Paths map[string]map[string]struct{ OperationID string }
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&doc))
	for path, verbs := range doc.Paths {
		for verb, op := range verbs {
			_, method, _ := strings.Cut(op.OperationID, "_")
			all = append(all, route{strings.ToUpper(verb), path, method})
		}
	}
	require.Len(t, all, len(managerpb.Admin_ServiceDesc.Methods), "each method has one route")
	return all
}

func (r route) body() string {
	if r.verb == "GET" || r.verb == "DELETE" {
		return ""
	}
	return "{}"
}

// call makes a call of the Admin service by name, with an empty request, over
// gRPC.
func (s *site) call(t *testing.T, method, token string) error {
	ctx := t.Context()
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	f := reflect.ValueOf(managerpb.NewAdminClient(s.conn)).MethodByName(method)
	require.True(t, f.IsValid(), method)
	req := reflect.New(f.Type().In(1).Elem())
	err, _ := f.Call([]reflect.Value{reflect.ValueOf(ctx), req})[1].Interface().(error)
	return err
}

func methodNames() (names []string) {
	for _, m := range managerpb.Admin_ServiceDesc.Methods {
		names = append(names, m.MethodName)
	}
	return names
}

// Every method stands in the table of rights, and nothing else does.
func TestEveryMethodHasARight(t *testing.T) {
	require.Empty(t, managerpb.Admin_ServiceDesc.Streams)
	require.ElementsMatch(t, methodNames(), slices.Collect(maps.Keys(people.Rights())))
	for method, right := range people.Rights() {
		require.Equal(t, right == people.Open, method == "CreateSession", "only a login is for everybody")
		if right == people.Read {
			require.False(t, people.Changes(method), "%s: who may only read changes something", method)
		}
	}
}

// Without credentials, or with ones that are not known, nothing is answered.
func TestEveryRouteWantsCredentials(t *testing.T) {
	s := startClosedSite(t, tempDB(t), Options{People: people.Options{AddressBurst: 100}})
	unknown := "dft_" + strings.Repeat("0", 16) + "_" + strings.Repeat("A", 43)
	for _, r := range s.routes(t) {
		for _, header := range [][]string{nil, {"Authorization", "Bearer " + unknown}, {"Authorization", "Basic YWRtaW46YWRtaW4="}, {"Cookie", people.CookieName + "=" + unknown}} {
			a := s.do(t, r.verb, r.path, r.body(), header...)
			require.Equal(t, 401, a.status, "%s %s %v: %s", r.verb, r.path, header, a.text)
			require.Contains(t, a.header.Get("WWW-Authenticate"), "Bearer")
			require.Equal(t, "unauthenticated", a.body["kind"])
		}
	}
	for _, method := range methodNames() {
		for _, token := range []string{"", unknown} {
			require.Equal(t, pieces.Unauthenticated, pieces.KindOf(s.call(t, method, token)), method)
		}
	}
	lines, err := s.store.Audits(t.Context(), store.AuditFilter{}, "", 1000)
	require.NoError(t, err)
	for _, l := range lines {
		require.Equal(t, "CreateSession", l.Method, "who is not known fills no log")
	}
}

// With a viewer's token only reads are let through, with that of an operator
// what is not about users, with that of an administrator all but accounts.
func TestEveryRouteWithATokenOfEachRole(t *testing.T) {
	s := startClosedSite(t, tempDB(t), Options{})
	all := []string{"read", "operate", "admin"}
	for _, c := range []struct {
		token string
		may   []people.Right
	}{
		{s.token(t, store.Viewer, "read"), []people.Right{people.Self, people.Read}},
		{s.token(t, store.Operator, "read", "operate"), []people.Right{people.Self, people.Read, people.Operate}},
		{s.token(t, store.Admin, "read"), []people.Right{people.Self, people.Read}},
		{s.token(t, store.Admin, all...), []people.Right{people.Self, people.Read, people.Operate, people.Administer}},
		{s.token(t, store.Admin, "account"), []people.Right{people.Self, people.Account}},
	} {
		let := func(method string) bool {
			right, ok := people.RightOf(method)
			require.True(t, ok, method)
			return slices.Contains(c.may, right)
		}
		for _, r := range s.routes(t) {
			if right, _ := people.RightOf(r.method); right == people.Open {
				continue
			}
			a := s.do(t, r.verb, r.path, r.body(), "Authorization", "Bearer "+c.token)
			require.Equal(t, !let(r.method), a.status == 403, "%s %s: %s", r.verb, r.path, a.text)
			require.NotEqual(t, 401, a.status, "%s %s: %s", r.verb, r.path, a.text)
			require.Less(t, a.status, 500, "%s %s: %s", r.verb, r.path, a.text)
		}
		for _, method := range methodNames() {
			if right, _ := people.RightOf(method); right == people.Open {
				continue
			}
			err := s.call(t, method, c.token)
			require.Equal(t, !let(method), err != nil && pieces.KindOf(err) == pieces.Denied, "%s: %v", method, err)
		}
	}
}

// What a table does not have is refused to everybody.
func TestAMethodWithoutARightIsRefused(t *testing.T) {
	s := startClosedSite(t, tempDB(t), Options{LocalAdmin: true})
	ctx := peer.NewContext(t.Context(), &peer.Peer{Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5}})
	_, err := s.server.authorize(ctx, adminMethods+"GetOverview")
	require.NoError(t, err)
	_, err = s.server.authorize(ctx, adminMethods+"GetEverything")
	require.Equal(t, pieces.Denied, pieces.KindOf(err))
}

// With LocalAdmin callers on this machine need no password, and others do.
func TestLocalAdmin(t *testing.T) {
	s := startSite(t, tempDB(t), Options{})
	s.ok(t, "GET", "/api/v1/overview", "")
	s.ok(t, "GET", "/api/v1/overview", "", "Host", "localhost:8080")
	require.Equal(t, "(local)", s.ok(t, "GET", "/api/v1/session", "", "Cookie", people.CookieName+"=old").body["user"])
	a := s.do(t, "GET", "/api/v1/overview", "", "Host", "evil.example", "X-Forwarded-Host", "127.0.0.1")
	require.Equal(t, 401, a.status, "a page of evil.example, whose name leads here")
	h, err := s.server.REST()
	require.NoError(t, err)
	for addr, want := range map[string]int{"127.0.0.1:5": 200, "[::1]:5": 200, "10.0.0.9:5": 401, "": 401} {
		r := httptest.NewRequest("GET", "http://127.0.0.1/api/v1/overview", nil)
		r.RemoteAddr = addr
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, want, w.Code, addr)
	}
}
