package pieces

import (
	"encoding/base64"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// MaxURL is the longest URL we accept, in bytes.
const MaxURL = 8 << 10

// canonURL is a parsed URL in canonical parts: lower-case scheme and host,
// default port and fragment dropped, percent-encoding normalised, query order
// kept.
type canonURL struct {
	scheme, host, path string
	query              []string // "k=v" as normalised, in order
	hasQuery           bool
	userinfo           string // base64 of user:password, as in Basic auth
}

var defaultPorts = map[string]string{"http": "80", "https": "443"}

func parseURL(raw string) (canonURL, error) {
	bad := func(why string) (canonURL, error) {
		return canonURL{}, Errorf(Invalid, "URL %q: %s", redact(raw), why)
	}
	if len(raw) > MaxURL {
		return bad("longer than 8 KiB")
	}
	if strings.ContainsFunc(raw, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return bad("holds a control character")
	}
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil {
		return bad("can't be parsed; want http://host/path or https://host/path")
	}
	c := canonURL{scheme: strings.ToLower(u.Scheme)}
	port, ok := defaultPorts[c.scheme]
	if !ok {
		return bad("scheme must be http or https")
	}
	if u.Opaque != "" || u.Hostname() == "" {
		return bad("has no host; want " + c.scheme + "://host/path")
	}
	if c.host, err = canonHost(u.Hostname()); err != nil {
		return bad(err.Error())
	}
	if u.Port() != "" {
		n, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil || n == 0 {
			return bad("port must be 1 … 65535")
		}
		if p := strconv.FormatUint(n, 10); p != port {
			c.host += ":" + p
		}
	}
	if user, pass := userinfo(u); user != "" || pass != "" {
		c.userinfo = base64.StdEncoding.EncodeToString([]byte(user + ":" + pass))
	}
	// RawPath is what was written, if escaping the decoded path would not give
	// it back: only there is an escaped slash still escaped.
	path := u.RawPath
	if path == "" {
		path = u.EscapedPath()
	}
	if c.path = normalPercent(path); c.path == "" {
		c.path = "/"
	}
	c.hasQuery = u.RawQuery != ""
	if c.hasQuery {
		for p := range strings.SplitSeq(u.RawQuery, "&") {
			c.query = append(c.query, normalPercent(p))
		}
	}
	return c, nil
}

func userinfo(u *url.URL) (user, password string) {
	password, _ = u.User.Password()
	return u.User.Username(), password
}

// canonHost lowers names, writes international ones in their ASCII form, drops
// the dot of the root, and writes IPv6 addresses the shortest way. Zones are
// refused: they mean something on one host only.
func canonHost(h string) (string, error) {
	if strings.Contains(h, ":") {
		a, err := netip.ParseAddr(h)
		if err != nil || a.Zone() != "" {
			return "", Errorf(Invalid, "host is not an IPv6 address without zone")
		}
		return "[" + a.String() + "]", nil
	}
	if strings.ContainsFunc(h, func(r rune) bool { return r >= 0x80 }) {
		ascii, err := idna.Lookup.ToASCII(h)
		if err != nil || !utf8.ValidString(h) {
			return "", Errorf(Invalid, "host is not a name that can be written in ASCII")
		}
		h = ascii
	}
	h = strings.TrimSuffix(strings.ToLower(h), ".")
	if strings.ContainsAny(h, " \"<>\\^`{|}/?#%[]@") {
		return "", Errorf(Invalid, "host holds a character that no host name has")
	}
	if h == "" || strings.HasPrefix(h, ".") || strings.HasSuffix(h, ".") || strings.Contains(h, "..") {
		return "", Errorf(Invalid, "host has an empty label")
	}
	return h, nil
}

// String renders the URL, leaving out query parameters whose decoded name is
// in drop.
func (c canonURL) String(drop []string) string {
	s := c.scheme + "://" + c.host + c.path
	var kept []string
	for _, p := range c.query {
		name, _, _ := strings.Cut(p, "=")
		if d, err := url.QueryUnescape(name); err == nil {
			name = d
		}
		if !slices.Contains(drop, name) {
			kept = append(kept, p)
		}
	}
	if q := strings.Join(kept, "&"); q != "" {
		s += "?" + q
	}
	return s
}

func (c canonURL) origin() string { return c.scheme + "://" + c.host }

// normalPercent decodes escapes of unreserved characters, writes the others
// with upper-case digits, and escapes bytes that no URL may hold
// (RFC 3986 §6.2.2). A '%' that starts no escape becomes %25.
func normalPercent(s string) string {
	const upper = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			if i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
				v := unhex(s[i+1])<<4 | unhex(s[i+2])
				i += 2
				if isUnreserved(v) {
					b.WriteByte(v)
				} else {
					b.Write([]byte{'%', upper[v>>4], upper[v&15]})
				}
				continue
			}
			b.WriteString("%25")
			continue
		}
		if c <= 0x20 || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			b.Write([]byte{'%', upper[c>>4], upper[c&15]})
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// redact cuts what may be secret (userinfo, query, fragment) from a URL for
// messages. What can't be told apart for sure is cut too: the URL may be one
// that doesn't parse because of a '/' in its password.
func redact(raw string) string {
	shown, cut := raw, ""
	if i := strings.IndexAny(raw, "?#"); i >= 0 {
		shown, cut = raw[:i], raw[i:]
	}
	scheme, rest, ok := strings.Cut(shown, "://")
	authority, _, path := strings.Cut(rest, "/")
	if ok && !strings.ContainsFunc(scheme, func(r rune) bool { return r >= 0x80 || !isUnreserved(byte(r)) }) {
		scheme += "://"
	} else {
		scheme, authority, rest = "", "", shown
	}
	hidden := strings.LastIndexByte(authority, '@') + 1
	switch {
	case !path && strings.Contains(cut, "@"): // a token with '#' or '?' in it
		hidden = len(rest)
	case isHostPort(authority[hidden:]):
	case strings.Contains(cut, "@"):
		hidden = len(rest)
	default:
		hidden = strings.LastIndexByte(rest, '@') + 1
	}
	if hidden > 0 {
		rest = "***@" + rest[hidden:]
	}
	shown = scheme + rest
	if len(shown) > 200 {
		shown = shown[:200] + "…"
	}
	return shown
}

// isHostPort reports whether s can't be the beginning of "user:password".
func isHostPort(s string) bool {
	_, port, ok := strings.Cut(s, ":")
	if !ok {
		return s != ""
	}
	_, err := strconv.ParseUint(port, 10, 16)
	return err == nil
}
