package boot

import "github.com/spf13/pflag"

// OIDCOptions say who vouches for the people of a manager; the yaml tags are
// keys below oidc. What is empty has the defaults of package oidc.
type OIDCOptions struct {
	Issuer      string   `yaml:"issuer"`
	ClientID    string   `yaml:"client-id"`
	SecretFile  string   `yaml:"client-secret-file"`
	Scopes      []string `yaml:"scopes"`
	NameClaim   string   `yaml:"name-claim"`
	RoleClaim   string   `yaml:"role-claim"`
	Roles       Labels   `yaml:"roles"`
	DefaultRole string   `yaml:"default-role"`
}

// Flags binds --oidc-…; urlFlag says by which flag the manager knows its own URL,
// and when, what the flags are for ("" or "all-in-one: ").
func (o *OIDCOptions) Flags(fs *pflag.FlagSet, when, urlFlag string) {
	fs.StringVar(&o.Issuer, "oidc-issuer", o.Issuer, when+"let people log in by this OpenID provider, https://…; needs --"+urlFlag)
	fs.StringVar(&o.ClientID, "oidc-client-id", o.ClientID, when+"what the provider knows this manager as")
	fs.StringVar(&o.SecretFile, "oidc-client-secret-file", o.SecretFile, when+"file whose first line is the client's secret; none for a public client")
	fs.StringSliceVar(&o.Scopes, "oidc-scopes", o.Scopes, when+"scopes to ask for (default: openid,profile,email)")
	fs.StringVar(&o.NameClaim, "oidc-name-claim", o.NameClaim, when+"claim that names new users (default: preferred_username)")
	fs.StringVar(&o.RoleClaim, "oidc-role-claim", o.RoleClaim, when+"claim with the groups of a user; a dot goes into an object (default: groups)")
	fs.Var(&o.Roles, "oidc-role", when+"GROUP=admin|operator|viewer (may be repeated); the highest counts")
	fs.StringVar(&o.DefaultRole, "oidc-default-role", o.DefaultRole, when+"role of who is in none of these groups (default: not let in)")
}
