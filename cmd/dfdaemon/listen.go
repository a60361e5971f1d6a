package main

import (
	"context"
	"net"
	"slices"
	"strconv"

	"damselfly/cmd/internal/boot"
)

// listenPort opens a port for other hosts on the address bind.
func (p *process) listenPort(ctx context.Context, flag, bind string, port, standard int) (net.Listener, error) {
	return p.listen(ctx, flag, net.JoinHostPort(bind, strconv.Itoa(port)), port == standard)
}

// listen opens addr. If its port is taken but only the standard one, any free
// one will do: a host may run several daemons.
func (p *process) listen(ctx context.Context, flag, addr string, standard bool) (net.Listener, error) {
	if !standard {
		return boot.Listen(ctx, flag, addr)
	}
	lis, err := boot.ListenDefault(ctx, flag, addr)
	if err == nil && lis.Addr().(*net.TCPAddr).Port != portOf(addr) {
		p.log.Warnf("--%s %s: the port is in use, so %s is used instead", flag, addr, lis.Addr())
	}
	return lis, err
}

func portOf(addr string) int {
	_, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	return n
}

// addresses returns the IP that other hosts dial and the one to listen on. A
// daemon without a cluster keeps to the loopback.
func (p *process) addresses() (advertise, bind string) {
	switch {
	case p.o.AdvertiseIP != "":
		return p.o.AdvertiseIP, ""
	case p.o.Alone():
		return "127.0.0.1", "127.0.0.1"
	case p.o.AllInOne:
		return outward(outside), ""
	}
	return outward(slices.Concat(p.o.Managers, p.o.Schedulers)...), ""
}

// outside is an address of nobody, to learn the way to the rest of the world.
const outside = "192.0.2.1:9"

// outward is this host's address on the way to the first of addrs that there
// is a way to, else its first address that others may reach, else the loopback.
func outward(addrs ...string) string {
	for _, addr := range addrs {
		if ip := routeTo(addr); ip != "" {
			return ip
		}
	}
	return firstAddress()
}

// routeTo is this host's address on the way to addr, "" if there is no way. A
// UDP socket sends nothing when it connects.
func routeTo(addr string) string {
	conn, err := net.Dial("udp", addr)
	if err != nil {
		return ""
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).IP.String()
}

// firstAddress is the first address of this host that others may reach, else
// the loopback.
func firstAddress() string {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	return "127.0.0.1"
}
