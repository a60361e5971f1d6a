package people

import (
	"net/http"
	"time"
)

// CookieName is the cookie in which browsers keep the secret of a session.
const CookieName = "damselfly_session"

// Cookie is what logs a browser in until expires. secure: it is sent over TLS
// alone.
func Cookie(secret string, expires time.Time, secure bool) *http.Cookie {
	return &http.Cookie{
		Name: CookieName, Value: secret, Path: "/", Expires: expires, Secure: secure,
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
}

// NoCookie logs a browser out.
func NoCookie(secure bool) *http.Cookie {
	c := Cookie("", time.Unix(0, 0), secure)
	c.MaxAge = -1
	return c
}
