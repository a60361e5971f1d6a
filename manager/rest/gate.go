package rest

import (
	"context"
	"mime"
	"net/http"
	"strings"

	"google.golang.org/protobuf/proto"

	"damselfly/manager/people"
	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

// gate is what each request passes.
type gate struct {
	// secure: browsers come over TLS, though it may end before this process.
	secure bool
	// origins refuses changes that pages of others make a browser ask for.
	origins *http.CrossOriginProtection
}

func newGate(base string) (*gate, error) {
	g := &gate{secure: strings.HasPrefix(base, "https://"), origins: http.NewCrossOriginProtection()}
	if base != "" {
		if err := g.origins.AddTrustedOrigin(base); err != nil {
			return nil, pieces.WithKind(pieces.Invalid, err, "the manager's URL: want https://HOST or https://HOST:PORT")
		}
	}
	return g, nil
}

// checked refuses changes from pages of other origins and bodies that are not
// JSON, and remembers the caller.
func (g *gate) checked(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if err := g.origins.Check(r); err != nil {
			writeStatus(w, http.StatusForbidden, pieces.Denied.String(), "this comes from a page of somebody else")
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
			if kind != "application/json" && !(r.Method == http.MethodDelete && r.ContentLength == 0) {
				writeStatus(w, http.StatusUnsupportedMediaType, pieces.Invalid.String(), "want Content-Type: application/json")
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		}
		ctx, cancel := context.WithTimeout(From(r.Context(), r.RemoteAddr), callTimeout)
		defer cancel()
		h.ServeHTTP(w, r.WithContext(context.WithValue(ctx, secureKey{}, g.secure || r.TLS != nil)))
	})
}

// secureKey is the context key of whether the browser came over TLS.
type secureKey struct{}

// setCookie keeps the secret of a session in a cookie instead of the reply, and
// takes it off when the session ends.
func setCookie(ctx context.Context, w http.ResponseWriter, m proto.Message) error {
	secure, _ := ctx.Value(secureKey{}).(bool)
	switch m := m.(type) {
	case *managerpb.Session:
		if m.Secret != "" {
			http.SetCookie(w, people.Cookie(m.Secret, m.Expires.AsTime(), secure))
			m.Secret = ""
		}
	case *managerpb.DeleteSessionReply:
		http.SetCookie(w, people.NoCookie(secure))
	}
	return nil
}
