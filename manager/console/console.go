package console

import (
	"context"
	"embed"
	"io/fs"
	"net/http"
	"time"

	"github.com/sirupsen/logrus"

	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

// Bounds of one request.
const (
	maxForm     = 4 << 20 // bytes
	callTimeout = 30 * time.Second
)

// Person is who looks at a page.
type Person struct {
	// Name is empty for nobody.
	Name string
	Role string
	// May reports whether the person may call a method of the Admin service, by
	// its short name.
	May func(method string) bool
	// Session: there is one, which can be ended.
	Session bool
}

// Can is May that can be called without.
func (p Person) Can(method string) bool { return p.May != nil && p.May(method) }

// Sessions is who people are. All methods may be called at the same time.
type Sessions interface {
	// Login begins a session and answers its cookie. Wrong ones are
	// Unauthenticated, too many Throttled.
	Login(ctx context.Context, r *http.Request, user, password string) (*http.Cookie, error)
	// Who sends a request; Unauthenticated if nobody known does.
	Who(ctx context.Context, r *http.Request) (Person, error)
	// Logout ends the request's session and answers the cookie that says so.
	Logout(ctx context.Context, r *http.Request) (*http.Cookie, error)
	// SSO is where a login elsewhere begins, and what it is called; "" if there
	// is none.
	SSO() (url, name string)
}

// Options of a Console. Admin, Sessions, Outgoing and Status must be set.
type Options struct {
	// Admin is the service; it sees the outgoing metadata of each call.
	Admin    managerpb.AdminClient
	Sessions Sessions
	// Outgoing prepares the context of calls made for a request.
	Outgoing func(*http.Request) context.Context
	// Status is the HTTP status of an error.
	Status func(error) int
	// URL is how browsers reach this server, if that is not what its requests
	// say; may be empty.
	URL string
	// Version of the software, for people.
	Version string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Log gets errors that are the server's own; nil discards.
	Log *logrus.Entry
}

// Console serves the pages.
type Console struct {
	o     Options
	pages map[string]*pageTemplate
	mux   *http.ServeMux
	// origins refuses changes that pages of others make a browser ask for.
	origins *http.CrossOriginProtection
}

//go:embed assets templates
var files embed.FS

// New parses the templates.
func New(o Options) (*Console, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	pages, err := parsePages(o.Now)
	if err != nil {
		return nil, pieces.WithKind(pieces.Internal, err, "the console's templates")
	}
	c := &Console{o: o, pages: pages, mux: http.NewServeMux(), origins: http.NewCrossOriginProtection()}
	if o.URL != "" {
		if err := c.origins.AddTrustedOrigin(o.URL); err != nil {
			return nil, pieces.WithKind(pieces.Invalid, err, "the manager's URL: want https://HOST or https://HOST:PORT")
		}
	}
	c.routes()
	return c, nil
}

func (c *Console) routes() {
	assets, _ := fs.Sub(files, "assets") // a folder that is embedded
	c.mux.Handle("GET /assets/", http.StripPrefix("/assets/", cached(http.FileServerFS(assets))))
	c.open("GET /login", (*visit).loginPage)
	c.open("POST /login", (*visit).login)
	c.page("POST /logout", (*visit).logout)

	c.page("GET /{$}", (*visit).overview)
	c.page("GET /clusters", (*visit).clusters)
	c.page("POST /clusters", (*visit).createCluster)
	c.page("GET /clusters/{name}", (*visit).cluster)
	c.page("POST /clusters/{name}", (*visit).updateCluster)
	c.page("POST /clusters/{name}/config", (*visit).updateConfig)
	c.page("POST /clusters/{name}/delete", (*visit).deleteCluster)
	c.page("GET /hosts", (*visit).hosts)
	c.page("GET /hosts/{id}", (*visit).host)
	c.page("POST /hosts/{id}/forget", (*visit).forgetHost)
	c.page("POST /hosts/{id}/collect", (*visit).collectHost)
	c.page("GET /tasks", (*visit).tasks)
	c.page("GET /tasks/{id}", (*visit).task)
	c.page("POST /tasks/{id}/expires", (*visit).expireTask)
	c.page("POST /tasks/{id}/delete", (*visit).deleteTask)
	c.page("POST /tasks/{id}/job", (*visit).taskJob)
	c.page("GET /tasks/{id}/swarm", (*visit).swarm)
	c.page("GET /catalogue", (*visit).catalogue)
	c.page("POST /catalogue", (*visit).addTask)
	c.page("POST /catalogue/name/delete", (*visit).deleteName)
	c.page("GET /jobs", (*visit).jobs)
	c.page("GET /jobs/new", (*visit).newJob)
	c.page("POST /jobs", (*visit).startJob)
	c.page("GET /jobs/{id}", (*visit).job)
	c.page("POST /jobs/{id}/{verb}", (*visit).steerJob)
	c.page("GET /account", (*visit).account)
	c.page("POST /account/password", (*visit).changePassword)
	c.page("POST /account/tokens", (*visit).createToken)
	c.page("POST /account/tokens/{id}/delete", (*visit).deleteToken)
	c.page("GET /users", (*visit).users)
	c.page("POST /users", (*visit).createUser)
	c.page("POST /users/{name}/{verb}", (*visit).changeUser)
	c.page("GET /audit", (*visit).audit)
	c.page("/", func(v *visit) error {
		return pieces.Errorf(pieces.NotFound, "there is no page %.200s", v.r.URL.Path)
	})
}

// ServeHTTP serves a page, a part of one, or an asset.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	if err := c.sameOrigin(r); err != nil {
		c.fail(&visit{Console: c, w: w, r: r, ctx: r.Context()}, err)
		return
	}
	c.mux.ServeHTTP(w, r)
}
