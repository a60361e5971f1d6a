package console

import (
	"net/url"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"damselfly/proto/managerpb"
)

// accountView is one's own password and tokens. New is a token that was just
// made; its secret is shown this once.
type accountView struct {
	*managerpb.Session
	Tokens   []*managerpb.AccessToken
	Filter   filter
	New      *managerpb.AccessToken
	Token    *form
	Password *form
}

// tokenDays is how long a token lasts unless somebody says otherwise.
const tokenDays = 90

func (v *visit) account() error { return v.showAccount(200, accountView{}) }

func (v *visit) showAccount(status int, view accountView) (err error) {
	if view.Session, err = v.admin().GetSession(v.ctx, &managerpb.GetSessionRequest{}); err != nil {
		return err
	}
	r, err := v.admin().ListTokens(v.ctx, &managerpb.ListTokensRequest{PageSize: perPage, PageToken: v.query("after")})
	if err != nil {
		return err
	}
	view.Tokens, view.Filter = r.Tokens, v.filter(len(r.Tokens), r.NextPageToken)
	if view.Token == nil {
		view.Token = newForm(url.Values{"days": {strconv.Itoa(tokenDays)}, "scopes": {"read"}})
	}
	if view.Password == nil {
		view.Password = newForm(nil)
	}
	return v.show(status, "account", "Account", view)
}

func (v *visit) createToken() error {
	f := newForm(v.r.PostForm)
	days, err := strconv.Atoi(v.field("days"))
	if err != nil || days < 1 || days > 3650 {
		f.wrong("days", "want 1 to 3650 days")
	}
	if v.field("title") == "" {
		f.wrong("title", "what is it for?")
	}
	if f.failed() {
		return v.showAccount(400, accountView{Token: f})
	}
	t, err := v.admin().CreateToken(v.ctx, &managerpb.CreateTokenRequest{
		Title: v.field("title"), Scopes: v.r.PostForm["scopes"],
		Expires: timestamppb.New(v.o.Now().Add(time.Duration(days) * 24 * time.Hour)),
	})
	if err == nil {
		return v.showAccount(200, accountView{New: t})
	}
	if !correctable(err) {
		return err
	}
	f.blame(err, "scope", "scopes", "title", "title", "expires", "days")
	return v.showAccount(v.o.Status(err), accountView{Token: f})
}

func (v *visit) deleteToken() error {
	if _, err := v.admin().DeleteToken(v.ctx, &managerpb.DeleteTokenRequest{Id: v.r.PathValue("id")}); err != nil {
		return err
	}
	return v.done("/account", "deleted")
}

func (v *visit) changePassword() error {
	f := newForm(nil)
	if v.r.PostForm.Get("new") != v.r.PostForm.Get("again") {
		f.wrong("again", "the two are not the same")
		return v.showAccount(400, accountView{Password: f})
	}
	_, err := v.admin().ChangePassword(v.ctx, &managerpb.ChangePasswordRequest{
		OldPassword: v.r.PostForm.Get("old"), NewPassword: v.r.PostForm.Get("new"),
	})
	if err == nil {
		return v.done("/account", "password")
	}
	f.blame(err, "password", "new")
	return v.showAccount(v.o.Status(err), accountView{Password: f})
}

// Has reports whether a field that may be given several times has a value.
func (f *form) Has(name, value string) bool {
	for _, x := range f.Values[name] {
		if x == value {
			return true
		}
	}
	return false
}
