package console

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

// visit is one request on its way to a page.
type visit struct {
	*Console
	w      http.ResponseWriter
	r      *http.Request
	ctx    context.Context // of calls
	person Person
}

func (v *visit) admin() managerpb.AdminClient { return v.o.Admin }

// open serves a page that everybody sees.
func (c *Console) open(pattern string, h func(*visit) error) {
	c.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		ctx, cancel := context.WithTimeout(c.o.Outgoing(r), callTimeout)
		defer cancel()
		v := &visit{Console: c, w: w, r: r, ctx: ctx}
		if err := v.read(); err != nil {
			c.fail(v, err)
			return
		}
		if err := h(v); err != nil {
			c.fail(v, err)
		}
	})
}

// page serves a page for who is known; others are sent to the login.
func (c *Console) page(pattern string, h func(*visit) error) {
	c.open(pattern, func(v *visit) error {
		var err error
		if v.person, err = c.o.Sessions.Who(v.ctx, v.r); err != nil {
			return err
		}
		return h(v)
	})
}

// read parses the form.
func (v *visit) read() error {
	if err := v.r.ParseForm(); err != nil {
		return pieces.Errorf(pieces.Invalid, "the form can't be read: %v", err)
	}
	return nil
}

// query is a parameter of the URL, field one of the form without the blanks
// around it.
func (v *visit) query(name string) string { return v.r.URL.Query().Get(name) }
func (v *visit) field(name string) string { return strings.TrimSpace(v.r.PostForm.Get(name)) }

// lines of a field, without empty ones.
func (v *visit) lines(name string) (all []string) {
	for line := range strings.Lines(v.r.PostForm.Get(name)) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// part reports whether only what updates is asked for.
func (v *visit) part() bool { return v.r.Header.Get("Part") != "" }

// done goes on to another page after a change, which it names in words of
// notices.
func (v *visit) done(path, notice string) error {
	to := url.URL{Path: path}
	if notice != "" {
		to.RawQuery = url.Values{"done": {notice}}.Encode()
	}
	http.Redirect(v.w, v.r, to.String(), http.StatusSeeOther)
	return nil
}

// notices are what a page may say at its top after a change. A link can't make
// it say anything else.
var notices = map[string]string{
	"saved":    "Saved.",
	"added":    "Added.",
	"deleted":  "Deleted.",
	"started":  "Started.",
	"canceled": "It will end soon.",
	"retried":  "What failed is tried again.",
	"password": "The password is changed.",
}

// fail answers an error: who is not known goes to the login, a part gets the
// text alone.
func (c *Console) fail(v *visit, err error) {
	kind := pieces.KindOf(err)
	status := c.o.Status(err)
	if status >= 500 && c.o.Log != nil {
		c.o.Log.WithError(err).WithField("path", v.r.URL.Path).Warn("a page failed")
	}
	if kind == pieces.Unauthenticated && v.r.Method == http.MethodGet && !v.part() {
		if v.r.Header.Get("Sec-Fetch-Site") == "cross-site" {
			v.comeAgain()
			return
		}
		to := "/login"
		if v.r.URL.Path != "/" {
			to += "?" + url.Values{"next": {v.r.URL.RequestURI()}}.Encode()
		}
		http.Redirect(v.w, v.r, to, http.StatusSeeOther)
		return
	}
	if v.part() {
		http.Error(v.w, err.Error(), status)
		return
	}
	if err := v.show(status, "error", http.StatusText(status), failure{status, err.Error(), kind}); err != nil {
		http.Error(v.w, "the page can't be shown", http.StatusInternalServerError)
	}
}

// comeAgain answers who follows a link on a page of another site: the session's
// cookie does not come along then, but it does when our own page leads here.
func (v *visit) comeAgain() {
	v.w.Header().Set("Refresh", "0;url="+v.r.URL.RequestURI())
	if err := v.ok("again", "One moment", v.r.URL.RequestURI()); err != nil {
		http.Error(v.w, "load the page again", http.StatusInternalServerError)
	}
}

// failure is what the error page shows.
type failure struct {
	Status int
	Text   string
	Kind   pieces.Kind
}

// Login reports whether it helps to log in.
func (f failure) Login() bool { return f.Kind == pieces.Unauthenticated }
