//go:build sdks

package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aka/destinations/simulator"
	"aka/e2e/harness"
)

// edit replaces a text in the config's file.
func (w *world) edit(old, with string) {
	w.t.Helper()
	text, err := os.ReadFile(w.Config)
	if err != nil {
		w.t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		w.t.Fatalf("the config has no %q", old)
	}
	if err := os.WriteFile(w.Config, []byte(strings.Replace(string(text), old, with, 1)), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (p *livePage) untilLive() {
	p.w.t.Helper()
	p.untilTrue("it listens", `document.getElementById('connection')?.textContent.includes('Live')`)
}

func TestAReloadIsSeenOnThePageAndWhatIsGoneCanBeForgotten(t *testing.T) {
	t.Parallel()
	p := openLive(t, harness.Setup{})
	if err := p.w.Account("vero").AddFaults(simulator.Fault{Status: http.StatusServiceUnavailable}); err != nil {
		t.Fatal(err)
	}
	p.track("jane", "Bought")
	p.untilShown(".calls-head", "vero")
	endpoint, err := p.w.Sim.Add("spare", "vero", simulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p.w.edit("  vero: { type: vero,", "  spare: { type: vero, settings: { auth_token: s3cret-token, endpoint: \""+endpoint+"\" }, delivery: { allow_private: true } }\n#")
	p.w.edit("journal: {", "limits: { depth: 32 }\njournal: {")
	p.show("#/destinations")
	p.click("#reload", "Reload")
	p.untilShown("#reloaded", "added spare; removed vero")
	p.untilShown("#reloaded", "only after a restart: limits")
	p.untilShown(".card", "spare")
	p.untilShown("#card-vero .badge", "removed")
	p.click("#put-away", "Put away")
	p.untilTrue("it is put away", `!document.getElementById('reloaded')`)
	p.show("#/live")
	p.untilShown(".calls-head", "spare")
	if heads := p.text(".calls-head"); strings.Contains(heads[0], "vero") {
		t.Errorf("what is gone still has a column: %q", heads)
	}

	p.show("#/destinations/vero")
	p.untilShown(".figure.busy", "Backlog 1")
	p.click("#forget", "Forget")
	p.untilShown("dialog", "1 call that waits for it will never be delivered")
	p.click("dialog button", "Cancel")
	p.click("#forget", "Forget")
	p.click("dialog .danger", "Forget")
	p.untilTrue("it leads back", `location.hash === '#/destinations'`)
	p.untilTrue("it is gone", `document.querySelectorAll('.card').length > 0 && !document.getElementById('card-vero')`)
	p.close()
}

func TestAConfigWithMistakesIsRefusedOnThePageWithEachOfThem(t *testing.T) {
	t.Parallel()
	p := openLive(t, harness.Setup{})
	p.w.edit("  kissmetrics: { type: kissmetrics,", "  kissmetrics: { typ: kissmetrics,")
	p.show("#/destinations")
	p.click("#reload", "Reload")
	p.untilShown("#reloaded[role=alert]", "destinations.kissmetrics.typ: unknown key")
	p.untilShown("#card-kissmetrics .badge", "ok")
	p.close()
}

func TestADrainIsBegunAndCalledOffOnThePage(t *testing.T) {
	t.Parallel()
	p := openLive(t, harness.Setup{})
	if err := p.w.Account("vero").AddFaults(simulator.Fault{Status: http.StatusServiceUnavailable}); err != nil {
		t.Fatal(err)
	}
	p.track("jane", "Bought")
	p.show("#/destinations")
	p.click("#drain", "Drain")
	p.click("dialog .danger", "Drain")
	p.untilShown("#drainage", "vero 1")
	status, _, err := post(p.w.Ctx, http.DefaultClient, p.w.Process.API+"/v1/track", `{"userId":"joe","event":"Sold"}`)
	if err != nil || status != http.StatusServiceUnavailable {
		t.Errorf("while it drains a call is answered %d %v", status, err)
	}
	p.click("#cancel-drain", "Accept calls again")
	p.untilTrue("it is called off", `!document.getElementById('drainage')`)
	p.track("joe", "Sold")
	p.w.Account("vero").ClearFaults()
	p.w.UntilAllEnded()
	p.close()
}

func TestThePageAsksForATokenAndSaysWhatAReaderMayNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Setup{})
	for name, token := range map[string]string{"full": "full-t0ken-0123456789abcdef", "read": "read-t0ken-0123456789abcdef"} {
		if err := os.WriteFile(filepath.Join(w.Dir, name), []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.edit(`admin: { listen: "127.0.0.1:0" }`, `admin: { listen: "127.0.0.1:0", token_file: "`+filepath.Join(w.Dir, "full")+`", read_token_file: "`+filepath.Join(w.Dir, "read")+`" }`)
	w.Start()
	if err := w.Account("vero").AddFaults(simulator.Fault{Status: http.StatusBadRequest, Times: 1}); err != nil {
		t.Fatal(err)
	}
	w.send("/v1/track", `{"userId":"507f191e81","event":"Bought"}`)
	b := startBrowser(w)
	b.tabs++
	p := &livePage{&tab{b, b.tabs}, w}
	p.show("#/destinations")
	p.signIn("wr0ng-t0ken-0123456789abcdef")
	p.untilShown("[role=alert]", "token")
	p.signIn("read-t0ken-0123456789abcdef")
	p.untilLive()
	p.untilShown(".reader", "read only")
	p.show("#/destinations/vero")
	p.untilShown(".title", "vero")
	p.untilTrue("nothing can be controlled", `document.getElementById('pause')?.disabled && document.getElementById('pause').title.includes('read only')`)
	p.show("#/dead")
	p.untilShown(".letter-ids", "50…81")
	p.click(".sign-out", "Sign out")
	p.signIn("full-t0ken-0123456789abcdef")
	p.untilLive()
	p.show("#/dead")
	p.untilShown(".letter-ids", "507f191e81")
	p.show("#/destinations/vero")
	p.click("#pause", "Pause")
	p.untilShown(".title .badge", "paused")
	p.untilTrue("the picture of the states marks it", `document.querySelector('.states .state.now')?.textContent === 'paused'`)
	p.close()
}

// signIn fills in the form as soon as it is there, and sends it.
func (p *livePage) signIn(token string) {
	p.w.t.Helper()
	p.b.carryOut(p.id, "submit", []string{"#token", token}, nil)
}

func TestThePageComesBackWhenTheServerDoes(t *testing.T) {
	t.Parallel()
	p := openLive(t, harness.Setup{})
	p.show("#/live?destination=nobody")
	p.untilLive() // the server knows no such name, and refuses it
	p.track("jane", "Bought")
	p.untilShown(".empty-title", "No call matches")
	p.click("#clear", "Clear")
	p.untilShown(".call", "jane")
	p.w.edit(`admin: { listen: "127.0.0.1:0" }`, `admin: { listen: "`+strings.TrimPrefix(p.w.Process.Admin, "http://")+`" }`)
	p.w.Stop()
	p.untilTrueWithout("it says so", `document.getElementById('connection').textContent.includes('Lost, trying again') && document.title.startsWith('✕')`)
	p.w.Start()
	p.untilLive()
	p.track("joe", "Sold")
	p.untilShown(".call", "joe")
	p.close()
}

// untilTrueWithout is untilTrue while no aka runs.
func (p *livePage) untilTrueWithout(what, expression string) {
	p.w.t.Helper()
	for !p.isTrue(expression) {
		if p.w.Ctx.Err() != nil {
			p.w.t.Fatalf("waited until %s", what)
		}
	}
}

func TestNothingKeepsPeopleFromUsingThePage(t *testing.T) {
	t.Parallel()
	p := openLive(t, harness.Setup{Destinations: rememberingMerges()})
	if err := p.w.Account("vero").AddFaults(simulator.Fault{Status: http.StatusBadRequest, Body: "no", Times: 1}); err != nil {
		t.Fatal(err)
	}
	p.track("jane", "Bought")
	p.w.UntilAllEnded()
	p.w.send("/v1/alias", `{"previousId":"jen@email.com","userId":"507f191e81"}`)
	p.w.UntilAllEnded()
	p.untilShown(".call", "jen@email.com")
	for _, view := range []struct{ address, selector, prepare string }{
		{"#/live", ".call", ""},
		{"#/live", ".panel .at-destination", `document.querySelector('.call').click()`},
		{"#/live?id=nobody", ".empty-title", ""},
		{"#/live", "dialog[open] dl", `document.getElementById('help').click()`},
		{"#/destinations", ".card", ""},
		{"#/destinations/vero", ".figure", ""},
		{"#/destinations/nobody", ".empty", ""},
		{"#/dead", ".letter-more h2", `document.querySelector('.letter .open').click()`},
		{"#/dead", "dialog[open] h2", `document.querySelector('.letter .danger').click()`},
		{"#/dead?id=nobody", ".empty-title", ""},
		{"#/explain", ".explained .card", `document.querySelector('.explain-form .quiet').click()`},
		{"#/identity?id=507f191e81", ".touches li", ""},
	} {
		p.tryForBarriers(view.address, view.selector, view.prepare)
	}
	p.close()
}

func (p *livePage) tryForBarriers(address, selector, prepare string) {
	p.w.t.Helper()
	p.b.carryOut(p.id, "visit", "about:blank", nil)
	p.show(address)
	p.untilLive()
	if prepare != "" {
		p.untilTrue(address+" is there", `!/^\s*$/.test(document.getElementById('main').innerText) && (() => { try { `+prepare+`; return true } catch { return false } })()`)
	}
	p.untilTrue(address+" shows "+selector, `document.querySelector(`+quoted(selector)+`)?.checkVisibility()`)
	for _, scheme := range []string{"light", "dark"} {
		p.b.carryOut(p.id, "scheme", scheme, nil)
		var barriers []string
		if p.b.carryOut(p.id, "barriers", nil, &barriers); len(barriers) > 0 {
			p.w.t.Errorf("%s, %s, %s: %s", address, selector, scheme, strings.Join(barriers, "\n"))
		}
	}
}

func TestThePageSaysWhyTheServerTellsNothing(t *testing.T) {
	t.Parallel()
	p := openLive(t, harness.Setup{})
	p.b.carryOut(p.id, "visit", "about:blank", nil)
	var streams []*http.Response
	p.w.Until("nobody more may look", func() bool {
		r, err := http.Get(p.w.Process.Admin + "/live/events")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Body.Close() })
		streams = append(streams, r)
		return r.StatusCode == http.StatusServiceUnavailable
	})
	p.show("#/live")
	p.untilShown(".notice", "close another page")
	p.untilShown("#connection", "Refused")
	for _, r := range streams {
		_ = r.Body.Close()
	}
	p.untilLive()
	p.close()
}

func TestThePageSaysThatADeadLetterIsGone(t *testing.T) {
	t.Parallel()
	p := openLive(t, harness.Setup{})
	if err := p.w.Account("vero").AddFaults(simulator.Fault{Status: http.StatusBadRequest, Times: 1}); err != nil {
		t.Fatal(err)
	}
	p.track("jane", "Bought")
	p.w.UntilAllEnded()
	p.show("#/dead")
	p.untilShown(".letter", "vero")
	aka(t, "", "dead", "discard", "--all", "--admin", p.w.Process.Admin)
	p.click(".letter .primary", "Replay")
	p.untilShown(".notice.bad", "there is no dead letter of this id")
	p.close()
}

func TestAnOpenCallCanBeLinkedAndCopied(t *testing.T) {
	t.Parallel()
	p := openLive(t, harness.Setup{})
	p.track("jane", "Bought")
	p.w.UntilAllEnded()
	p.click(".call", "jane")
	p.untilTrue("it is in the address", `location.hash.includes('call=')`)
	var address string
	p.evaluate(`location.hash`, &address)
	p.b.carryOut(p.id, "visit", "about:blank", nil)
	p.show(address)
	p.untilShown(".panel h2", "Bought")
	p.evaluate(`document.querySelectorAll('.panel details').forEach((d) => { d.open = true })`, nil)
	p.evaluate(`document.addEventListener('copy', () => { window.copied = String(document.activeElement.value ?? '') })`, nil)
	p.evaluate(`Object.defineProperty(navigator, 'clipboard', { value: undefined })`, nil) // as where there is no https
	p.evaluate(`[...document.querySelectorAll('.panel > details .copy')].at(-1).click()`, nil)
	p.untilShown(".notice", "Copied")
	p.untilTrue("it is the call", `JSON.parse(window.copied).event === 'Bought'`)
	p.close()
}
