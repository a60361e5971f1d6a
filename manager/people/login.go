package people

import (
	"context"
	"time"

	"damselfly/manager/store"
	"damselfly/pieces"
)

// errLogin does not say which of both is wrong.
var errLogin = pieces.Errorf(pieces.Unauthenticated, "wrong user or password")

// How people prove who they are, for the audit log and for Options.Login.
const (
	viaPassword = "password"
	viaOIDC     = "oidc"
)

// LoginVias and LoginResults are all that Options.Login is told: a login was
// refused (wrong, or nobody who may), limited (too many wrong ones), or failed
// (the database, or the provider).
var (
	LoginVias    = []string{viaPassword, viaOIDC}
	LoginResults = []string{"ok", "refused", "limited", "failed"}
)

// countLogin tells how a login ended.
func (p *People) countLogin(via string, err error) {
	result := "failed"
	switch {
	case err == nil:
		result = "ok"
	case pieces.KindOf(err) == pieces.Throttled:
		result = "limited"
	case pieces.IsPermanent(err):
		result = "refused"
	}
	p.opts.Login(via, result)
}

// Login begins a session of a user that knows its password, and answers the
// session's secret. addr is where the caller is, as IP or IP:PORT. Wrong ones
// are Unauthenticated; too many of them, for that user or from that address,
// are Throttled with a RetryAfter.
func (p *People) Login(ctx context.Context, user, password, addr string) (secret string, who Identity, err error) {
	defer func() { p.countLogin(viaPassword, err) }()
	giveBack, err := p.mayTry(user, addr)
	if err != nil {
		return "", Identity{}, err
	}
	u, err := p.checkPassword(ctx, user, password)
	if pieces.KindOf(err) != pieces.Unauthenticated || err == nil {
		giveBack() // only wrong ones count
	}
	if err != nil {
		p.auditLogin(ctx, u.Name, viaPassword, addr, err)
		return "", Identity{}, err
	}
	return p.begin(ctx, u, viaPassword, addr)
}

// mayTry takes one failed login of a user and an address.
func (p *People) mayTry(user, addr string) (giveBack func(), err error) {
	now := p.opts.Now()
	backAddr, wait := p.addresses.take(hostOf(addr), now)
	if wait == 0 {
		var backUser func()
		// A name that nobody can have is not worth remembering.
		if CheckName(user) != nil {
			return backAddr, nil
		}
		if backUser, wait = p.users.take(user, now); wait == 0 {
			return func() { backAddr(); backUser() }, nil
		}
		backAddr()
	}
	e := pieces.Errorf(pieces.Throttled, "too many failed logins; wait %s", wait.Round(time.Second)+time.Second)
	e.RetryAfter = wait
	return nil, e
}

// checkPassword answers the user, also one whose password is wrong. Whether
// there is such a user can't be told from how long it takes.
func (p *People) checkPassword(ctx context.Context, user, password string) (store.User, error) {
	var u store.User
	err := CheckName(user)
	if err == nil {
		u, err = p.store.User(ctx, user)
	}
	if k := pieces.KindOf(err); err != nil && k != pieces.NotFound && k != pieces.Invalid {
		return u, err
	}
	if len(password) > maxPassword {
		password = ""
	}
	ok, err := p.hasher.matches(ctx, password, u.Password)
	switch {
	case err != nil:
		return u, err
	case !ok, u.Disabled:
		return u, errLogin
	}
	return u, nil
}

// begin begins a session.
func (p *People) begin(ctx context.Context, u store.User, via, addr string) (string, Identity, error) {
	now := p.opts.Now()
	id, secret, digest := newSecret(store.Session)
	c := store.Credential{ID: id, Kind: store.Session, User: u.Name, Digest: digest, Address: hostOf(addr), Created: now, Expires: now.Add(p.opts.Session)}
	err := p.store.NoteLogin(ctx, u.Name, now)
	if err == nil {
		err = p.store.KeepCredentials(ctx, store.Session, u.Name, maxSessions-1)
	}
	if err == nil {
		err = p.store.AddCredential(ctx, c, 2*maxSessions) // logins at once may pass the mark
	}
	p.auditLogin(ctx, u.Name, via, addr, err)
	if err != nil {
		return "", Identity{}, err
	}
	return secret, Identity{User: u.Name, Role: u.Role, Via: store.Session, ID: id, Expires: c.Expires, rights: roleRights[u.Role]}, nil
}

// Logout ends the session of that secret; one that is not known is no error.
func (p *People) Logout(ctx context.Context, secret string) error {
	who, err := p.Authenticate(ctx, secret)
	if err != nil && pieces.KindOf(err) == pieces.Unauthenticated {
		return nil
	}
	if err != nil {
		return err
	}
	return p.End(ctx, who)
}

// End ends a session; a token stays.
func (p *People) End(ctx context.Context, who Identity) error {
	if who.Via != store.Session {
		return pieces.Errorf(pieces.Invalid, "only a session can be ended; to remove a token, delete it")
	}
	err := p.store.RemoveCredential(ctx, store.Session, who.User, who.ID)
	if pieces.KindOf(err) == pieces.NotFound {
		return nil
	}
	return err
}
