package router

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"aka/destinations/simulator"
)

// received is a request that an upstream got.
type received struct {
	path, body string
	items      []map[string]any
	envelope   map[string]json.RawMessage
}

// scripted is an upstream that answers as a test says.
type scripted struct {
	t      *testing.T
	server *httptest.Server
	answer func(n int, r received) (status int, body string)

	mu  sync.Mutex
	all []received
}

func newScripted(t *testing.T, answer func(n int, r received) (status int, body string)) *scripted {
	s := &scripted{t: t, answer: answer}
	s.server = httptest.NewServer(http.HandlerFunc(s.handle))
	t.Cleanup(s.server.Close)
	return s
}

func (s *scripted) handle(w http.ResponseWriter, r *http.Request) {
	var reader io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			s.t.Error(err)
			return
		}
		reader = unzipped
	}
	body, err := io.ReadAll(reader)
	if err != nil {
		s.t.Error(err)
		return
	}
	got := received{path: r.URL.Path, body: string(body)}
	if r.URL.Path == "/v1/batch" {
		if err := json.Unmarshal(body, &got.envelope); err != nil {
			s.t.Error(err)
		}
		if err := json.Unmarshal(got.envelope["batch"], &got.items); err != nil {
			s.t.Error(err)
		}
	}
	if key, _, _ := r.BasicAuth(); key != "wr1te-key" {
		s.t.Errorf("the key is %q", key)
	}
	s.mu.Lock()
	s.all = append(s.all, got)
	n := len(s.all)
	s.mu.Unlock()
	status, answer := s.answer(n, got)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, answer)
}

func (s *scripted) requests() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

// before starts an aka before the upstream.
func (s *scripted) before(settings string) *strange {
	return newUpstreams(s.t).aka("127.0.0.1:0", fmt.Sprintf("segment: { settings: { write_key: wr1te-key, endpoint: %q, %s } }", s.server.URL+"/v1", settings), "")
}

func twenty() (calls []string) {
	for i := range 20 {
		calls = append(calls, fmt.Sprintf(`{"type":"track","messageId":"m-%02d","userId":"person-%02d","event":"Bought"}`, i, i))
	}
	return calls
}

// Each flavor says in its own way that a call is refused. The others of its batch are delivered.
func TestEachFlavorRefusesACallInItsOwnWay(t *testing.T) {
	ok := map[string]string{"segment": `{"success":true}`, "customerio": `{"success":true}`, "rudderstack": `"OK"`, "jitsu": `{"ok":true}`, "aka": `{"success":true,"rejected":[]}`}
	for flavor := range ok {
		t.Run(flavor, func(t *testing.T) {
			upstream := newScripted(t, func(_ int, r received) (int, string) {
				at := slices.IndexFunc(r.items, func(item map[string]any) bool { return item["userId"] == "person-07" })
				switch {
				case at < 0:
					return 200, ok[flavor]
				case flavor == "jitsu":
					return 200, `{"ok":false,"errors":["Message ID: m-07: event error: bad"]}`
				case flavor == "aka":
					return 200, fmt.Sprintf(`{"success":true,"rejected":[{"index":%d,"code":"too_deep","message":"too deep"}]}`, at)
				}
				return 400, `{"success":false}`
			})
			s := upstream.before("flavor: " + flavor)
			s.postBatch(twenty())
			s.waitUntilAllEnded()
			if delivered, refused := s.count("aka_outcomes_total", "segment", "delivered"), s.count("aka_outcomes_total", "segment", "refused"); delivered != 19 || refused != 1 {
				t.Errorf("%v calls were delivered, and %v refused", delivered, refused)
			}
		})
	}
}

// A source that is off at RudderStack is for the operator: no call is lost.
func TestASourceThatIsOffHoldsTheCalls(t *testing.T) {
	upstream := newScripted(t, func(int, received) (int, string) { return 404, `"source is disabled"` })
	s := upstream.before("flavor: rudderstack")
	s.postBatch(twenty())
	s.until("the credentials are refused", func() bool { return s.gauge("aka_destination_state", "segment", "auth_failed") == 1 })
	if ended := s.count("aka_outcomes_total", "segment"); ended != 0 {
		t.Errorf("%v calls have ended", ended)
	}
}

func TestARetrySendsTheSameBytesUnlessTheAttemptHasATime(t *testing.T) {
	for _, sentAt := range []string{"none", "attempt"} {
		t.Run(sentAt, func(t *testing.T) {
			upstream := newScripted(t, func(n int, _ received) (int, string) { return []int{503, 200}[min(n-1, 1)], `{"success":true}` })
			s := upstream.before("sent_at: " + sentAt)
			began := time.Now().Add(-time.Millisecond)
			s.postBatch([]string{`{"type":"track","messageId":"m1","userId":"u-1","event":"E"}`})
			s.waitUntilAllEnded()
			requests := upstream.requests()
			if len(requests) != 2 || string(requests[0].envelope["batch"]) != string(requests[1].envelope["batch"]) {
				t.Fatalf("got %+v", requests)
			}
			for _, r := range requests {
				var at time.Time
				if sentAt == "none" {
					if r.body != requests[0].body || r.envelope["sentAt"] != nil {
						t.Errorf("got %s", r.body)
					}
				} else if err := json.Unmarshal(r.envelope["sentAt"], &at); err != nil || at.Before(began.Truncate(time.Millisecond)) || at.After(time.Now()) {
					t.Errorf("got %s (%v)", r.envelope["sentAt"], err)
				}
			}
		})
	}
}

// At Customer.io the envelope's integrations are the only ones, and an alias goes alone, in its place.
func TestCustomerIOsPipelinesGetBatchesThatSayTheSame(t *testing.T) {
	upstream := newScripted(t, func(int, received) (int, string) { return 200, `{"success":true}` })
	s := upstream.before("flavor: customerio")
	var calls []string
	for i := range 20 {
		calls = append(calls, fmt.Sprintf(`{"type":"track","userId":"person-%02d","event":"Bought","integrations":{"Mixpanel":%t}}`, i, i%2 == 0))
	}
	s.postBatch(append(calls, `{"type":"track","userId":"jen","event":"Before"}`, `{"type":"alias","previousId":"jen","userId":"u-1"}`, `{"type":"track","userId":"u-1","event":"After"}`))
	s.waitUntilAllEnded()
	sent, order := 0, []string{}
	for _, r := range upstream.requests() {
		if r.path == "/v1/alias" {
			order = append(order, "alias")
			continue
		}
		for _, item := range r.items {
			sent++
			if said, _ := json.Marshal(item["integrations"]); string(said) != string(r.envelope["integrations"]) && item["integrations"] != nil || item["integrations"] == nil && r.envelope["integrations"] != nil {
				t.Errorf("a batch of %s has %s", r.envelope["integrations"], said)
			}
			if item["event"] != "Bought" {
				order = append(order, item["event"].(string))
			}
		}
	}
	if sent != 22 || !slices.Equal(order, []string{"Before", "alias", "After"}) {
		t.Errorf("%d calls were sent, in the order %v", sent, order)
	}
}

// Each flavor against what its pages describe: an alias in its place, and nothing that is thrown away with a 200.
func TestEachFlavorTakesTheStory(t *testing.T) {
	for _, flavor := range []string{"segment", "rudderstack", "jitsu", "customerio", "aka"} {
		t.Run(flavor, func(t *testing.T) {
			takeStory(t, simulator.Segment{Flavor: flavor, Gzip: "refused"})
		})
		t.Run(flavor+" where its pages are silent, the other way", func(t *testing.T) {
			takeStory(t, simulator.Segment{
				Flavor: flavor, NoSentAt: "now", EmptyBatch: "invalid", BatchContext: "ignored", SentAt: "corrects", LongMessageIDs: "taken", Deduplicates: true,
			})
		})
	}
}

func takeStory(t *testing.T, set simulator.Segment) {
	flavor := set.Flavor
	u := newUpstreams(t)
	endpoint, err := u.sim.Add("segment", "segment", simulator.Options{Token: "wr1te-key", Segment: set})
	if err != nil {
		t.Fatal(err)
	}
	s := u.aka("127.0.0.1:0", fmt.Sprintf("segment: { settings: { write_key: wr1te-key, flavor: %s, endpoint: %q } }", flavor, endpoint), "")
	calls := append(twenty(), `{"type":"identify","messageId":"`+strings.Repeat("i", 120)+`","userId":"jen@email.com","traits":{"plan":"free"}}`,
		`{"type":"track","userId":"jen@email.com","event":"Before","timestamp":"2026-01-02T02:03:04Z","sentAt":"2026-01-02T02:03:04Z"}`,
		`{"type":"alias","previousId":"jen@email.com","userId":"507f191e81"}`,
		`{"type":"alias","anonymousId":"a-1","userId":"507f191e81"}`,
		`{"type":"track","userId":"507f191e81","event":"After"}`)
	s.postBatch(calls)
	s.waitUntilAllEnded()
	account := u.sim.Account("segment")
	p, ok := account.Graph().Person("507f191e81")
	if !ok || !slices.Equal(p.IDs, []string{"507f191e81", "a-1", "jen@email.com"}) || !slices.Equal(p.Events, []string{"After", "Before"}) {
		t.Errorf("%s knows\n%s", flavor, account.Graph())
	}
	if refusals := account.Refusals(); len(refusals) > 0 {
		t.Errorf("%s threw away %+v", flavor, refusals)
	}
	if delivered := s.count("aka_outcomes_total", "segment", "delivered"); int(delivered) != len(calls) {
		t.Errorf("%v of %d calls were delivered", delivered, len(calls))
	}
	for _, r := range account.Records() { // the sender's clock was an hour and more behind: it is corrected once
		if r.Event == "Before" && r.At.Sub(r.Time) > time.Minute {
			t.Errorf("the time of the event is %s, at %s", r.Time, r.At)
		}
	}
}

// A wrong key is for the operator where the upstream says so, and vanishes at Segment.
func TestAWrongKeyAtEachFlavor(t *testing.T) {
	for _, flavor := range []string{"segment", "rudderstack", "jitsu", "customerio", "aka"} {
		t.Run(flavor, func(t *testing.T) {
			u := newUpstreams(t)
			endpoint, err := u.sim.Add("segment", "segment", simulator.Options{Token: "another-key", Segment: simulator.Segment{Flavor: flavor}})
			if err != nil {
				t.Fatal(err)
			}
			s := u.aka("127.0.0.1:0", fmt.Sprintf("segment: { settings: { write_key: wr1te-key, flavor: %s, endpoint: %q } }", flavor, endpoint), "")
			s.postBatch([]string{`{"type":"track","userId":"u-1","event":"E"}`})
			if flavor == "segment" {
				s.waitUntilAllEnded()
				if refusals := u.sim.Account("segment").Refusals(); len(refusals) != 1 {
					t.Errorf("got %+v", refusals)
				}
				return
			}
			s.until("the credentials are refused", func() bool { return s.gauge("aka_destination_state", "segment", "auth_failed") == 1 })
		})
	}
}

// What goes beyond the upstream's limit is no success that is thrown away: it never leaves.
func TestACallThatTheUpstreamWouldThrowAwayIsADeadLetter(t *testing.T) {
	for _, flavor := range []string{"segment", "rudderstack", "customerio"} {
		t.Run(flavor, func(t *testing.T) {
			u := newUpstreams(t)
			endpoint, err := u.sim.Add("segment", "segment", simulator.Options{Segment: simulator.Segment{Flavor: flavor}})
			if err != nil {
				t.Fatal(err)
			}
			s := u.aka("127.0.0.1:0", fmt.Sprintf("segment: { settings: { write_key: wr1te-key, flavor: %s, endpoint: %q } }", flavor, endpoint), "")
			s.postBatch(append(twenty(), `{"type":"track","userId":"u-1","event":"E","properties":{"x":"`+strings.Repeat("x", 33_000)+`"}}`))
			s.waitUntilAllEnded()
			if delivered, rejected := s.count("aka_outcomes_total", "segment", "delivered"), s.count("aka_outcomes_total", "segment", "rejected"); delivered != 20 || rejected != 1 {
				t.Errorf("%v calls were delivered, and %v rejected", delivered, rejected)
			}
			if refusals := u.sim.Account("segment").Refusals(); len(refusals) > 0 {
				t.Errorf("it threw away %+v", refusals)
			}
		})
	}
}
