package pieces

import (
	"encoding/base64"
	"net/netip"
	"net/url"
	"slices"
	"strings"
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
	if p := u.Port(); p != "" && p != port {
		c.host += ":" + p
	}
	if u.User != nil {
		pass, _ := u.User.Password()
		c.userinfo = base64.StdEncoding.EncodeToString([]byte(u.User.Username() + ":" + pass))
	}
	if c.path = normalPercent(u.EscapedPath()); c.path == "" {
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

func canonHost(h string) (string, error) {
	h = strings.ToLower(h)
	if strings.Contains(h, ":") {
		a, err := netip.ParseAddr(h)
		if err != nil {
			return "", Errorf(Invalid, "host is not an IPv6 address")
		}
		return "[" + a.String() + "]", nil
	}
	if strings.ContainsAny(h, " \"<>\\^`{|}/?#%") {
		return "", Errorf(Invalid, "host holds a character that no host name has")
	}
	return strings.TrimSuffix(h, "."), nil
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
	if len(kept) > 0 {
		s += "?" + strings.Join(kept, "&")
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

// redact cuts what may be secret (userinfo, query) from a URL for messages.
func redact(raw string) string {
	raw, _, _ = strings.Cut(raw, "?")
	if i := strings.Index(raw, "://"); i >= 0 {
		rest := raw[i+3:]
		host, path, _ := strings.Cut(rest, "/")
		if at := strings.LastIndexByte(host, '@'); at >= 0 {
			raw = raw[:i+3] + "***@" + host[at+1:] + "/" + path
		}
	} else if at := strings.LastIndexByte(raw, '@'); at >= 0 {
		raw = "***@" + raw[at+1:]
	}
	if len(raw) > 200 {
		raw = raw[:200] + "…"
	}
	return raw
}
