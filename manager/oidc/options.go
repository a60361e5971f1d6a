package oidc

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"damselfly/manager/people"
	"damselfly/manager/store"
	"damselfly/pieces"
)

// Defaults of Options.
const (
	DefaultNameClaim = "preferred_username"
	DefaultRoleClaim = "groups"
	DefaultTimeout   = 10 * time.Second
)

// DefaultScopes are asked for.
var DefaultScopes = []string{"openid", "profile", "email"}

// Options say who vouches for people, and what for.
type Options struct {
	// Issuer is the URL of the provider; empty: nobody.
	Issuer string
	// ClientID and ClientSecret name this manager there; a public client has no
	// secret.
	ClientID, ClientSecret string
	// URL is how browsers reach this manager; the provider sends them back to
	// URL/auth/oidc/callback.
	URL string
	// Scopes that are asked for; empty is DefaultScopes.
	Scopes []string
	// NameClaim is the claim that names a new user.
	NameClaim string
	// RoleClaim holds a text or a list of texts; with a dot it is a field of an
	// object (realm_access.roles).
	RoleClaim string
	// Roles by a text in RoleClaim; who has several gets the highest.
	Roles map[string]store.Role
	// DefaultRole is that of who has none of Roles; empty: they are refused.
	DefaultRole store.Role
	// Timeout bounds what the provider is asked.
	Timeout time.Duration
	// Client speaks with the provider; nil is one that trusts the system's
	// certificates.
	Client *http.Client
	// People must be set.
	People *people.People
	// Log gets why logins failed; nil discards.
	Log *logrus.Entry
}

func (o Options) withDefaults() Options {
	if len(o.Scopes) == 0 {
		o.Scopes = DefaultScopes
	}
	if o.NameClaim == "" {
		o.NameClaim = DefaultNameClaim
	}
	if o.RoleClaim == "" {
		o.RoleClaim = DefaultRoleClaim
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Log == nil {
		l := logrus.New()
		l.SetOutput(io.Discard)
		o.Log = logrus.NewEntry(l)
	}
	if o.Client == nil {
		o.Client = &http.Client{Timeout: o.Timeout}
	}
	return o
}

// Check returns an Invalid error that says what is missing.
func (o Options) Check() error {
	for what, s := range map[string]string{"issuer": o.Issuer, "the manager's own URL": o.URL} {
		u, err := url.Parse(s)
		local := err == nil && (u.Hostname() == "localhost" || strings.HasPrefix(u.Hostname(), "127."))
		if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && local) || u.User != nil {
			return pieces.Errorf(pieces.Invalid, "oidc: %s %q: want https://…", what, s)
		}
	}
	if o.ClientID == "" {
		return pieces.Errorf(pieces.Invalid, "oidc: no client id")
	}
	if len(o.Roles) == 0 && o.DefaultRole == "" {
		return pieces.Errorf(pieces.Invalid, "oidc: nobody would get a role: map texts of the role claim, or set a default role")
	}
	for _, r := range o.Roles {
		if err := people.CheckRole(r); err != nil {
			return err
		}
	}
	if o.DefaultRole != "" {
		return people.CheckRole(o.DefaultRole)
	}
	return nil
}
