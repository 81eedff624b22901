package main

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"aka/destinations/simulator"
	"aka/e2e/harness"
)

// vendorFault is something that goes wrong with one vendor for a while. The others must not notice, and once it is over
// everything arrives in order.
type vendorFault struct {
	name, does string
	vendor     string
	// faults are the vendor's own, mode the connection's.
	faults []simulator.Fault
	mode   frontMode
	// grows is the metric of the vendor that must, and state what the vendor must be seen in; none where it is empty.
	grows []string
	state string
	// longOnly leaves it out of the short form.
	longOnly bool
	// own is the vendor's own delivery section.
	own string
	// answerLost tells that aka cannot know what the vendor took.
	answerLost bool
	// check looks at what else must hold, once everything has ended.
	check func(w *world)
}

// exchanges is the metric of those that ended so.
func exchanges(result string) []string {
	return []string{"aka_exchanges_total", fmt.Sprintf("result=%q", result)}
}

var retries = []string{"aka_retries_total"}

var vendorFaults = []vendorFault{
	{name: "hang", does: "a vendor takes requests and never answers", vendor: "kissmetrics", own: "timeout: 1s", answerLost: true,
		faults: []simulator.Fault{{Hang: true}}, grows: exchanges("timeout"), state: "down"},
	{name: "drip", does: "a vendor answers 200 and then a byte at a time, for longer than the timeout", vendor: "kissmetrics", own: "timeout: 1s", longOnly: true,
		faults: []simulator.Fault{{Drip: 50 * time.Millisecond, BodyBytes: 1000}}, grows: exchanges("2xx")},
	{name: "reset", does: "a vendor breaks connections without taking anything", vendor: "vero",
		faults: []simulator.Fault{{Reset: true}}, grows: exchanges("reset"), state: "down"},
	{name: "answer-lost", does: "a vendor takes everything and breaks the connection instead of answering", vendor: "mixpanel",
		faults: []simulator.Fault{{Reset: true, When: simulator.After}}, grows: []string{"aka_possibly_delivered_total"}, state: "down"},
	{name: "reset-midway", does: "a vendor's answers break off", vendor: "vero",
		mode: breakMidway, grows: []string{"aka_possibly_delivered_total"}, state: "down", answerLost: true},
	{name: "kept-alive", does: "a vendor closes the connections that it said it would keep", vendor: "vero", mode: closeAfterwards},
	{name: "5xx", does: "a vendor answers 503 to everything", vendor: "mixpanel",
		faults: []simulator.Fault{{Status: http.StatusServiceUnavailable}}, grows: exchanges("5xx"), state: "down"},
	{name: "flapping", does: "a vendor answers 500 to three requests in ten", vendor: "vero",
		faults: []simulator.Fault{{Status: http.StatusInternalServerError, Probability: 0.3}}, grows: exchanges("5xx")},
	{name: "413", does: "a vendor takes no batch of more than one", vendor: "mixpanel",
		faults: []simulator.Fault{{Status: http.StatusRequestEntityTooLarge, Match: isBatch}}, grows: exchanges("4xx")},
	{name: "page", does: "a login page answers 200 in a vendor's place", vendor: "vero",
		faults: []simulator.Fault{{Page: true}}, grows: exchanges("not_the_vendor"), state: "down"},
	{name: "page-after", does: "a vendor takes everything, and a login page comes instead of its answers", vendor: "kissmetrics",
		faults: []simulator.Fault{{Page: true, When: simulator.After}}, grows: []string{"aka_possibly_delivered_total"}, state: "down"},
	{name: "endless", does: "a vendor's answers never end", vendor: "vero",
		faults: []simulator.Fault{{Endless: true}}, grows: exchanges("2xx")},
	{name: "garbage", does: "a vendor answers 200 with a page that is not its own", vendor: "mixpanel",
		faults: []simulator.Fault{{Body: "<html>\x00\xff{{{", Path: "/engage"}}, grows: retries},
	{name: "huge", does: "a vendor answers with 64 MiB", vendor: "kissmetrics",
		faults: []simulator.Fault{{BodyBytes: 64 << 20, Times: 20}}, grows: exchanges("2xx"), check: func(w *world) { w.logMemory("afterwards") }},
}

func isBatch(x simulator.Exchange) bool { return len(x.Records) > 1 }

// vendorScenarios are the vendors' faults.
func vendorScenarios() (all []scenario) {
	for _, f := range vendorFaults {
		all = append(all, scenario{Name: "vendor-" + f.name, Does: f.does, LongOnly: f.longOnly, Run: f.run})
	}
	return append(all,
		scenario{Name: "vendor-refused", Does: "a vendor's address has no listener", Run: vendorRefused},
		scenario{Name: "vendor-tls", Does: "a vendor's certificate is expired, another host's, of an unknown authority", Run: vendorTLS},
		scenario{Name: "vendor-dns", Does: "a vendor's name does not resolve", Run: vendorDNS},
		scenario{Name: "vendor-401", Does: "a vendor refuses the credentials, and takes them again", Run: vendorUnauthorized},
		scenario{Name: "vendor-402", Does: "the vendors answer 402 to everything, as for a bill that is not paid", Run: vendorsRefuse(http.StatusPaymentRequired, "kissmetrics", "mixpanel", "vero")},
		scenario{Name: "vendor-404", Does: "the vendors answer 404 to everything, as for a route that is gone", Run: vendorsRefuse(http.StatusNotFound, "kissmetrics", "mixpanel", "vero")},
		scenario{Name: "vendor-429", Does: "a vendor answers 429, with Retry-After in all its forms", Run: vendorTooMany},
		scenario{Name: "vendor-redirect", Does: "a vendor redirects to somebody else", Run: vendorRedirect},
	)
}

func (f vendorFault) run(t *trial) {
	w := quickWorld(t)
	w.Destination(f.vendor).Delivery = f.own
	way := w.startFrontOf(f.vendor, nil)
	account := w.Account(f.vendor)
	o := outage{
		vendor: f.vendor, grows: f.grows, state: f.state,
		begin: func() {
			if f.mode != nil {
				way.mode.Store(&f.mode)
			}
			w.AddFaults(f.vendor, f.faults...)
		},
		met: func() int { return account.Stats().Faults + int(way.met.Load()) },
		end: func() {
			way.mode.Store(nil)
			account.ClearFaults()
		},
	}
	l := o.carryOut(w)
	if f.check != nil {
		w.UntilAllEnded()
		f.check(w)
	}
	e := harness.Expectation{Faults: f.faults}
	if f.answerLost {
		e.AnswerLost = f.vendor
	}
	w.verify(l, e)
}

// outage is a fault of one vendor in the middle of a load.
type outage struct {
	vendor     string
	grows      []string
	state      string
	begin, end func()
	// met is how often the fault was met.
	met func() int
}

// faulty is an outage in which a simulated vendor has faults.
func (w *world) faulty(vendor string, faults ...simulator.Fault) outage {
	account := w.Account(vendor)
	return outage{
		vendor: vendor,
		begin:  func() { w.AddFaults(vendor, faults...) },
		met:    func() int { return account.Stats().Faults },
		end:    account.ClearFaults,
	}
}

// carryOut starts aka and the load, has the fault begin when a quarter of the calls is answered, and end when all is
// delivered but to its vendor. What waits for that vendor does so still.
func (o *outage) carryOut(w *world) *harness.Load {
	w.Start()
	l := w.startLoad()
	w.UntilAcked(l, once/4)
	before := o.measure(w)
	o.begin()
	o.untilSeen(w, before)
	w.UntilAcked(l, once)
	w.End(l)
	w.UntilAllEnded(w.others(o.vendor)...)
	w.t.Runs += o.met()
	o.end()
	return l
}

func (o *outage) measure(w *world) float64 {
	if o.grows == nil {
		return 0
	}
	return w.Metric(o.grows[0], slices.Concat(o.grows[1:], []string{harness.Of(o.vendor)})...)
}

// untilSeen waits until the fault was met, and the metrics show it.
func (o *outage) untilSeen(w *world, before float64) {
	seenState := o.state == ""
	w.Until(fmt.Sprintf("the fault is met, %v grows and %s is %s", o.grows, o.vendor, o.state), func() bool {
		seenState = seenState || w.Metric("aka_destination_state", harness.Of(o.vendor), fmt.Sprintf("state=%q", o.state)) == 1
		return seenState && o.met() >= fewestMet && (o.grows == nil || o.measure(w) >= before+fewestMet)
	})
}

// vendorRefused closes a vendor's port and opens it again.
func vendorRefused(t *trial) {
	w := quickWorld(t)
	way := w.startFrontOf("vero", nil)
	o := outage{vendor: "vero", grows: exchanges("dial"), state: "down", met: metOf(w, "vero", "dial"), begin: way.close}
	o.end = func() { harness.Check(w, way.reopen()) }
	l := o.carryOut(w)
	// What was in flight when the port closed may have been taken.
	w.verify(l, harness.Expectation{AnswerLost: "vero"})
}

// metOf counts a fault that only aka sees.
func metOf(w *world, vendor, result string) func() int {
	return func() int {
		n, err := w.Process.Metric(w.Ctx, "aka_exchanges_total", harness.Of(vendor), fmt.Sprintf("result=%q", result))
		if err != nil {
			return 0 // there was none yet
		}
		return int(n)
	}
}

// vendorTLS shows aka one bad certificate after the other, then a good one. No request may come before that.
func vendorTLS(t *trial) {
	good, unknown := newAuthority(t), newAuthority(t)
	hour := time.Now().Add(time.Hour)
	var shown atomic.Pointer[tls.Certificate]
	show := func(a *authority, address string, until time.Time) { shown.Store(a.sign(address, until)) }
	w := quickWorld(t)
	trusted := filepath.Join(w.Dir, "authority.pem")
	good.write(trusted)
	w.Env = []string{"SSL_CERT_FILE=" + trusted, "SSL_CERT_DIR=" + w.Dir}
	way := w.startFrontOf("vero", &tls.Config{
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return shown.Load(), nil },
		SessionTicketsDisabled: true,
	})
	met := metOf(w, "vero", "tls")
	bad := func(a *authority, address string, until time.Time) {
		before := met()
		show(a, address, until)
		w.Until("a bad certificate is refused", func() bool { return met() >= before+fewestMet })
	}
	show(unknown, "127.0.0.1", hour)
	o := outage{vendor: "vero", grows: exchanges("tls"), state: "down", met: met}
	o.begin = func() { bad(unknown, "127.0.0.1", hour) }
	o.end = func() {
		bad(good, "127.0.0.2", hour)
		bad(good, "127.0.0.1", time.Now().Add(-time.Hour))
		t.Runs = met()
		if n := way.requests.Load(); n > 0 {
			t.Errorf("%d requests were sent to a vendor that could not show who it is", n)
		}
		show(good, "127.0.0.1", hour)
	}
	w.verify(o.carryOut(w), harness.Expectation{})
}

// vendorDNS gives aka a vendor's name that does not exist, and then, with a restart, the right address.
func vendorDNS(t *trial) {
	w := quickWorld(t)
	vero := w.Destination("vero")
	right := vero.Endpoint
	vero.Endpoint = "http://vendor.invalid/vero/api/v2"
	w.Configure()
	o := outage{vendor: "vero", grows: exchanges("dns"), state: "down", met: metOf(w, "vero", "dns"), begin: func() {}}
	o.end = func() {
		w.Stop()
		vero.Endpoint = right
		w.Configure()
		w.Start()
	}
	w.verify(o.carryOut(w), harness.Expectation{Restarted: true})
}

// vendorUnauthorized has a vendor refuse the credentials. Its calls wait; it is asked no more often than it may be.
func vendorUnauthorized(t *trial) {
	const cooldown, maxCooldown = 200 * time.Millisecond, 400 * time.Millisecond // of quick
	w := quickWorld(t)
	w.Destination("vero").Delivery = "concurrency: 1"
	w.Configure()
	faults := []simulator.Fault{{Status: http.StatusUnauthorized, Times: 3}, {Status: http.StatusForbidden}}
	o := w.faulty("vero", faults...)
	o.grows, o.state = exchanges("4xx"), "auth_failed"
	l := o.carryOut(w)
	w.UntilAllEnded()
	var last time.Time
	wait := cooldown // the first time
	for _, x := range w.Account("vero").Exchanges() {
		if !last.IsZero() {
			if gap := x.At.Sub(last); gap < wait {
				t.Errorf("vero was asked again %s after it had refused the credentials", gap)
			}
			wait = maxCooldown
		}
		last = time.Time{}
		if x.Fault != "" {
			last = x.At
		}
	}
	if w.Metric("aka_destination_state", harness.Of("vero"), `state="ok"`) != 1 {
		t.Errorf("vero takes the credentials again, and is not closed")
	}
	w.verify(l, harness.Expectation{Faults: faults})
}

// vendorsRefuse has vendors refuse every call for a reason that is about the account or the endpoint. The calls wait, and what
// became a dead letter before that was seen is withdrawn, an alias at Vero too: its 404 is about the id, unless all else gets one.
func vendorsRefuse(status int, vendors ...string) func(*trial) {
	return func(t *trial) {
		w := quickWorld(t)
		fault := simulator.Fault{Status: status}
		l := w.underLoad()
		for _, name := range vendors {
			w.AddFaults(name, fault)
		}
		for _, name := range vendors {
			w.untilRefusing(name)
		}
		w.UntilAcked(l, l.Acked.Load()+once)
		for _, name := range vendors {
			t.Runs += w.Account(name).Stats().Faults
			w.Account(name).ClearFaults()
		}
		w.UntilAcked(l, l.Acked.Load()+once)
		w.End(l)
		w.verify(l, harness.Expectation{Faults: []simulator.Fault{fault}})
	}
}

// untilRefusing waits until a vendor is known to refuse everything, and has no dead letter left.
func (w *world) untilRefusing(name string) {
	withdrawn := 0.0
	w.Until(name+" is refusing, and its dead letters are withdrawn", func() bool {
		dead := w.Metric("aka_outcomes_total", harness.Of(name), `outcome="dead"`)
		withdrawn = w.Metric("aka_dead_letters_withdrawn_total", harness.Of(name))
		return w.Metric("aka_destination_state", harness.Of(name), `state="refusing"`) == 1 && withdrawn == dead
	})
	w.Logf("%s: %.0f dead letters were withdrawn", name, withdrawn)
}

// vendorTooMany answers 429 with each form of Retry-After once, the last one absurd: it is forgotten with a restart.
func vendorTooMany(t *trial) {
	w := quickWorld(t)
	w.Destination("vero").Delivery = "concurrency: 1"
	w.Configure()
	account := w.Account("vero")
	var forms []string
	var faults []simulator.Fault
	date := time.Now()
	o := w.faulty("vero")
	o.grows = exchanges("4xx")
	o.begin = func() {
		date = time.Now().Add(7 * time.Second).UTC().Truncate(time.Second)
		forms = []string{date.Format(http.TimeFormat), "", "0", "-5", "soon", "1", "3", "1000000000"}
		for _, form := range forms {
			fault := simulator.Fault{Status: http.StatusTooManyRequests, Times: 1}
			if form != "" {
				fault.Header = map[string]string{"Retry-After": form}
			}
			faults = append(faults, fault)
		}
		w.AddFaults("vero", faults...)
	}
	o.end = func() {
		w.Until("every form was answered", func() bool { return answered(account, http.StatusTooManyRequests) == len(forms) })
		t.Runs = len(forms)
		before := account.Stats().Exchanges
		pause := time.NewTimer(2 * time.Second)
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-w.Ctx.Done():
		}
		if after := account.Stats().Exchanges; after > before {
			t.Errorf("vero was sent to within 2s of Retry-After: 1000000000")
		}
		w.Stop()
		w.Start()
	}
	l := o.carryOut(w)
	w.UntilAllEnded()
	checkRetryAfter(t, account.Exchanges(), forms, date)
	w.verify(l, harness.Expectation{Faults: faults, Restarted: true})
}

// answered counts the exchanges that were answered with a status.
func answered(a *simulator.Account, status int) (n int) {
	for _, x := range a.Exchanges() {
		if x.Status == status {
			n++
		}
	}
	return n
}

// checkRetryAfter checks that nothing came before its time after a 429 that asks for more than two seconds. What asks for less is
// about its own call only.
func checkRetryAfter(t harness.T, all []simulator.Exchange, forms []string, date time.Time) {
	for i, x := range all {
		if x.Status != http.StatusTooManyRequests || i+1 == len(all) || len(forms) == 0 {
			continue
		}
		form, next := forms[0], all[i+1].At
		forms = forms[1:]
		switch {
		case form == "3" && next.Sub(x.At) < 3*time.Second:
			t.Errorf("vero was sent to %s after Retry-After: 3", next.Sub(x.At))
		case strings.HasSuffix(form, "GMT") && date.Sub(x.At) > 2*time.Second && next.Before(date):
			t.Errorf("vero was sent to %s before the date of Retry-After", date.Sub(next))
		}
	}
}

// vendorRedirect has a vendor redirect a few requests. They are not followed, and cost no call.
func vendorRedirect(t *trial) {
	w := quickWorld(t)
	var followed atomic.Int64
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	t.Cleanup(trap.Close)
	fault := simulator.Fault{Status: http.StatusTemporaryRedirect, Header: map[string]string{"Location": trap.URL}, Times: 5}
	o := w.faulty("vero", fault)
	o.grows = exchanges("3xx")
	w.verify(o.carryOut(w), harness.Expectation{Faults: []simulator.Fault{fault}})
	if n := followed.Load(); n > 0 {
		t.Errorf("%d redirects were followed", n)
	}
}
