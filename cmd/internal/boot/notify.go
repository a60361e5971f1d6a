package boot

import (
	"net"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"damselfly/pieces"
)

// States for Notify, as sd_notify(3) names them.
const (
	// StateReady: others may count on this process from now on.
	StateReady = "READY=1"
	// StateStopping: it ends in good order.
	StateStopping = "STOPPING=1"
)

// notifyTimeout bounds the one datagram of Notify: a service manager whose
// socket is full must not hold us up.
const notifyTimeout = time.Second

// Announce is Notify for this process. A failure is logged: the service manager
// finds out by its own deadline.
func Announce(log *logrus.Entry, state string) {
	if err := ProcessEnv().Notify(state); err != nil {
		log.WithError(err).Warn("the service manager was not told: " + state)
	}
}

// Notify tells the service manager that started this process how it stands, by
// a datagram to $NOTIFY_SOCKET: a path, or "@name" in the abstract namespace.
// Without that variable it does nothing.
func (e Env) Notify(state string) error {
	name := e.get("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	if !strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "@") {
		return pieces.Errorf(pieces.Invalid, "NOTIFY_SOCKET %.60q: want a path or @name", name)
	}
	// Package net reads a leading @ as the abstract namespace too.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return pieces.WithKind(pieces.Unavailable, err, "service manager")
	}
	defer conn.Close()
	if err = conn.SetWriteDeadline(time.Now().Add(notifyTimeout)); err == nil {
		_, err = conn.Write([]byte(state))
	}
	return pieces.WithKind(pieces.Unavailable, err, "service manager")
}
