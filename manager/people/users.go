package people

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"damselfly/manager/store"
	"damselfly/pieces"
)

// AddUser adds a user; without a password it can only use tokens that an
// administrator makes.
func (p *People) AddUser(ctx context.Context, name string, role store.Role, password string) (store.User, error) {
	if err := CheckName(name); err != nil {
		return store.User{}, err
	}
	if err := CheckRole(role); err != nil {
		return store.User{}, err
	}
	digest := ""
	if password != "" {
		var err error
		if digest, err = p.digest(ctx, password); err != nil {
			return store.User{}, err
		}
	}
	if err := p.store.AddUser(ctx, store.User{Name: name, Role: role, Password: digest, Created: p.opts.Now()}); err != nil {
		return store.User{}, err
	}
	return p.store.User(ctx, name)
}

func (p *People) digest(ctx context.Context, password string) (string, error) {
	if err := CheckPassword(password); err != nil {
		return "", err
	}
	return p.hasher.hash(ctx, password)
}

// ChangePassword gives a caller that knows its password another one, and ends
// its other sessions. Wrong ones count as failed logins.
func (p *People) ChangePassword(ctx context.Context, who Identity, old, next, addr string) error {
	if CheckName(who.User) != nil {
		return pieces.Errorf(pieces.Invalid, "%s has no password here", who.User)
	}
	if err := CheckPassword(next); err != nil {
		return err
	}
	giveBack, err := p.mayTry(who.User, addr)
	if err != nil {
		return err
	}
	if _, err = p.checkPassword(ctx, who.User, old); pieces.KindOf(err) == pieces.Unauthenticated && err != nil {
		return pieces.Errorf(pieces.Denied, "the old password is wrong")
	}
	giveBack()
	if err != nil {
		return err
	}
	digest, err := p.digest(ctx, next)
	if err != nil {
		return err
	}
	return p.store.SetPassword(ctx, who.User, digest, who.ID)
}

// ResetPassword gives a user another password, a random one if it is empty, and
// ends its sessions. It answers the password.
func (p *People) ResetPassword(ctx context.Context, user, password string) (string, error) {
	if password == "" {
		password = NewPassword()
	}
	digest, err := p.digest(ctx, password)
	if err != nil {
		return "", err
	}
	return password, p.store.SetPassword(ctx, user, digest, "")
}

// Bounds of a token.
const (
	DefaultTokenLife = 90 * 24 * time.Hour
	maxTokenLife     = 10 * 366 * 24 * time.Hour
	maxTitle         = 100 // bytes
)

// NewToken makes a token of a user (empty = the caller), and answers its secret.
// It may no more than that user, and one for oneself no more than the caller.
// Zero expires is DefaultTokenLife from now.
func (p *People) NewToken(ctx context.Context, who Identity, user, title string, scopes []string, expires time.Time) (secret string, c store.Credential, err error) {
	if user == "" {
		user = who.User
	}
	now := p.opts.Now()
	if expires.IsZero() {
		expires = now.Add(DefaultTokenLife)
	}
	switch {
	case title == "" || len(title) > maxTitle || !utf8.ValidString(title) || strings.ContainsFunc(title, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return "", c, pieces.Errorf(pieces.Invalid, "title: say in 1 to %d bytes what the token is for", maxTitle)
	case !expires.After(now) || expires.Sub(now) > maxTokenLife:
		return "", c, pieces.Errorf(pieces.Invalid, "expires: want a time to come within 10 years")
	}
	u, err := p.store.User(ctx, user)
	if err != nil {
		return "", c, err
	}
	grantor := Identity{User: u.Name, Role: u.Role, rights: roleRights[u.Role]}
	if u.Name == who.User {
		grantor = who
	} else if !who.Has(Administer) {
		return "", c, pieces.Errorf(pieces.Denied, "only administrators make tokens of others")
	}
	if err := checkScopes(grantor, scopes); err != nil {
		return "", c, err
	}
	id, secret, digest := newSecret(store.Token)
	c = store.Credential{ID: id, Kind: store.Token, User: u.Name, Digest: digest, Title: title, Scopes: scopes, Created: now, Expires: expires}
	return secret, c, p.store.AddCredential(ctx, c, maxTokens)
}

// checkScopes refuses scopes that are unknown, or that say more than their
// grantor may.
func checkScopes(grantor Identity, scopes []string) error {
	if len(scopes) == 0 || len(scopes) > len(scopeRights) {
		return pieces.Errorf(pieces.Invalid, "scopes: want some of read, operate, admin, account")
	}
	for _, s := range scopes {
		rights, ok := scopeRights[s]
		if !ok {
			return pieces.Errorf(pieces.Invalid, "scope %.40q: want read, operate, admin or account", s)
		}
		for _, r := range rights {
			if !grantor.Has(r) {
				return pieces.Errorf(pieces.Denied, "scope %s: %s may not do that", s, grantor.User)
			}
		}
	}
	return nil
}

// Tokens answers at most limit tokens above the id, of the caller (empty), of
// everybody ("*"), or of a user.
func (p *People) Tokens(ctx context.Context, who Identity, user, after string, limit int) ([]store.Credential, error) {
	switch {
	case user == "" || user == who.User:
		user = who.User
	case !who.Has(Administer):
		return nil, pieces.Errorf(pieces.Denied, "only administrators see tokens of others")
	case user == "*":
		user = ""
	default:
		if _, err := p.store.User(ctx, user); err != nil {
			return nil, err
		}
	}
	return p.store.Credentials(ctx, store.Token, user, after, limit, p.opts.Now())
}

// RemoveToken ends a token, for administrators anybody's; others' are NotFound
// to everybody else.
func (p *People) RemoveToken(ctx context.Context, who Identity, id string) error {
	owner := who.User
	if who.Has(Administer) {
		owner = ""
	}
	return p.store.RemoveCredential(ctx, store.Token, owner, id)
}
