//go:build sdks

package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"aka/e2e/harness"
)

// pageDeliveries are how SDKs send from a page: each call by itself, or in batches, here of as many calls as change has. A
// batch that failed is sent again when Segment's next timeout is over.
var pageDeliveries = []struct {
	name, page, options string
	batch               int
}{
	{"segment", "segment.html", "{}", 1},
	{"segment in batches", "segment.html", "{ deliveryStrategy: { strategy: 'batching', config: { size: 3, timeout: 2000 } } }", 3},
	{"rudderstack in batches", "rudderstack.html", "{ queueOptions: { batch: { enabled: true, maxItems: 3 } } }", 3},
}

// What stands before aka refuses, or breaks connections, while a page tells of somebody whose id changes. Everything arrives,
// once, and in order where it is one batch: a call that is sent alone and fails is overtaken by those after it.
func TestAPageGetsOverFailures(t *testing.T) {
	for _, d := range pageDeliveries {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, harness.Setup{})
			w.Start()
			f := newFront(w)
			b := startBrowser(w)
			page := b.open(d.page)
			page.start(f.url, writeKey, d.options)
			received := 0
			for i, how := range failings {
				f.fail(how)
				page.tell(change(i))
				received += 3
				if how.late {
					received += how.times * d.batch // they come again
				}
				w.untilReceived(received)
				if how.status == http.StatusTooManyRequests {
					expectWaited(t, f.requests(), 3/d.batch)
				}
			}
			w.UntilAllEnded()
			b.close(f.url)
			if got, want := w.Metric("aka_ingress_duplicates_total"), float64(received-3*len(failings)); got != want {
				t.Errorf("%v calls came again, want %v", got, want)
			}
			w.Stop()

			lines := took(w.Account("kissmetrics"))
			for i := range failings {
				before, after := ids(i)
				got := slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return !strings.Contains(line, fmt.Sprintf("p%d-", i)) })
				want := []string{"profile " + before, "alias " + before + " " + after, "profile " + after}
				if d.batch == 1 {
					slices.Sort(got)
					slices.Sort(want)
				}
				if !slices.Equal(got, want) {
					t.Errorf("over %s kissmetrics took %q, want %q", failings[i].name, got, want)
				}
			}
		})
	}
}

func ids(i int) (before, after string) { return fmt.Sprintf("p%d-old", i), fmt.Sprintf("p%d-new", i) }

// change is the story of somebody whose id changes.
func change(i int) []call {
	before, after := ids(i)
	return []call{
		{"type": "identify", "userId": before, "traits": call{"email": before}},
		{"type": "alias", "previousId": before, "userId": after},
		{"type": "identify", "userId": after, "traits": call{"plan": "pro"}},
	}
}

// expectWaited checks that what was sent again came no sooner than a second after the first request.
func expectWaited(t *testing.T, requests []time.Time, again int) {
	t.Helper()
	if waited := requests[again].Sub(requests[0]); waited < 950*time.Millisecond {
		t.Errorf("told to wait a second the SDK waited %s", waited)
	}
}

// untilKept waits until the journal has so many calls.
func (w *world) untilKept(calls int) {
	w.t.Helper()
	w.Until(fmt.Sprintf("%d calls are kept", calls), func() bool {
		return w.Metric("aka_ingress_calls_received_total")-w.Metric("aka_ingress_duplicates_total") >= float64(calls)
	})
}

// tracks are calls that tell of as many events.
func tracks(name string, n int) (calls []call) {
	for i := range n {
		calls = append(calls, call{"type": "track", "event": fmt.Sprintf("%s %d", name, i)})
	}
	return calls
}

// expectEvents checks that Kissmetrics took these events and no others, each once, in any order.
func expectEvents(w *world, calls ...call) {
	w.t.Helper()
	var got, want []string
	for _, record := range w.Account("kissmetrics").Records() {
		got = append(got, record.Event)
	}
	for _, c := range calls {
		want = append(want, c["event"].(string))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.t.Errorf("kissmetrics took %q, want %q", got, want)
	}
}

// The source's own rate turns calls away with the seconds to wait, which a page may read, and the SDK waits for those.
func TestAPageIsHeldToASourcesRateAndLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Setup{Source: "rate: 1"})
	w.Start()
	f := newFront(w)
	b := startBrowser(w)
	page := b.open("segment.html")
	page.start(f.url, writeKey, "{}")
	calls := tracks("Bought", 3)
	page.tell(calls)
	w.untilKept(len(calls))
	w.UntilAllEnded()
	b.close(f.url)
	if w.Metric("aka_ingress_requests_total", `status="429"`) == 0 {
		t.Error("nothing was turned away")
	}
	w.Stop()
	expectEvents(w, calls...)
}

// What can never be accepted is dropped by the SDK, which may read why, and what comes after it arrives.
func TestAPageDropsWhatIsRefusedAndMayReadWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Setup{})
	w.Start()
	b := startBrowser(w)
	page := b.open("segment.html")
	page.start(w.Process.API, writeKey, "{}")
	var failed []string
	page.evaluate(`analytics.track('Too large', { text: 'x'.repeat(600_000) }).then(() => failed)`, &failed)
	if want := []string{"Too large: Non-retryable error: 400"}; !slices.Equal(failed, want) {
		t.Errorf("the SDK says %q, want %q", failed, want)
	}
	good := tracks("Bought", 1)
	page.tell(good)

	// A write key that is unknown, once the settings were taken from elsewhere.
	stranger := b.open("segment.html")
	stranger.evaluate(fmt.Sprintf(`startWithout(%q, 'unknown')`, w.Process.API), nil)
	stranger.evaluate(`analytics.track('Unknown').then(() => failed)`, &failed)
	if want := []string{"Unknown: Non-retryable error: 401"}; !slices.Equal(failed, want) {
		t.Errorf("the SDK says %q, want %q", failed, want)
	}
	w.UntilAllEnded()
	expectReadable(page, w.Process.API+"/v1/t", `{ method: 'POST', body: '{}' }`, "401 missing_write_key")
	expectReadable(page, w.Process.API+"/v1/t?writeKey="+writeKey, `{ method: 'POST', body: '{' }`, "400 invalid_json")
	expectReadable(page, w.Process.API+"/v1/nothing", `{ method: 'POST' }`, "404 not_found")
	expectReadable(page, w.Process.API+"/v1/t", `{}`, "405 method_not_allowed")
	b.close(w.Process.API)
	w.Stop()
	expectEvents(w, good...)
}

// expectReadable checks that a page may read an answer: its status and its code.
func expectReadable(p *tab, url, options, want string) {
	p.b.w.t.Helper()
	var got string
	p.evaluate(fmt.Sprintf(`fetch(%q, %s).then(async (r) => r.status + ' ' + (await r.json()).code)`, url, options), &got)
	if got != want {
		p.b.w.t.Errorf("the page reads %q, want %q", got, want)
	}
}

// Customer.io's SDK does not look at the answer: what is refused for now is lost, and it does not say so. It sends again only
// what had no answer.
func TestCustomerIOsSDKOnAPageLosesWhatIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Setup{})
	w.Start()
	f := newFront(w)
	b := startBrowser(w)
	page := b.open("customerio.html")
	page.start(f.url, writeKey, "{}")
	f.fail(failing{status: http.StatusServiceUnavailable, times: 1})
	if got := page.tell(tracks("Refused", 1)); got[0].Error != "" {
		t.Errorf("the SDK says %q", got[0].Error)
	}
	f.fail(failing{times: 2})
	calls := tracks("Not answered", 3)
	page.tell(calls)
	w.untilKept(len(calls))
	w.UntilAllEnded()
	b.close(f.url)
	w.Stop()
	expectEvents(w, calls...)
}

// Without settings Segment's SDK does not start.
func TestAPageWithAnUnknownKeyIsToldSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Setup{})
	w.Start()
	b := startBrowser(w)
	page := b.open("segment.html")
	expectNoStart(page, w.Process.API, "unknown")
	expectReadable(page, w.Process.API+"/v1/projects/unknown/settings", "{}", "404 unknown_write_key")
	b.close(w.Process.API)
	w.Stop()
}

func expectNoStart(p *tab, address, key string) {
	p.b.w.t.Helper()
	var started bool
	p.evaluate(fmt.Sprintf(`start(%q, %q, {}).then(() => true, () => false)`, address, key), &started)
	if started {
		p.b.w.t.Error("the SDK has started")
	}
}

// What the SDK still holds when its page goes away is kept in the browser, and sent from the next page.
func TestCallsThatFailedSurviveTheirPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Setup{})
	w.Start()
	f := newFront(w)
	b := startBrowser(w)
	page := b.open("segment.html")
	page.start(f.url, writeKey, "{}")
	f.fail(failing{status: http.StatusServiceUnavailable, times: 1_000_000})
	calls := tracks("Refused", 3)
	page.tell(calls)
	page.visit("segment.html")
	f.fail(failing{})
	page.start(f.url, writeKey, "{}")
	w.untilKept(len(calls))

	// These are on their way, whether they have arrived or not.
	more := tracks("In flight", 3)
	page.tellWithoutWaiting(more)
	page.close()
	page.visit("segment.html")
	page.start(f.url, writeKey, "{}")
	w.untilKept(len(calls) + len(more))
	w.UntilAllEnded()
	b.close(f.url)
	w.Stop()
	expectEvents(w, append(calls, more...)...)
}

// tellWithoutWaiting has the SDK begin to tell a story of single calls, all at once.
func (p *tab) tellWithoutWaiting(calls []call) {
	p.b.w.t.Helper()
	for _, c := range calls {
		p.evaluate(fmt.Sprintf("void analytics.track(%q)", c["event"]), nil)
	}
}

// A batch that is not full is sent when its page goes away.
func TestABatchIsSentWhenItsPageGoesAway(t *testing.T) {
	for _, d := range []struct{ name, page, options string }{
		{"segment", "segment.html", "{ deliveryStrategy: { strategy: 'batching', config: { size: 100, timeout: 600_000 } } }"},
		{"customerio", "customerio.html", "{ deliveryStrategy: { strategy: 'batching', config: { size: 100, timeout: 600_000 } } }"},
		{"rudderstack", "rudderstack.html", "{ useBeacon: true }"},
	} {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, harness.Setup{})
			w.Start()
			b := startBrowser(w)
			page := b.open(d.page)
			page.start(w.Process.API, writeKey, d.options)
			first, second := tracks("Gone elsewhere", 3), tracks("Closed", 3)
			page.tell(first)
			page.visit("elsewhere.html")
			w.untilReceived(len(first))
			page.visit(d.page)
			page.start(w.Process.API, writeKey, d.options)
			page.tell(second)
			page.close()
			w.untilReceived(len(first) + len(second))
			w.UntilAllEnded()
			b.close(w.Process.API)
			expectNothingOdd(w, len(first)+len(second))
			w.Stop()
			expectEvents(w, append(first, second...)...)
		})
	}
}

// Aka is stopped and killed while pages speak to it, and started again at the same address: everything arrives.
func TestPagesGetOverRestarts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Setup{Listen: freeAddress(t)})
	w.Start()
	b := startBrowser(w)
	var pages []*tab
	for _, d := range pageDeliveries {
		page := b.open(d.page)
		page.start(w.Process.API, writeKey, d.options)
		pages = append(pages, page)
	}
	var all []call
	for i, restart := range restarts {
		say := func(when string) {
			for j, page := range pages {
				calls := tracks(fmt.Sprintf("%s %d %d", when, i, j), 3)
				page.tellWithoutWaiting(calls)
				all = append(all, calls...)
			}
		}
		if restart.sendsBefore {
			say("before")
		}
		if restart.kills {
			w.Kill()
		} else {
			w.Stop()
		}
		say("during")
		w.Start()
	}
	w.Until("every event was taken", func() bool { return len(events(w)) == len(all) })
	w.UntilAllEnded()
	b.close(w.Process.API)
	w.Stop()
	times := map[string]int{}
	for _, entry := range w.journaled() {
		if times[entry.MessageID]++; times[entry.MessageID] > 1 {
			t.Errorf("%s is in the journal %d times", entry.MessageID, times[entry.MessageID])
		}
	}
	if len(times) != len(all) {
		t.Errorf("the journal has %d calls, want %d", len(times), len(all))
	}
}

// events are the names of the events that Kissmetrics took: a kill may repeat some.
func events(w *world) map[string]bool {
	names := map[string]bool{}
	for _, record := range w.Account("kissmetrics").Records() {
		names[record.Event] = true
	}
	return names
}

// A source that names its origins serves their pages, and lets others read that it does not.
func TestASourceIsForThePagesOfItsOrigins(t *testing.T) {
	t.Parallel()
	site := serveSite(t)
	w := newWorld(t, harness.Setup{Source: fmt.Sprintf("allowed_origins: [%q]", site)})
	w.Start()
	b := &browser{w: w, site: site, driver: w.startScript("browser.mjs")}
	page := b.open("segment.html")
	page.start(w.Process.API, writeKey, "{}")
	calls := tracks("Bought", 1)
	page.tell(calls)

	stranger := &browser{w: w, site: strings.Replace(site, "localhost", "127.0.0.1", 1), driver: b.driver, tabs: b.tabs}
	other := stranger.open("segment.html")
	expectNoStart(other, w.Process.API, writeKey)
	expectReadable(other, w.Process.API+"/v1/projects/"+writeKey+"/settings", "{}", "401 origin_not_allowed")
	expectReadable(other, w.Process.API+"/v1/t?writeKey="+writeKey, `{ method: 'POST', body: '{"event":"Stolen","userId":"u"}' }`, "401 origin_not_allowed")
	w.UntilAllEnded()
	b.close(w.Process.API, stranger.site)
	w.Stop()
	expectEvents(w, calls...)
}
