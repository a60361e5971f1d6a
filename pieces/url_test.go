package pieces

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCanonicalURL(t *testing.T) {
	for raw, want := range map[string]string{
		"http://h":                               "http://h/",
		"HTTP://ExAmPlE.Com/Path":                "http://example.com/Path",
		" https://h/a ":                          "https://h/a",
		"http://h:80/a":                          "http://h/a",
		"https://h:443/a":                        "https://h/a",
		"http://h:443/a":                         "http://h:443/a",
		"http://h:0080/":                         "http://h/",
		"http://h:08080/":                        "http://h:8080/",
		"http://h:/a":                            "http://h/a",
		"http://h./a":                            "http://h/a",
		"http://h/a#frag":                        "http://h/a",
		"http://h/a?":                            "http://h/a",
		"http://h?b=1&a=2":                       "http://h/?b=1&a=2",
		"http://h/%7ea/%41%2f%2Fb":               "http://h/~a/A%2F%2Fb",
		"http://h/a b%2fc":                       "http://h/a%20b%2Fc",
		"http://h/\"%2f":                         "http://h/%22%2F",
		"http://h/ü":                             "http://h/%C3%BC",
		"http://h/\xff":                          "http://h/%FF",
		"http://h/a?x=%zz&y=%":                   "http://h/a?x=%25zz&y=%25",
		"http://h/a?x=a+b&y=%2b&z=a b":           "http://h/a?x=a+b&y=%2B&z=a%20b",
		"http://h/a?q=[1]|2":                     "http://h/a?q=[1]%7C2",
		"http://h//a/../b/./c":                   "http://h//a/../b/./c",
		"http://h/a;b=c,d@e:f!$&'()*+=":          "http://h/a;b=c,d@e:f!$&'()*+=",
		"http://[2001:DB8:0:0::1]:80/":           "http://[2001:db8::1]/",
		"http://[::ffff:1.2.3.4]:81/":            "http://[::ffff:1.2.3.4]:81/",
		"http://BÜCHER.example/":                 "http://xn--bcher-kva.example/",
		"http://b%C3%BCcher.example/":            "http://xn--bcher-kva.example/",
		"http://user:pa%20ss@h/a":                "http://h/a",
		"http://a_b-c.d:1/":                      "http://a_b-c.d:1/",
		"http://h/a?next=http://u@x/#y":          "http://h/a?next=http://u@x/",
		"https://h/" + strings.Repeat("x", 4000): "https://h/" + strings.Repeat("x", 4000),
	} {
		u, err := parseURL(raw)
		require.NoError(t, err, raw)
		require.Equal(t, want, u.String(nil), raw)
	}
}

func TestRefusedURLs(t *testing.T) {
	for _, raw := range []string{
		"", "h", "h/a", "/a", "//h/a", "ftp://h/", "file:///etc/passwd", "http:", "http:/h", "http:h/a", "http://", "http:///a", "http://:80/",
		"http://.", "http://../", "http://a..b/", "http://.a/", "http://a../", "http://h:0/", "http://h:65536/", "http://h:99999999999/", "http://h:x/",
		"http://[::1/", "http://[fe80::1%25eth0]/", "http://[v1.x]/", "http://[1.2.3.4]/", "http://::1/", "http://h h/", "http://h\x00/", "http://h/\na",
		"http://h/%zz", "http://h/%", "http://h%2fx/", "http://a|b/", "http://\"/", "http://\xff/", "https://h/" + strings.Repeat("x", MaxURL),
	} {
		_, err := parseURL(raw)
		require.Equal(t, Invalid, KindOf(err), "%q: %v", raw, err)
		require.ErrorContains(t, err, "URL ", raw)
	}
}

func TestQueryIsFiltered(t *testing.T) {
	for _, c := range []struct{ raw, drop, want string }{
		{"http://h/?a=1&sig=x&b=2", "sig", "http://h/?a=1&b=2"},
		{"http://h/?sig=x", "sig", "http://h/"},
		{"http://h/?sig&sig=&sig=1=2", "sig", "http://h/"},
		{"http://h/?a&", "a", "http://h/"},
		{"http://h/?%73ig=x&Sig=y", "sig", "http://h/?Sig=y"},
		{"http://h/?a+b=x&a%20b=y", "a b", "http://h/"},
		{"http://h/?X-Amz-Date=1&X-Amz-Signature=2&v=3", "X-Amz-Date X-Amz-Signature", "http://h/?v=3"},
	} {
		drop := strings.Fields(c.drop)
		if c.drop == "a b" {
			drop = []string{"a b"}
		}
		u, err := parseURL(c.raw)
		require.NoError(t, err)
		require.Equal(t, c.want, u.String(drop), c.raw)
	}
}

// FuzzURL: a canonical URL stays as it is, filtered or not, and what is refused
// is Invalid.
func FuzzURL(f *testing.F) {
	for _, raw := range []string{
		"http://User:pw@Example.COM:80/%7e%2f?a=%7E&sig=1&#x", "https://[2001:DB8::1]:8443/a b", "http://ü.example/?", "http://h/?sig&&=", "HTTP://h.:080",
	} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := parseURL(raw)
		if err != nil {
			require.Equal(t, Invalid, KindOf(err))
			require.True(t, IsPermanent(err))
			return
		}
		for _, drop := range [][]string{nil, {"sig"}, {"", "a b"}} {
			canon := u.String(drop)
			again, err := parseURL(canon)
			if len(canon) > MaxURL { // escaping makes it longer
				return
			}
			require.NoError(t, err, "%q of %q", canon, raw)
			require.Equal(t, canon, again.String(nil))
			require.Equal(t, canon, again.String(drop))
			require.Empty(t, again.userinfo)
			require.Equal(t, u.origin(), again.origin())
		}
	})
}

func TestRedact(t *testing.T) {
	for raw, want := range map[string]string{
		"http://h/p":             "http://h/p",
		"http://h/p?sig=x#y":     "http://h/p",
		"http://h/p#y?z":         "http://h/p",
		"http://u:p@h/p":         "http://***@h/p",
		"http://u:p@h":           "http://***@h",
		"http://a@b:p@h/p":       "http://***@h/p",
		"http://u:p/w@h/p":       "http://***@h/p",
		"http://u:p?w@h/p":       "http://***@",
		"http://u:p#w@h/p":       "http://***@",
		"u:p@h/p":                "***@h/p",
		"u:p/x@h/p":              "***@h/p",
		"u:p?x@h/p":              "***@",
		"u:p@h/x://y":            "***@h/x://y",
		"http:/u:p@h/p":          "***@h/p",
		"http://h:8080/@scope/p": "http://h:8080/@scope/p",
		"http://h/p?mail=a@b":    "http://h/p",
		strings.Repeat("x", 300): strings.Repeat("x", 200) + "…",
	} {
		require.Equal(t, want, redact(raw), raw)
	}
}

// FuzzRedact: whatever is wrong with a URL, no message shows its password or
// the value of a parameter.
func FuzzRedact(f *testing.F) {
	for _, c := range [][4]string{
		{"http://", "a", "b", "host/path"}, {"ftp://", "/", "?", "h"}, {"", "", "", "h:x"}, {"http:/", "#", "", "\n"}, {"x/y://", ":", "/", "[::1"}, {"http://", "1/", "", "h h"},
		{"0", "//", "#", "0"},
	} {
		f.Add(c[0], c[1], c[2], c[3])
	}
	f.Fuzz(func(t *testing.T, scheme, a, b, host string) {
		const secret = "SeCrEt"
		if strings.Contains(scheme+a+b+host, secret) {
			return
		}
		_, afterScheme, ok := strings.Cut(scheme+"u:"+a+secret+b+"@"+host, "://")
		if authority, _, cut := strings.Cut(afterScheme, "/"); ok && cut && (isHostPort(authority) || strings.Contains(authority, "@")) {
			return // by the grammar of URLs it stands in host or path
		}
		if !strings.ContainsAny(scheme+a, "?#") && strings.Contains(a, "@") {
			return // likewise in host or path
		}
		for _, raw := range []string{
			scheme + "u:" + a + secret + b + "@" + host,
			"http://h/\x01?" + a + secret + b,
			"http://h/%zz#" + a + secret + b,
		} {
			require.NotContains(t, redact(raw), secret, raw)
			_, err := NewTask(raw, Options{Header: map[string][]string{"X": {secret}}, FilterQuery: []string{secret}}, []byte(secret))
			if err != nil {
				require.NotContains(t, err.Error(), secret, raw)
			}
		}
	})
}
