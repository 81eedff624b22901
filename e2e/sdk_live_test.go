//go:build sdks

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"aka/destinations/simulator"
	"aka/e2e/harness"
)

// livePage is the operator's page in a browser.
type livePage struct {
	*tab
	w *world
}

// openLive starts aka and opens its page.
func openLive(t *testing.T, s harness.Setup) *livePage {
	t.Helper()
	w := newWorld(t, s)
	w.Start()
	return openLiveOf(w)
}

// openLiveOf opens the page of an aka that runs.
func openLiveOf(w *world) *livePage {
	w.t.Helper()
	b := startBrowser(w)
	b.tabs++
	p := &livePage{&tab{b, b.tabs}, w}
	p.show("#/live")
	p.untilLive()
	return p
}

// show goes to a view.
func (p *livePage) show(view string) {
	p.w.t.Helper()
	p.b.carryOut(p.id, "visit", p.w.Process.Admin+"/"+view, nil)
}

// close ends the browser. The page must have kept to its server and its policy, and have caught its errors.
func (p *livePage) close() {
	p.w.t.Helper()
	var wrong []string
	if p.b.carryOut(0, "wrong", "", &wrong); len(wrong) > 0 {
		p.w.t.Errorf("the page went wrong: %q", wrong)
	}
	p.b.close(p.w.Process.Admin)
	p.w.Stop()
}

func (p *livePage) press(key string) {
	p.w.t.Helper()
	p.b.carryOut(p.id, "press", key, nil)
}

func (p *livePage) isTrue(expression string) (is bool) {
	p.w.t.Helper()
	p.evaluate("Boolean("+expression+")", &is)
	return is
}

func (p *livePage) untilTrue(what, expression string) {
	p.w.t.Helper()
	p.w.Until(what, func() bool { return p.isTrue(expression) })
}

// text returns what is shown of the elements that match, each as one line.
func (p *livePage) text(selector string) (lines []string) {
	p.w.t.Helper()
	p.evaluate(fmt.Sprintf(`[...document.querySelectorAll(%s)].filter((e) => e.checkVisibility()).map((e) => e.innerText.replace(/\s+/g, ' ').trim())`, quoted(selector)), &lines)
	return lines
}

// untilShown waits until an element that matches shows a text.
func (p *livePage) untilShown(selector, text string) {
	p.w.t.Helper()
	p.w.Until(selector+" shows "+text, func() bool {
		return slices.ContainsFunc(p.text(selector), func(line string) bool { return strings.Contains(line, text) })
	})
}

// click clicks the first element that matches and shows a text, once it can be clicked.
func (p *livePage) click(selector, text string) {
	p.w.t.Helper()
	find := fmt.Sprintf(`[...document.querySelectorAll(%s)].find((e) => e.innerText.includes(%s) && !e.disabled)`, quoted(selector), quoted(text))
	// At once: the page may be drawn anew between a look and a click.
	p.untilTrue(selector+" with "+text+" can be clicked", `(() => { const e = `+find+`; e?.click(); return e })()`)
}

// choose sets the field of a label, as a person does.
func (p *livePage) choose(label, value string) {
	p.w.t.Helper()
	p.evaluate(fmt.Sprintf(`(() => {
		const field = [...document.querySelectorAll('label.field')].find((l) => l.firstChild.textContent === %s).lastChild
		field.value = %s
		field.dispatchEvent(new Event(field.tagName === 'SELECT' ? 'change' : 'input', { bubbles: true }))
	})()`, quoted(label), quoted(value)), nil)
}

func quoted(text string) string {
	encoded, _ := json.Marshal(text)
	return string(encoded)
}

func (p *livePage) track(user, event string) {
	p.w.t.Helper()
	body, _ := json.Marshal(map[string]string{"userId": user, "event": event})
	p.w.send("/v1/track", string(body))
}

// One of them has to: the machine may be busy with something else.
func TestACallAppearsOnTheLivePageWithinASecond(t *testing.T) {
	t.Parallel()
	p := openLive(t, harness.Setup{})
	for i, took := 0, time.Hour; took > time.Second; i++ {
		event := fmt.Sprintf("Event %d", i)
		p.track("jane", event)
		sent := time.Now()
		p.untilShown(".call", event)
		took = time.Since(sent)
	}
	p.untilShown(".call .badge", "delivered")
	p.close()
}

// A call that a destination holds is shown. What became of it at the others, before the page was opened, was not recorded.
func TestTheLivePageTellsWhatWasNotRecordedFromWhatWasNotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Setup{})
	w.Start()
	if err := w.Account("vero").AddFaults(simulator.Fault{Status: http.StatusServiceUnavailable}); err != nil {
		t.Fatal(err)
	}
	w.send("/v1/track", `{"userId":"jane","event":"Bought"}`)
	w.UntilAllEnded("kissmetrics", "mixpanel", "original")
	p := openLiveOf(w)
	p.untilShown(".call", "jane")
	p.untilTrue("three have not been recorded", `[...document.querySelectorAll('.call .badge')].filter((b) => b.innerText.includes('not recorded')).length === 3`)
	if rows := p.text(".call"); len(rows) != 1 || strings.Contains(rows[0], "not read yet") {
		t.Errorf("the page shows %q", rows)
	}
	p.click(".call", "jane")
	p.untilShown(".panel .why", "was not recorded")
	w.Account("vero").ClearFaults()
	p.untilShown(".call .badge", "delivered")
	p.close()
}

func TestTheLivePageShowsWhatWasSentWithoutItsSecrets(t *testing.T) {
	t.Parallel()
	p := openLive(t, harness.Setup{})
	p.w.send("/v1/alias", `{"previousId":"jen@email.com","userId":"507f191e81"}`)
	p.w.UntilAllEnded()
	p.click(".call", "jen@email.com")
	p.untilShown(".panel h3", "kissmetrics")
	p.evaluate(`document.querySelectorAll('.panel details').forEach((d) => { d.open = true })`, nil)
	p.untilShown(".panel .request", "jen@email.com")
	shown := strings.Join(p.text(".panel"), "\n")
	for _, part := range []string{"<secret>", "/users/reidentify", "alias_unsupported_by_simplified_id_merge", "sending", "attempt 1", "answered 200"} {
		if !strings.Contains(shown, part) {
			t.Errorf("%q is missing:\n%s", part, shown)
		}
	}
	if strings.Contains(shown, "s3cret") {
		t.Errorf("a secret is shown:\n%s", shown)
	}
	p.press("Escape")
	p.untilTrue("it is closed", `document.querySelector('.panel').hidden`)
	p.close()
}

func TestTheLivePageShowsThoseThatMatchAndStopsWhenItIsTold(t *testing.T) {
	t.Parallel()
	p := openLive(t, harness.Setup{})
	p.track("jane", "Bought")
	p.track("joe", "Sold")
	p.w.send("/v1/alias", `{"previousId":"x","userId":"x"}`)
	p.w.UntilAllEnded()
	p.untilTrue("all are there", `document.querySelectorAll('.call').length === 3`)
	for _, f := range []struct{ label, value, want string }{
		{"Type", "alias", "x"}, {"Id", "joe", "Sold"}, {"Reason", "same_ids", "same_ids"}, {"Outcome", "dropped", "same_ids"},
	} {
		p.choose(f.label, f.value)
		p.w.Until(f.label+" chooses one", func() bool {
			rows := p.text(".call")
			return len(rows) == 1 && strings.Contains(rows[0], f.want)
		})
		p.click("#clear", "Clear")
		p.untilTrue("all are there again", `document.querySelectorAll('.call').length === 3`)
	}
	p.choose("Destination", "vero")
	p.choose("Outcome", "delivered")
	p.untilTrue("two are left", `document.querySelectorAll('.call').length === 2`)
	p.press("c")
	p.press("p")
	p.untilShown(".pause", "Go on")
	p.track("ann", "Later")
	p.untilShown(".pause", "1 new")
	if rows := p.text(".call"); len(rows) != 3 {
		t.Errorf("while it is paused %q are shown", rows)
	}
	p.press("p")
	p.untilShown(".call", "Later")
	p.close()
}

func TestADeadLetterIsReplayedFromThePage(t *testing.T) {
	t.Parallel()
	p := openLive(t, harness.Setup{})
	vero := p.w.Account("vero")
	if err := vero.AddFaults(simulator.Fault{Status: http.StatusBadRequest, Body: "not now <b>", Times: 2}); err != nil {
		t.Fatal(err)
	}
	p.track("jane", "Bought")
	p.track("joe", "Sold")
	p.w.UntilAllEnded()
	p.untilShown(".call .badge", "dead")
	p.show("#/dead")
	p.untilTrue("both are there", `document.querySelectorAll('.letter').length === 2`)
	p.untilShown(".letter-ids", "jane")
	p.choose("Id", "jane")
	p.untilTrue("one is left", `document.querySelectorAll('.letter').length === 1`)
	p.click(".letter .open", "Details")
	p.untilShown(".letter-more", "Bought")
	p.untilShown(".letter-more .request", "/events/track")
	p.click(".letter .primary", "Replay")
	p.w.Until("it is replayed", func() bool { return slices.Contains(took(vero), "event jane Bought") })
	p.untilShown(".empty-title", "No dead letters")
	p.click("button", "Clear")
	p.untilShown(".letter", "not now <b>")
	p.click(".letter .danger", "Discard")
	p.click("dialog button", "Cancel")
	p.click(".letter .danger", "Discard")
	p.click("dialog .danger", "Discard")
	p.untilShown(".empty-title", "No dead letters")
	if left := deadLetters(t, p.w); len(left) > 0 {
		t.Errorf("there are still %v", left)
	}
	p.close()
}

func TestDeadLettersAreGroupedByReasonOnThePage(t *testing.T) {
	t.Parallel()
	p := openLive(t, harness.Setup{})
	for _, vendor := range []string{"vero", "mixpanel"} {
		if err := p.w.Account(vendor).AddFaults(simulator.Fault{Status: http.StatusBadRequest, Body: "not " + vendor}); err != nil {
			t.Fatal(err)
		}
	}
	p.track("jane", "Bought")
	p.w.UntilAllEnded()
	p.show("#/dead")
	p.untilShown(".groups li", "2 refused")
	p.click(".groups button", "vero 1")
	p.untilTrue("those of vero are left", `document.querySelectorAll('.letter').length === 1 && location.hash.includes('destination=vero') && location.hash.includes('reason=refused')`)
	p.untilShown(".groups li", "1 refused")
	p.click("button", "Clear")
	p.untilTrue("both are there again", `document.querySelectorAll('.letter').length === 2`)
	p.choose("Id", "jane")
	p.untilTrue("the groups say nothing of an id", `document.querySelector('.groups').hidden`)
	p.close()
}

// A sender with a write key decides what is in ids and names.
func TestHostileIDsAreTextOnThePage(t *testing.T) {
	t.Parallel()
	p := openLive(t, harness.Setup{})
	if err := p.w.Account("vero").AddFaults(simulator.Fault{Status: http.StatusBadRequest, Body: `<img src=x onerror="document.title='taken'">`}); err != nil {
		t.Fatal(err)
	}
	for id, shown := range map[string]string{
		`<img src=x onerror=document.title='taken'>`: "<img src=x",
		`"><script>document.title='taken'</script>`:  `"><script`,
		`' onclick='document.title=1`:                `' onclick=`,
		"javascript:document.title='taken'":          "javascript:do",
		"user\u202egnp.exe":                          "user⟨U+202E⟩gnp.exe",
		"zero\u200bwidth":                            "zero⟨U+200B⟩width",
		strings.Repeat("long ", 50):                  "long long",
		"&lt;b&gt; %3Cb%3E":                          "&lt;b&gt; %3Cb%3E",
	} {
		p.track(id, id)
		p.w.Until(shown+" is shown", func() bool {
			return slices.ContainsFunc(p.text(".call .ids"), func(line string) bool { return strings.HasPrefix(line, shown) })
		})
		p.evaluate(`document.querySelector('.call').click()`, nil)
		p.untilShown(".panel .facts", shown[:4])
		p.press("Escape")
	}
	p.w.UntilAllEnded()
	for _, view := range []string{"#/live", "#/dead", "#/destinations/vero", "#/identity?id=" + `%3Cimg%20src%3Dx%20onerror%3Ddocument.title%3D'taken'%3E`, "#/destinations/%3Cimg%20src=x%3E", `#/live?id="><img src=x>`} {
		p.show(view)
		p.untilTrue("it listens", `document.getElementById('connection').textContent.includes('Live')`)
		p.untilTrue("it is there", `document.querySelectorAll('.call, .letter, .figure, .touches li, .empty').length > 0`)
		if !p.isTrue(`!document.title.includes('taken') && document.querySelectorAll('main img, main script, main [onclick], main [onerror]').length === 0`) {
			t.Errorf("%s: what was sent became a part of the page", view)
		}
	}
	p.close()
}

func TestThePageShowsNumbersAsTheyWereSent(t *testing.T) {
	t.Parallel()
	p := openLive(t, harness.Setup{})
	p.w.send("/v1/track", `{"userId":"jane","event":"Paid","properties":{"big":9007199254740993,"huge":1e400,"small":0.25,"long":123456789012345678901234567890}}`)
	p.w.UntilAllEnded()
	p.click(".call", "jane")
	p.untilShown(".panel h3", "kissmetrics")
	p.evaluate(`document.querySelectorAll('.panel details').forEach((d) => { d.open = true })`, nil)
	p.untilShown(".panel .request", "9007199254740993")
	shown := strings.Join(p.text(".panel"), "\n")
	for _, number := range []string{`"big": 9007199254740993`, `"huge": 1e400`, `"small": 0.25`, `"long": 123456789012345678901234567890`} {
		if strings.Count(shown, number) < 2 {
			t.Errorf("%s is missing in what was sent, or in a request:\n%s", number, shown)
		}
	}
	p.close()
}

func TestAnAddressThatIsNotEncodedWellShowsThePage(t *testing.T) {
	t.Parallel()
	p := openLive(t, harness.Setup{})
	for _, view := range []string{"#/%", "#/destinations/%E2%80%AE%", "#/destinations/%E2%80%AEgnp"} {
		p.show("#/dead")
		p.show(view)
		p.untilTrue("a view is there", `document.getElementById('main').childElementCount > 0 && document.getElementById('main').className !== 'view-dead'`)
		if p.isTrue(`document.title.includes('\u202e')`) {
			t.Errorf("%s turns the title around", view)
		}
	}
	p.close()
}

func TestThePageTellsHowADestinationDoes(t *testing.T) {
	t.Parallel()
	p := openLive(t, harness.Setup{})
	if err := p.w.Account("vero").AddFaults(simulator.Fault{Status: http.StatusUnauthorized, Body: "who is s3cret-token?"}); err != nil {
		t.Fatal(err)
	}
	p.track("jane", "Bought")
	p.w.send("/v1/alias", `{"previousId":"x","userId":"x"}`)
	p.show("#/destinations")
	p.untilShown(".card", "credentials refused")
	p.click(".card", "vero")
	p.untilShown(".title .badge", "credentials refused")
	p.untilShown(".reasons", "same_ids")
	p.untilShown(".failures", "who is <secret>?")
	p.w.Account("vero").ClearFaults()
	p.untilShown(".title .badge", "ok")
	p.w.UntilAllEnded()
	p.untilShown(".figure", "In flight 0 of 16")
	p.untilShown(".figure .hint", "concurrency: adaptive")
	p.untilShown("table", "track 1 0 0")
	p.click("#pause", "Pause")
	p.untilShown(".title .badge", "paused")
	p.track("joe", "Later")
	p.untilShown(".figure.busy", "Backlog 1")
	p.click("#resume", "Resume")
	p.untilShown(".title .badge", "ok")
	p.w.UntilAllEnded()
	p.click(".reasons a", "same_ids")
	p.untilTrue("it leads to those calls", `location.hash.includes('reason=same_ids') && document.querySelectorAll('.call').length === 1`)
	p.close()
}

func TestThePageShowsThatADestinationIsDry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Setup{})
	w.Destination("vero").More = "mode: dry,"
	w.Configure()
	w.Start()
	p := openLiveOf(w)
	p.track("jane", "Bought")
	w.UntilAllEnded()
	p.show("#/destinations")
	p.click(".card", "vero~dry")
	p.untilShown(".why", "It is dry: aka does everything but send its calls.")
	p.untilShown(".figure", "Would send per second")
	p.untilShown("thead", "Type Would send Dropped Dead")
	p.untilShown("table", "track 1 0 0")
	p.show("#/destinations/kissmetrics")
	p.untilShown("thead", "Type Delivered Dropped Dead")
	p.show("#/live")
	p.untilShown(".call .badge", "would send")
	if w.Account("vero").Stats().Exchanges > 0 {
		t.Error("something was sent")
	}
	p.close()
}

func TestThePageExplainsAndKnowsWhoWasMerged(t *testing.T) {
	t.Parallel()
	p := openLive(t, harness.Setup{Destinations: rememberingMerges()})
	p.show("#/explain")
	p.click(".explain-form button", "An example alias")
	p.untilShown(".explained .card", "/users/reidentify")
	p.evaluate(`document.getElementById('explain-body').value = '{"type":"alias","userId":"x"}'`, nil)
	p.click(".explain-form .primary", "Explain")
	p.untilShown(".explanation", "missing_previous_id")
	p.evaluate(`document.getElementById('explain-body').value = '{'`, nil)
	p.click(".explain-form .primary", "Explain")
	p.untilShown(".refusal", "JSON")

	p.show("#/live")
	p.w.send("/v1/identify", `{"userId":"jen@email.com"}`)
	p.w.send("/v1/alias", `{"previousId":"jen@email.com","userId":"507f191e81"}`)
	p.w.UntilAllEnded()
	p.untilShown(".call", "507f191e81")
	p.show("#/identity?id=507f191e81")
	p.untilShown(".merges", "jen@email.com was renamed to 507f191e81")
	p.untilShown(".touches li", "jen@email.com → 507f191e81")
	p.close()
}

// Every view fits a phone, and can be reached by the keyboard alone.
func TestThePageFitsAPhoneAndGoesByTheKeyboard(t *testing.T) {
	t.Parallel()
	p := openLive(t, harness.Setup{})
	p.b.carryOut(p.id, "resize", []int{390, 844}, nil)
	p.track(strings.Repeat("W", 250), strings.Repeat("M", 250))
	p.untilShown(".call", "WWW")
	for key, view := range map[string]string{"2": "destinations", "3": "dead", "4": "explain", "5": "identity", "6": "merges", "1": "live"} {
		p.press(key)
		p.untilTrue(view+" is shown", fmt.Sprintf(`document.getElementById('main').className.includes('view-%s')`, view))
		if !p.isTrue(`document.documentElement.scrollWidth <= document.documentElement.clientWidth`) {
			t.Errorf("%s is wider than a phone", view)
		}
	}
	p.press("1")
	p.untilShown(".call", "WWW")
	p.press("j")
	p.press("Enter")
	p.untilShown(".panel", "Place in the journal")
	if !p.isTrue(`document.documentElement.scrollWidth <= document.documentElement.clientWidth`) {
		t.Error("an open call is wider than a phone")
	}
	p.press("Escape")
	p.untilTrue("the call has the focus", `document.activeElement.classList.contains('call')`)
	p.press("?")
	p.untilShown("dialog", "Keyboard")
	p.close()
}
