package console

import (
	"net/http"
	"net/url"
	"strings"
)

type loginView struct {
	*form
	Next            string
	SSO, SSOName    string
	AlreadyLoggedIn bool
}

func (v *visit) loginView(f *form) loginView {
	l := loginView{form: f, Next: nextPath(v.query("next"))}
	l.SSO, l.SSOName = v.o.Sessions.SSO()
	return l
}

// nextPath is where to go after a login: a path of this server, else the
// overview.
func nextPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n") {
		return "/"
	}
	return next
}

// loginPage asks who somebody is; whoever is known goes on.
func (v *visit) loginPage() error {
	if _, err := v.o.Sessions.Who(v.ctx, v.r); err == nil {
		http.Redirect(v.w, v.r, nextPath(v.query("next")), http.StatusSeeOther)
		return nil
	}
	return v.ok("login", "Log in", v.loginView(newForm(nil)))
}

func (v *visit) login() error {
	cookie, err := v.o.Sessions.Login(v.ctx, v.r, v.field("user"), v.r.PostForm.Get("password"))
	if err != nil {
		f := newForm(url.Values{"user": {v.field("user")}})
		f.Error = err.Error()
		return v.show(v.o.Status(err), "login", "Log in", v.loginView(f))
	}
	http.SetCookie(v.w, cookie)
	http.Redirect(v.w, v.r, nextPath(v.query("next")), http.StatusSeeOther)
	return nil
}

func (v *visit) logout() error {
	cookie, err := v.o.Sessions.Logout(v.ctx, v.r)
	if err != nil {
		return err
	}
	if cookie != nil {
		http.SetCookie(v.w, cookie)
	}
	http.Redirect(v.w, v.r, "/login", http.StatusSeeOther)
	return nil
}
