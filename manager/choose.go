package manager

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"damselfly/manager/store"
	"damselfly/pieces"
)

// scope is a cluster's Scopes, ready to be matched.
type scope struct {
	cluster   string
	cidrs     []netip.Prefix
	hostnames []*regexp.Regexp
	idcs      []string
	locations [][]string
}

// Bounds of what a cluster's scopes hold.
const (
	maxScopes     = 256 // of each kind
	maxExpression = 256 // bytes
)

// newScope checks what an operator wrote; errors are Invalid.
func newScope(cluster string, s store.Scopes) (scope, error) {
	out := scope{cluster: cluster}
	for what, list := range map[string][]string{"cidrs": s.CIDRs, "hostnames": s.Hostnames, "idcs": s.IDCs, "locations": s.Locations} {
		if len(list) > maxScopes {
			return out, pieces.Errorf(pieces.Invalid, "scopes: %d %s, at most %d are allowed", len(list), what, maxScopes)
		}
		for _, v := range list {
			if v == "" || len(v) > maxExpression {
				return out, pieces.Errorf(pieces.Invalid, "scopes: one of %s is empty or longer than %d bytes", what, maxExpression)
			}
		}
	}
	for _, c := range s.CIDRs {
		p, err := netip.ParsePrefix(c)
		if err != nil {
			return out, pieces.Errorf(pieces.Invalid, "scopes: CIDR %.60q: want a prefix such as 10.1.0.0/16", c)
		}
		out.cidrs = append(out.cidrs, p.Masked())
	}
	for _, h := range s.Hostnames {
		re, err := regexp.Compile("^(?:" + h + ")$")
		if err != nil {
			return out, pieces.Errorf(pieces.Invalid, "scopes: hostname pattern %.60q is no regular expression", h)
		}
		out.hostnames = append(out.hostnames, re)
	}
	out.idcs = s.IDCs
	for _, l := range s.Locations {
		out.locations = append(out.locations, strings.Split(l, "|"))
	}
	return out, nil
}

// fit is how well a host belongs to a cluster. Fields are compared in this
// order; the larger one wins.
type fit struct {
	// cidr is the length of the longest prefix that holds the host's address,
	// plus one, from the top of its family; 0 = none.
	cidr     int
	hostname bool
	idc      bool
	// location is how many leading elements the longest fitting one has.
	location int
	fallback bool // the default cluster
	// why says it in words.
	why string
}

// fits reports how h fits the scope.
func (s scope) fits(h pieces.Host) (f fit) {
	var why []string
	if ip, err := netip.ParseAddr(h.IP); err == nil {
		for _, p := range s.cidrs {
			if p.Contains(ip) && p.Bits()+1 > f.cidr {
				f.cidr = p.Bits() + 1
			}
		}
		if f.cidr > 0 {
			why = append(why, fmt.Sprintf("address %s in a /%d", ip, f.cidr-1))
		}
	}
	for _, re := range s.hostnames {
		if !f.hostname && re.MatchString(h.Hostname) {
			f.hostname = true
			why = append(why, "hostname matches "+re.String())
		}
	}
	if h.IDC != "" && slices.Contains(s.idcs, h.IDC) {
		f.idc = true
		why = append(why, "idc "+h.IDC)
	}
	at := strings.Split(h.Location, "|")
	for _, l := range s.locations {
		if len(l) > f.location && len(l) <= len(at) && slices.Equal(l, at[:len(l)]) {
			f.location = len(l)
		}
	}
	if f.location > 0 {
		why = append(why, "location "+strings.Join(at[:f.location], "|"))
	}
	if s.cluster == DefaultCluster {
		f.fallback = true
		why = append(why, "it is the default cluster")
	}
	f.why = strings.Join(why, ", ")
	return f
}

func (f fit) compare(o fit) int {
	return cmp.Or(cmp.Compare(f.cidr, o.cidr), compareBool(f.hostname, o.hostname), compareBool(f.idc, o.idc),
		cmp.Compare(f.location, o.location), compareBool(f.fallback, o.fallback))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// choose answers the cluster of a host among those allowed, and why: the one
// that fits best; by name among equals. Where none fits, it is the first that
// is allowed, or the default one if none is.
func choose(h pieces.Host, scopes []scope, allowed []string) (cluster, why string) {
	var best fit
	for _, name := range slices.Sorted(slices.Values(allowed)) {
		s := scope{cluster: name}
		if i := slices.IndexFunc(scopes, func(s scope) bool { return s.cluster == name }); i >= 0 {
			s = scopes[i]
		}
		f := s.fits(h)
		switch {
		case cluster == "":
			cluster, best = name, f
		case f.compare(best) > 0:
			cluster, best = name, f
		}
	}
	switch {
	case cluster == "":
		return DefaultCluster, "no cluster has live schedulers"
	case best.why == "":
		return cluster, "no cluster fits; this is the first that has live schedulers"
	}
	return cluster, best.why
}
