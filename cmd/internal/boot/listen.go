package boot

import (
	"context"
	"errors"
	"net"
	"strconv"
	"syscall"

	"damselfly/pieces"
)

// Listen opens a TCP listener on HOST:PORT; port 0 is any free one. What can't
// be an address is an Invalid error, a port in use says so.
func Listen(ctx context.Context, flag, addr string) (net.Listener, error) {
	if err := CheckAddr(flag, addr); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	lis, err := lc.Listen(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, pieces.Errorf(pieces.Unavailable, "--%s %s: the port is in use; stop the other process or give another port (0 = any)", flag, addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, pieces.Errorf(pieces.Invalid, "--%s %s: this machine has no such address", flag, addr)
	case err != nil:
		return nil, pieces.WithKind(pieces.Unavailable, err, "--"+flag+" "+addr)
	}
	return lis, nil
}

// ListenDefault is Listen for an address the user did not choose: if its port
// is taken, any free one will do.
func ListenDefault(ctx context.Context, flag, addr string) (net.Listener, error) {
	lis, err := Listen(ctx, flag, addr)
	if pieces.KindOf(err) != pieces.Unavailable {
		return lis, err
	}
	host, _, _ := net.SplitHostPort(addr)
	return Listen(ctx, flag, net.JoinHostPort(host, "0"))
}

// CheckAddr returns an Invalid error naming the flag unless addr is HOST:PORT
// (an empty host is allowed) with a port in 0 … 65535.
func CheckAddr(flag, addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		var n int
		if n, err = strconv.Atoi(port); n < 0 || n > 65535 {
			err = errors.New("port out of range")
		}
	}
	if err != nil {
		return pieces.Errorf(pieces.Invalid, "--%s %.100q: want HOST:PORT with a port from 0 to 65535", flag, addr)
	}
	return nil
}

// CheckPeerAddrs is CheckAddr for a list of addresses to dial: none may lack
// its host or port.
func CheckPeerAddrs(flag string, addrs []string) error {
	for _, a := range addrs {
		host, port, err := net.SplitHostPort(a)
		if err != nil || host == "" || port == "0" || CheckAddr(flag, a) != nil {
			return pieces.Errorf(pieces.Invalid, "--%s %.100q: want HOST:PORT, several split by commas", flag, a)
		}
	}
	return nil
}
