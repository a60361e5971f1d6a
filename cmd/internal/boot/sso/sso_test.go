package sso

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/boot"
	"damselfly/manager/oidc"
)

// The help of the flags tells the defaults of package oidc, which boot does not
// import: they are the same.
func TestHelpTellsTheDefaults(t *testing.T) {
	var o boot.OIDCOptions
	fs := pflag.NewFlagSet("dfmanager", pflag.ContinueOnError)
	o.Flags(fs, "", "url")
	for name, want := range map[string]string{
		"oidc-scopes":     strings.Join(oidc.DefaultScopes, ","),
		"oidc-name-claim": oidc.DefaultNameClaim,
		"oidc-role-claim": oidc.DefaultRoleClaim,
	} {
		require.Contains(t, fs.Lookup(name).Usage, "(default: "+want+")")
	}
}
