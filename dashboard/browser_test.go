package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/casit/berth/docker"
	"github.com/casit/berth/plugin"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree/treetest"
)

// tab is a page in Debian's Chromium without a window.
type tab struct {
	t   *testing.T
	ctx context.Context
	at  string // the site

	mu      sync.Mutex
	console []string
}

// browse opens a tab on a site.
func browse(t *testing.T, s *site) *tab {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		treetest.Skip(t, "chromium is not installed")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(ctx))
	b := &tab{t: t, ctx: ctx, at: s.URL}
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			b.mu.Lock()
			b.console = append(b.console, m.String())
			b.mu.Unlock()
		}
	}()
	return b
}

// run is a subtest in the same tab.
func (b *tab) run(name string, fn func(t *testing.T)) {
	outer := b.t
	defer func() { b.t = outer }()
	outer.Run(name, func(t *testing.T) {
		b.t = t
		fn(t)
	})
}

// clear empties a field as a person does.
func (b *tab) clear(name string) {
	b.t.Helper()
	js[any](b, fmt.Sprintf(`(() => { const e = document.querySelector("input[name=%s]"); e.value = ""; e.dispatchEvent(new Event("input", {bubbles: true})); })()`, name))
}

// said is what the console got since it was last asked: what the content
// security policy refused, and what the script did wrong.
func (b *tab) said() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	said := b.console
	b.console = nil
	return said
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	require.NoError(b.t, chromedp.Do(ctx, steps...))
}

func (b *tab) open(address string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.at + address))
}

func get[T any](b *tab, what chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	got, err := chromedp.Run(ctx, what)
	require.NoError(b.t, err)
	return got
}

// js evaluates an expression in the page, and waits for a promise.
func js[T any](b *tab, expression string) T {
	b.t.Helper()
	return get(b, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// until waits for an expression to be true.
func (b *tab) until(expression string) {
	b.t.Helper()
	require.Eventually(b.t, func() bool { return js[bool](b, "!!("+expression+")") }, time.Minute, 20*time.Millisecond, expression)
}

// screen is what a page is looked at on.
type screen struct {
	name          string
	width, height int64
	dark, phone   bool
}

var screens = []screen{{"desktop", 1280, 900, false, false}, {"desktop-dark", 1280, 900, true, false}, {"phone", 390, 844, false, true}, {"phone-dark", 390, 844, true, true}}

func (b *tab) on(s screen) {
	b.t.Helper()
	scheme := "light"
	if s.dark {
		scheme = "dark"
	}
	b.do(chromedp.EmulateViewport(s.width, s.height, func(p1 *emulation.SetDeviceMetricsOverrideParams, _ *emulation.SetTouchEmulationEnabledParams) {
		p1.Mobile = s.phone
	}))
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	require.NoError(b.t, err)
}

// addresses is every kind of page.
func addresses() map[string]string {
	snap := "/volumes/shop_web/snapshots/" + dailySnapshot(1)
	return map[string]string{"overview": "/", "filtered": "/?name=nothing", "node": "/nodes/node1", "volume": "/volumes/shop_web", "measured": "/volumes/wiki?measure=1", "broken": "/volumes/journal_files",
		"snapshot": snap, "directory": snap + "?path=wp-content", "file": snap + "?path=wp-config.php", "diff": snap + "/diff", "failure": "/nowhere"}
}

func TestAPersonWithAMouse(t *testing.T) {
	s := smallCluster(t)
	b := browse(t, s)
	b.on(screens[0])
	b.open("/")
	b.until(`document.getElementById("link").dataset.state === "live"`)

	b.run("the filter answers while one types", func(t *testing.T) {
		b.do(chromedp.SendKeys(chromedp.CSS(`input[name=name]`), "web"))
		b.until(`document.querySelectorAll(".volumes tbody th").length === 2`)
		require.Equal(t, "?name=web", js[string](b, "location.search"))
		require.Contains(t, js[string](b, `document.getElementById("said").textContent`), "2 of 7")
		require.Equal(t, "name", js[string](b, "document.activeElement.name"))
		b.clear("name")
		b.do(chromedp.SendKeys(chromedp.CSS(`input[name=stack]`), "shop"))
		b.until(`location.search === "?stack=shop" && document.querySelectorAll(".volumes tbody th").length === 2`)
		b.clear("stack")
		b.do(chromedp.Click(chromedp.CSS(`input[name=attention]`)))
		b.until(`document.querySelector(".volumes tbody").textContent.includes("repair journal_files")`)
		b.do(chromedp.Click(chromedp.CSS(`input[name=attention]`)))
		b.until(`location.search === "" && document.querySelectorAll(".volumes tbody th").length === 7`)
	})

	b.run("news come by themselves, and what one does is left alone", func(t *testing.T) {
		b.do(chromedp.Click(chromedp.CSS(`details[data-key="node node2"] summary`)))
		b.do(chromedp.Focus(chromedp.CSS(`.volumes a[href="/volumes/shop_db"]`)))
		js[any](b, `window.scrollTo({top: 150, behavior: "instant"})`)
		js[any](b, `(() => { window.mark = document.querySelector("#filter"); })()`)
		at := js[float64](b, "window.scrollY")
		s.docker.set(func(c *canned) {
			c.cluster.Tasks = append(c.cluster.Tasks[:len(c.cluster.Tasks):len(c.cluster.Tasks)], docker.Task{ID: "9", Name: "wiki_app.1", Node: "node1", Stack: "wiki", State: "running", Volumes: []string{"wiki"}})
		})
		b.until(`document.body.textContent.includes("wiki_app.1")`)
		require.Equal(t, "/volumes/shop_db", js[string](b, `document.activeElement.getAttribute("href")`))
		require.False(t, js[bool](b, `document.querySelector('details[data-key="node node2"]').open`))
		require.True(t, js[bool](b, `document.querySelector('details[data-key="node node1"]').open`))
		require.Equal(t, at, js[float64](b, "window.scrollY"))
		require.True(t, js[bool](b, `window.mark === document.querySelector("#filter")`), "the page was not loaded again")
	})

	b.run("a hidden page pauses", func(t *testing.T) {
		js[any](b, `(() => { Object.defineProperty(document, "hidden", {value: true, configurable: true}); document.dispatchEvent(new Event("visibilitychange")); })()`)
		b.until(`document.getElementById("link-text").textContent === "paused"`)
		require.Eventually(t, func() bool { return s.server.hub.viewers() == 0 }, time.Minute, 10*time.Millisecond)
		js[any](b, `(() => { delete document.hidden; document.dispatchEvent(new Event("visibilitychange")); })()`)
		b.until(`document.getElementById("link").dataset.state === "live"`)
	})

	require.Empty(t, b.said(), "nothing was refused and nothing went wrong")
	b.run("a broken connection is told, and mends", func(t *testing.T) {
		s.away.Store(true)
		s.CloseClientConnections()
		b.until(`/^connection lost, last update \d\d:\d\d$/.test(document.getElementById("link-text").textContent)`)
		s.away.Store(false)
		b.until(`document.getElementById("link").dataset.state === "live"`)
		b.said() // Chromium says that the connection was lost
	})

	b.run("from a task to a file of a snapshot", func(t *testing.T) {
		b.do(chromedp.Click(chromedp.CSS(`.tasks a[href="/volumes/shop_web"]`)), chromedp.WaitVisible(chromedp.CSS(".days")))
		require.Equal(t, "33", js[string](b, `document.querySelectorAll(".drawn circle").length.toString()`))
		require.Equal(t, 33, js[int](b, `document.querySelectorAll(".days .version a").length`))
		require.Equal(t, "before-update", js[string](b, `document.querySelector(".version.newest .name").textContent`))
		require.Contains(t, js[string](b, `document.querySelector(".version.oldest .name").textContent`), "weekly.")
		b.do(chromedp.Click(chromedp.CSS(fmt.Sprintf(`.days a[href="/volumes/shop_web/snapshots/%s"]`, dailySnapshot(1)))), chromedp.WaitVisible(chromedp.CSS(".files")))
		require.Equal(t, "berth snapshot restore shop_web@"+dailySnapshot(1)+" --stop", js[string](b, `document.querySelector(".restore code").textContent`))
		b.do(chromedp.Click(chromedp.CSS(`nav.tabs a[href$="/diff"]`)), chromedp.WaitVisible(chromedp.CSS(".changes")))
		require.Contains(t, js[string](b, `document.querySelector(".changes").innerText`), "wp-content/plugins/gone/")
		b.do(chromedp.Click(chromedp.CSS(`nav.tabs a:first-child`)), chromedp.Click(chromedp.CSS(`.files a[href$="path=wp-config.php"]`)), chromedp.WaitVisible(chromedp.CSS(".button")))

		dir := t.TempDir()
		_, err := chromedp.CallBrowser(b.ctx, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllow, DownloadPath: dir})
		require.NoError(t, err)
		b.do(chromedp.Click(chromedp.CSS(".button")))
		require.Eventually(t, func() bool {
			data, err := os.ReadFile(filepath.Join(dir, "wp-config.php"))
			return err == nil && string(data) == "<?php // old\n"
		}, time.Minute, 10*time.Millisecond)
	})

	b.run("the command is copied, or at least selected", func(t *testing.T) {
		want := "berth snapshot restore shop_web@" + dailySnapshot(1) + ":wp-config.php"
		for _, name := range []string{"clipboard-read", "clipboard-write"} {
			_, err := chromedp.CallBrowser(b.ctx, cdpbrowser.SetPermission, cdpbrowser.SetPermissionParams{Permission: &cdpbrowser.PermissionDescriptor{Name: name}, Setting: cdpbrowser.PermissionSettingGranted, Origin: s.URL})
			require.NoError(t, err)
		}
		b.do(chromedp.Click(chromedp.CSS("button.copy")))
		b.until(`document.querySelector("button.copy").textContent === "Copied"`)
		require.Equal(t, want, js[string](b, "navigator.clipboard.readText()"))
		js[any](b, `(() => { getSelection().removeAllRanges(); navigator.clipboard.writeText = () => Promise.reject(new Error("no")); })()`)
		b.do(chromedp.Click(chromedp.CSS("button.copy")))
		b.until(`document.getElementById("said").textContent.includes("Ctrl-C")`)
		require.Equal(t, want, js[string](b, "getSelection().toString()"))
	})
	require.Empty(t, b.said())
}

func TestAPersonWithAKeyboard(t *testing.T) {
	s := smallCluster(t)
	b := browse(t, s)
	b.on(screens[0])
	b.open("/")
	b.until(`document.getElementById("link").dataset.state === "live"`)
	tab := chromedp.KeyEvent(kb.Tab)
	where := func() string {
		return js[string](b, `(() => { const e = document.activeElement; return e.name || e.getAttribute("href") || e.parentElement?.dataset.key || e.id || e.tagName; })()`)
	}
	b.do(tab)
	require.Equal(t, "#main", where(), "first the way past the head")
	require.True(t, js[bool](b, `document.activeElement.getBoundingClientRect().top >= 0`), "which shows itself")
	b.do(chromedp.KeyEvent(kb.Enter), tab)
	require.NotEqual(t, "/", where(), "the head is skipped")
	var way []string
	for range 40 {
		require.NotEqual(t, "none", js[string](b, "getComputedStyle(document.activeElement).outlineStyle"), "%s: one sees where one is", where())
		if way = append(way, where()); where() == "node node1" {
			break
		}
		b.do(tab)
	}
	require.Subset(t, way, []string{"/?attention=1", "name", "stack", "attention", "node node1"})
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until(`!document.querySelector('details[data-key="node node1"]').open`)
	b.do(chromedp.KeyEvent(" "))
	b.until(`document.querySelector('details[data-key="node node1"]').open`)
	for where() != "/volumes/blog_db" {
		b.do(tab)
	}
	b.do(chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible(chromedp.CSS(".days")))
	for range 60 {
		if b.do(tab); where() == "/volumes/blog_db/snapshots/before-update" {
			break
		}
	}
	require.Equal(t, "A", js[string](b, "document.activeElement.tagName"))
	b.do(chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible(chromedp.CSS("button.copy")))
	for js[string](b, "document.activeElement.className") != "copy" {
		b.do(tab)
	}
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until(`document.getElementById("said").textContent !== ""`)
}

// contrast computes, of every text that is seen, the contrast of its colour
// and what is behind it (WCAG 2.2, 1.4.3), and returns those that have too
// little.
const contrast = `(() => {
	const rgb = (c) => { const m = c.match(/[\d.]+/g).map(Number); return {r: m[0], g: m[1], b: m[2], a: m.length > 3 ? m[3] : 1}; };
	const light = (c) => { const f = (v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }; return 0.2126 * f(c.r) + 0.7152 * f(c.g) + 0.0722 * f(c.b); };
	const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
	const behind = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.a === 1) return c; } return rgb("rgb(255,255,255)"); };
	const poor = []; let seen = 0;
	const check = (e, colour, text) => {
		const style = getComputedStyle(e), large = parseFloat(style.fontSize) >= 24 || parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 600;
		const r = ratio(rgb(colour), behind(e)); seen++;
		if (r < (large ? 3 : 4.5) || rgb(colour).a !== 1) poor.push(r.toFixed(2) + " " + text.trim().slice(0, 40) + " <" + e.tagName + " " + e.getAttribute("class") + ">");
	};
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n; (n = walk.nextNode());) {
		const e = n.parentElement;
		if (!n.data.trim() || !e.getClientRects().length || e.closest("title, .hide, option")) continue;
		const style = getComputedStyle(e);
		check(e, e instanceof SVGElement ? style.fill : style.color, n.data);
	}
	for (const e of document.querySelectorAll("input[placeholder]")) check(e, getComputedStyle(e, "::placeholder").color, e.placeholder);
	for (const e of document.querySelectorAll("svg .fill, .dot, .bar .used")) {
		const style = getComputedStyle(e), c = style.fill === "none" || e.matches(".dot") ? style.stroke : style.fill;
		if (e.getClientRects().length && ratio(rgb(c), behind(e)) < 3) poor.push("symbol " + e.getAttribute("class"));
	}
	return {poor, seen};
})()`

// TestEverybodyCanReadIt looks at every kind of page on every screen: is there
// contrast, has all that can be used a name, are there landmarks and headings,
// and is nothing wider than the screen.
func TestEverybodyCanReadIt(t *testing.T) {
	s := smallCluster(t)
	s.docker.set(func(c *canned) { c.err = errors.New("ask Docker: it does not answer") })
	s.get("/") // so that a complaint is on the page
	b := browse(t, s)
	for name, address := range addresses() {
		b.open(address)
		b.run(name, func(t *testing.T) {
			for _, on := range screens {
				b.on(on)
				got := js[struct {
					Poor []string
					Seen int
				}](b, contrast)
				require.Empty(t, got.Poor, on.name)
				require.Greater(t, got.Seen, 5)
				require.LessOrEqual(t, js[int](b, "document.documentElement.scrollWidth"), int(on.width), "%s: nothing leads out of the screen", on.name)
			}
			heard(t, b)
		})
	}
	for _, line := range b.said() {
		require.Contains(t, line, "404", "nothing was refused")
	}
}

// heard walks the page as a screen reader does.
func heard(t *testing.T, b *tab) {
	tree, err := chromedp.Call(b.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	require.NoError(t, err)
	roles := map[string]int{}
	for _, n := range tree.Nodes {
		if n.Ignored || n.Role == nil {
			continue
		}
		role, name := valueOf(n.Role), valueOf(n.Name)
		roles[role]++
		switch role {
		case "link", "button", "checkbox", "searchbox", "textbox", "combobox", "DisclosureTriangle", "navigation", "form", "search", "image", "heading", "columnheader", "rowheader", "region":
			require.NotEmpty(t, strings.TrimSpace(name), "a %s without a name: %s", role, dump(n))
		}
	}
	require.Equal(t, 1, roles["main"], "%v", roles)
	require.Equal(t, 1, roles["banner"])
	require.Equal(t, 1, roles["contentinfo"])
	require.Equal(t, 1, js[int](b, `document.querySelectorAll("h1").length`))
	require.Equal(t, []string{}, js[[]string](b, `(() => { let last = 0; return [...document.querySelectorAll("h1,h2,h3")].filter((h) => { const n = +h.tagName[1], skips = n > last + 1; last = n; return skips; }).map((h) => h.textContent); })()`), "no level of headings is left out")
	require.Equal(t, 0, js[int](b, `(() => { const ids = [...document.querySelectorAll("[id]")].map((e) => e.id); return ids.length - new Set(ids).size; })()`), "each id once")
	require.NotEmpty(t, js[string](b, "document.title"))
}

func valueOf(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	var s string
	_ = json.Unmarshal(v.Value, &s)
	return s
}

// TestFiveThousandVolumes prints how long a browser takes with them. It fails
// only if they do not come.
func TestFiveThousandVolumes(t *testing.T) {
	s := manyVolumes(t, 5000, func(c *Config) { c.Every = 0 }) // as it is used
	b := browse(t, s)
	b.on(screens[0])
	s.get("/") // the plugin reads the metadata for the first time
	require.Eventually(t, func() bool { return strings.Contains(s.get("/").text, "<b>5,000</b>") }, time.Minute, 100*time.Millisecond)
	whole, part := s.get("/"), s.get("/?name=site-04&part=live")
	b.open("/")
	b.until(`document.getElementById("link").dataset.state === "live"`)
	b.until(`performance.getEntriesByName("first-contentful-paint").length > 0`) // it is noted after the frame was shown
	first := js[float64](b, `performance.getEntriesByName("first-contentful-paint")[0].startTime`)
	server := js[float64](b, `(() => { const n = performance.getEntriesByType("navigation")[0]; return n.responseEnd - n.requestStart; })()`)
	require.Equal(t, 100, js[int](b, `document.querySelectorAll(".volumes tbody th").length`))
	var slowest, all float64
	const keys = "site-04"
	for i, key := range keys {
		js[any](b, `(() => { window.swapped = new Promise((done) => new MutationObserver((_, o) => { o.disconnect(); requestAnimationFrame(() => setTimeout(() => done(performance.now()))); }).observe(document.getElementById("live-lists"), {childList: true})); document.querySelector("input[name=name]").addEventListener("input", () => { window.typed = performance.now(); }, {once: true, capture: true}); document.querySelector("input[name=name]").focus(); })()`)
		b.do(chromedp.KeyEvent(string(key)))
		took := js[float64](b, `window.swapped.then((at) => at - window.typed)`)
		slowest, all = max(slowest, took), all+took
		require.Equal(t, keys[:i+1], js[string](b, `document.querySelector("input[name=name]").value`))
	}
	b.until(`document.getElementById("matching").textContent === "1,000 of 5,000"`)
	t.Logf("5,000 volumes, 2,500 tasks: the page %d bytes, a filtered part %d bytes; the server answers in %.0f ms; first paint after %.0f ms; from a key to the painted answer %.0f ms on average, %.0f ms at most",
		len(whole.text), len(part.text), server, first, all/float64(len(keys)), slowest)
	require.Empty(t, b.said())
}

// TestPictures makes the pictures for people to look at, in the directory that
// BERTH_PICTURES names.
func TestPictures(t *testing.T) {
	dir := os.Getenv("BERTH_PICTURES")
	if dir == "" {
		return // nobody wants to look
	}
	s := smallCluster(t)
	b := browse(t, s)
	shot := func(b *tab, name string, on screen, address string) {
		on.height = 1300
		b.on(on)
		b.open(address)
		b.do(chromedp.Sleep(500 * time.Millisecond))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+"-"+on.name+".png"), get(b, chromedp.CaptureScreenshot()), 0o644))
	}
	for _, on := range screens {
		for name, address := range addresses() {
			shot(b, name, on, address)
		}
	}
	s.docker.set(func(c *canned) { c.err = errors.New("ask Docker: it does not answer") })
	for _, on := range screens {
		shot(b, "no-docker", on, "/")
	}
	nothing := newSite(t, func(string) {}, func(c *Config) {
		c.Berth = NewClient(func() (string, error) {
			return "", &plugin.Failure{Kind: problem.Unreachable, Reason: "no berth plugin answers on this node", Hint: "'docker plugin ls' shows whether it is enabled, 'docker plugin enable berth' enables it"}
		})
	})
	nothing.docker.err = errors.New("ask Docker: cannot connect to the Docker daemon at unix:///var/run/docker.sock")
	many := manyVolumes(t, 5000)
	for name, s := range map[string]*site{"nothing": nothing, "many": many} {
		b := browse(t, s)
		for _, on := range screens {
			shot(b, name, on, "/")
		}
	}
}

// TestThePictureOfTheReadme makes docs/dashboard.png anew with -update, and
// looks whether it is there otherwise.
func TestThePictureOfTheReadme(t *testing.T) {
	const picture = "../docs/dashboard.png"
	if *update {
		s := smallCluster(t)
		b := browse(t, s)
		b.on(screen{"readme", 1040, 640, false, false})
		b.open("/volumes/shop_web")
		b.until(`document.getElementById("link").dataset.state === "live"`)
		require.NoError(t, os.WriteFile(picture, get(b, chromedp.CaptureScreenshot()), 0o644))
	}
	data, err := os.ReadFile(picture)
	require.NoError(t, err)
	require.Less(t, len(data), 150<<10)
	_, err = png.DecodeConfig(bytes.NewReader(data))
	require.NoError(t, err)
}
