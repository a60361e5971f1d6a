package oidc

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"io"
	"net/http"
	"strings"

	"golang.org/x/oauth2"

	"damselfly/manager/people"
	"damselfly/pieces"
)

// Prefix is where what a Provider serves begins; LoginPath begins a login.
const (
	Prefix       = "/auth/oidc/"
	LoginPath    = Prefix + "login"
	callbackPath = Prefix + "callback"
)

// flightCookie keeps what belongs to one login while the browser is away, for
// ten minutes.
const (
	flightCookie  = "damselfly_oidc"
	flightSeconds = 600
	maxCode       = 4 << 10 // bytes
	maxText       = 400     // bytes
)

// flight is one login on its way.
type flight struct{ state, nonce, verifier string }

func newFlight() flight { return flight{rand.Text(), rand.Text(), oauth2.GenerateVerifier()} }

func (f flight) cookie(secure bool) *http.Cookie {
	// Lax, since the browser comes back from another site.
	return &http.Cookie{
		Name: flightCookie, Value: f.state + "." + f.nonce + "." + f.verifier, Path: Prefix, MaxAge: flightSeconds,
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode,
	}
}

// flightOf is the login that the browser is on, if it brings the right state.
func flightOf(r *http.Request) (f flight, ok bool) {
	c, err := r.Cookie(flightCookie)
	if err != nil {
		return f, false
	}
	parts := strings.Split(c.Value, ".")
	if len(parts) != 3 {
		return f, false
	}
	f = flight{parts[0], parts[1], parts[2]}
	state := r.URL.Query().Get("state")
	return f, state != "" && subtle.ConstantTimeCompare([]byte(f.state), []byte(state)) == 1
}

// ServeHTTP sends browsers to the provider, and lets them in when they come
// back.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	ctx, cancel := context.WithTimeout(r.Context(), p.opts.Timeout)
	defer cancel()
	switch {
	case r.Method != http.MethodGet:
		refuse(w, http.StatusMethodNotAllowed, "want GET")
	case r.URL.Path == LoginPath:
		p.serveLogin(ctx, w, r)
	case r.URL.Path == callbackPath:
		p.serveCallback(ctx, w, r)
	default:
		refuse(w, http.StatusNotFound, "there is nothing here")
	}
}

func (p *Provider) serveLogin(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	f := newFlight()
	to, err := p.begin(ctx, f)
	if err != nil {
		p.opts.People.NotVouched(err)
		p.failed(r, err)
		refuse(w, statusOf(err), "the identity provider can't be reached; try again, or log in with a password")
		return
	}
	http.SetCookie(w, f.cookie(p.secure))
	http.Redirect(w, r, to, http.StatusFound)
}

func (p *Provider) serveCallback(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	f, ok := flightOf(r)
	gone := flight{}.cookie(p.secure)
	gone.Value, gone.MaxAge = "", -1
	http.SetCookie(w, gone)
	q := r.URL.Query()
	code := q.Get("code")
	switch {
	case !ok:
		refuse(w, http.StatusBadRequest, "this login was not begun here, or took more than ten minutes; begin again")
		return
	case q.Get("error") != "":
		err := pieces.Errorf(pieces.Denied, "the identity provider refused: %s", clip(q.Get("error")))
		p.opts.People.NotVouched(err)
		p.failed(r, err)
		refuse(w, http.StatusForbidden, "the identity provider refused: "+clip(q.Get("error"))+" "+clip(q.Get("error_description")))
		return
	case code == "" || len(code) > maxCode:
		refuse(w, http.StatusBadRequest, "the identity provider sent no code")
		return
	}
	giveBack, err := p.opts.People.MayTry(r.RemoteAddr)
	if err != nil {
		refuse(w, statusOf(err), err.Error())
		return
	}
	secret, who, err := p.login(ctx, f, code, r.RemoteAddr)
	if err != nil {
		if pieces.KindOf(err) != pieces.Unauthenticated {
			giveBack()
		}
		p.failed(r, err)
		refuse(w, statusOf(err), explain(err))
		return
	}
	giveBack()
	http.SetCookie(w, people.Cookie(secret, who.Expires, p.secure))
	arrive(w)
}

func (p *Provider) login(ctx context.Context, f flight, code, addr string) (string, people.Identity, error) {
	v, err := p.finish(ctx, f, code)
	if err != nil {
		p.opts.People.NotVouched(err)
		return "", people.Identity{}, err
	}
	return p.opts.People.LoginVouched(ctx, v, addr)
}

// failed tells the log what the browser is not told.
func (p *Provider) failed(r *http.Request, err error) {
	p.opts.Log.WithField("from", r.RemoteAddr).Warnf("a login failed: %s", clip(err.Error()))
}

// arrive has the browser go on from a page of ours: a redirect would still count
// as coming from the provider, and the session's cookie would stay behind.
func arrive(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'")
	_, _ = io.WriteString(w, `<!doctype html><meta http-equiv="refresh" content="0;url=/"><title>Damselfly</title><a href="/">Go on</a>`) // the client went
}

// statusOf is the HTTP status of an error here.
func statusOf(err error) int {
	switch pieces.KindOf(err) {
	case pieces.Unauthenticated:
		return http.StatusUnauthorized
	case pieces.Denied, pieces.Invalid:
		return http.StatusForbidden
	case pieces.Throttled:
		return http.StatusTooManyRequests
	}
	return http.StatusServiceUnavailable
}

// explain says no more than people can use: what a provider answered stays out.
func explain(err error) string {
	switch pieces.KindOf(err) {
	case pieces.Denied, pieces.Invalid, pieces.Throttled:
		return err.Error()
	case pieces.Unauthenticated:
		return "the identity provider did not confirm this login; begin again"
	}
	return "the login can't be finished just now; begin again"
}

func refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, clip(text)+"\n") // the client went
}

// clip bounds what others wrote and takes line ends out.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	return strings.ToValidUTF8(s[:min(len(s), maxText)], "")
}
