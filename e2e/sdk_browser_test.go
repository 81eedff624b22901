//go:build sdks

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"aka/e2e/harness"
)

// browser is a headless Chromium, and the site whose pages it shows.
type browser struct {
	w      *world
	site   string // an origin; its host name is not aka's, and so to the browser they are different sites
	driver *script
	tabs   int
}

// startBrowser starts a Chromium. It ends with the test.
func startBrowser(w *world) *browser {
	w.t.Helper()
	return &browser{w: w, site: serveSite(w.t), driver: w.startScript("browser.mjs")}
}

func serveSite(t *testing.T) string {
	t.Helper()
	files := http.NewServeMux()
	files.Handle("/", http.FileServer(http.Dir(filepath.Join(sdksDir, "browser"))))
	modules := http.FileServer(http.Dir(filepath.Join(sdksDir, "node_modules")))
	files.Handle("/node_modules/", http.StripPrefix("/node_modules/", modules))
	site := httptest.NewServer(files)
	t.Cleanup(site.Close)
	return strings.Replace(site.URL, "127.0.0.1", "localhost", 1)
}

// close ends Chromium. Its pages must have spoken to their own site and to the addresses alone.
func (b *browser) close(addresses ...string) {
	b.w.t.Helper()
	var asked []string
	b.carryOut(0, "asked", "", &asked)
	for _, origin := range asked {
		if origin != b.site && !slices.Contains(addresses, origin) {
			b.w.t.Errorf("a page asked something of %s", origin)
		}
	}
	b.driver.close()
}

// tab shows one page at a time, in a profile of its own.
type tab struct {
	b  *browser
	id int
}

// open shows a page of the site in a new tab.
func (b *browser) open(page string) *tab {
	b.w.t.Helper()
	b.tabs++
	p := &tab{b, b.tabs}
	p.visit(page)
	return p
}

// visit leaves the page for another, or for itself.
func (p *tab) visit(page string) {
	p.b.w.t.Helper()
	p.b.carryOut(p.id, "visit", p.b.site+"/"+page, nil)
}

// close leaves the page as a user does who closes it.
func (p *tab) close() {
	p.b.w.t.Helper()
	p.b.carryOut(p.id, "close", "", nil)
}

// evaluate runs JavaScript in the page, waits until what it returns has settled, and decodes that into value.
func (p *tab) evaluate(expression string, value any) {
	p.b.w.t.Helper()
	p.b.carryOut(p.id, "evaluate", expression, value)
}

// carryOut has the driver carry out a command.
func (b *browser) carryOut(tab int, command string, argument, value any) {
	b.w.t.Helper()
	b.driver.write(map[string]any{"tab": tab, "command": command, "argument": argument})
	var outcome struct {
		Value json.RawMessage
		Error string
	}
	if b.driver.read(&outcome); outcome.Error != "" {
		b.w.t.Fatalf("%s %v: %s", command, argument, outcome.Error)
	}
	if value == nil {
		return
	}
	if err := json.Unmarshal(outcome.Value, value); err != nil {
		b.w.t.Fatalf("%s %v: %s: %v", command, argument, outcome.Value, err)
	}
}

// start has the page's SDK send to an address. The options are the SDK's own, as JavaScript.
func (p *tab) start(address, key, options string) {
	p.b.w.t.Helper()
	p.evaluate(fmt.Sprintf("start(%q, %q, %s)", address, key, options), nil)
}

// tell has the page's SDK tell a story, and returns what it says of it.
func (p *tab) tell(calls []call) (reports []report) {
	p.b.w.t.Helper()
	story, err := json.Marshal(calls)
	if err != nil {
		p.b.w.t.Fatal(err)
	}
	p.evaluate(fmt.Sprintf("tellStory(%s)", story), &reports)
	return reports
}

// On a page each call is a request of its own to another site, and each path has a preflight where headers ask for one.
func TestAPageTellsEveryVendorOnceAndInOrder(t *testing.T) {
	for _, s := range []struct {
		page, library string
		preflights    float64
	}{
		{"segment.html", "analytics.js/next-1.84.3", 6}, // the key is in a header of each
		{"customerio.html", "analytics.js/next-0.5.11", 0},
	} {
		t.Run(s.page, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, harness.Setup{})
			w.Start()
			b := startBrowser(w)
			page := b.open(s.page)
			page.start(w.Process.API, writeKey, "{}")
			calls := signUp("jen@email.com", "507f191e81")
			reports := page.tell(calls)
			w.UntilAllEnded()
			b.close(w.Process.API)

			expectNothingOdd(w, len(calls))
			if got := w.Metric("aka_ingress_requests_total", `status="204"`); got != s.preflights {
				t.Errorf("%v preflights are answered, want %v", got, s.preflights)
			}
			w.Stop()
			expectKept(w, sdk{library: s.library}, calls, reports)
			expectAddress(w)
			expectSignUp(t, w, "jen@email.com", "507f191e81")
			expectDeviceSignUpAtMixpanel(t, w, "jen@email.com", "507f191e81")
		})
	}
}

// Segment's SDK puts the user that it knows in the place of both ids of an alias. So aka gets the device only, and links
// that. Customer.io's sends what it is given.
func TestOnlySegmentsSDKAliasesAUserThatItKnowsToItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Setup{})
	w.Start()
	b := startBrowser(w)
	devices := map[string]string{}
	for page, user := range map[string]string{"segment.html": "jen@email.com", "customerio.html": "joe@email.com"} {
		p := b.open(page)
		p.start(w.Process.API, writeKey, "{}")
		var device string
		p.evaluate(fmt.Sprintf("analytics.identify(%q).then(() => analytics.alias('507f191e81')).then(({ event }) => event.anonymousId)", user), &device)
		devices[user] = device
	}
	w.UntilAllEnded()
	b.close(w.Process.API)
	lines := took(w.Account("kissmetrics"))
	for _, line := range []string{"alias " + devices["jen@email.com"] + " jen@email.com", "alias joe@email.com 507f191e81"} {
		if !slices.Contains(lines, line) {
			t.Errorf("kissmetrics took %q, not %s", lines, line)
		}
	}
	for _, d := range destinations {
		if got := w.Metric("aka_new_ids_lost_total", `destination="`+d.Name+`"`); got != 1 {
			t.Errorf("%s: %v new ids may be lost", d.Name, got)
		}
	}
	w.Stop()
}

// expectDeviceSignUpAtMixpanel is expectSignUpAtMixpanel for a device, which has an anonymous id, and another one for each
// user. Nothing runs.
func expectDeviceSignUpAtMixpanel(t *testing.T, w *world, before, after string) {
	t.Helper()
	kept := w.journaled()
	first, second := kept[0].AnonymousID, kept[len(kept)-1].AnonymousID
	expectSteps(t, w.Account("original"), [][]string{
		{"identify " + first + " " + before},
		{"profile " + before},
		{"event " + first + " " + before + " Signed Up"},
		{"create_alias " + before + " " + after},
		{"identify " + second + " " + after},
		{"profile " + after},
		{"event " + second + " " + after + " Loaded a Page", "event " + second + " " + after + " Loaded a Screen"},
	})
	expectSteps(t, w.Account("mixpanel"), [][]string{{
		"event " + first + " " + before + " Signed Up", "event " + second + " " + after + " Loaded a Page",
		"event " + second + " " + after + " Loaded a Screen", "profile " + after, "profile " + before,
	}})
}

// RudderStack's SDK has no screen. It keeps order only within a batch, so the story is one.
func TestRudderStacksSDKOnAPageTellsEveryVendorOnceAndInOrder(t *testing.T) {
	const before, after = "jen@email.com", "507f191e81"
	calls := slices.DeleteFunc(signUp(before, after), func(c call) bool { return c["type"] == "screen" })
	for name, options := range map[string]string{
		"batches": fmt.Sprintf("{ queueOptions: { batch: { enabled: true, maxItems: %d } } }", len(calls)),
		"beacons": fmt.Sprintf("{ useBeacon: true, beaconQueueOptions: { maxItems: %d } }", len(calls)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, harness.Setup{})
			w.Start()
			b := startBrowser(w)
			page := b.open("rudderstack.html")
			page.start(w.Process.API, writeKey, options)
			reports := page.tell(calls)
			w.untilReceived(len(calls))
			w.UntilAllEnded()
			b.close(w.Process.API)

			expectNothingOdd(w, len(calls))
			w.Stop()
			expectKept(w, sdk{library: "RudderLabs JavaScript SDK/3.34.1"}, calls, reports)
			expectAddress(w)
			kept := w.journaled()
			first, second := kept[0].AnonymousID, kept[len(kept)-1].AnonymousID
			expectSteps(t, w.Account("kissmetrics"), [][]string{
				{"profile " + before}, {"event " + before + " Signed Up"},
				{"alias " + before + " " + after},
				{"profile " + after}, {"event " + after + " Viewed Prices Page"}, {"profile " + after}, {"event " + after + " Bought"},
			})
			expectSteps(t, w.Account("mixpanel"), [][]string{{
				"event " + first + " " + before + " Signed Up", "event " + second + " " + after + " Loaded a Page",
				"profile " + after, "profile " + before,
			}})
			expectSteps(t, w.Account("original"), [][]string{
				{"identify " + first + " " + before}, {"profile " + before}, {"event " + first + " " + before + " Signed Up"},
				{"create_alias " + before + " " + after},
				{"identify " + second + " " + after}, {"profile " + after}, {"event " + second + " " + after + " Loaded a Page"},
			})
			expectSteps(t, w.Account("vero"), [][]string{
				{"profile " + before}, {"event " + before + " Signed Up"},
				{"reidentify " + before + " " + after},
				{"profile " + after}, {"tags " + after}, {"event " + after + " Viewed Prices Page"}, {"profile " + after},
				{"event " + after + " Opened"}, {"event " + after + " Bought"},
			})
		})
	}
}

// expectAddress checks that every call has the browser's address. Nothing runs.
func expectAddress(w *world) {
	w.t.Helper()
	for i, entry := range w.journaled() {
		var content struct{ Context struct{ IP string } }
		if err := json.Unmarshal(entry.JSON, &content); err != nil {
			w.t.Fatal(err)
		}
		if content.Context.IP != "127.0.0.1" {
			w.t.Errorf("call %d comes from the address %q", i, content.Context.IP)
		}
	}
}

// untilReceived waits until aka has taken so many calls.
func (w *world) untilReceived(calls int) {
	w.t.Helper()
	w.Until(fmt.Sprintf("%d calls are received", calls), func() bool {
		return w.Metric("aka_ingress_calls_received_total") >= float64(calls)
	})
}

// Jitsu's SDK has neither alias nor screen. It repeats a context or a group in all later calls, so those
// come last.
func TestJitsusSDKOnAPageTellsEveryVendorOnceAndInOrder(t *testing.T) {
	t.Parallel()
	const user = "507f191e81"
	calls := []call{
		{"type": "identify", "userId": user, "traits": call{"plan": "pro"}},
		{"type": "track", "userId": user, "event": "Signed Up"},
		{"type": "page", "userId": user, "name": "Prices"},
		{"type": "group", "userId": user, "groupId": "acme", "traits": call{"name": "Acme"}},
		{"type": "track", "userId": user, "groupId": "acme", "event": "Opened", "integrations": call{"All": false, "Vero": true}},
	}
	w := newWorld(t, harness.Setup{})
	w.Start()
	b := startBrowser(w)
	page := b.open("jitsu.html")
	page.start(w.Process.API, writeKey, "{}")
	reports := page.tell(calls)
	w.UntilAllEnded()
	b.close(w.Process.API)

	expectNothingOdd(w, len(calls))
	w.Stop()
	expectKept(w, sdk{library: "@jitsu/js/1.11.0"}, calls, reports)
	expectAddress(w)
	device := w.journaled()[0].AnonymousID
	// The calls of a device come together, once their time has come, and events go side by side.
	expectSteps(t, w.Account("kissmetrics"), [][]string{
		{"profile " + user}, {"event " + user + " Signed Up", "event " + user + " Viewed Prices Page"}, {"profile " + user},
	})
	expectSteps(t, w.Account("mixpanel"), [][]string{
		{"profile " + user, "event " + device + " " + user + " Signed Up", "event " + device + " " + user + " Loaded a Page"},
	})
	expectSteps(t, w.Account("original"), [][]string{
		{"identify " + device + " " + user},
		{"profile " + user, "event " + device + " " + user + " Signed Up", "event " + device + " " + user + " Loaded a Page"},
	})
	expectSteps(t, w.Account("vero"), [][]string{
		{"profile " + user}, {"event " + user + " Signed Up"}, {"event " + user + " Viewed Prices Page"}, {"profile " + user},
		{"event " + user + " Opened"},
	})
}

// With the published script in its folder of static files, aka is all that a page needs: it serves the script under the
// path of Segment's CDN, the settings, and takes the calls.
func TestAPageWithSegmentsSnippetNeedsNothingButAka(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Setup{More: snippetsScript(t)})
	w.Start()
	b := startBrowser(w)
	page := b.open("snippet.html")
	page.start(w.Process.API, writeKey, "{}")
	calls := tracks("Bought", 2)
	page.tell(calls)
	early := call{"event": "Before the script"}
	w.untilReceived(len(calls) + 1)
	w.UntilAllEnded()
	b.close(w.Process.API)
	expectNothingOdd(w, len(calls)+1)
	w.Stop()
	expectEvents(w, append(calls, early)...)
}

// snippetsScript makes a folder of static files with the script that Segment's snippet loads, and returns what the config says of it.
func snippetsScript(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	script, err := os.ReadFile(filepath.Join(sdksDir, "node_modules/@segment/analytics-next/dist/umd/standalone.js"))
	if err != nil {
		t.Fatal(err)
	}
	place := filepath.Join(folder, "analytics.js", "v1", "analytics.min.js")
	if err := errors.Join(os.MkdirAll(filepath.Dir(place), 0o700), os.WriteFile(place, script, 0o600)); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("static_dir: %q", folder)
}
