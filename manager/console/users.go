package console

import (
	"net/url"

	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

// usersView lists who may do something. Secret is a password that was just
// made, of Of; it is shown this once.
type usersView struct {
	Users  []*managerpb.User
	Filter filter
	Add    *form
	Of     string
	Secret string
}

func (v *visit) users() error {
	return v.showUsers(200, usersView{Add: newForm(url.Values{"role": {"viewer"}})})
}

func (v *visit) showUsers(status int, view usersView) error {
	r, err := v.admin().ListUsers(v.ctx, &managerpb.ListUsersRequest{
		Search: v.query("search"), PageSize: perPage, PageToken: v.query("after"),
	})
	if err != nil {
		return err
	}
	view.Users, view.Filter = r.Users, v.filter(len(r.Users), r.NextPageToken)
	return v.show(status, "users", "Users", view)
}

func (v *visit) createUser() error {
	f := newForm(url.Values{"name": {v.field("name")}, "role": {v.field("role")}})
	name := v.field("name")
	if name == "" {
		f.wrong("name", "what is the user called?")
		return v.showUsers(400, usersView{Add: f})
	}
	_, err := v.admin().CreateUser(v.ctx, &managerpb.CreateUserRequest{Name: name, Role: v.field("role"), Password: v.r.PostForm.Get("password")})
	if err == nil {
		return v.done("/users", "added")
	}
	if !correctable(err) {
		return err
	}
	f.blame(err, "password", "password", "role", "role", "user", "name", "name", "name")
	return v.showUsers(v.o.Status(err), usersView{Add: f})
}

// changeUser does what the pressed button says.
func (v *visit) changeUser() (err error) {
	name, notice := v.r.PathValue("name"), "saved"
	u := &managerpb.User{Name: name, Role: v.field("role"), Disabled: v.field("disabled") != "", Etag: v.field("etag")}
	switch v.r.PathValue("verb") {
	case "save":
		_, err = v.admin().UpdateUser(v.ctx, &managerpb.UpdateUserRequest{User: u})
	case "delete":
		notice = "deleted"
		_, err = v.admin().DeleteUser(v.ctx, &managerpb.DeleteUserRequest{Name: name, Etag: u.Etag})
	case "password":
		r, err := v.admin().ResetPassword(v.ctx, &managerpb.ResetPasswordRequest{Name: name})
		if err != nil {
			return err
		}
		return v.showUsers(200, usersView{Add: newForm(url.Values{"role": {"viewer"}}), Of: name, Secret: r.Password})
	default:
		err = pieces.Errorf(pieces.NotFound, "a user can be saved or deleted, or given a new password")
	}
	if err != nil {
		return err
	}
	return v.done("/users", notice)
}

type auditView struct {
	Lines  []*managerpb.AuditLine
	Filter filter
}

func (v *visit) audit() error {
	r, err := v.admin().ListAudit(v.ctx, &managerpb.ListAuditRequest{
		User: v.query("user"), Search: v.query("search"), PageSize: perPage, PageToken: v.query("after"),
	})
	if err != nil {
		return err
	}
	return v.ok("audit", "Audit", auditView{r.Lines, v.filter(len(r.Lines), r.NextPageToken)})
}
