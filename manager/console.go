package manager

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"damselfly/manager/console"
	"damselfly/manager/people"
	"damselfly/manager/rest"
	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

// Console serves the web pages; see package console. They call the Admin
// service as REST does, with the cookie of who looks.
func (s *Server) Console() (http.Handler, error) {
	admin := managerpb.NewAdminClient(rest.Connect(s.RegisterAdmin))
	return console.New(console.Options{
		Admin: admin, Sessions: sessions{s, admin}, Outgoing: outgoing, Status: rest.Status,
		URL: s.opts.URL, Version: s.opts.Version, Now: s.opts.Now, Log: s.log.WithField("part", "console"),
	})
}

// shown is what a browser's request says of who sends it.
func shown(r *http.Request) metadata.MD {
	return metadata.MD{"cookie": r.Header.Values("Cookie"), rest.HostKey: {r.Host}}
}

// outgoing prepares calls made for a request.
func outgoing(r *http.Request) context.Context {
	return metadata.NewOutgoingContext(rest.From(r.Context(), r.RemoteAddr), shown(r))
}

// sessions are the console's sessions: cookies of package people.
type sessions struct {
	*Server
	admin managerpb.AdminClient
}

func (s sessions) secure(r *http.Request) bool {
	return r.TLS != nil || strings.HasPrefix(s.opts.URL, "https://")
}

// Login begins a session.
func (s sessions) Login(ctx context.Context, r *http.Request, user, password string) (*http.Cookie, error) {
	m, err := s.admin.CreateSession(ctx, &managerpb.CreateSessionRequest{User: user, Password: password})
	if err != nil {
		return nil, err
	}
	return people.Cookie(m.Secret, m.Expires.AsTime(), s.secure(r)), nil
}

// Who sends a request.
func (s sessions) Who(ctx context.Context, r *http.Request) (console.Person, error) {
	ctx = metadata.NewIncomingContext(ctx, shown(r))
	if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		ctx = peer.NewContext(ctx, &peer.Peer{Addr: net.TCPAddrFromAddrPort(from)})
	}
	who, err := s.identify(ctx)
	if err == nil && !who.Known() {
		err = pieces.Errorf(pieces.Unauthenticated, "log in first")
	}
	if err != nil {
		return console.Person{}, err
	}
	return console.Person{Name: who.User, Role: string(who.Role), May: who.May, Session: who.ID != ""}, nil
}

// Logout ends the session.
func (s sessions) Logout(ctx context.Context, r *http.Request) (*http.Cookie, error) {
	if _, err := s.admin.DeleteSession(ctx, &managerpb.DeleteSessionRequest{}); err != nil {
		return nil, err
	}
	return people.NoCookie(s.secure(r)), nil
}

// SSO is where people may log in elsewhere.
func (s sessions) SSO() (url, name string) { return s.opts.SSO.Path, s.opts.SSO.Name }
