package router

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"aka/destinations/adapter"
	"aka/destinations/simulator"
	"aka/router/config"
	"aka/router/delivery"
	"aka/router/httpclient"
	"aka/router/journal"
)

var (
	stories   = flag.Int("stories", 2, "random stories that the model test tells")
	firstSeed = flag.Uint64("seed", 1, "seed of the first story; 0 takes the time, for stories that nobody has heard")
)

// Whatever goes wrong on the way, in the end each vendor knows the same people, with the same events and properties, as if
// the accepted calls had come to it one by one, in order, over a network that never fails.
//
// Delivery is at least once: after a connection that broke, a vendor may get a request again. So the comparison is of what
// the vendor made of it, its own dedupe included: Mixpanel compares $insert_id, Customer.io an event's id, Segment the messageId,
// Kissmetrics the second, Vero an event's content. The stories hold nothing that has no such key and adds up, which is revenue and increments at Mixpanel.
//
// Every merge rule is allow. Some of the destinations remember merges, which changes nothing of that: no person is merged less or more for it, and no
// $create_alias reaches Mixpanel only to be thrown away. The ideal delivery remembers nothing.
//
// A vendor that gets an alias of a known person under another of its names, before the alias that gave it that name,
// is not in the stories either: the calls share no id, and nothing keeps such an order.
func TestVendorsKnowThePeopleThatAnIdealDeliveryGives(t *testing.T) {
	seed := *firstSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	for i := range *stories {
		t.Run(fmt.Sprintf("seed=%d", seed+uint64(i)), func(t *testing.T) {
			newModel(t, seed+uint64(i)).run()
		})
	}
}

// modelTimeout bounds one story. None takes a tenth of it on a machine that is idle.
const modelTimeout = 20 * time.Minute

const (
	households        = 12
	callsPerHousehold = 25
)

// modelDestination is a destination of the model's config.
type modelDestination struct{ name, vendor, idMerge, settings string }

// renames reports whether an alias leaves no person under the old id.
func (d modelDestination) renames() bool { return d.vendor == "vero" || d.vendor == "customerio" }

var modelDestinations = []modelDestination{
	{"customerio", "customerio", "", "site_id: s, api_key: k, merge_wait: 1ms"},
	{"kissmetrics", "kissmetrics", "", "api_key: k"},
	{"legacy", "mixpanel", "legacy", "token: t, id_merge: legacy, settle: 10ms, group_keys: [company]"},
	{"original", "mixpanel", "original", "token: t, id_merge: original, group_keys: [company]"},
	{"simplified", "mixpanel", "simplified", "token: t, id_merge: simplified, link_on_alias: Linked, link_on_identify: Logged In"},
	{"segment", "segment", "", "write_key: k"},
	{"upstream", "segment", "", "flavor: aka, write_key: k"},
	{"vero", "vero", "", "auth_token: t"},
	{"webhook", "webhook", "", "url: https://hooks.example.com, alias_joins: true, batch: 20, secrets: [" + webhookKey + "]"},
}

const webhookKey = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// upstream is what is simulated where calls are passed on.
func (d modelDestination) upstream() simulator.Segment {
	if d.name == "upstream" {
		return simulator.Segment{Flavor: "aka"}
	}
	return simulator.Segment{}
}

// receiver is what is simulated where webhooks go: each request must be signed.
func (d modelDestination) receiver() simulator.Webhook {
	if d.vendor == "webhook" {
		return simulator.Webhook{Secrets: []string{webhookKey}}
	}
	return simulator.Webhook{}
}

// model is one story and its world.
type model struct {
	t      *testing.T
	ctx    context.Context
	dice   *rand.Rand
	dir    string
	faulty *simulator.Simulator
	ideal  *simulator.Simulator

	router *Router
	log    *zap.Logger
	listen string
	acked  atomic.Int64

	remembering map[string]bool // the destinations that remember merges
	rules       *modelRules     // nil where every merge rule is allow
	outcomes    map[string]int  // by destination, of the routers that have stopped
}

func newModel(t *testing.T, seed uint64) *model {
	ctx, cancel := context.WithTimeout(t.Context(), modelTimeout)
	t.Cleanup(cancel)
	m := &model{
		t: t, ctx: ctx, dice: rand.New(rand.NewPCG(seed, 0)), dir: t.TempDir(), listen: "127.0.0.1:0",
		log: zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel)), outcomes: map[string]int{},
	}
	m.faulty, m.ideal = m.simulate(seed), m.simulate(seed)
	m.remembering = map[string]bool{}
	for _, d := range modelDestinations {
		// A link that is not repeated in the simplified mode is an event less.
		m.remembering[d.name] = d.name != "simplified" && m.dice.IntN(3) > 0
	}
	return m
}

func (m *model) simulate(seed uint64) *simulator.Simulator {
	sim, err := simulator.Start("127.0.0.1:0")
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = sim.Close() })
	for i, d := range modelDestinations {
		if _, err := sim.Add(d.name, d.vendor, simulator.Options{IDMerge: d.idMerge, Seed: seed + uint64(i), Segment: d.upstream(), CustomerIO: simulator.CustomerIO{FindableAfter: -1}, Webhook: d.receiver()}); err != nil {
			m.t.Fatal(err)
		}
	}
	return sim
}

func (m *model) run() {
	tempo := m.tempo()
	config := m.loadConfig(m.faulty, tempo)
	m.start(config)
	m.listen = m.router.Addr()
	config.Listen = m.listen // every restart keeps it
	m.breakVendors()
	m.tell()
	m.waitUntilAllEnded()
	m.stop()
	m.checkOutcomes()
	entries, dead := m.readJournal()
	m.deliverIdeally(entries, dead, tempo)
	m.compare()
}

// tempo is a random `delivery` section, quick enough for a test. The rate is one of its own: a rate that is learned from the vendors'
// 429 would be as low as the machine is slow.
func (m *model) tempo() string {
	return fmt.Sprintf(`
delivery:
  rate: 10000
  concurrency: %d
  window: %d
  batch: { max_items: %d, max_wait: %dms }
  retry: { initial: 2ms, max: 20ms }
  breaker: { failures: %d, cooldown: 5ms, max_cooldown: 40ms }
`, 1+m.dice.IntN(16), 20+m.dice.IntN(300), 1+m.dice.IntN(50), m.dice.IntN(10), 2+m.dice.IntN(8))
}

func (m *model) loadConfig(sim *simulator.Simulator, tempo string) *config.Config {
	m.t.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "listen: %q\nadmin: { listen: \"127.0.0.1:0\" }\njournal: { dir: %q }\n", m.listen, filepath.Join(m.dir, "data"))
	text.WriteString("sources: { test: { write_key: key }, other: { write_key: other } }\n" + tempo + m.rules.section() + "destinations:\n")
	for _, d := range modelDestinations {
		fmt.Fprintf(&text, "  %s: { type: %s, remember_merges: %t, delivery: { allow_private: true }, settings: { %s, endpoint: %q } }\n",
			d.name, d.vendor, m.rules != nil || m.remembering[d.name], m.rules.settings(d), sim.Account(d.name).Endpoint())
	}
	path := filepath.Join(m.dir, "config.yaml")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		m.t.Fatal(err)
	}
	config, err := config.Load(path, config.LoadOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	return config
}

func (m *model) start(config *config.Config) {
	m.t.Helper()
	m.router = New(config, m.log)
	if err := m.router.Start(m.ctx); err != nil {
		m.t.Fatal(err)
	}
}

func (m *model) stop() {
	m.router.Stop(m.ctx)
	if m.outcomes == nil {
		m.outcomes = map[string]int{}
	}
	m.eachSeries("aka_outcomes_total", func(labels map[string]string, value float64) { m.outcomes[labels["destination"]] += int(value) })
	if m.rules != nil {
		m.eachSeries("aka_merge_verdicts_total", func(labels map[string]string, value float64) {
			m.rules.fired[labels["rule"]+" "+labels["verdict"]] += int(value)
		})
	}
}

// checkOutcomes checks that every accepted call has ended in exactly one counted outcome at each destination, and every replay in one
// more.
func (m *model) checkOutcomes() {
	m.t.Helper()
	for _, d := range modelDestinations {
		want := households * callsPerHousehold
		if m.rules != nil {
			want += m.rules.replays[d.name]
		}
		if got := m.outcomes[d.name]; got != want {
			m.t.Errorf("%s: %d outcomes are counted of %d calls", d.name, got, want)
		}
	}
}

// breakVendors has every vendor fail now and then.
func (m *model) breakVendors() {
	for _, d := range modelDestinations {
		faults := m.faults()
		// Events may be missing only where that makes no other people of those that stay.
		if d.name == "original" && m.dice.IntN(2) == 0 {
			faults = m.refusals()
		}
		if d.vendor == "webhook" { // which takes a page with a 2xx for a success: the receiver must have the calls then
			faults = slices.DeleteFunc(faults, func(f simulator.Fault) bool { return f.Page && f.When != simulator.After })
		}
		if err := m.faulty.Account(d.name).AddFaults(faults...); err != nil {
			m.t.Fatal(err)
		}
	}
}

// faults are a random choice of what passes when it is tried again.
func (m *model) faults() []simulator.Fault {
	several := func(e simulator.Exchange) bool { return len(e.Records) > 1 }
	all := []simulator.Fault{
		{Status: http.StatusServiceUnavailable, Probability: m.rarely()},
		{Status: http.StatusBadGateway, When: simulator.After, Probability: m.rarely()},
		{Status: http.StatusTooManyRequests, Probability: m.rarely()},
		{Status: http.StatusUnauthorized, Times: m.fewTimes(), Probability: m.rarely()},
		{Status: http.StatusRequestEntityTooLarge, Match: several, Probability: m.rarely()},
		{Reset: true, Probability: m.rarely()},
		{Reset: true, When: simulator.After, Probability: m.rarely()},
		{Delay: time.Duration(1+m.dice.IntN(20)) * time.Millisecond, Probability: m.rarely()},
		{Status: http.StatusInternalServerError, Times: m.fewTimes()},
		{Page: true, Probability: m.rarely()},
		{Page: true, When: simulator.After, Probability: m.rarely()},
		{Endless: true, Probability: m.rarely()},
	}
	m.dice.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:m.dice.IntN(len(all)+1)]
}

// refusals make dead letters of single events. None of them was taken before, so the ideal delivery leaves them out.
func (m *model) refusals() []simulator.Fault {
	return []simulator.Fault{
		{FailRecords: []int{0, 3}, Path: "/import", Times: m.fewTimes(), Probability: 3 * m.rarely()},
		{Status: http.StatusServiceUnavailable, Probability: m.rarely()},
	}
}

func (m *model) rarely() float64 { return 0.02 + 0.1*m.dice.Float64() }

func (m *model) fewTimes() int { return 1 + m.dice.IntN(20) }

// tell has every household send its calls, all at once, while the router is stopped and started, goes on with another config,
// or is paused.
func (m *model) tell() {
	var reporting sync.WaitGroup
	all := make([]*household, households)
	var before [][2]string
	for i := range all {
		all[i] = newHousehold(i, m.dice, m.rules != nil)
		before = append(before, [2]string{fmt.Sprint("former-", i), all[i].people[0].userID})
	}
	if m.rules != nil {
		m.importMerges(before)
	}
	for _, h := range all {
		story := h.story(callsPerHousehold)
		cut := rand.New(rand.NewPCG(m.dice.Uint64(), 0))
		reporting.Go(func() { m.send(story, cut) })
	}
	for range m.dice.IntN(5) {
		m.interrupt()
	}
	reporting.Wait()
}

// interrupt does something to the router when some calls are accepted.
func (m *model) interrupt() {
	accepted := m.dice.Int64N(households * callsPerHousehold)
	m.until("calls are accepted", func() bool { return m.acked.Load() >= accepted })
	kinds := 3
	if m.rules != nil {
		kinds += 6
	}
	switch m.dice.IntN(kinds) {
	case 0:
		m.stop()
		m.start(m.router.Config())
	case 1:
		m.loadConfig(m.faulty, m.tempo())
		if done, err := m.router.Reload(); err != nil || len(done.Replaced) == 0 || len(done.NeedsRestart) > 0 {
			m.t.Errorf("reloaded %+v, %v", done, err)
		}
	case 2:
		for _, d := range modelDestinations {
			m.pause(d.name, true)
		}
		accepted += m.dice.Int64N(households*callsPerHousehold-accepted) / 2
		m.until("more calls are accepted", func() bool { return m.acked.Load() >= accepted })
		for _, d := range modelDestinations {
			m.pause(d.name, false)
		}
	case 3:
		m.rotateToken()
	case 4:
		m.changeVerdicts()
	case 5:
		m.blockLater()
	case 6:
		m.replay(2)
	default:
		m.operate(3)
	}
}

func (m *model) pause(destination string, paused bool) {
	if err := m.router.Pause(destination, paused); err != nil {
		m.t.Error(err)
	}
}

// send sends a story in order, as single calls and as batches, each again and again until it is answered 200. Sometimes it
// sends one twice.
func (m *model) send(story []call, dice *rand.Rand) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for len(story) > 0 {
		n := min(1+dice.IntN(5), len(story))
		path, body := "batch", any(map[string]any{"batch": story[:n]})
		if n == 1 {
			path, body = story[0]["type"].(string), story[0]
		}
		writeKey := m.rules.writeKey(dice)
		for range 1 + dice.IntN(10)/9 {
			m.post(client, writeKey, path, body)
		}
		m.acked.Add(int64(n))
		story = story[n:]
	}
}

func (m *model) post(client *http.Client, writeKey, path string, body any) {
	encoded, err := json.Marshal(body)
	if err != nil {
		m.t.Error(err)
		return
	}
	m.until("it is answered 200", func() bool {
		request, err := http.NewRequestWithContext(m.ctx, http.MethodPost, "http://"+m.listen+"/v1/"+path, bytes.NewReader(encoded))
		if err != nil {
			m.t.Error(err)
			return true
		}
		request.SetBasicAuth(writeKey, "")
		response, err := client.Do(request)
		if err != nil {
			return false // it is restarting
		}
		defer response.Body.Close()
		if response.StatusCode == http.StatusBadRequest {
			m.t.Errorf("the story holds what is refused: %s", encoded)
			return true
		}
		return response.StatusCode == http.StatusOK
	})
}

// until polls what gives no sign when it changes.
func (m *model) until(what string, done func() bool) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-m.ctx.Done():
			m.t.Errorf("waited until %s: %v", what, m.ctx.Err())
			return
		}
	}
}

func (m *model) waitUntilAllEnded() {
	m.t.Helper()
	m.until("every call has ended at every destination", func() bool {
		if m.rules != nil {
			m.operate(2)
		}
		return m.backlog() == 0
	})
	if m.t.Failed() {
		m.stop()
		m.t.FailNow()
	}
}

// backlog is how many calls have not ended, over all destinations.
func (m *model) backlog() float64 {
	sum := 0.0
	m.eachSeries("aka_backlog_calls", func(_ map[string]string, value float64) { sum += value })
	return sum
}

// eachSeries visits the series of a metric of the router that runs.
func (m *model) eachSeries(name string, visit func(labels map[string]string, value float64)) {
	families, err := m.router.registry.Gather()
	if err != nil {
		m.t.Error(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			visit(labels, metric.GetGauge().GetValue()+metric.GetCounter().GetValue())
		}
	}
}

// deadLetterKey names a dead letter: what a vendor refused need not be among what it knows.
type deadLetterKey struct{ destination, messageID string }

// readJournal returns the calls in the order in which they were accepted, each once and once more for each replay, and those that
// were given up on with what the vendor said.
func (m *model) readJournal() (entries []journal.Entry, dead map[deadLetterKey]string) {
	m.t.Helper()
	options := m.router.Config().Journal.Options
	log, err := journal.Open(m.ctx, options, m.log, prometheus.NewRegistry())
	if err != nil {
		m.t.Fatal(err)
	}
	defer log.Close()
	total, head := log.Head()
	seen := map[string]bool{}
	for reader, next := log.ReadFrom(1), uint64(1); next < head.Seq; next++ {
		frame, err := reader.Next(m.ctx)
		if err != nil {
			m.t.Fatal(err)
		}
		for _, e := range frame.Entries {
			if seen[e.MessageID] && e.Replayed == nil {
				m.t.Errorf("call %s is in the journal twice", e.MessageID)
			}
			seen[e.MessageID] = true
			entries = append(entries, e)
		}
	}
	if len(entries) != int(total) || len(seen) != households*callsPerHousehold {
		m.t.Errorf("the journal holds %d calls, %d of them different, and counts %d, of %d that were accepted", len(entries), len(seen), total, households*callsPerHousehold)
	}
	if m.rules != nil {
		err = log.ExportLedger(m.ctx, "", journal.LedgerFilter{}, m.rules.noteLedger)
		if err != nil {
			m.t.Fatal(err)
		}
	}
	dead = map[deadLetterKey]string{}
	err = log.DeadLetters(m.ctx, journal.DeadFilter{}, 0, func(d *journal.DeadLetter) bool {
		dead[deadLetterKey{d.Destination, d.Entry.MessageID}] = d.Detail
		return true
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return entries, dead
}

// deliverIdeally gives the calls to vendors without faults, strictly one after the other, except for those that a fault made
// a dead letter. Any other dead letter must be one that these vendors refuse too.
func (m *model) deliverIdeally(entries []journal.Entry, dead map[deadLetterKey]string, tempo string) {
	m.t.Helper()
	config := m.loadConfig(m.ideal, tempo)
	for _, d := range modelDestinations {
		destination := config.Destinations[d.name]
		sender := httpclient.New(destination.Delivery.HTTP())
		for i := range entries {
			detail, isDead := dead[deadLetterKey{d.name, entries[i].MessageID}]
			if isDead && strings.Contains(detail, "simulated fault") {
				continue
			}
			taken := m.deliver(destination, sender, &entries[i])
			if isDead && taken {
				m.t.Errorf("%s: the %s call %s became a dead letter (%s), and is well in itself", d.name, entries[i].Type, entries[i].MessageID, detail)
			}
		}
	}
}

// deliver sends what a call means to a destination, and reports whether all of it was taken.
func (m *model) deliver(d *config.Destination, sender delivery.Sender, e *journal.Entry) bool {
	decision, reason, _ := d.Filter(nil, &e.Message)
	if reason != "" {
		return true
	}
	call, err := e.Decode()
	if err != nil {
		m.t.Fatal(err)
	}
	call.Options = decision.Options
	outcome := d.Translate(call)
	if outcome.Rejected != nil {
		return false
	}
	if c := outcome.Condition; c != nil && !m.idealHas(d.Name, c.UsedID) {
		return true
	}
	for _, request := range outcome.Requests {
		exchange := httpclient.Exchange{Method: request.Method, URL: request.URL, Body: adapter.Body([]adapter.Request{request})}
		exchange.Header, _ = adapter.Signed([]adapter.Request{request}, exchange.Body, time.Now())
		response := sender.Send(exchange)
		if response.Err != nil {
			m.t.Fatal(response.Err)
		}
		verdicts := d.Judge([]adapter.Request{request}, adapter.Answer{Status: response.Status, Body: response.Body})
		if verdicts[0].Class != adapter.Delivered {
			return false
		}
	}
	return true
}

// idealHas reports whether somebody lives under an id at the ideal vendor.
func (m *model) idealHas(destination, id string) bool {
	return slices.ContainsFunc(m.ideal.Account(destination).Graph(), func(p simulator.Person) bool { return slices.Contains(p.IDs, id) })
}

func (m *model) compare() {
	m.t.Helper()
	for _, d := range modelDestinations {
		got, want := m.faulty.Account(d.name).Graph(), m.ideal.Account(d.name).Graph()
		if len(want) < households/2 {
			m.t.Errorf("%s: the story is about %d people only", d.name, len(want))
		}
		if !reflect.DeepEqual(got, want) {
			m.t.Errorf("%s: the vendor's people are not those of an ideal delivery:\n%s", d.name, difference(got, want))
		}
		if d.vendor == "segment" || d.vendor == "webhook" {
			m.checkPlaces(d)
		}
		for _, refusal := range m.faulty.Account(d.name).Refusals() {
			if m.remembering[d.name] && refusal.Kind == "create_alias" {
				m.t.Errorf("%s: an alias was sent that the vendor throws away: %s", d.name, refusal.Reason)
			}
		}
		for _, person := range got {
			for _, id := range person.IDs {
				if junkIDs[strings.TrimPrefix(id, "$device:")] {
					m.t.Errorf("%s: nobody's id %q became somebody's", d.name, id)
				}
			}
		}
	}
}

// difference lists the people that only one side has.
func difference(got, want simulator.Graph) string {
	lines := func(g simulator.Graph) map[string]bool {
		set := map[string]bool{}
		for _, person := range g {
			set[fmt.Sprintf("%+v", person)] = true
		}
		return set
	}
	var out strings.Builder
	inGot, inWant := lines(got), lines(want)
	for line := range inGot {
		if !inWant[line] {
			fmt.Fprintln(&out, "  got ", line)
		}
	}
	for line := range inWant {
		if !inGot[line] {
			fmt.Fprintln(&out, "  want", line)
		}
	}
	return out.String()
}
