package console

import (
	"net/http"

	"damselfly/pieces"
)

// policy allows what the pages need, which is all of their own origin: no
// inline script or style, no frame around them, no form to elsewhere.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func secure(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	// Forms need an Origin header, which no-referrer would make "null".
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// sameOrigin refuses a change that another site's page asks for. Browsers say
// where a form comes from; who says nothing is no browser, and scripts have
// the REST API.
func (c *Console) sameOrigin(r *http.Request) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
	}
	if r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == "" {
		return pieces.Errorf(pieces.Denied, "the browser does not say which page this comes from; scripts use the REST API")
	}
	if err := c.origins.Check(r); err != nil {
		return pieces.Errorf(pieces.Denied, "this comes from a page of another site")
	}
	return nil
}

// cached lets assets be kept: their URLs carry the version.
func cached(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=3600")
		h.ServeHTTP(w, r)
	})
}
