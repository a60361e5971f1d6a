package pieces

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var secret = []byte("cluster secret")

func newTask(t *testing.T, url string, o Options) *Task {
	t.Helper()
	task, err := NewTask(url, o, secret)
	require.NoError(t, err)
	require.NoError(t, task.CheckID())
	return task
}

// Ids are on disks and in other hosts' catalogues: these never change. The
// values were computed apart from this code.
func TestIDsAreFixedForEver(t *testing.T) {
	require.EqualValues(t, "24aaeb463293a1f87cdf509fc004ba326ae34c9d8f25e2205d945fc64bc6e83e", newTask(t, "http://example.com/a?b=c", Options{}).ID)
	full := newTask(t, "https://u:p@example.com/a?b=c&sig=x", Options{
		Tag: "t", Application: "app", Digest: Digest("sha256:" + strings.Repeat("0", 64)), FilterQuery: []string{"sig"}, Header: http.Header{"X": {"1", "2"}},
	})
	require.EqualValues(t, "01ca998429bcc485a8e66465af4872ffdbcb502d4fbb880778544d8df47834a9", full.ID)
	require.EqualValues(t, "f4fa4669cc15a8eae03717da34217336", Facts{Size: 5, Validator: Validator{StrongETag, `"x"`}}.VersionID())
}

func TestNewTask(t *testing.T) {
	task := newTask(t, "https://me:pw@Example.com/f?v=1&sig=S&exp=9", Options{
		Tag: "t", Application: "a", Digest: Digest(" SHA256:" + strings.Repeat("AB", 32)),
		FilterQuery: []string{" sig", "exp", "sig", ""}, Header: http.Header{"x-token": {"1"}, "X-Token": {"2"}, "Empty": nil},
	})
	require.Equal(t, "https://example.com/f?v=1&sig=S&exp=9", task.URL)
	require.Equal(t, "https://example.com/f?v=1", task.PublicURL)
	require.Equal(t, []string{"exp", "sig"}, task.FilterQuery)
	require.Equal(t, Digest("sha256:"+strings.Repeat("ab", 32)), task.Digest)
	require.Equal(t, http.Header{"X-Token": {"2", "1"}, "Authorization": {"Basic bWU6cHc="}}, task.Header)
	require.Len(t, task.Audience, 64)
	require.False(t, task.Public())
	require.True(t, task.HasSecrets())
	for _, verb := range []string{"%v", "%+v", "%s"} {
		for _, shown := range []string{fmt.Sprintf(verb, task), fmt.Sprintf(verb, *task)} {
			require.Equal(t, task.ID.Short()+" https://example.com/f", shown)
		}
	}

	public := newTask(t, "http://@h/a", Options{Header: http.Header{"Empty": {}}})
	require.True(t, public.Public())
	require.False(t, public.HasSecrets())
	require.True(t, newTask(t, "http://h/a?sig=1", Options{FilterQuery: []string{"sig"}}).HasSecrets())

	for _, o := range []Options{{Digest: "md5:00"}, {Digest: "sha256:zz"}} {
		_, err := NewTask("http://h/", o, secret)
		require.Equal(t, Invalid, KindOf(err))
	}
}

// The credential decides who shares: it, the origin and the cluster's secret.
func TestAudience(t *testing.T) {
	of := func(url string, h http.Header, key string) string {
		task, err := NewTask(url, Options{Header: h}, []byte(key))
		require.NoError(t, err)
		return task.Audience
	}
	base := of("http://h/a", http.Header{"A": {"1"}}, "k")
	require.Equal(t, base, of("http://H:80/other?x=1", http.Header{"a": {"1"}}, "k"), "one audience for an origin")
	others := map[string]string{base: "base"}
	for name, a := range map[string]string{
		"origin":          of("http://h2/a", http.Header{"A": {"1"}}, "k"),
		"scheme":          of("https://h/a", http.Header{"A": {"1"}}, "k"),
		"port":            of("http://h:81/a", http.Header{"A": {"1"}}, "k"),
		"secret":          of("http://h/a", http.Header{"A": {"1"}}, "k2"),
		"value":           of("http://h/a", http.Header{"A": {"2"}}, "k"),
		"values":          of("http://h/a", http.Header{"A": {"1", ""}}, "k"),
		"split":           of("http://h/a", http.Header{"A": {""}, "1": {""}}, "k"),
		"name and values": of("http://h/a", http.Header{"A": {"1", "B", "2"}}, "k"),
		"names":           of("http://h/a", http.Header{"A": {"1"}, "B": {"2"}}, "k"),
		"userinfo":        of("http://u:p@h/a", nil, "k"),
		"user":            of("http://u@h/a", nil, "k"),
	} {
		require.NotContains(t, others, a, name)
		others[a] = name
	}
	require.Empty(t, of("http://h/a", nil, "k"))
	require.Equal(t, of("http://u:p@h/", nil, "k"), of("http://h/", http.Header{"Authorization": {"Basic dTpw"}}, "k"))
}

// No two option sets share an id, and the same one always has the same.
func TestIDsAreInjective(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	words := []string{"", "a", "b", "ab", "ba", "a|b", "\x00", "a\x00", "0", "1", "11"}
	word := func() string { return words[r.IntN(len(words))] }
	urls := []string{"http://h/", "http://h/a", "http://h/ab?a=b", "http://h/ab?a=b&a=b", "https://h/", "http://h:8/", "http://h/?a&b", "http://h/%61"}
	digests := []string{"", "", "", "sha256:" + strings.Repeat("0", 64), "blake3:" + strings.Repeat("0", 64), "sha512:" + strings.Repeat("0", 128)}
	seen, ids := map[TaskID]string{}, map[string]TaskID{}
	for range 30000 {
		o := Options{Tag: word(), Application: word(), Digest: Digest(digests[r.IntN(len(digests))])}
		for range r.IntN(3) {
			o.FilterQuery = append(o.FilterQuery, word())
		}
		if r.IntN(2) == 0 {
			o.Header = http.Header{}
			for range r.IntN(3) {
				o.Header.Add([]string{"A", "b", "Ab"}[r.IntN(3)], word())
			}
		}
		task, err := NewTask(urls[r.IntN(len(urls))], o, secret)
		require.NoError(t, err)
		require.NoError(t, task.CheckID())
		origin := ""
		if len(task.Header) > 0 {
			u, err := parseURL(task.URL)
			require.NoError(t, err)
			origin = u.origin()
		}
		is := fmt.Sprintf("%q %q %q %q %q %q", task.PublicURL, task.Tag, task.Application, task.Digest, task.Header, origin)
		if was, ok := seen[task.ID]; ok {
			require.Equal(t, was, is, "two option sets share an id")
		}
		if was, ok := ids[is]; ok {
			require.Equal(t, was, task.ID, "one option set has two ids")
		}
		seen[task.ID], ids[is] = is, task.ID
	}
	require.Greater(t, len(seen), 5000, "the generator must not be trivial")
}

// An entry that was changed anywhere certifies itself no longer.
func TestCheckIDFindsChanges(t *testing.T) {
	fresh := func() *Task {
		return newTask(t, "http://h/a?b=1&sig=x", Options{Tag: "t", Application: "a", FilterQuery: []string{"sig"}, Header: http.Header{"A": {"1"}}})
	}
	for name, change := range map[string]func(*Task){
		"id":               func(t *Task) { t.ID = TaskID(strings.Repeat("0", 64)) },
		"tag":              func(t *Task) { t.Tag = "" },
		"application":      func(t *Task) { t.Tag, t.Application = "ta", "" },
		"digest":           func(t *Task) { t.Digest = Digest("sha256:" + strings.Repeat("0", 64)) },
		"audience":         func(t *Task) { t.Audience = "" },
		"public URL":       func(t *Task) { t.PublicURL = "http://h/b?b=1" },
		"URL":              func(t *Task) { t.URL = "http://evil/a?b=1&sig=x" },
		"no URL":           func(t *Task) { t.URL = "" },
		"URL not filtered": func(t *Task) { t.PublicURL = t.URL; t.ID = t.computeID() },
		"filter":           func(t *Task) { t.FilterQuery = []string{"b", "sig"}; t.ID = t.computeID() },
		"URL in capitals":  func(t *Task) { t.URL = "HTTP://h/a?b=1&sig=x" },
		"not canonical":    func(t *Task) { t.URL, t.PublicURL = "http://H/a", "http://H/a"; t.ID = t.computeID() },
		"userinfo":         func(t *Task) { t.URL = "http://u:p@h/a?b=1&sig=x" },
		"scheme":           func(t *Task) { t.URL, t.PublicURL = "ftp://h/", "ftp://h/"; t.ID = t.computeID() },
		"unknown digest":   func(t *Task) { t.Digest = "md5:00"; t.ID = t.computeID() },
		"digest capitals":  func(t *Task) { t.Digest = Digest("sha256:" + strings.Repeat("AB", 32)); t.ID = t.computeID() },
		"odd audience":     func(t *Task) { t.Audience = "everyone"; t.ID = t.computeID() },
	} {
		task := fresh()
		change(task)
		require.Equal(t, Invalid, KindOf(task.CheckID()), name)
	}
	task := fresh()
	task.URL = task.PublicURL // what other hosts know
	task.Header = nil
	require.NoError(t, task.CheckID())
}

func FuzzCheckID(f *testing.F) {
	f.Add("http://h/a?sig=1", "sig", "tag", "sha256:00", "")
	f.Fuzz(func(t *testing.T, url, filter, tag, digest, audience string) {
		task := &Task{URL: url, PublicURL: url, Tag: tag, FilterQuery: []string{filter}, Digest: Digest(digest), Audience: audience}
		task.ID = task.computeID()
		if task.CheckID() != nil {
			return
		}
		made, err := NewTask(url, Options{Tag: tag, Digest: Digest(digest), FilterQuery: []string{filter}}, nil)
		require.NoError(t, err, "what CheckID accepts, NewTask makes")
		if audience == "" {
			require.Equal(t, task.ID, made.ID)
		}
		if digest != "" {
			task.Digest.Hash()
		}
	})
}
