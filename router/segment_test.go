package router

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"aka/destinations/simulator"
	"aka/router/config"
)

// upstreams are several akas, and what simulated vendors stand behind them.
type upstreams struct {
	t   *testing.T
	sim *simulator.Simulator
}

func newUpstreams(t *testing.T) *upstreams {
	t.Helper()
	sim, err := simulator.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	return &upstreams{t, sim}
}

// add opens an account of a simulated vendor, and returns its endpoint.
func (u *upstreams) add(name, vendor string) string {
	u.t.Helper()
	endpoint, err := u.sim.Add(name, vendor, simulator.Options{})
	if err != nil {
		u.t.Fatal(err)
	}
	return endpoint
}

// aka starts one that listens at an address. Calls come from the source test, and from others on the source upstream.
func (u *upstreams) aka(listen, destinations, more string) *strange {
	u.t.Helper()
	text := fmt.Sprintf(`
listen: %q
admin: { listen: "127.0.0.1:0" }
journal: { dir: %q }
sources: { test: { write_key: key }, upstream: { write_key: upstream-key } }
delivery: { allow_private: true, batch: { max_wait: 1ms }, retry: { initial: 2ms, max: 20ms } }
%s
destinations: { %s }
`, listen, filepath.Join(u.t.TempDir(), "data"), more, destinations)
	ctx, cancel := context.WithTimeout(u.t.Context(), 5*time.Minute)
	u.t.Cleanup(cancel)
	s := &strange{&model{t: u.t, ctx: ctx, log: zap.NewNop()}, u.sim, load(u.t, text, config.LoadOptions{})}
	s.start(s.config)
	u.t.Cleanup(func() { s.router.Stop(u.t.Context()) })
	return s
}

// toAka is a destination that is another aka.
func toAka(address string) string {
	return fmt.Sprintf("next: { type: segment, settings: { flavor: aka, write_key: upstream-key, endpoint: %q } }", "http://"+address+"/v1")
}

// records are the items of the batches that a plain vendor got, in their order.
func (u *upstreams) records(account string) (items []map[string]any) {
	u.t.Helper()
	for _, exchange := range u.sim.Account(account).Exchanges() {
		for _, record := range exchange.Records {
			batch, ok := record.(map[string]any)["batch"].([]any)
			if !ok {
				u.t.Fatalf("no batch: %v", record)
			}
			for _, item := range batch {
				items = append(items, item.(map[string]any))
			}
		}
	}
	return items
}

func TestAnAliasGoesThroughTwoAkasInItsOrder(t *testing.T) {
	u := newUpstreams(t)
	second := u.aka("127.0.0.1:0", fmt.Sprintf("vero: { settings: { auth_token: t, endpoint: %q } }, end: { type: segment, settings: { write_key: k, endpoint: %q } }",
		u.add("vero", "vero"), u.add("end", "plain")), "instance: aka-2")
	first := u.aka("127.0.0.1:0", toAka(second.router.Addr()), "instance: aka-1")
	first.postBatch([]string{
		`{"type":"identify","messageId":"m1","userId":"jen@email.com","traits":{"plan":"free"}}`,
		`{"type":"track","messageId":"m2","userId":"jen@email.com","event":"Before","timestamp":"2026-01-02T03:04:05.678Z","properties":{"price":19.90}}`,
		`{"type":"alias","messageId":"m3","previousId":"jen@email.com","userId":"507f191e81","integrations":{"Mixpanel":false,"next":true,"Segment":true}}`,
		`{"type":"track","messageId":"m4","userId":"507f191e81","event":"After"}`,
	})
	first.waitUntilAllEnded()
	second.waitUntilAllEnded()

	if graph := u.sim.Account("vero").Graph(); len(graph) != 1 || !slices.Contains(graph[0].IDs, "507f191e81") || !slices.Equal(graph[0].Events, []string{"After", "Before"}) {
		t.Errorf("Vero knows\n%s", graph)
	}
	items := map[string]map[string]any{}
	for _, item := range u.records("end") {
		items[item["messageId"].(string)] = item
		if via, _ := json.Marshal(item["context"].(map[string]any)["aka"]); string(via) != `{"via":["aka-1","aka-2"]}` {
			t.Errorf("%s came by %s", item["messageId"], via)
		}
	}
	if len(items) != 4 || items["m2"]["timestamp"] != "2026-01-02T03:04:05.678Z" || fmt.Sprint(items["m2"]["properties"]) != "map[price:19.90]" {
		t.Errorf("got %v", items)
	}
	if got := fmt.Sprint(items["m3"]["integrations"]); got != "map[Mixpanel:false]" {
		t.Errorf("the integrations are %s", got)
	}
	for _, s := range []*strange{first, second} {
		for name := range s.config.Destinations {
			if delivered := s.count("aka_outcomes_total", name, "delivered"); delivered != 4 {
				t.Errorf("%s: %v of 4 calls were delivered", name, delivered)
			}
		}
	}
}

// A call comes back on another source, so that its messageId is new there.
func TestTwoAkasThatForwardToEachOtherEndAfterOneLap(t *testing.T) {
	u := newUpstreams(t)
	reserved, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := reserved.Addr().String()
	_ = reserved.Close()
	second := u.aka("127.0.0.1:0", toAka(address), "")
	first := u.aka(address, toAka(second.router.Addr()), "")
	first.postBatch([]string{
		`{"type":"track","messageId":"m1","userId":"u-1","event":"Round"}`,
		`{"type":"alias","messageId":"m2","previousId":"u-1","userId":"u-2"}`,
	})
	first.until("the calls are back", func() bool { return first.count("aka_outcomes_total", "next", "forwarding_loop") == 2 })
	first.waitUntilAllEnded()
	second.waitUntilAllEnded()
	for name, s := range map[string]*strange{"first": first, "second": second} {
		if delivered := s.count("aka_outcomes_total", "next", "delivered"); delivered != 2 {
			t.Errorf("%s: %v of 2 calls were delivered", name, delivered)
		}
	}
	if looped := second.count("aka_outcomes_total", "next", "forwarding_loop"); looped != 0 {
		t.Errorf("%v calls made another lap", looped)
	}
}

func TestAnAkaThatForwardsToItselfEndsAtOnce(t *testing.T) {
	u := newUpstreams(t)
	reserved, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := reserved.Addr().String()
	_ = reserved.Close()
	s := u.aka(address, toAka(address), "")
	s.postBatch([]string{`{"type":"track","messageId":"m1","userId":"u-1","event":"Round"}`})
	s.until("the call is back", func() bool { return s.count("aka_outcomes_total", "next", "forwarding_loop") == 1 })
	s.waitUntilAllEnded()
	if delivered := s.count("aka_outcomes_total", "next", "delivered"); delivered != 1 {
		t.Errorf("%v calls were delivered", delivered)
	}
}

// What another aka rejects of a batch is a dead letter, and the rest of it is delivered.
func TestWhatAnotherAkaRejectsIsADeadLetter(t *testing.T) {
	u := newUpstreams(t)
	second := u.aka("127.0.0.1:0", fmt.Sprintf("vero: { settings: { auth_token: t, endpoint: %q } }", u.add("vero", "vero")), "limits: { call_bytes: 2KiB }")
	first := u.aka("127.0.0.1:0", toAka(second.router.Addr()), "")
	var calls []string
	for i := range 20 {
		calls = append(calls, fmt.Sprintf(`{"type":"track","userId":"person-%02d","event":"Bought"}`, i))
	}
	calls[7] = `{"type":"track","userId":"person-07","event":"Bought","properties":{"x":"` + strings.Repeat("x", 4096) + `"}}`
	first.postBatch(calls)
	first.waitUntilAllEnded()
	second.waitUntilAllEnded()
	if delivered, refused := first.count("aka_outcomes_total", "next", "delivered"), first.count("aka_outcomes_total", "next", "refused"); delivered != 19 || refused != 1 {
		t.Errorf("%v calls were delivered, and %v refused", delivered, refused)
	}
	if delivered := second.count("aka_outcomes_total", "vero", "delivered"); delivered != 19 {
		t.Errorf("%v calls were delivered", delivered)
	}
}

// aka waits for a key that the other one does not know.
func TestAWrongKeyOfAnotherAkaHoldsTheCalls(t *testing.T) {
	u := newUpstreams(t)
	second := u.aka("127.0.0.1:0", fmt.Sprintf("vero: { settings: { auth_token: t, endpoint: %q } }", u.add("vero", "vero")), "")
	first := u.aka("127.0.0.1:0", strings.ReplaceAll(toAka(second.router.Addr()), "upstream-key", "another-key"), "")
	first.postBatch([]string{`{"type":"track","userId":"u-1","event":"E"}`})
	first.until("the credentials are refused", func() bool { return first.gauge("aka_destination_state", "next", "auth_failed") == 1 })
}

func TestTheRulesOfMergesActInFrontOfAnUpstream(t *testing.T) {
	for verdict, want := range map[string]string{"hold": "aka_merges_held", "drop": "merge_known_users", "allow": "delivered"} {
		t.Run(verdict, func(t *testing.T) {
			u := newUpstreams(t)
			s := u.aka("127.0.0.1:0", fmt.Sprintf("segment: { settings: { write_key: k, endpoint: %q } }", u.add("segment", "plain")),
				"merges: { new_user_grace: 0s, known_users: "+verdict+" }")
			s.postBatch([]string{`{"type":"identify","userId":"u-1","traits":{}}`, `{"type":"identify","userId":"u-2","traits":{}}`})
			s.waitUntilAllEnded()
			s.postBatch([]string{`{"type":"alias","previousId":"u-1","userId":"u-2"}`})
			ended := func() bool { return s.count("aka_outcomes_total", "segment", "alias", want) == 1 }
			if verdict == "hold" {
				ended = func() bool { return s.gauge(want, "segment") == 1 }
			}
			s.until("the alias ends as "+want, ended)
			sent := slices.ContainsFunc(u.records("segment"), func(item map[string]any) bool { return item["type"] == "alias" })
			if sent != (verdict == "allow") {
				t.Errorf("the alias was sent: %t", sent)
			}
		})
	}
}
