//go:build sdks

package e2e

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"aka/destinations/simulator"
	"aka/e2e/harness"
	"aka/router/journal"
	"aka/router/segment"
)

// rounds is how often each shape of an alias is played, each time in a new profile.
var rounds = flag.Int("rounds", 1, "rounds of each alias in a browser; more than 5 need a longer -timeout")

// aliasDestinations remember merges, and Mixpanel is there in its legacy mode, too.
func aliasDestinations() []harness.Destination {
	return append(rememberingMerges(), harness.Destination{
		Name: "legacy", Vendor: "mixpanel", Settings: "token: s3cret-token, id_merge: legacy", Options: simulator.Options{IDMerge: "legacy"}, More: "remember_merges: true,",
	})
}

// shape is how a page makes an alias. OLD and NEW are the ids before and after it.
type shape struct {
	name string
	// before are calls that the SDK has ended with before the others are made, all at once.
	before, calls string
	// oldIsDevice: the alias is of the visitor's anonymous id.
	oldIsDevice bool
	// segment and customerio are what those SDKs send of the alias.
	segment, customerio sent
}

// sent are the ids of an alias.
type sent struct{ user, previous string }

var shapes = []shape{
	{"a new visitor", "[]", "[['alias', NEW], ['identify', NEW]]", true, sent{"NEW", "NEW"}, sent{"NEW", "NEW"}},
	{"a new visitor and more at once", "[]", "[['alias', NEW], ['identify', NEW], ['group', 'acme'], ['track', 'Began'], ['page', 'Home']]", true,
		sent{"NEW", "NEW"}, sent{"NEW", "NEW"}},
	{"both ids", "[['identify', OLD]]", "[['alias', NEW, OLD]]", false, sent{"OLD", "OLD"}, sent{"NEW", "OLD"}},
	{"the new id, after an identify", "[['identify', OLD]]", "[['alias', NEW]]", false, sent{"OLD", "OLD"}, sent{"NEW", "OLD"}},
	{"the new id, before its identify", "[['identify', OLD]]", "[['alias', NEW], ['identify', NEW]]", false, sent{"OLD", "NEW"}, sent{"NEW", "NEW"}},
}

// played is one round of a shape.
type played struct {
	shape
	sent     sent // what the SDK makes of the alias
	stamped  bool // by aka.js
	old, new string
	entries  []journal.Entry // in the journal, once it is known
}

func (p *played) String() string { return fmt.Sprintf("%s, aka.js %v, %s", p.name, p.stamped, p.new) }

// play plays a round on a page in a new profile, up to a call with both ids. It closes the page once aka has so many calls: what is on
// its way from a page that is closed may be lost.
func (p *played) play(b *browser, page, options string, calls int) {
	b.w.t.Helper()
	tab := p.playAt(b, page, options, b.w.Process.API)
	b.w.untilKept(calls)
	tab.close()
}

// playAt plays it with what stands at an address, in place of aka itself. The page stays open.
func (p *played) playAt(b *browser, page, options, address string) *tab {
	b.w.t.Helper()
	tab := b.open(page)
	if p.stamped {
		tab.evaluate(fmt.Sprintf("loadAkaJS(%q)", b.w.Process.API), nil)
	}
	tab.start(address, writeKey, options)
	for _, calls := range p.steps() {
		tab.evaluate("callAll("+calls+")", nil)
	}
	return tab
}

// steps are the calls of a round, those of a step at once.
func (p *played) steps() []string {
	ids := strings.NewReplacer("OLD", "'"+p.old+"'", "NEW", "'"+p.new+"'")
	var all []string
	for _, calls := range []string{p.shape.before, p.calls, "[['identify', NEW]]", "[['track', 'Went on']]"} {
		all = append(all, ids.Replace(calls))
	}
	return all
}

// methods are the calls of a round, in the order in which the page makes them.
func (p *played) methods() (all []string) {
	for _, calls := range p.steps() {
		for call := range strings.SplitSeq(calls, "['") {
			if method, _, isCall := strings.Cut(call, "'"); isCall && method != "" {
				all = append(all, method)
			}
		}
	}
	return all
}

func callsIn(all []*played) (calls int) {
	for _, p := range all {
		calls += len(p.methods())
	}
	return calls
}

// playAll plays every round.
func playAll(b *browser, page, options string, of func(shape) sent) (all []*played) {
	for round := range *rounds {
		for i, s := range shapes {
			for _, stamped := range []bool{false, true} {
				name := fmt.Sprintf("%d-%d-%v", round, i, stamped)
				p := &played{shape: s, sent: of(s), stamped: stamped, old: "old-" + name, new: "new-" + name}
				all = append(all, p)
				p.play(b, page, options, callsIn(all))
			}
		}
	}
	return all
}

// An alias in a browser arrives as identity.md says, and with aka.js it is what the page's code named.
func TestAnAliasInABrowserIsWhatThePageNamed(t *testing.T) {
	const batching = "{ deliveryStrategy: { strategy: 'batching', config: { size: 10, timeout: 200 } } }"
	ofSegment, ofCustomerIO := func(s shape) sent { return s.segment }, func(s shape) sent { return s.customerio }
	for _, c := range []struct {
		name, page, options string
		sends               func(shape) sent
	}{
		{"Segment's, a request per call", "segment.html", "{}", ofSegment},
		{"Segment's, in batches", "segment.html", batching, ofSegment},
		{"Customer.io's, a request per call", "customerio.html", "{}", ofCustomerIO},
		{"Customer.io's, in batches", "customerio.html", batching, ofCustomerIO},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			timeout := testTimeout + time.Duration(*rounds)*time.Minute
			// The longest window: a busy machine may take long for the requests of calls that are made at once.
			w := &world{harness.NewWorld(t, harness.Setup{Binary: binary, Timeout: timeout, Source: "reorder_window: 5s", Destinations: aliasDestinations()}), t}
			w.Start()
			b := startBrowser(w)
			all := playAll(b, c.page, c.options, c.sends)
			w.UntilAllEnded()
			b.close(w.Process.API)
			expectLostNewIDs(w, all)
			expectRefused(w, all)
			w.Stop()
			entries := w.journaled()
			for _, p := range all {
				p.find(entries)
				p.expectIDs(t)
				if p.isHealed() {
					p.expectOnePerson(w)
				}
			}
			expectNoDevices(w, entries)
		})
	}
}

// expectRefused checks that Vero refused nothing: an alias whose ids are in each other's place is not sent.
func expectRefused(w *world, all []*played) {
	w.t.Helper()
	reversed := 0.0
	for _, p := range all {
		if p.isReversed() {
			reversed++
		}
	}
	if got := w.Metric("aka_outcomes_total", `destination="vero"`, `outcome="dead"`); got != 0 {
		w.t.Errorf("Vero refused %v calls", got)
	}
	for _, d := range []string{"vero", "kissmetrics", "legacy", "original"} {
		if got := w.Metric("aka_outcomes_total", `destination="`+d+`"`, `reason="reversed_in_browser"`); got != reversed {
			w.t.Errorf("%s: %v aliases were dropped as reversed, not %v", d, got, reversed)
		}
	}
}

// isRepaired reports whether aka puts the device into the place of the previousId.
func (p *played) isRepaired() bool { return !p.stamped && p.sent.user == p.sent.previous }

// isLost reports whether the new id is in no call.
func (p *played) isLost() bool { return p.isRepaired() && p.sent.user == "OLD" }

// isReversed reports whether the ids are in each other's place.
func (p *played) isReversed() bool { return !p.stamped && p.sent == sent{"OLD", "NEW"} }

// isHealed reports whether the vendors get what the page meant.
func (p *played) isHealed() bool {
	return p.stamped || p.isRepaired() && p.oldIsDevice || p.sent == sent{"NEW", "OLD"}
}

// find takes what is the round's out of the journal.
func (p *played) find(entries []journal.Entry) {
	devices := []string{}
	for _, e := range entries {
		if e.UserID == p.new || e.UserID == p.old {
			devices = append(devices, e.AnonymousID)
		}
	}
	for _, e := range entries {
		if slices.Contains(devices, e.AnonymousID) {
			p.entries = append(p.entries, e)
		}
	}
}

// expectIDs checks what arrived of the alias, and where it was stamped that the calls are in order by the page's clock.
func (p *played) expectIDs(t *testing.T) {
	t.Helper()
	at := slices.IndexFunc(p.entries, func(e journal.Entry) bool { return e.Type == segment.Alias })
	if at < 0 {
		t.Errorf("%s: there is no alias", p)
		return
	}
	alias, ids := &p.entries[at], map[string]string{"OLD": p.old, "NEW": p.new}
	p.expectSent(t, alias, ids[p.sent.user], ids[p.sent.previous])
	user, previous := ids[p.sent.user], ids[p.sent.previous]
	switch {
	case p.stamped && p.oldIsDevice:
		user, previous = p.new, alias.AnonymousID
	case p.stamped:
		user, previous = p.new, p.old
	case p.isRepaired():
		previous = alias.AnonymousID
	}
	if alias.UserID != user || alias.PreviousID != previous || !alias.FromDevice || alias.UserIDStamped != p.stamped || alias.PreviousIDRepaired != p.isRepaired() {
		t.Errorf("%s: %+v", p, alias.Header)
	}
	if p.stamped {
		p.expectClock(t)
	}
}

// expectSent checks the ids that the SDK itself has sent.
func (p *played) expectSent(t *testing.T, e *journal.Entry, user, previous string) {
	t.Helper()
	var sent struct{ UserID, PreviousID string }
	if err := json.Unmarshal(e.JSON, &sent); err != nil || sent.UserID != user || sent.PreviousID != previous {
		t.Errorf("%s: the SDK sent %+v, %v", p, sent, err)
	}
}

// expectClock checks that the page's clock puts the calls in the order in which its code made them.
func (p *played) expectClock(t *testing.T) {
	t.Helper()
	byClock := slices.Clone(p.entries)
	slices.SortFunc(byClock, func(a, b journal.Entry) int { return int(a.DeviceMicros - b.DeviceMicros) })
	var got []string
	for _, e := range byClock {
		got = append(got, e.Type.String())
	}
	want := p.methods()
	if !slices.Equal(got, want) {
		t.Errorf("%s: by the page's clock %v, not %v", p, got, want)
	}
}

// expectOnePerson checks that the vendors know the old and the new id as one person's.
func (p *played) expectOnePerson(w *world) {
	w.t.Helper()
	old := p.old
	if p.oldIsDevice {
		old = p.entries[0].AnonymousID
	}
	for _, name := range []string{"kissmetrics", "legacy", "original"} {
		if person, _ := w.Account(name).Graph().Person(p.new); !slices.Contains(person.IDs, old) {
			w.t.Errorf("%s: %s knows %v", p, name, person.IDs)
		}
		p.expectAliasFirst(w, name)
	}
	last := slices.IndexFunc(p.entries, func(e journal.Entry) bool { return bytes.Contains(e.JSON, []byte(`"Went on"`)) })
	if last < 0 {
		w.t.Errorf("%s: the last call is missing", p)
		return
	}
	device := p.entries[last].AnonymousID
	if person, _ := w.Account("mixpanel").Graph().Person(p.new); !slices.Contains(person.IDs, "$device:"+device) {
		w.t.Errorf("%s: simplified knows %v", p, person.IDs)
	}
}

// expectAliasFirst checks that a vendor got the alias before anything else under its new id.
func (p *played) expectAliasFirst(w *world, name string) {
	w.t.Helper()
	for _, r := range w.Account(name).Records() {
		if slices.Contains(r.IDs, p.new) {
			if first := r.Kind; first == "profile" || first == "event" {
				w.t.Errorf("%s: %s took %s first", p, name, lineOf(&r))
			}
			return
		}
	}
}

// expectLostNewIDs checks that each alias whose new id may be lost is counted, and logged at Kissmetrics, whose memory learns
// nothing of identifies.
func expectLostNewIDs(w *world, all []*played) {
	w.t.Helper()
	repaired, lost := 0.0, 0.0
	for _, p := range all {
		if p.isRepaired() {
			repaired++
		}
		if p.isLost() {
			lost++
		}
	}
	// A batch that comes twice is counted twice.
	if got := w.Metric("aka_ingress_warnings_total", `code="previous_id_overwritten_by_sdk"`); got < repaired || repaired == 0 && got > 0 {
		w.t.Errorf("%v aliases were repaired, not %v", got, repaired)
	}
	if got := w.Metric("aka_new_ids_lost_total", `destination="kissmetrics"`); got != repaired {
		w.t.Errorf("%v new ids may be lost at Kissmetrics, not %v", got, repaired)
	}
	// Where the identify overtakes its alias, more may be.
	if got := w.Metric("aka_new_ids_lost_total", `destination="original"`); got < lost {
		w.t.Errorf("%v new ids may be lost at Mixpanel, not %v", got, lost)
	}
}

// expectNoDevices checks that Vero knows no person by the id of a device.
func expectNoDevices(w *world, entries []journal.Entry) {
	w.t.Helper()
	people := w.Account("vero").Graph()
	for _, e := range entries {
		if person, known := people.Person(e.AnonymousID); known {
			w.t.Errorf("Vero knows the device %v", person.IDs)
		}
	}
}

// With aka.js the SDK makes the same of every way to give arguments, and calls back as often.
func TestAkaJSLeavesCallsAsTheyAre(t *testing.T) {
	for _, page := range []string{"segment.html", "customerio.html"} {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, harness.Setup{})
			w.Start()
			b := startBrowser(w)
			type made struct {
				Method     string
				Event      map[string]any
				Aka        *struct{ Seq float64 }
				CalledBack int
			}
			var plain, stamped []made
			tab := b.open(page)
			tab.start(w.Process.API, writeKey, "{}")
			tab.evaluate("callForms()", &plain)
			tab = b.open(page)
			tab.evaluate(fmt.Sprintf("loadAkaJS(%q)", w.Process.API), nil)
			tab.start(w.Process.API, writeKey, "{}")
			tab.evaluate("callForms()", &stamped)
			b.close(w.Process.API)
			last := 0.0
			for i, got := range stamped {
				if got.Aka == nil || got.Aka.Seq <= last {
					t.Fatalf("form %d, %s: the stamp is %+v, after %v", i, got.Method, got.Aka, last)
				}
				last, got.Aka = got.Aka.Seq, nil
				if want := plain[i]; !reflect.DeepEqual(got, want) {
					t.Errorf("form %d: got %+v\nwant %+v", i, got, want)
				}
			}
			w.Stop()
		})
	}
}

// What waits in a snippet's array is stamped before the SDK is there: the stored user is read as the SDK will read it.
func TestAkaJSStampsWhatWaitsForTheSDK(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Setup{More: snippetsScript(t)})
	w.Start()
	b := startBrowser(w)
	page := b.open("snippet.html")
	load := fmt.Sprintf("loadAkaJS(%q, %q)", w.Process.API, documentedHash(t))
	start := fmt.Sprintf("start(%q, %q, {})", w.Process.API, writeKey)
	page.evaluate(load+".then(() => "+start+")", nil)
	page.evaluate("callAll([['identify', 'jen@email.com']])", nil)
	page.visit("snippet.html")
	page.evaluate(load+".then(() => { const ready = "+start+"; analytics.alias('507f191e81'); analytics.identify('507f191e81'); return ready })", nil)
	page.evaluate("callAll([['track', 'Went on']])", nil)
	w.untilReceived(6) // two of them the page's own
	w.UntilAllEnded()

	// Without an SDK, what waits can be seen.
	for calls, want := range map[string]string{
		"[['alias', 'u']]":                                                         `{"to":"u","from":"507f191e81"}`,
		"[['reset'], ['alias', 'u']]":                                              `{"to":"u","anon":true}`,
		"[['identify', 'joe'], ['alias', 'u']]":                                    `{"to":"u","from":"joe"}`,
		"[['identify', 'joe'], ['reset'], ['alias', 'u']]":                         `{"to":"u","anon":true}`,
		"[['alias', 'u', { context: { ip: '1.2.3.4' } }]]":                         `{"to":"u","from":"507f191e81"}`,
		"[['alias', 'u', 'p', null, () => 0, { __t: 'bpc', p: '/' }]]":             `{"to":"u","from":"p"}`,
		"[['alias', 'u', 7]]":                                                      `{"to":"u","from":7}`,
		"[['alias', {}, []]]":                                                      `{"from":"507f191e81"}`,
		"[['track', 'x', null, { context: { aka: 1 } }], ['alias', 'u', 'p', {}]]": `{"to":"u","from":"p"}`,
	} {
		page.visit("elsewhere.html")
		var got map[string]any
		page.evaluate(fmt.Sprintf(`(async () => {
			window.analytics = %s
			const script = document.createElement('script')
			script.src = %q
			await new Promise((loaded) => { script.onload = loaded; document.head.append(script) })
			const alias = analytics.at(-1)
			const { seq, ...aka } = alias.find((v) => v?.context?.aka).context.aka
			return aka
		})()`, calls, w.Process.API+"/aka.js"), &got)
		if text, _ := json.Marshal(got); !sameJSON(string(text), want) {
			t.Errorf("%s: the stamp is %s, not %s", calls, text, want)
		}
	}
	b.close(w.Process.API)
	w.Stop()

	all := w.journaled()
	at := slices.IndexFunc(all, func(e journal.Entry) bool { return e.Type == segment.Alias })
	if at < 0 || all[at].UserID != "507f191e81" || all[at].PreviousID != "jen@email.com" || !all[at].UserIDStamped {
		t.Errorf("of %d calls the alias is %d: %+v", len(all), at, all[max(at, 0)].Header)
	}
}

// documentedHash is that of aka.js as docs/sdks.md has it.
func documentedHash(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../docs/sdks.md")
	if err != nil {
		t.Fatal(err)
	}
	hash := regexp.MustCompile(`integrity="([^"]+)"`).FindSubmatch(page)
	if hash == nil {
		t.Fatal("docs/sdks.md has no hash of aka.js")
	}
	return string(hash[1])
}

func sameJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

// aka.min.js is made of aka.js.
func TestAkaJSIsMadeOfItsSource(t *testing.T) {
	command := exec.CommandContext(t.Context(), "node", "minify.mjs", "--check")
	command.Dir = sdksDir
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// The operator's page says that an alias was repaired, and notes beside the outcome that a new id may be lost. Its explain tells a
// browser's call from a server's.
func TestThePageNotesThatANewIDMayBeLost(t *testing.T) {
	t.Parallel()
	const overwritten = `{"type":"alias","userId":"jen","previousId":"jen","anonymousId":"0191c2f4-1111-4111-8111-111111111111"}`
	p := openLive(t, harness.Setup{})
	p.w.send("/v1/a", overwritten)
	p.w.UntilAllEnded()
	p.untilShown(".call .outcome", "new_id_lost_in_browser")
	p.click(".call", "jen")
	p.untilShown(".panel .facts", "previous_id_overwritten_by_sdk, new_id_lost_in_browser")
	p.untilShown(".panel .why", "Load aka.js in the page")

	p.show("#/explain")
	p.untilTrue("there is a form", `document.getElementById('explain-body')`)
	explain := func() {
		p.evaluate(fmt.Sprintf(`document.getElementById('explain-body').value = %s`, quoted(overwritten)), nil)
		p.click("button", "Explain")
	}
	explain()
	p.untilShown(".explained", "same_ids")
	p.choose("Sent by", "true")
	explain()
	p.untilShown(".explained-call", "previous_id_overwritten_by_sdk")
	p.untilShown(".explained", "new_id_lost_in_browser")
	p.close()
}

// While a server answers 503, the SDK sends again later, and the order is that of arrival. The people are right all the same.
func TestAnAliasInABrowserLinksTheVisitorOver503s(t *testing.T) {
	t.Parallel()
	w := &world{harness.NewWorld(t, harness.Setup{Binary: binary, Timeout: testTimeout + time.Duration(*rounds)*time.Minute, Destinations: aliasDestinations()}), t}
	w.Start()
	f := newFront(w)
	b := startBrowser(w)
	var all []*played
	for round := range *rounds {
		name := fmt.Sprintf("503-%d", round)
		p := &played{shape: shapes[0], sent: shapes[0].segment, old: "old-" + name, new: "new-" + name}
		f.fail(failing{name: "503", status: http.StatusServiceUnavailable, times: 2})
		tab := p.playAt(b, "segment.html", "{}", f.url)
		all = append(all, p)
		w.untilReceived(callsIn(all)) // a page that is closed sends nothing again
		tab.close()
	}
	w.UntilAllEnded()
	b.close(f.url)
	w.Stop()
	entries := w.journaled()
	for _, p := range all {
		p.find(entries)
		if device := p.entries[0].AnonymousID; device == "" {
			t.Errorf("%s: there is no device", p)
		}
		for _, name := range []string{"kissmetrics", "legacy", "original"} {
			if person, _ := w.Account(name).Graph().Person(p.new); !slices.Contains(person.IDs, p.entries[0].AnonymousID) {
				t.Errorf("%s: %s knows %v", p, name, person.IDs)
			}
		}
	}
}
