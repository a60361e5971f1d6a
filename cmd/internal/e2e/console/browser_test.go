package console

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// browser is one tab. Its methods fail the test, also when a page throws or is
// stopped by its own Content-Security-Policy.
type browser struct {
	*world
	tab context.Context
}

// newBrowser starts Chromium, which ends with the test.
func (w *world) newBrowser() *browser {
	path, err := exec.LookPath("chromium")
	require.NoError(w, err, "run scripts/deps.sh test")
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.ExecPath(path), chromedp.UserDataDir(filepath.Join(w.dir, "chromium")),
		chromedp.Flag("hide-scrollbars", true), chromedp.Flag("lang", "en"),
		chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) {
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		}))
	alloc, stop := chromedp.NewExecAllocator(w.ctx, options...)
	tab, _ := chromedp.NewContext(alloc)
	b := &browser{w, tab}
	w.Cleanup(func() {
		process := chromedp.FromContext(tab).Browser.Process()
		if err := chromedp.Cancel(tab); err != nil {
			w.Logf("closing the browser: %v", err)
		}
		stop()
		_ = syscall.Kill(-process.Pid, syscall.SIGKILL) // what is left of it
	})
	require.NoError(w, chromedp.Do(tab), "Chromium starts")
	b.watch()
	b.size(1200, 900)
	return b
}

// watch fails the test for what a page must not do, and says yes to questions.
func (b *browser) watch() {
	messages, questions := chromedp.Console(b.tab), chromedp.Events(b.tab, page.JavascriptDialogOpening)
	go func() {
		for m, err := range messages {
			// What the server refuses is looked at where it is asked for.
			if err == nil && (m.IsException() || m.Source == "security" || m.Source == "" && m.Type == "error") {
				b.Errorf("the page says: %s %s", m.Source, m)
			}
		}
	}()
	go func() {
		for _, err := range questions {
			if err == nil {
				_, _ = chromedp.Call(b.tab, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true}) // the tab went
			}
		}
	}()
}

func (b *browser) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.tab, patience)
	defer cancel()
	require.NoError(b, chromedp.Do(ctx, steps...), what)
}

// load does steps that lead to another page, and returns its status.
func (b *browser) load(what string, steps ...chromedp.Action[chromedp.Void]) int {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.tab, patience)
	defer cancel()
	r, err := chromedp.RunResponse(ctx, steps...)
	require.NoError(b, err, what)
	return int(r.Status)
}

// open goes to a page and returns its status.
func (b *browser) open(path string) int {
	b.Helper()
	return b.load("open "+path, chromedp.Navigate(b.url+path))
}

// press clicks what leads to another page and returns its status.
func (b *browser) press(selector string) int {
	b.Helper()
	return b.load("press "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// fill types into a field in place of what it holds.
func (b *browser) fill(selector, text string) {
	b.Helper()
	is[bool](b, fmt.Sprintf("document.querySelector(%q).select(), true", selector))
	b.do("fill "+selector, chromedp.SendKeys(chromedp.CSS(selector), text))
}

// choose takes an option of a list.
func (b *browser) choose(selector, value string) {
	b.Helper()
	b.do("choose "+selector, chromedp.SetValue(chromedp.CSS(selector), value))
}

// wait waits until a condition holds in the page as it stands.
func (b *browser) wait(condition string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.tab, 2*patience)
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.Poll[bool]("!!("+condition+")", chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(patience)))
	if err != nil {
		b.snap("failed")
		b.Fatalf("waited for %s: %v\n%s", condition, err, b.text())
	}
}

// is evaluates an expression.
func is[T any](b *browser, expression string) T {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.tab, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	require.NoError(b, err, expression)
	return v
}

func (b *browser) text() string {
	b.Helper()
	return is[string](b, "document.querySelector('main').innerText")
}
func (b *browser) path() string { b.Helper(); return is[string](b, "location.pathname") }
func (b *browser) count(selector string) int {
	b.Helper()
	return is[int](b, fmt.Sprintf("document.querySelectorAll(%q).length", selector))
}

// says fails unless the page holds a text.
func (b *browser) says(texts ...string) {
	b.Helper()
	all := b.text()
	for _, t := range texts {
		require.Contains(b, all, t)
	}
}

func (b *browser) size(width, height int64) {
	b.Helper()
	b.do("size", chromedp.EmulateViewport(width, height))
}

// scheme is light or dark.
func (b *browser) scheme(name string) {
	b.Helper()
	_, err := chromedp.Call(b.tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	})
	require.NoError(b, err)
}

// snap takes a picture. With DAMSELFLY_IMAGES it stays there.
func (b *browser) snap(name string) {
	b.Helper()
	png, err := chromedp.Run(b.tab, chromedp.CaptureScreenshot())
	if err != nil {
		b.Logf("picture %s: %v", name, err)
		return
	}
	dir := os.Getenv("DAMSELFLY_IMAGES")
	if dir == "" {
		dir = b.dir
	}
	require.True(b, strings.HasPrefix(string(png), "\x89PNG"), "a picture")
	require.NoError(b, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644))
}

// login begins as nobody and logs in.
func (b *browser) login(user, password string) int {
	b.Helper()
	b.fill("input[name=user]", user)
	b.fill("input[name=password]", password)
	return b.press("main form button")
}
