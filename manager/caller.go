package manager

import (
	"context"
	"net"
	"net/http"
	"strings"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"damselfly/manager/people"
	"damselfly/manager/rest"
	"damselfly/pieces"
)

// identify answers who makes a call: the owner of the token or session in the
// header Authorization, or of the session in the cookie; nobody if there is
// neither. A caller on this machine that shows nothing is an administrator if
// Options.LocalAdmin says so.
func (s *Server) identify(ctx context.Context) (people.Identity, error) {
	if sent := metadata.ValueFromIncomingContext(ctx, "authorization"); len(sent) > 0 {
		scheme, secret, _ := strings.Cut(sent[0], " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return people.Identity{}, pieces.Errorf(pieces.Unauthenticated, "Authorization: want Bearer and a token")
		}
		return s.people.Authenticate(ctx, strings.TrimSpace(secret))
	}
	var who people.Identity
	var err error
	if secret := sessionCookie(ctx); secret != "" {
		if who, err = s.people.Authenticate(ctx, secret); err == nil {
			return who, nil
		}
	}
	if s.opts.LocalAdmin && onThisMachine(ctx) {
		return people.LocalAdmin(), nil
	}
	return who, err
}

func sessionCookie(ctx context.Context) string {
	r := http.Request{Header: http.Header{"Cookie": metadata.ValueFromIncomingContext(ctx, "cookie")}}
	c, err := r.Cookie(people.CookieName)
	if err != nil {
		return ""
	}
	return c.Value
}

// onThisMachine reports whether a call begins here. A REST call must also name
// this machine as its host, so that a web page elsewhere can't make a browser
// here do it.
func onThisMachine(ctx context.Context) bool {
	if !local(callerAddr(ctx)) {
		return false
	}
	for _, host := range metadata.ValueFromIncomingContext(ctx, rest.HostKey) {
		if !local(host) {
			return false
		}
	}
	return true
}

// callerAddr is where a call comes from, as IP:PORT; empty if that is not known.
func callerAddr(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok {
		return p.Addr.String()
	}
	return ""
}

// local reports whether HOST or HOST:PORT is this machine.
func local(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = strings.Trim(addr, "[]")
	}
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}
