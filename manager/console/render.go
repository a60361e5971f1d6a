package console

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

// pageTemplate is a page with the layout around it.
type pageTemplate struct {
	*template.Template
	hasPart bool
}

// parsePages reads templates: layout.html and parts.html are of all pages,
// every other file is one.
func parsePages(now func() time.Time) (map[string]*pageTemplate, error) {
	base, err := template.New("base").Funcs(functions(now)).ParseFS(files, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	pages := map[string]*pageTemplate{}
	for _, name := range names {
		page := strings.TrimSuffix(path.Base(name), ".html")
		if page == "layout" || page == "parts" {
			continue
		}
		t, err := base.Clone()
		if err == nil {
			t, err = t.ParseFS(files, name)
		}
		if err != nil {
			return nil, err
		}
		pages[page] = &pageTemplate{t, t.Lookup("part") != nil}
	}
	return pages, nil
}

// build names the assets' content in their URLs.
var build = func() string {
	sum := sha256.New()
	for _, name := range []string{"assets/style.css", "assets/app.js"} {
		b, _ := files.ReadFile(name) // embedded
		sum.Write(b)
	}
	return hex.EncodeToString(sum.Sum(nil)[:6])
}()

// view is what templates get.
type view struct {
	Title   string
	Person  Person
	Menu    []menuItem
	Notice  string
	Version string
	Build   string
	Now     time.Time
	// Page is the page's own.
	Page any
}

type menuItem struct {
	Path, Name string
	Current    bool
}

// menu is the pages that stand at the top, and the method without which a
// person has no use for one.
var menu = []struct{ path, name, needs string }{
	{"/", "Overview", "GetOverview"},
	{"/clusters", "Clusters", "ListClusters"},
	{"/hosts", "Hosts", "ListHosts"},
	{"/tasks", "Tasks", "ListTasks"},
	{"/catalogue", "Catalogue", "ListTasks"},
	{"/jobs", "Jobs", "ListJobs"},
	{"/users", "Users", "ListUsers"},
	{"/audit", "Audit", "ListAudit"},
	{"/account", "Account", "ListTokens"},
}

func menuOf(p Person, at string) (items []menuItem) {
	for _, m := range menu {
		if p.Can(m.needs) {
			current := at == m.path || m.path != "/" && strings.HasPrefix(at, m.path+"/")
			items = append(items, menuItem{m.path, m.name, current})
		}
	}
	return items
}

// show answers a page, or its part if that is what was asked for.
func (v *visit) show(status int, name, title string, data any) error {
	t, what := v.pages[name], "layout"
	if v.part() && t.hasPart {
		what = "part"
	}
	var b bytes.Buffer
	err := t.ExecuteTemplate(&b, what, view{
		Title: title, Person: v.person, Menu: menuOf(v.person, v.r.URL.Path), Notice: notices[v.query("done")],
		Version: v.o.Version, Build: build, Now: v.o.Now(), Page: data,
	})
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	_, _ = v.w.Write(b.Bytes()) // the client went
	return nil
}

// ok shows a page.
func (v *visit) ok(name, title string, data any) error {
	return v.show(http.StatusOK, name, title, data)
}
