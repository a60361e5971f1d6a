package source

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"time"

	"damselfly/pieces"
)

// metadata are addresses at which clouds hand credentials to whoever asks from
// inside a machine. No content lives there.
var metadata = map[netip.Addr]bool{
	netip.MustParseAddr("169.254.169.254"): true, // most clouds
	netip.MustParseAddr("169.254.170.2"):   true, // container credentials
	netip.MustParseAddr("169.254.170.23"):  true, // pod credentials
	netip.MustParseAddr("169.254.0.23"):    true,
	netip.MustParseAddr("100.100.100.200"): true,
	netip.MustParseAddr("168.63.129.16"):   true,
	netip.MustParseAddr("192.0.0.192"):     true,
	netip.MustParseAddr("fd00:ec2::254"):   true,
	netip.MustParseAddr("fd00:ec2::23"):    true,
	netip.MustParseAddr("fd20:ce::254"):    true,
	netip.MustParseAddr("fe80::a9fe:a9fe"): true,
}

// nat64 is the well-known prefix whose last four bytes are an IPv4 address.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// DenyMetadata reports whether a is a cloud's metadata service, also when
// written as IPv4-mapped or NAT64 IPv6.
func DenyMetadata(a netip.Addr) bool {
	a = a.WithZone("").Unmap()
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	return metadata[a]
}

// dialer checks the address after names were resolved, so that no name leads
// to a denied one.
func dialer(timeout time.Duration, deny func(netip.Addr) bool) *net.Dialer {
	return &net.Dialer{
		Timeout: timeout,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return pieces.Errorf(pieces.Denied, "address %q is not an IP address with a port", address)
			}
			return denied(ap.Addr(), deny)
		},
	}
}

func denied(a netip.Addr, deny func(netip.Addr) bool) error {
	if deny(a) {
		return pieces.Errorf(pieces.Denied, "address %s is never connected to", a)
	}
	return nil
}
