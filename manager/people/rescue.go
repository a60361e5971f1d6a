package people

import (
	"context"
	"errors"

	"damselfly/manager/store"
	"damselfly/pieces"
)

// Rescue is for who can open the database: it gives a user a random password,
// which it answers, and enables the user; FirstUser is made if it is not there,
// and made administrator.
func (p *People) Rescue(ctx context.Context, name string) (password string, err error) {
	defer func() {
		p.audit(ctx, store.Audit{User: Local, Via: "database", Method: "ResetPassword", Object: "name=" + name, Result: resultOf(err)})
	}()
	if err := CheckName(name); err != nil {
		return "", err
	}
	if name == FirstUser {
		if _, err := p.AddUser(ctx, name, store.Admin, ""); err != nil && pieces.KindOf(err) != pieces.Exists {
			return "", err
		}
	}
	u, err := p.store.User(ctx, name)
	if err != nil {
		return "", err
	}
	want := u
	want.Disabled = false
	if name == FirstUser {
		want.Role = store.Admin
	}
	if want != u {
		err = p.store.ChangeUser(ctx, want)
	}
	password, resetErr := p.ResetPassword(ctx, name, "")
	return password, errors.Join(err, resetErr)
}
