package manager

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/manager/store"
	"damselfly/pieces"
)

func TestChoose(t *testing.T) {
	var scopes []scope
	for name, s := range map[string]store.Scopes{
		"default": {},
		"wide":    {CIDRs: []string{"10.0.0.0/8", "fd00::/8"}},
		"narrow":  {CIDRs: []string{"10.1.0.0/16"}},
		"gpu":     {Hostnames: []string{"gpu-[0-9]+", "h100-.*"}},
		"idc":     {IDCs: []string{"fra", "ams"}},
		"eu":      {Locations: []string{"eu"}},
		"eu-de":   {Locations: []string{"eu|de", "eu|at"}},
		"both":    {IDCs: []string{"fra"}, Locations: []string{"eu|de"}},
	} {
		sc, err := newScope(name, s)
		require.NoError(t, err)
		scopes = append(scopes, sc)
	}
	all := []string{"default", "wide", "narrow", "gpu", "idc", "eu", "eu-de", "both"}
	for _, c := range []struct {
		h       pieces.Host
		allowed []string
		want    string
		why     string
	}{
		{pieces.Host{IP: "10.2.3.4"}, all, "wide", "address 10.2.3.4 in a /8"},
		{pieces.Host{IP: "10.1.3.4"}, all, "narrow", "in a /16"},
		{pieces.Host{IP: "10.1.3.4"}, []string{"default", "wide"}, "wide", "in a /8"},
		{pieces.Host{IP: "fd00::1"}, all, "wide", "in a /8"},
		{pieces.Host{IP: "10.1.3.4", Hostname: "gpu-7", IDC: "fra"}, all, "narrow", "the address comes first"},
		{pieces.Host{IP: "192.0.2.1", Hostname: "gpu-7", IDC: "fra"}, all, "gpu", "hostname matches"},
		{pieces.Host{IP: "192.0.2.1", Hostname: "gpu-7b", IDC: "ams"}, all, "idc", "idc ams"},
		{pieces.Host{IDC: "fra", Location: "eu|de|rack1"}, all, "both", "idc fra, location eu|de"},
		{pieces.Host{Location: "eu|de|rack1"}, all, "both", "first by name"},
		{pieces.Host{Location: "eu|de|rack1"}, []string{"default", "eu", "eu-de"}, "eu-de", "location eu|de"},
		{pieces.Host{Location: "eu|fr"}, all, "eu", "location eu"},
		{pieces.Host{Location: "europe"}, all, "default", "default cluster"},
		{pieces.Host{}, all, "default", "default cluster"},
		{pieces.Host{}, []string{"wide", "eu", "unheard"}, "eu", "no cluster fits"},
		{pieces.Host{IP: "10.0.0.1"}, nil, "default", "no cluster has live schedulers"},
		{pieces.Host{IP: "10.0.0.1"}, []string{"default", "unheard"}, "default", "default cluster"},
	} {
		got, why := choose(c.h, scopes, c.allowed)
		require.Equal(t, c.want, got, "%+v: %s", c.h, why)
		if !strings.Contains(c.why, "first") && !strings.Contains(c.why, "comes") {
			require.Contains(t, why, c.why)
		}
	}
}

func TestScopesAreChecked(t *testing.T) {
	for _, s := range []store.Scopes{
		{CIDRs: []string{"10.0.0.0"}}, {CIDRs: []string{""}}, {Hostnames: []string{"("}}, {IDCs: []string{strings.Repeat("a", 300)}},
		{Locations: make([]string, 300)},
	} {
		_, err := newScope("x", s)
		require.Equal(t, pieces.Invalid, pieces.KindOf(err), "%+v", s)
	}
}
