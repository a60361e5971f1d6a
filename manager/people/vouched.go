package people

import (
	"context"
	"strings"

	"damselfly/manager/store"
	"damselfly/pieces"
)

// Vouched is what somebody whom we trust says of a person.
type Vouched struct {
	// Issuer and Subject name the person for ever.
	Issuer, Subject string
	// Name is what the user is called here, if it is new.
	Name string
	Role store.Role
}

// LoginVouched begins a session of a person that proved itself to somebody else.
// The first time it makes a user, whose name must be free: nobody becomes
// another one by choosing its name elsewhere. Each time the user gets the role,
// except that the last administrator stays one.
func (p *People) LoginVouched(ctx context.Context, v Vouched, addr string) (secret string, who Identity, err error) {
	defer func() { p.countLogin(viaOIDC, err) }()
	if v.Issuer == "" || v.Subject == "" {
		return "", Identity{}, pieces.Errorf(pieces.Unauthenticated, "nobody is named")
	}
	if err := CheckRole(v.Role); err != nil {
		return "", Identity{}, err
	}
	u, err := p.store.UserOf(ctx, v.Issuer, v.Subject)
	if err != nil && pieces.KindOf(err) == pieces.NotFound {
		u, err = p.addVouched(ctx, v)
	}
	if err == nil && u.Disabled {
		err = pieces.Errorf(pieces.Denied, "user %s is disabled", u.Name)
	}
	if err == nil && u.Role != v.Role {
		var changed bool
		if changed, err = p.store.SetRole(ctx, u.Name, v.Role); changed {
			u.Role = v.Role
		}
	}
	if err != nil {
		p.auditLogin(ctx, u.Name, v.Issuer, addr, err)
		return "", Identity{}, err
	}
	return p.begin(ctx, u, v.Issuer, addr)
}

func (p *People) addVouched(ctx context.Context, v Vouched) (store.User, error) {
	u := store.User{Name: strings.ToLower(v.Name), Role: v.Role, Issuer: v.Issuer, Subject: v.Subject, Created: p.opts.Now()}
	if err := CheckName(u.Name); err != nil {
		return store.User{}, err
	}
	err := p.store.AddUser(ctx, u)
	if pieces.KindOf(err) == pieces.Exists {
		// Perhaps another manager just made the same one.
		if now, nowErr := p.store.UserOf(ctx, v.Issuer, v.Subject); nowErr == nil {
			return now, nil
		}
		return store.User{}, pieces.Errorf(pieces.Denied, "the name %s belongs to another user here; an administrator must remove that one first", u.Name)
	}
	return u, err
}

// MayTry takes one of the tries that an address has to log in; giveBack undoes
// it. Without any left it is a Throttled error.
func (p *People) MayTry(addr string) (giveBack func(), err error) {
	if giveBack, err = p.mayTry("", addr); err != nil {
		p.countLogin(viaOIDC, err)
	}
	return giveBack, err
}

// NotVouched counts a login that ended in err before there was anybody to vouch
// for.
func (p *People) NotVouched(err error) { p.countLogin(viaOIDC, err) }
