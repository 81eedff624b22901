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
	check func(w *world, r *Result) error
}

// exchanges is the metric of those that ended so.
func exchanges(result string) []string {
	return []string{"aka_exchanges_total", fmt.Sprintf("result=%q", result)}
}

var retries = []string{"aka_retries_total"}

// fewestMet is how often a fault must have been met before it may end.
const fewestMet = 3

// once is how many calls there are in a scenario of one fault, about.
const once = 400

var vendorFaults = []vendorFault{
	{name: "hang", does: "a vendor takes requests and never answers", vendor: "kissmetrics", own: "timeout: 1s", answerLost: true,
		faults: []simulator.Fault{{Hang: true}}, grows: exchanges("timeout"), state: "open"},
	{name: "drip", does: "a vendor answers 200 and then a byte at a time, for longer than the timeout", vendor: "kissmetrics", own: "timeout: 1s", longOnly: true,
		faults: []simulator.Fault{{Drip: 50 * time.Millisecond, BodyBytes: 1000}}, grows: exchanges("2xx")},
	{name: "reset", does: "a vendor breaks connections without taking anything", vendor: "vero",
		faults: []simulator.Fault{{Reset: true}}, grows: exchanges("reset"), state: "open"},
	{name: "answer-lost", does: "a vendor takes everything and breaks the connection instead of answering", vendor: "mixpanel",
		faults: []simulator.Fault{{Reset: true, When: simulator.After}}, grows: []string{"aka_ambiguous_total"}, state: "open"},
	{name: "reset-midway", does: "a vendor's answers break off", vendor: "vero",
		mode: breakMidway, grows: []string{"aka_ambiguous_total"}, state: "open", answerLost: true},
	{name: "kept-alive", does: "a vendor closes the connections that it said it would keep", vendor: "vero", mode: closeAfterwards},
	{name: "5xx", does: "a vendor answers 503 to everything", vendor: "mixpanel",
		faults: []simulator.Fault{{Status: http.StatusServiceUnavailable}}, grows: exchanges("5xx"), state: "open"},
	{name: "flapping", does: "a vendor answers 500 to three requests in ten", vendor: "vero",
		faults: []simulator.Fault{{Status: http.StatusInternalServerError, Probability: 0.3}}, grows: exchanges("5xx")},
	{name: "413", does: "a vendor takes no batch of more than one", vendor: "mixpanel",
		faults: []simulator.Fault{{Status: http.StatusRequestEntityTooLarge, Match: isBatch}}, grows: exchanges("4xx")},
	{name: "page", does: "a login page answers 200 in a vendor's place", vendor: "vero",
		faults: []simulator.Fault{{Page: true}}, grows: exchanges("not_the_vendor"), state: "open"},
	{name: "page-after", does: "a vendor takes everything, and a login page comes instead of its answers", vendor: "kissmetrics",
		faults: []simulator.Fault{{Page: true, When: simulator.After}}, grows: []string{"aka_ambiguous_total"}, state: "open"},
	{name: "endless", does: "a vendor's answers never end", vendor: "vero",
		faults: []simulator.Fault{{Endless: true}}, grows: exchanges("2xx")},
	{name: "garbage", does: "a vendor answers 200 with a page that is not its own", vendor: "mixpanel",
		faults: []simulator.Fault{{Body: "<html>\x00\xff{{{", Path: "/engage"}}, grows: retries},
	{name: "huge", does: "a vendor answers with 64 MiB", vendor: "kissmetrics",
		faults: []simulator.Fault{{BodyBytes: 64 << 20, Times: 20}}, grows: exchanges("2xx"), check: func(w *world, r *Result) error { return w.measureMemory(r, "afterwards") }},
}

func isBatch(x simulator.Exchange) bool { return len(x.Records) > 1 }

// vendorScenarios are the vendors' faults.
func vendorScenarios() (all []scenario) {
	for _, f := range vendorFaults {
		all = append(all, scenario{name: "vendor-" + f.name, does: f.does, longOnly: f.longOnly, run: f.run})
	}
	return append(all,
		scenario{name: "vendor-refused", does: "nobody listens at a vendor's address", run: vendorRefused},
		scenario{name: "vendor-tls", does: "a vendor's certificate is expired, another host's, of an unknown authority", run: vendorTLS},
		scenario{name: "vendor-dns", does: "a vendor's name does not resolve", run: vendorDNS},
		scenario{name: "vendor-401", does: "a vendor refuses the credentials, and takes them again", run: vendorUnauthorized},
		scenario{name: "vendor-429", does: "a vendor answers 429, with Retry-After in all its forms", run: vendorTooMany},
		scenario{name: "vendor-redirect", does: "a vendor redirects to somebody else", run: vendorRedirect},
	)
}

func (f vendorFault) run(h *suite, r *Result) error {
	p := plan{delivery: quick, own: map[string]string{f.vendor: f.own}}
	w, err := newWorld(h, p)
	if err != nil {
		return err
	}
	defer w.close()
	way, err := startFront(w, nil)
	if err != nil {
		return err
	}
	w.endpoints[f.vendor] = way.through(w, w.endpoints[f.vendor])
	if err := w.configure(p); err != nil {
		return err
	}
	account := w.account(f.vendor)
	s := strike{
		vendor: f.vendor, grows: f.grows, state: f.state,
		begin: func() error {
			if f.mode != nil {
				way.mode.Store(&f.mode)
			}
			return account.AddFaults(f.faults...)
		},
		met: func() int { return account.Stats().Faults + int(way.met.Load()) },
		end: func() error {
			way.mode.Store(nil)
			account.ClearFaults()
			return nil
		},
	}
	l, err := s.carryOut(w, r)
	if err != nil {
		return err
	}
	if f.check != nil {
		if err := w.untilAllEnded(); err != nil {
			return err
		}
		if err := f.check(w, r); err != nil {
			return err
		}
	}
	e := expectation{faults: f.faults}
	if f.answerLost {
		e.answerLost = f.vendor
	}
	return w.verify(r, l, e)
}

// strike is a fault in the middle of a load.
type strike struct {
	vendor     string
	grows      []string
	state      string
	begin, end func() error
	// met is how often the fault was met.
	met func() int
}

// carryOut starts aka and the load, has the fault begin when a quarter of the calls is answered, and end when all is
// delivered but to its vendor. What waits for that vendor does so still.
func (s *strike) carryOut(w *world, r *Result) (*load, error) {
	if _, err := w.start(); err != nil {
		return nil, err
	}
	l := startLoad(w, w.h.rate)
	if err := l.untilAcked(w, once/4); err != nil {
		return nil, err
	}
	before, err := s.measure(w)
	if err != nil {
		return nil, err
	}
	if err := s.begin(); err != nil {
		return nil, err
	}
	if err := s.untilSeen(w, before); err != nil {
		return nil, err
	}
	if err := l.untilAcked(w, once); err != nil {
		return nil, err
	}
	if err := l.end(w); err != nil {
		return nil, err
	}
	if err := w.untilAllEnded(s.others()...); err != nil {
		return nil, err
	}
	r.Runs += s.met()
	return l, s.end()
}

func (s *strike) others() (names []string) {
	for _, d := range destinations {
		if d.name != s.vendor {
			names = append(names, d.name)
		}
	}
	return names
}

func (s *strike) measure(w *world) (float64, error) {
	if s.grows == nil {
		return 0, nil
	}
	return w.metric(s.grows[0], slices.Concat(s.grows[1:], []string{of(s.vendor)})...)
}

// untilSeen waits until the fault was met, and the metrics show it.
func (s *strike) untilSeen(w *world, before float64) error {
	seenState := s.state == ""
	return w.until(fmt.Sprintf("the fault is met, %v grows and %s is %s", s.grows, s.vendor, s.state), func() (bool, error) {
		if !seenState {
			value, err := w.metric("aka_destination_state", of(s.vendor), fmt.Sprintf("state=%q", s.state))
			if err != nil {
				return false, err
			}
			seenState = value == 1
		}
		now, err := s.measure(w)
		return seenState && s.met() >= fewestMet && (s.grows == nil || now >= before+fewestMet), err
	})
}

// vendorRefused closes a vendor's port and opens it again.
func vendorRefused(h *suite, r *Result) error {
	w, err := newWorld(h, plan{delivery: quick})
	if err != nil {
		return err
	}
	defer w.close()
	way, err := startFront(w, nil)
	if err != nil {
		return err
	}
	w.endpoints["vero"] = way.through(w, w.endpoints["vero"])
	if err := w.configure(plan{delivery: quick}); err != nil {
		return err
	}
	s := strike{vendor: "vero", grows: exchanges("dial"), state: "open", met: metOf(w, "vero", "dial")}
	s.begin = func() error { way.close(); return nil }
	s.end = way.reopen
	l, err := s.carryOut(w, r)
	if err != nil {
		return err
	}
	// What was in flight when the port closed may have been taken.
	return w.verify(r, l, expectation{answerLost: "vero"})
}

// metOf counts a fault that only aka sees.
func metOf(w *world, vendor, result string) func() int {
	return func() int {
		n, err := w.metric("aka_exchanges_total", of(vendor), fmt.Sprintf("result=%q", result))
		if err != nil {
			return 0
		}
		return int(n)
	}
}

// vendorTLS shows aka one bad certificate after the other, then a good one. No request may come before that.
func vendorTLS(h *suite, r *Result) error {
	good, err := newAuthority()
	if err != nil {
		return err
	}
	unknown, err := newAuthority()
	if err != nil {
		return err
	}
	hour := time.Now().Add(time.Hour)
	var shown atomic.Pointer[tls.Certificate]
	show := func(a *authority, address string, until time.Time) error {
		certificate, err := a.sign(address, until)
		shown.Store(certificate)
		return err
	}
	w, err := newWorld(h, plan{delivery: quick})
	if err != nil {
		return err
	}
	defer w.close()
	trusted := filepath.Join(w.dir, "authority.pem")
	if err := good.write(trusted); err != nil {
		return err
	}
	w.env = []string{"SSL_CERT_FILE=" + trusted, "SSL_CERT_DIR=" + w.dir}
	way, err := startFront(w, &tls.Config{
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return shown.Load(), nil },
		SessionTicketsDisabled: true,
	})
	if err != nil {
		return err
	}
	w.endpoints["vero"] = way.through(w, w.endpoints["vero"])
	if err := w.configure(plan{delivery: quick}); err != nil {
		return err
	}
	met := metOf(w, "vero", "tls")
	s := strike{vendor: "vero", grows: exchanges("tls"), state: "open", met: met}
	bad := func(a *authority, address string, until time.Time) error {
		before := met()
		if err := show(a, address, until); err != nil {
			return err
		}
		return w.until("a bad certificate is refused", func() (bool, error) { return met() >= before+fewestMet, nil })
	}
	if err := show(unknown, "127.0.0.1", hour); err != nil {
		return err
	}
	s.begin = func() error { return bad(unknown, "127.0.0.1", hour) }
	s.end = func() error {
		if err := bad(good, "127.0.0.2", hour); err != nil {
			return err
		}
		if err := bad(good, "127.0.0.1", time.Now().Add(-time.Hour)); err != nil {
			return err
		}
		r.Runs = met()
		if n := way.requests.Load(); n > 0 {
			r.wrong("%d requests were sent to a vendor that could not show who it is", n)
		}
		return show(good, "127.0.0.1", hour)
	}
	l, err := s.carryOut(w, r)
	if err != nil {
		return err
	}
	return w.verify(r, l, expectation{})
}

// vendorDNS gives aka a vendor's name that nobody has, and then, with a restart, the right address.
func vendorDNS(h *suite, r *Result) error {
	w, err := newWorld(h, plan{delivery: quick})
	if err != nil {
		return err
	}
	defer w.close()
	wrong := plan{delivery: quick, endpoint: map[string]string{"vero": "http://vendor.invalid/vero/api/v2"}}
	if err := w.configure(wrong); err != nil {
		return err
	}
	s := strike{
		vendor: "vero", grows: exchanges("dns"), state: "open", met: metOf(w, "vero", "dns"),
		begin: func() error { return nil },
		end: func() error {
			if _, err := w.stop(); err != nil {
				return err
			}
			if err := w.configure(plan{delivery: quick}); err != nil {
				return err
			}
			_, err := w.start()
			return err
		},
	}
	l, err := s.carryOut(w, r)
	if err != nil {
		return err
	}
	return w.verify(r, l, expectation{restarted: true})
}

// vendorUnauthorized has a vendor refuse the credentials. Its calls wait; it is asked no more often than it may be.
func vendorUnauthorized(h *suite, r *Result) error {
	const cooldown, maxCooldown = 200 * time.Millisecond, 400 * time.Millisecond // of quick
	w, err := newWorld(h, plan{delivery: quick, own: map[string]string{"vero": "concurrency: 1"}})
	if err != nil {
		return err
	}
	defer w.close()
	account := w.account("vero")
	faults := []simulator.Fault{{Status: http.StatusUnauthorized, Times: 3}, {Status: http.StatusForbidden}}
	s := strike{
		vendor: "vero", grows: exchanges("4xx"), state: "held",
		begin: func() error { return account.AddFaults(faults...) },
		met:   func() int { return account.Stats().Faults },
		end:   func() error { account.ClearFaults(); return nil },
	}
	l, err := s.carryOut(w, r)
	if err != nil {
		return err
	}
	if err := w.untilAllEnded(); err != nil {
		return err
	}
	var last time.Time
	wait := cooldown // the first time
	for _, x := range account.Exchanges() {
		if !last.IsZero() {
			if gap := x.At.Sub(last); gap < wait {
				r.wrong("vero was asked again %s after it had refused the credentials", gap)
			}
			wait = maxCooldown
		}
		last = time.Time{}
		if x.Fault != "" {
			last = x.At
		}
	}
	if closed, err := w.metric("aka_destination_state", of("vero"), `state="closed"`); err != nil || closed != 1 {
		r.wrong("vero takes the credentials again, and is not closed: %v", err)
	}
	return w.verify(r, l, expectation{faults: faults})
}

// vendorTooMany answers 429 with each form of Retry-After once, the last one absurd: it is forgotten with a restart.
func vendorTooMany(h *suite, r *Result) error {
	w, err := newWorld(h, plan{delivery: quick, own: map[string]string{"vero": "concurrency: 1"}})
	if err != nil {
		return err
	}
	defer w.close()
	account := w.account("vero")
	var forms []string
	var faults []simulator.Fault
	date := time.Now()
	s := strike{vendor: "vero", grows: exchanges("4xx"), met: func() int { return account.Stats().Faults }}
	s.begin = func() error {
		date = time.Now().Add(3 * time.Second).UTC().Truncate(time.Second)
		forms = []string{"", "0", "-5", "soon", "1", date.Format(http.TimeFormat), "1000000000"}
		for _, form := range forms {
			fault := simulator.Fault{Status: http.StatusTooManyRequests, Times: 1}
			if form != "" {
				fault.Header = map[string]string{"Retry-After": form}
			}
			faults = append(faults, fault)
		}
		return account.AddFaults(faults...)
	}
	s.end = func() error {
		err := w.until("every form was answered", func() (bool, error) { return answered(account, http.StatusTooManyRequests) == len(forms), nil })
		if err != nil {
			return err
		}
		r.Runs = len(forms)
		before := account.Stats().Exchanges
		pause, stop := time.NewTimer(2*time.Second), w.ctx.Done()
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-stop:
		}
		if after := account.Stats().Exchanges; after > before {
			r.wrong("vero was sent to within 2s of Retry-After: 1000000000")
		}
		if _, err := w.stop(); err != nil {
			return err
		}
		_, err = w.start()
		return err
	}
	l, err := s.carryOut(w, r)
	if err != nil {
		return err
	}
	if err := w.untilAllEnded(); err != nil {
		return err
	}
	checkRetryAfter(r, account.Exchanges(), forms, date)
	return w.verify(r, l, expectation{faults: faults, restarted: true})
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

// checkRetryAfter checks that nothing came before its time after a 429.
func checkRetryAfter(r *Result, all []simulator.Exchange, forms []string, date time.Time) {
	for i, x := range all {
		if x.Status != http.StatusTooManyRequests || i+1 == len(all) || len(forms) == 0 {
			continue
		}
		form, next := forms[0], all[i+1].At
		forms = forms[1:]
		switch {
		case form == "1" && next.Sub(x.At) < time.Second:
			r.wrong("vero was sent to %s after Retry-After: 1", next.Sub(x.At))
		case strings.HasSuffix(form, "GMT") && next.Before(date):
			r.wrong("vero was sent to %s before the date of Retry-After", date.Sub(next))
		}
	}
}

// vendorRedirect has a vendor redirect a few requests. They are not followed, and cost no call.
func vendorRedirect(h *suite, r *Result) error {
	w, err := newWorld(h, plan{delivery: quick})
	if err != nil {
		return err
	}
	defer w.close()
	var followed atomic.Int64
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	defer trap.Close()
	account := w.account("vero")
	faults := []simulator.Fault{{Status: http.StatusTemporaryRedirect, Header: map[string]string{"Location": trap.URL}, Times: 5}}
	s := strike{
		vendor: "vero", grows: exchanges("3xx"),
		begin: func() error { return account.AddFaults(faults...) },
		met:   func() int { return account.Stats().Faults },
		end:   func() error { account.ClearFaults(); return nil },
	}
	l, err := s.carryOut(w, r)
	if err != nil {
		return err
	}
	if err := w.verify(r, l, expectation{faults: faults}); err != nil {
		return err
	}
	if n := followed.Load(); n > 0 {
		r.wrong("%d redirects were followed", n)
	}
	return nil
}
