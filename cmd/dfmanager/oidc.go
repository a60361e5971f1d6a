package main

import (
	"net/url"
	"os"
	"strings"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"

	"damselfly/cmd/internal/boot"
	"damselfly/manager"
	"damselfly/manager/oidc"
	"damselfly/manager/people"
	"damselfly/manager/store"
	"damselfly/pieces"
)

// oidcOptions say who vouches for people; the yaml tags are keys below oidc.
type oidcOptions struct {
	Issuer      string      `yaml:"issuer"`
	ClientID    string      `yaml:"client-id"`
	SecretFile  string      `yaml:"client-secret-file"`
	Scopes      []string    `yaml:"scopes"`
	NameClaim   string      `yaml:"name-claim"`
	RoleClaim   string      `yaml:"role-claim"`
	Roles       boot.Labels `yaml:"roles"`
	DefaultRole string      `yaml:"default-role"`
}

func (o *oidcOptions) flags(fs *pflag.FlagSet) {
	fs.StringVar(&o.Issuer, "oidc-issuer", o.Issuer, "let people log in by this OpenID provider, https://…; needs --url")
	fs.StringVar(&o.ClientID, "oidc-client-id", o.ClientID, "what the provider knows this manager as")
	fs.StringVar(&o.SecretFile, "oidc-client-secret-file", o.SecretFile, "file whose first line is the client's secret; none for a public client")
	fs.StringSliceVar(&o.Scopes, "oidc-scopes", oidc.DefaultScopes, "scopes to ask for")
	fs.StringVar(&o.NameClaim, "oidc-name-claim", oidc.DefaultNameClaim, "claim that names new users")
	fs.StringVar(&o.RoleClaim, "oidc-role-claim", oidc.DefaultRoleClaim, "claim with the groups of a user; a dot goes into an object")
	fs.Var(&o.Roles, "oidc-role", "GROUP=admin|operator|viewer (may be repeated); the highest counts")
	fs.StringVar(&o.DefaultRole, "oidc-default-role", o.DefaultRole, "role of who is in none of these groups (default: not let in)")
}

// sso is the login that the console offers.
func (o oidcOptions) sso() manager.SSO {
	if o.Issuer == "" {
		return manager.SSO{}
	}
	name := o.Issuer
	if u, err := url.Parse(o.Issuer); err == nil && u.Host != "" {
		name = u.Host
	}
	return manager.SSO{Path: oidc.LoginPath, Name: name}
}

// provider makes it, or nil if none is wanted.
func (o options) provider(p *people.People, log *logrus.Entry) (*oidc.Provider, error) {
	if o.OIDC.Issuer == "" {
		return nil, nil
	}
	roles := map[string]store.Role{}
	for group, role := range o.OIDC.Roles {
		roles[group] = store.Role(role)
	}
	secret := ""
	if o.OIDC.SecretFile != "" {
		text, err := os.ReadFile(o.OIDC.SecretFile)
		if err != nil {
			return nil, pieces.WithKind(pieces.Invalid, err, "--oidc-client-secret-file")
		}
		secret, _, _ = strings.Cut(string(text), "\n")
	}
	return oidc.New(oidc.Options{
		Issuer: o.OIDC.Issuer, ClientID: o.OIDC.ClientID, ClientSecret: strings.TrimSpace(secret), URL: o.URL, Scopes: o.OIDC.Scopes,
		NameClaim: o.OIDC.NameClaim, RoleClaim: o.OIDC.RoleClaim, Roles: roles, DefaultRole: store.Role(o.OIDC.DefaultRole),
		People: p, Log: log.WithField("part", "oidc"),
	})
}
