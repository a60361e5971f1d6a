// Package sso gives a manager the login by an OpenID provider that its options
// ask for, in dfmanager and in an all-in-one dfdaemon.
package sso

import (
	"net/url"
	"os"
	"strings"

	"github.com/sirupsen/logrus"

	"damselfly/cmd/internal/boot"
	"damselfly/manager"
	"damselfly/manager/oidc"
	"damselfly/manager/people"
	"damselfly/manager/store"
	"damselfly/pieces"
)

// Offer is the login that the console offers; the zero value if there is none.
func Offer(o boot.OIDCOptions) manager.SSO {
	if o.Issuer == "" {
		return manager.SSO{}
	}
	name := o.Issuer
	if u, err := url.Parse(o.Issuer); err == nil && u.Host != "" {
		name = u.Host
	}
	return manager.SSO{Path: oidc.LoginPath, Name: name}
}

// Provider makes the login, or nil if none is wanted; it is to be served under
// oidc.Prefix. self is how browsers reach the manager.
func Provider(o boot.OIDCOptions, self string, p *people.People, log *logrus.Entry) (*oidc.Provider, error) {
	if o.Issuer == "" {
		return nil, nil
	}
	roles := map[string]store.Role{}
	for group, role := range o.Roles {
		roles[group] = store.Role(role)
	}
	secret := ""
	if o.SecretFile != "" {
		text, err := os.ReadFile(o.SecretFile)
		if err != nil {
			return nil, pieces.WithKind(pieces.Invalid, err, "--oidc-client-secret-file")
		}
		secret, _, _ = strings.Cut(string(text), "\n")
	}
	return oidc.New(oidc.Options{
		Issuer: o.Issuer, ClientID: o.ClientID, ClientSecret: strings.TrimSpace(secret), URL: self, Scopes: o.Scopes,
		NameClaim: o.NameClaim, RoleClaim: o.RoleClaim, Roles: roles, DefaultRole: store.Role(o.DefaultRole),
		People: p, Log: log.WithField("part", "oidc"),
	})
}
