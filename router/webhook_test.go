package router

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"aka/destinations/simulator"
)

// receiver opens a simulated receiver of webhooks with these keys, and returns the destination that sends there. settings are more of
// its own.
func (u *upstreams) receiver(keys []string, settings string) (destination string) {
	u.t.Helper()
	endpoint, err := u.sim.Add("hook", "webhook", simulator.Options{Webhook: simulator.Webhook{Secrets: keys}})
	if err != nil {
		u.t.Fatal(err)
	}
	return fmt.Sprintf(`hook: { type: webhook, delivery: { timeout: 2s, breaker: { cooldown: 10ms, max_cooldown: 20ms } },
		settings: { url: %q, allow_http: true, secrets: [%s], %s } }`, endpoint+"/aka", webhookKey, settings)
}

var storyOfJen = []string{
	`{"type":"identify","messageId":"m1","userId":"jen@email.com","traits":{"plan":"free"}}`,
	`{"type":"track","messageId":"m2","userId":"jen@email.com","event":"Before"}`,
	`{"type":"alias","messageId":"m3","previousId":"jen@email.com","userId":"507f191e81"}`,
	`{"type":"track","messageId":"m4","userId":"507f191e81","event":"After"}`,
}

// Each try is signed anew, or the receiver would refuse it: its keys are checked. It has each call once, in order.
func TestAWebhookOutlastsWhatItsReceiverDoes(t *testing.T) {
	elsewhere := newUpstreams(t)
	other := elsewhere.add("other", "webhook")
	for name, fault := range map[string]simulator.Fault{
		"nothing":                       {Status: http.StatusOK, When: simulator.After, Times: 1},
		"a page after it took the call": {Page: true, When: simulator.After, Times: 1},
		"410":                           {Status: http.StatusGone, Times: 3},
		"a redirect to another port":    {Status: http.StatusTemporaryRedirect, Header: map[string]string{"Location": other + "/aka"}, Times: 2},
		"429":                           {Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "1"}, Times: 1},
		"no answer":                     {Hang: true, Times: 1},
		"a cut after the body":          {Reset: true, When: simulator.After, Times: 2},
		"a cut before":                  {Reset: true, Times: 2},
		"404":                           {Status: http.StatusNotFound, Times: 2},
		"500":                           {Status: http.StatusInternalServerError, When: simulator.After, Times: 2},
	} {
		for _, settings := range []string{"", "batch: 10", "batch: 10, gzip: true, format: standard"} {
			t.Run(name+" "+settings, func(t *testing.T) {
				t.Parallel()
				u := newUpstreams(t)
				s := u.aka("127.0.0.1:0", u.receiver([]string{webhookKey}, settings), "")
				account := u.sim.Account("hook")
				if err := account.AddFaults(fault); err != nil {
					t.Fatal(err)
				}
				s.postBatch(storyOfJen)
				s.waitUntilAllEnded()
				var order []string
				for _, r := range account.Records() {
					order = append(order, r.Key)
				}
				if !slices.Equal(order, []string{"m1", "m2", "m3", "m4"}) || s.count("aka_outcomes_total", "hook", "delivered") != 4 {
					t.Errorf("the receiver took %v", order)
				}
				if graph := account.Graph(); len(graph) != 1 || len(graph[0].Events) != 2 {
					t.Errorf("the receiver knows\n%s", graph)
				}
				for _, e := range account.Exchanges() {
					if e.Path != "/aka" || e.Method != http.MethodPost || e.Status == http.StatusUnauthorized {
						t.Errorf("%s %s was answered %d", e.Method, e.Path, e.Status)
					}
				}
				if n := len(elsewhere.sim.Account("other").Exchanges()); n != 0 {
					t.Errorf("%d requests followed a redirect", n)
				}
			})
		}
	}
}

func TestAWebhookWithAWrongKeyIsHeld(t *testing.T) {
	u := newUpstreams(t)
	s := u.aka("127.0.0.1:0", u.receiver([]string{"whsec_C2FtcGxlLXNlY3JldC1mb3ItdGVzdHMtb25seSE="}, ""), "")
	s.postBatch(storyOfJen)
	s.until("the credentials are refused", func() bool { return s.gauge("aka_destination_state", "hook", "auth_failed") == 1 })
	if ended := s.count("aka_outcomes_total", "hook"); ended != 0 {
		t.Errorf("%v calls have ended", ended)
	}
}

// With on_4xx: dead, the one call that a receiver does not take is found, and the others are delivered.
func TestAWebhookFindsTheCallThatIsRefused(t *testing.T) {
	u := newUpstreams(t)
	s := u.aka("127.0.0.1:0", u.receiver([]string{webhookKey}, "batch: 100, on_4xx: dead"), "")
	if err := u.sim.Account("hook").AddFaults(simulator.Fault{Status: http.StatusUnprocessableEntity, ID: "bad"}); err != nil {
		t.Fatal(err)
	}
	var calls []string
	for i := range 40 {
		calls = append(calls, fmt.Sprintf(`{"type":"track","messageId":"m%d","userId":"u%d","event":"E"}`, i, i))
	}
	calls[17] = `{"type":"track","messageId":"bad","userId":"u17","event":"E"}`
	s.postBatch(calls)
	s.waitUntilAllEnded()
	delivered, refused := s.count("aka_outcomes_total", "hook", "delivered"), s.count("aka_outcomes_total", "hook", "dead", "refused")
	if delivered != 39 || refused != 1 || len(u.sim.Account("hook").Records()) != 39 {
		t.Errorf("%v delivered, %v refused", delivered, refused)
	}
}

// A call that would change where it goes, from a browser's key, goes where all go.
func TestACallDoesNotChooseItsReceiver(t *testing.T) {
	u := newUpstreams(t)
	other := u.add("other", "webhook")
	s := u.aka("127.0.0.1:0", u.receiver([]string{webhookKey}, "headers: { X-Api-Key: k3y }"), "")
	s.postBatch([]string{strings.ReplaceAll(`{"type":"track","messageId":"m1","userId":"u1","event":"E","fullPath":"OTHER","url":"OTHER","header":{"X-Api-Key":"x","Host":"x"},
		"integrations":{"Webhook":{"appendPath":"/x","fullPath":"OTHER","method":"DELETE"}},"context":{"fullPath":"OTHER"}}`, "OTHER", other)})
	s.waitUntilAllEnded()
	all := u.sim.Account("hook").Exchanges()
	if len(all) != 1 || all[0].Method != http.MethodPost || all[0].Path != "/aka" || all[0].Header.Get("X-Api-Key") != "<secret>" || len(u.sim.Account("other").Exchanges()) != 0 {
		t.Errorf("got %+v", all)
	}
}
