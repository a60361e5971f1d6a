package source

import (
	"context"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"strings"

	"damselfly/pieces"
	"damselfly/proto/trace"
)

// ours are headers that users can't set: they belong to the connection, or say
// which bytes we want.
var ours = map[string]bool{
	"Accept-Encoding": true, "Range": true,
	"If-Match": true, "If-None-Match": true, "If-Modified-Since": true, "If-Unmodified-Since": true, "If-Range": true,
	"Connection": true, "Keep-Alive": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
	"Proxy-Connection": true, "Proxy-Authorization": true, "Content-Length": true, "Expect": true, "Host": true,
}

// answer is an origin's last answer, after redirects, with a body that fails
// as pieces.Error.
type answer struct {
	status int
	header http.Header
	length int64 // of the body, -1 = unknown
	body   *body
	where  string // the URL asked first, for messages
}

// get asks for t with the given headers of ours and follows redirects. The
// caller closes the answer's body. Any status but a redirect is an answer.
func (h *HTTP) get(ctx context.Context, t *pieces.Task, want http.Header) (*answer, error) {
	where := display(t)
	first, err := url.Parse(t.URL)
	if err != nil {
		return nil, pieces.Errorf(pieces.Invalid, "%s: not a URL", where)
	}
	user, host, err := userHeader(t.Header)
	if err != nil {
		return nil, err
	}
	u := first
	for hop := 0; ; hop++ {
		req := &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
		if user != nil {
			req.Header, req.Host = user.Clone(), host
		}
		h.ourHeaders(req.Header, want)
		a, err := h.roundTrip(ctx, req, where)
		if err != nil || !isRedirect(a.status) {
			return a, err
		}
		location := a.header.Get("Location")
		a.body.discard()
		if hop >= h.o.MaxRedirects {
			return nil, permanent("%s: more than %d redirects", where, max(h.o.MaxRedirects, 0))
		}
		if u, err = nextHop(u, location, where); err != nil {
			return nil, err
		}
		// What was meant for one origin is for no other; and once a
		// redirect led away, nothing it says brings the headers back.
		if u.Scheme != first.Scheme || !strings.EqualFold(u.Host, first.Host) {
			user, host = nil, ""
		}
	}
}

// ourHeaders adds what every request says, and what this one wants.
func (h *HTTP) ourHeaders(hdr, want http.Header) {
	if hdr.Get("User-Agent") == "" {
		hdr.Set("User-Agent", h.o.UserAgent)
	}
	if hdr.Get("Accept") == "" {
		hdr.Set("Accept", "*/*")
	}
	hdr.Set("Accept-Encoding", "identity")
	for name, vs := range want {
		hdr[name] = vs
	}
}

// roundTrip sends one request. The body's context outlives the call: it ends
// with ctx, on silence, or when the body is closed.
func (h *HTTP) roundTrip(ctx context.Context, req *http.Request, where string) (*answer, error) {
	if ip, err := netip.ParseAddr(req.URL.Hostname()); err == nil {
		// A proxy would connect for us, past our dialer.
		if err := denied(ip, h.o.Deny); err != nil {
			return nil, pieces.WithKind(pieces.Denied, err, where)
		}
	}
	rctx, cancel := context.WithCancelCause(ctx)
	resp, err := h.transport.RoundTrip(req.WithContext(rctx))
	if err != nil {
		cancel(nil)
		return nil, transportError(ctx, err, where)
	}
	trace.Current(ctx).Int("http.response.status_code", int64(resp.StatusCode))
	b := &body{ctx: ctx, rctx: rctx, cancel: cancel, from: resp.Body, left: -1, o: &h.o, where: where}
	return &answer{status: resp.StatusCode, header: resp.Header, length: resp.ContentLength, body: b, where: where}, nil
}

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

func nextHop(from *url.URL, location, where string) (*url.URL, error) {
	if location == "" {
		return nil, permanent("%s: redirect without Location", where)
	}
	u, err := from.Parse(location)
	if err != nil {
		return nil, permanent("%s: redirect to something that is not a URL", where)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, permanent("%s: redirect to a %.20q URL; only http and https are followed", where, u.Scheme)
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	return u, nil
}

// userHeader returns what of a Task's headers is sent, and the Host to ask for.
func userHeader(hdr http.Header) (out http.Header, host string, err error) {
	out = http.Header{}
	for name, vs := range hdr {
		name = textproto.CanonicalMIMEHeaderKey(name)
		for _, v := range vs {
			if !isToken(name) || strings.ContainsFunc(v, func(r rune) bool { return r < 0x20 && r != '\t' || r == 0x7f }) {
				return nil, "", pieces.Errorf(pieces.Invalid, "header %.80q: name or value holds a character that HTTP does not allow", name)
			}
			if name == "Host" {
				host = v
			}
			if !ours[name] {
				out.Add(name, v)
			}
		}
	}
	return out, host, nil
}

func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= 0x20 || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
	})
}

// display is the part of a Task's URL that messages may show.
func display(t *pieces.Task) string {
	s, _, _ := strings.Cut(t.URL, "?")
	return s
}
