package router

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"

	"aka/destinations/simulator"
	"aka/router/config"
)

// strange are vendors that somebody else answers for, or whose answers do not end. An alias goes to each of their endpoints.
type strange struct {
	*model
	sim    *simulator.Simulator
	config *config.Config
}

var strangeDestinations = []struct{ name, vendor, mode, settings, alias string }{
	{"customerio", "customerio", "", "site_id: s, api_key: k, merge_wait: 1ms", "/api/v2/entity"},
	{"kissmetrics", "kissmetrics", "", "api_key: k", "/a"},
	{"legacy", "mixpanel", "legacy", "token: t, id_merge: legacy, settle: 0s", "/track"},
	{"merging", "mixpanel", "original", "token: t, id_merge: original, api_secret: s, alias_strategy: merge", "/import"},
	{"vero", "vero", "", "auth_token: t", "/users/reidentify"},
}

func newStrange(t *testing.T, timeout string) *strange { return newStrangeWith(t, timeout, "") }

// newStrangeWith adds a line to the delivery section.
func newStrangeWith(t *testing.T, timeout, more string) *strange {
	t.Helper()
	sim, err := simulator.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	text := fmt.Sprintf(`
listen: "127.0.0.1:0"
admin: { listen: "127.0.0.1:0" }
journal: { dir: %q }
sources: { test: { write_key: key } }
delivery:
  allow_private: true
  timeout: %s
  batch: { max_wait: 1ms }
  retry: { initial: 2ms, max: 20ms }
  breaker: { failures: 3, cooldown: 5ms, max_cooldown: 20ms }
  %s
destinations:
`, filepath.Join(t.TempDir(), "data"), timeout, more)
	for _, d := range strangeDestinations {
		endpoint, err := sim.Add(d.name, d.vendor, simulator.Options{IDMerge: d.mode, CustomerIO: simulator.CustomerIO{FindableAfter: -1}})
		if err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("  %s: { type: %s, settings: { %s, endpoint: %q } }\n", d.name, d.vendor, d.settings, endpoint)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	s := &strange{&model{t: t, ctx: ctx, log: zap.NewNop()}, sim, load(t, text, config.LoadOptions{})}
	s.start(s.config)
	t.Cleanup(func() { s.router.Stop(t.Context()) })
	return s
}

// tell sends a story that ends in an alias.
func (s *strange) tell() {
	s.t.Helper()
	s.postBatch([]string{
		`{"type":"identify","messageId":"m1","userId":"jen@email.com","traits":{"plan":"free"}}`,
		`{"type":"track","messageId":"m2","userId":"jen@email.com","event":"Before"}`,
		`{"type":"alias","messageId":"m3","previousId":"jen@email.com","userId":"507f191e81"}`})
}

// postBatch sends calls in one request.
func (s *strange) postBatch(items []string) {
	s.t.Helper()
	body := `{"batch":[` + strings.Join(items, ",") + `]}`
	request, err := http.NewRequestWithContext(s.ctx, http.MethodPost, "http://"+s.router.Addr()+"/v1/batch", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.SetBasicAuth("key", "")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		s.t.Fatal(response.Status)
	}
}

// fault has every vendor meet it, where it takes an alias or everywhere.
func (s *strange) fault(fault simulator.Fault, onlyAlias bool) {
	s.t.Helper()
	for _, d := range strangeDestinations {
		fault.Path = ""
		if onlyAlias {
			fault.Path = d.alias
		}
		if err := s.sim.Account(d.name).AddFaults(fault); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *strange) clear() {
	for _, d := range strangeDestinations {
		s.sim.Account(d.name).ClearFaults()
	}
}

// count adds up a counter of a destination, over the series that have all of the label values.
func (s *strange) count(name, destination string, labels ...string) (sum float64) {
	return s.sum(name, destination, labels, func(m *dto.Metric) float64 { return m.Counter.GetValue() })
}

// gauge does the same for a gauge.
func (s *strange) gauge(name, destination string, labels ...string) float64 {
	return s.sum(name, destination, labels, func(m *dto.Metric) float64 { return m.Gauge.GetValue() })
}

func (s *strange) sum(name, destination string, labels []string, value func(*dto.Metric) float64) (sum float64) {
	for _, family := range families(s.t, s.router) {
		for _, metric := range family.Metric {
			var values []string
			for _, l := range metric.Label {
				values = append(values, l.GetValue())
			}
			has := func(label string) bool { return slices.Contains(values, label) }
			if family.GetName() == name && has(destination) && !slices.ContainsFunc(labels, func(l string) bool { return !has(l) }) {
				sum += value(metric)
			}
		}
	}
	return sum
}

// wantOnePerson checks that each vendor has the story, and that it was delivered.
func (s *strange) wantOnePerson() {
	s.t.Helper()
	s.waitUntilAllEnded()
	for _, d := range strangeDestinations {
		graph := s.sim.Account(d.name).Graph()
		if len(graph) != 1 || !slices.Contains(graph[0].IDs, "507f191e81") || !slices.Contains(graph[0].Events, "Before") {
			s.t.Errorf("%s knows\n%s", d.name, graph)
		}
		if n := s.count("aka_outcomes_total", d.name, "delivered"); n != 3 {
			s.t.Errorf("%s: %v of 3 calls were delivered", d.name, n)
		}
	}
}

func TestAWebPageInAVendorsPlaceDeliversNothing(t *testing.T) {
	s := newStrange(t, "30s")
	s.fault(simulator.Fault{Page: true}, false)
	s.tell()
	for _, d := range strangeDestinations {
		s.until(d.name+" gets pages", func() bool { return s.count("aka_exchanges_total", d.name, "not_the_vendor") >= 5 })
		if n := s.count("aka_outcomes_total", d.name); n != 0 {
			t.Errorf("%s: %v calls have ended", d.name, n)
		}
		if n := s.count("aka_exchanges_total", d.name, "2xx"); n != 0 {
			t.Errorf("%s: %v exchanges count as well", d.name, n)
		}
	}
	s.clear()
	s.wantOnePerson()
	for _, d := range strangeDestinations {
		if foreign, possibly := s.count("aka_exchanges_total", d.name, "not_the_vendor"), s.count("aka_possibly_delivered_total", d.name); possibly < foreign {
			t.Errorf("%s: of %v pages %v are possibly delivered", d.name, foreign, possibly)
		}
	}
}

// The alias was taken, and a page is seen in place of the answer: its next try finds no profile to rename at Vero.
func TestAnAliasThatAPageHidesIsMadeOnce(t *testing.T) {
	s := newStrange(t, "30s")
	s.fault(simulator.Fault{Page: true, When: simulator.After, Times: 2}, true)
	s.tell()
	s.wantOnePerson()
	if n := s.count("aka_outcomes_total", "vero", "alias", "reidentified_before"); n != 1 {
		t.Errorf("%v renames were known to be made before", n)
	}
	for _, d := range strangeDestinations {
		if n := s.count("aka_exchanges_total", d.name, "not_the_vendor"); n != 2 {
			t.Errorf("%s: %v pages, want 2", d.name, n)
		}
	}
}

// A 404 that is a page is not Vero's word that the rename was made before.
func TestAPageThatFindsNothingIsNoRename(t *testing.T) {
	s := newStrange(t, "30s")
	s.fault(simulator.Fault{Status: http.StatusBadGateway, Times: 1}, true)
	s.fault(simulator.Fault{Page: true, Status: http.StatusNotFound, Path: "/users/reidentify"}, true)
	for _, d := range strangeDestinations {
		if d.name != "vero" {
			s.sim.Account(d.name).ClearFaults()
		}
	}
	s.tell()
	s.until("vero gets pages", func() bool { return s.count("aka_exchanges_total", "vero", "not_the_vendor") >= 3 })
	if n := s.count("aka_outcomes_total", "vero", "alias"); n != 0 {
		t.Errorf("%v renames have ended", n)
	}
	s.clear()
	s.wantOnePerson()
}

func TestAnAnswerWithoutAnEndIsWhatItBeginsWith(t *testing.T) {
	s := newStrange(t, "30s")
	s.fault(simulator.Fault{Endless: true}, false)
	s.tell()
	s.wantOnePerson()
	s.wantNoRepeats("customerio", "kissmetrics", "legacy", "merging", "vero")
}

// What only the body says is not known of one that stalls: such a call is tried again, as one that may have been taken.
func TestAnAnswerThatStallsIsWhatItsStatusSays(t *testing.T) {
	s := newStrange(t, "1s")
	s.fault(simulator.Fault{Endless: true, Drip: time.Hour}, true)
	s.tell()
	s.until("the alias is possibly delivered where only the body tells", func() bool { return s.count("aka_possibly_delivered_total", "legacy") >= 1 })
	if n := s.count("aka_outcomes_total", "legacy", "alias"); n != 0 {
		t.Errorf("%v aliases have ended", n)
	}
	s.sim.Account("legacy").ClearFaults()
	s.wantOnePerson()
	s.wantNoRepeats("customerio", "kissmetrics", "merging", "vero")
}

func (s *strange) wantNoRepeats(names ...string) {
	s.t.Helper()
	for _, name := range names {
		seen := map[string]bool{}
		for _, x := range s.sim.Account(name).Exchanges() {
			if seen[x.Digest] {
				s.t.Errorf("%s: %s %s came twice", name, x.Method, x.Path)
			}
			seen[x.Digest] = true
		}
		if n := s.count("aka_retries_total", name) + s.count("aka_possibly_delivered_total", name); n != 0 {
			s.t.Errorf("%s: %v tries failed", name, n)
		}
	}
}
