package manager

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/manager/rest"
)

// Every route, as the published document has it, refuses what it does not know:
// parameters, fields, other types, pages that are too large.
func TestEveryRouteRefusesNonsense(t *testing.T) {
	s := startSite(t, tempDB(t), Options{})
	refused := func(r route, query, body string) {
		t.Helper()
		path := strings.NewReplacer("{id}", strings.Repeat("0", 24), "{job}", strings.Repeat("0", 24), "{name}", "x", "{cluster}", "x",
			"{cluster.name}", "x", "{config.cluster}", "x", "{user.name}", "x").Replace(r.path)
		if strings.Contains(path, "/tasks/") {
			path = strings.Replace(path, strings.Repeat("0", 24), strings.Repeat("0", 64), 1)
		}
		a := s.do(t, r.verb, path+query, body)
		require.Equal(t, 400, a.status, "%s %s%s %s: %s", r.verb, path, query, body, a.text)
		require.Equal(t, rest.ProblemType, a.header.Get("Content-Type"))
		require.NotEmpty(t, a.body["detail"])
	}
	pages := 0
	for _, r := range s.routes(t) {
		query := s.query(t, r)
		if r.verb == http.MethodGet || r.verb == http.MethodDelete {
			if len(query) > 0 { // where there are none, they are not looked at
				refused(r, "?nonsense=1", "")
			}
		} else {
			for _, body := range []string{`{"nonsense":1}`, `[]`, `"x"`, `{`} {
				refused(r, "", body)
			}
		}
		if slices.Contains(query, "page_size") {
			pages++
			for _, size := range []string{"1001", "-1", "4294967297", "x", "1.5"} {
				refused(r, "?page_size="+size, "")
			}
			refused(r, "?page_token=%25", "")
		}
	}
	require.GreaterOrEqual(t, pages, 7, "routes that answer pages")
	for _, list := range []string{"tasks", "jobs", "hosts", "users", "tokens"} {
		require.Empty(t, s.ok(t, "GET", "/api/v1/"+list, "").body[list], "nothing was stored")
	}
}

// query answers the parameters of a route that stand behind its path.
func (s *site) query(t *testing.T, r route) (names []string) {
	a := s.ok(t, "GET", "/api/v1/openapi.json", "")
	var doc struct {
		Paths map[string]map[string]struct{ Parameters []struct{ Name, In string } }
	}
	require.NoError(t, json.Unmarshal([]byte(a.text), &doc))
	for _, p := range doc.Paths[r.path][strings.ToLower(r.verb)].Parameters {
		if p.In == "query" {
			names = append(names, p.Name)
		}
	}
	return names
}
