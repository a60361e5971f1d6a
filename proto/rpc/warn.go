package rpc

import (
	"io"
	"net"
	"net/netip"
	"sync"

	"github.com/sirupsen/logrus"
)

// plaintext warns once per process: the fact is about the whole process, and
// a daemon dials many addresses.
var plaintext warner

// warner says once that traffic crosses the network in plain text.
type warner struct{ once sync.Once }

// check warns if addr, as given by its owner ("HOST:PORT"), leaves this host.
func (w *warner) check(log *logrus.Entry, addr string) {
	if isLoopback(addr) {
		return
	}
	w.once.Do(func() {
		log.WithField("address", addr).Warn("INSECURE TRANSPORT: traffic with other hosts is neither encrypted nor authenticated; use trusted networks only")
	})
}

// isLoopback reports whether addr certainly stays on this host. Names other
// than localhost are not looked up and count as remote.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func orDiscard(log *logrus.Entry) *logrus.Entry {
	if log != nil {
		return log
	}
	l := logrus.New()
	l.SetOutput(io.Discard)
	return logrus.NewEntry(l)
}
