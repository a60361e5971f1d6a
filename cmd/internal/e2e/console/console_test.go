package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// evil is a text that must stay a text.
const (
	evil     = `<img src=x onerror=alert(1)><script>document.title="owned"</script>`
	evilName = `<img src=x onerror=alert(1)>` // of a file and of a machine
)

// TestConsole is a person's day, in order: each step needs what those before
// it did.
func TestConsole(t *testing.T) {
	w := newWorld(t)
	b := w.newBrowser()
	b.logsIn()
	b.findsEmptyPages()
	for _, name := range []string{"ada", "bell", "curie"} {
		w.host(name, "--upload-rate", "3MiB", "--idc", "east", "--label", "rack="+name)
	}
	w.host("seed", "--seed-peer", "--origin-rate", "12MiB", "--upload-rate", "8MiB")
	b.seesHosts()
	task := b.addsAURL()
	job := b.preheatsIt(task)
	b.changesItsMind()
	b.changesALimit()
	b.managesPeople()
	b.readsTheAudit()
	b.snaps()
	evilPaths := b.scriptsStayText()
	paths := []string{"/", "/clusters", "/clusters/default", "/hosts", "/tasks", "/tasks/" + task, "/tasks/" + task + "/swarm",
		"/catalogue", "/jobs", "/jobs/new", job, "/users", "/audit", "/account"}
	paths = append(paths, evilPaths...)
	b.fitsAPhone(paths)
	b.obeysTheKeyboard(paths)
	b.showsAViewerNoButtons(task)
}

func (b *browser) logsIn() {
	require.Equal(b, 200, b.open("/hosts"))
	require.Equal(b, "/login", b.path(), "who is not known is asked")
	require.Equal(b, 401, b.login("admin", "not the password"))
	b.says("wrong user or password")
	require.Equal(b, 200, b.login("admin", b.password))
	require.Equal(b, "/hosts", b.path(), "where it was going")
	require.Empty(b, is[string](b, "document.cookie"), "scripts can't read the session")

	b.load("a page of another site", chromedp.Navigate(strings.Replace(b.origin, "127.0.0.1", "localhost", 1)+"/page"))
	b.press("a")
	b.until("the link leads on without a login", func() bool {
		there, err := chromedp.Run(b.tab, chromedp.Evaluate[bool](`location.pathname === "/hosts" && !!document.querySelector("form.filters")`))
		return err == nil && there // between two pages there is none to ask
	})
}

func (b *browser) findsEmptyPages() {
	for path, says := range map[string]string{
		"/hosts": "dfdaemon --manager", "/tasks": "dfmount add", "/catalogue": "The catalogue is empty", "/jobs": "No job yet",
	} {
		require.Equal(b, 200, b.open(path))
		b.says(says)
	}
	require.Equal(b, 404, b.open("/nothing"))
	b.says("Not found")
}

func (b *browser) seesHosts() {
	b.open("/")
	b.wait(`document.querySelector(".tiles b").textContent === "4"`) // by itself
	b.open("/hosts")
	require.Equal(b, 4, b.count("tbody tr"))
	b.do("search", chromedp.SendKeys(chromedp.CSS("input[name=search]"), "cur"))
	b.wait(`document.querySelectorAll("tbody tr").length === 1`)
	require.Equal(b, "?search=cur", is[string](b, "location.search"))
	b.press("tbody a")
	b.says("curie", "rack=curie", "east")
}

// addsAURL returns the id of the Task.
func (b *browser) addsAURL() string {
	b.open("/catalogue")
	b.fill("input[name=url]", b.origin+"/models/large.bin")
	b.fill("input[name=name]", "../up")
	require.Equal(b, 400, b.press("details button"))
	require.Equal(b, 1, b.count("label:has(input[name=name]) .wrong"), "beside its field")
	require.Equal(b, b.origin+"/models/large.bin", is[string](b, `document.querySelector("input[name=url]").value`), "what was typed stays")
	b.fill("input[name=name]", "large-model")
	b.fill("input[name=tag]", evil)
	require.Equal(b, 200, b.press("details button"))
	b.says("Added.", "large-model", evil)
	task := strings.TrimPrefix(b.path(), "/tasks/")
	require.Len(b, task, 64)
	b.open("/catalogue")
	b.says("/mnt/df/by-name/large-model", "/mnt/df/"+task)
	b.do("copy", chromedp.Click(chromedp.CSS("button.copy")))
	b.wait(`document.querySelector("button.copy").textContent === "Copied"`)
	return task
}

// preheatsIt returns the path of the job.
func (b *browser) preheatsIt(task string) (job string) {
	b.open("/tasks/" + task)
	b.choose("select[name=target]", "all")
	require.Equal(b, 200, b.press("form:has(select[name=target]) button"))
	b.says("Started.")
	job = b.path()
	require.True(b, strings.HasPrefix(job, "/jobs/"))

	// The swarm moves before our eyes, without another page load.
	b.open("/tasks/" + task + "/swarm")
	b.wait(`document.querySelector(".graph .fromorigin")`)
	b.wait(`document.querySelector(".graph .exchange") || document.querySelectorAll(".graph .fromseed").length > 1`)
	b.wait(`document.querySelectorAll(".graph .node").length === 5`)
	b.says("Exchanges", "/s", "seed", "ada", "bell", "curie", "origin")
	b.wait(`[...document.querySelectorAll(".node.peer .done-text, .node.complete .done-text")].every((e) => parseInt(e.textContent) >= 25)`)
	b.scheme("dark")
	b.snap("console-swarm")
	b.scheme("light")

	b.open(job)
	b.wait(`document.querySelector("h1 .state").textContent === "succeeded"`)
	b.says("100 %", "4 succeeded")
	require.Zero(b, b.count("form[action$=cancel]"), "nothing is left to cancel")

	b.open("/tasks/" + task)
	b.wait(`document.querySelectorAll("#who ~ div svg.map").length === 4`)
	b.says("256 of 256", "complete")
	require.Equal(b, 200, b.press("form:has(input[value=holders]) button"))
	b.wait(`document.querySelector("h1 .state").textContent === "succeeded"`)
	b.open("/tasks/" + task)
	b.says("What all hosts answered")
	require.Equal(b, 4, b.count("#asked ~ div svg.map"))
	b.open("/")
	b.wait(`document.querySelector(".bars .peers, .bars .seeds")`)
	b.says("saved")
	b.open("/jobs?kind=preheat&state=succeeded")
	require.Equal(b, 1, b.count("tbody tr"))
	return job
}

// changesItsMind starts a preheat by its form, ends it, and tries again.
func (b *browser) changesItsMind() {
	b.open("/jobs")
	require.Equal(b, 200, b.press("a[href='/jobs/new']"))
	b.choose("select[name=target]", "labels")
	b.fill("textarea[name=what]", b.origin+"/slow")
	b.fill("textarea[name=labels]", "rack")
	require.Equal(b, 400, b.press("main form button"))
	require.Equal(b, 1, b.count("label:has(textarea[name=labels]) .wrong"))
	b.fill("textarea[name=labels]", "rack=ada")
	require.Equal(b, 200, b.press("main form button"))
	b.says("Started.", "rack=ada")
	b.wait(`document.querySelectorAll("tbody tr").length === 1`)
	require.Equal(b, 200, b.press("form[action$=cancel] button"))
	b.wait(`document.querySelector("h1 .state").textContent === "canceled"`)
	b.says("ada", "1 canceled")
	close(b.release)
	require.Equal(b, 200, b.press("form[action$=retry] button"))
	b.wait(`document.querySelector("h1 .state").textContent === "succeeded"`)
}

func (b *browser) changesALimit() {
	const limit = `input[name="scheduler.candidate_parent_limit"]`
	b.open("/clusters/default")
	require.Equal(b, "4", is[string](b, `document.querySelector('`+limit+`').placeholder`), "the default")
	b.fill(limit, "1000")
	require.Equal(b, 400, b.press(".config button"))
	require.Equal(b, 1, b.count("label:has("+strings.ReplaceAll(limit, `"`, `'`)+") .wrong"))
	b.fill(limit, "7")
	require.Equal(b, 200, b.press(".config button"))
	b.says("Saved.")
	require.Equal(b, "7", is[string](b, `document.querySelector('`+limit+`').value`))
	b.wait(`document.querySelector("td[data-label=Config]").textContent === "version 2"`)
	b.until("the scheduler goes by the change", func() bool { t, err := b.totals(); return err == nil && t.ConfigVersion == 2 })

	// Somebody else saves while we edit.
	stale := is[string](b, `document.querySelector(".config [name=etag]").value`)
	b.fill(limit, "8")
	require.Equal(b, 200, b.press(".config button"))
	is[string](b, `document.querySelector(".config [name=etag]").value = "`+stale+`"`)
	b.fill(limit, "9")
	require.Equal(b, 412, b.press(".config button"))
	b.says("Somebody changed this while you edited it")
	require.Equal(b, "9", is[string](b, `document.querySelector('`+limit+`').value`), "what was typed stays")

	b.open("/clusters/default")
	b.fill(`section[aria-labelledby=scopes] input[name=description]`, evil)
	b.fill("textarea[name=cidrs]", "300.0.0.0/8")
	require.Equal(b, 400, b.press("section[aria-labelledby=scopes] button"))
	require.Equal(b, 1, b.count("label:has(textarea[name=cidrs]) .wrong"))
	b.fill("textarea[name=cidrs]", "10.0.0.0/8")
	require.Equal(b, 200, b.press("section[aria-labelledby=scopes] button"))
	b.open("/clusters")
	b.says(evil)
	b.do("unfold", chromedp.Click(chromedp.CSS("summary")))
	b.fill("details input[name=name]", "east")
	require.Equal(b, 200, b.press("details button"))
	require.Equal(b, "/clusters/east", b.path())
}

func (b *browser) managesPeople() {
	b.open("/users")
	b.do("unfold", chromedp.Click(chromedp.CSS("summary")))
	b.fill("details input[name=name]", "vera")
	b.fill("details input[name=password]", "short")
	require.Equal(b, 400, b.press("details button"))
	require.Equal(b, 1, b.count("label:has(input[name=password]) .wrong"))
	b.fill("details input[name=password]", viewerPassword)
	require.Equal(b, 200, b.press("details button"))
	b.says("vera")

	b.open("/account")
	b.fill("input[name=title]", evil)
	require.Equal(b, 200, b.press("section[aria-labelledby=tokens] form.fields button"))
	b.says("shown this once", evil)
	secret := is[string](b, `document.querySelector(".secret code").textContent`)
	r, err := http.NewRequestWithContext(b.ctx, "GET", b.url+"/api/v1/overview", nil)
	require.NoError(b, err)
	r.Header.Set("Authorization", "Bearer "+secret)
	got, err := http.DefaultClient.Do(r)
	require.NoError(b, err)
	got.Body.Close()
	require.Equal(b, 200, got.StatusCode, "the token works")
	require.Equal(b, 200, b.press("form[action*='/account/tokens/'] button"))
	b.says("Deleted.")
}

const viewerPassword = "just looking around"

func (b *browser) readsTheAudit() {
	b.open("/audit")
	b.says("UpdateClusterConfig", "CreateUser", "StartJob", "admin")
	b.do("search", chromedp.SendKeys(chromedp.CSS("input[name=search]"), "CreateUser"))
	b.wait(`[...document.querySelectorAll("tbody td:nth-child(3)")].every((td) => td.textContent === "CreateUser")`)
}

// scriptsStayText: what others named is shown and does nothing, whoever named
// it: people, URLs, files, machines. It returns the pages that show it. That
// nothing ran, browser.watch sees on every page.
func (b *browser) scriptsStayText() (paths []string) {
	b.hostCalled("eve", evilName, "--idc", evil, "--label", "x="+evil)
	b.until("the host with the evil name", func() bool { b.open("/hosts?search=onerror"); return b.count("tbody tr") == 1 })
	b.says(evilName, evil)
	b.press("tbody a")
	b.says(evilName, evil, "x="+evil)
	paths = append(paths, b.path())

	b.open("/catalogue")
	b.do("unfold", chromedp.Click(chromedp.CSS("summary")))
	b.fill("input[name=url]", b.origin+"/small?q="+evil+"'\"")
	b.fill("input[name=name]", evilName)
	b.fill("input[name=application]", evil)
	require.Equal(b, 200, b.press("details button"))
	b.says(evilName, evil)
	task := b.path()
	b.choose("select[name=target]", "all")
	require.Equal(b, 200, b.press("form:has(select[name=target]) button"))
	b.wait(`document.querySelector("h1 .state").textContent === "succeeded"`)
	b.says(evilName)
	paths = append(paths, b.path(), task, task+"/swarm")
	for _, path := range append(paths, "/catalogue", "/tasks?search=onerror", "/hosts", "/clusters", "/audit?search=onerror") {
		b.open(path)
		b.wait(`document.querySelector("main").textContent.includes("onerror")`)
		require.Zero(b, b.count("main img, script:not([src])"), path)
		require.NotContains(b, is[string](b, "document.title"), "owned")
	}
	b.open(task + "/swarm")
	b.wait(`[...document.querySelectorAll(".graph title")].some((e) => e.textContent.startsWith("<img src=x onerror=alert(1)>"))`)
	for _, path := range []string{"/tasks?search=", "/hosts?search=", "/jobs?cluster=", "/audit?user="} {
		b.open(path + url.QueryEscape(evil))
		require.Zero(b, b.count("main img, script:not([src])"), path)
	}
	require.Equal(b, "/", b.leadsTo("/login?next=//evil.example/"))
	require.Equal(b, "/", b.leadsTo("/login?next="+url.QueryEscape("javascript:alert(1)")))
	return paths
}

// leadsTo opens a page and returns where it leads.
func (b *browser) leadsTo(path string) string { b.Helper(); b.open(path); return b.path() }

func (b *browser) fitsAPhone(paths []string) {
	b.size(360, 740)
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		for _, path := range paths {
			b.open(path)
			require.LessOrEqual(b, is[int](b, "document.documentElement.scrollWidth"), 360, "%s scrolls sideways", path)
		}
	}
	b.scheme("light")
	b.size(1200, 900)
}

func (b *browser) obeysTheKeyboard(paths []string) {
	for _, path := range paths {
		b.open(path)
		require.Empty(b, is[[]string](b, `[...document.querySelectorAll("input:not([type=hidden]), select, textarea")].filter((e) => !e.labels.length && !e.ariaLabel).map((e) => e.outerHTML)`), "%s: fields without a label", path)
		require.Empty(b, is[[]string](b, `[...document.querySelectorAll("button, a")].filter((e) => !e.textContent.trim() && !e.ariaLabel).map((e) => e.outerHTML)`), "%s: buttons without a name", path)
		require.Equal(b, 1, b.count("h1"), path)
	}
	b.open("/hosts")
	b.do("tab", chromedp.KeyEvent(kb.Tab))
	require.Equal(b, "#main", is[string](b, `document.activeElement.getAttribute("href")`), "the first stop skips the menu")
	require.NotEqual(b, "none", is[string](b, "getComputedStyle(document.activeElement).outlineStyle"), "one sees where one is")
	b.do("enter", chromedp.KeyEvent(kb.Enter))
	b.wait(`document.activeElement.id === "main"`)
	b.do("tab", chromedp.KeyEvent(kb.Tab))
	require.Equal(b, "search", is[string](b, `document.activeElement.name`))
}

func (b *browser) snaps() {
	b.size(1200, 740)
	b.open("/")
	b.wait(`document.querySelector(".bars")`)
	b.snap("console-overview")
}

func (b *browser) showsAViewerNoButtons(task string) {
	require.Equal(b, 200, b.press("header form button"))
	require.Equal(b, "/login", b.path())
	require.Equal(b, 200, b.login("vera", viewerPassword))
	for _, path := range []string{"/", "/clusters", "/clusters/default", "/hosts", "/tasks", "/tasks/" + task, "/catalogue", "/jobs"} {
		require.Equal(b, 200, b.open(path))
		require.Zero(b, b.count("main form[method=post] button"), "%s offers a viewer to change something", path)
	}
	require.Zero(b, b.count("nav a[href='/users'], nav a[href='/audit']"))
	require.Equal(b, 403, b.open("/users"))

	// A forged form on our own page, and one from elsewhere.
	post := `(async () => (await fetch("/tasks/` + task + `/delete", {method: "POST", body: new URLSearchParams({etag: "*"})})).status)()`
	status, err := chromedp.Run(b.tab, chromedp.Evaluate[int](post, chromedp.EvalAwaitPromise))
	require.NoError(b, err)
	require.Equal(b, 403, status, "the service refuses it")
	for _, header := range []http.Header{{"Origin": {"https://evil.example"}}, {"Sec-Fetch-Site": {"cross-site"}}, {}} {
		r, err := http.NewRequestWithContext(b.ctx, "POST", b.url+"/login", strings.NewReader("user=admin&password="+b.password))
		require.NoError(b, err)
		r.Header = header
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		got, err := http.DefaultTransport.RoundTrip(r)
		require.NoError(b, err)
		got.Body.Close()
		require.Equal(b, 403, got.StatusCode, "%v", header)
		require.Empty(b, got.Cookies())
	}
}
