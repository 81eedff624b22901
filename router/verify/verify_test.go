package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"aka/destinations/adapter"
	"aka/router/config"
	"aka/router/segment"
)

const secret = "s3cret-of-the-account"

// server is a vendor that answers as a test says, and notes what came.
type server struct {
	*httptest.Server
	answer func(w http.ResponseWriter, r *http.Request)

	mu   sync.Mutex
	came []arrival
}

type arrival struct {
	text string
	at   time.Time
}

func newServer(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) *server {
	t.Helper()
	s := &server{answer: answer}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.came = append(s.came, arrival{strings.TrimSpace(r.Method + " " + r.URL.Path + " " + string(body)), time.Now()})
	s.mu.Unlock()
	s.answer(w, r)
}

func (s *server) arrivals() []arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]arrival{}, s.came...)
}

func (s *server) texts() string {
	var lines []string
	for _, a := range s.arrivals() {
		lines = append(lines, a.text)
	}
	return strings.Join(lines, "\n")
}

// scripted is an adapter that does as a test says.
type scripted struct {
	adapter.Common
	translate func(*segment.Call) adapter.Outcome
	next      func([]adapter.Answered) adapter.Outcome
	checks    []adapter.Check
}

func (s *scripted) Translate(call *segment.Call) adapter.Outcome { return s.translate(call) }

func (s *scripted) Next(_ *segment.Call, answered []adapter.Answered) adapter.Outcome {
	return s.next(answered)
}

func (s *scripted) Verify(story adapter.Story) adapter.Verification {
	v := adapter.Verification{Story: story, Setup: "as scripted", Look: []string{"all of it"}, Checks: s.checks}
	if len(s.checks) == 0 {
		v.Unread = "nothing reads it back"
	}
	return v
}

// destination is one that the adapter is of.
func destination(t *testing.T, a adapter.Adapter) (*config.Config, *config.Destination) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	text := "sources: { website: { write_key: k } }\ndestinations: { mine: { type: vero, settings: { auth_token: " + secret + " } } }\ndelivery: { allow_private: true }\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path, config.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d := c.Destinations["mine"]
	d.Adapter = a
	return c, d
}

// plainly sends each call as its type and ids.
func plainly(base string) func(*segment.Call) adapter.Outcome {
	return func(call *segment.Call) adapter.Outcome {
		return adapter.Send(adapter.Request{Method: "POST", URL: base + "/" + call.Type.String(), Body: []byte(call.PreviousID + " " + call.UserID)})
	}
}

func ok(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }

func run(t *testing.T, a adapter.Adapter, o Options) *Result {
	t.Helper()
	c, d := destination(t, a)
	result, err := Run(t.Context(), c, d, o)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestTheStoryIsIdentifyTrackAliasIdentifyTrack(t *testing.T) {
	s := newServer(t, ok)
	result := run(t, &scripted{translate: plainly(s.URL)}, Options{})
	old, fresh := result.Story.Old, result.Story.New
	want := fmt.Sprintf("POST /identify  %[1]s\nPOST /track  %[1]s\nPOST /alias %[1]s %[2]s\nPOST /identify  %[2]s\nPOST /track  %[2]s", old, fresh)
	if result.Finding != Unverified || s.texts() != want {
		t.Errorf("%s:\n got %s\nwant %s", result.Finding, s.texts(), want)
	}
}

// A lower bound only: a timer never fires early.
func TestAWaitAndTheSettleTimeAreKept(t *testing.T) {
	const wait = 30 * time.Millisecond
	s := newServer(t, ok)
	a := &scripted{translate: func(call *segment.Call) adapter.Outcome {
		if call.Type != segment.Alias {
			return plainly(s.URL)(call)
		}
		return adapter.Send(adapter.Request{Method: "POST", URL: s.URL + "/first", Wait: wait}, adapter.Request{Method: "POST", URL: s.URL + "/second", Wait: time.Hour})
	}}
	c, d := destination(t, a)
	d.Settle = wait
	if _, err := Run(t.Context(), c, d, Options{}); err != nil {
		t.Fatal(err)
	}
	came := s.arrivals()
	if len(came) != 6 || came[2].text != "POST /first" {
		t.Fatalf("%s", s.texts())
	}
	for _, i := range []int{3, 4} { // the second request of the alias, and the call after it
		if waited := came[i].at.Sub(came[i-1].at); waited < wait {
			t.Errorf("%s came after %s", came[i].text, waited)
		}
	}
}

// What an answer decides comes after it, and an answer that drops the call is no success here.
func TestACallThatAsksGoesOnWithTheAnswer(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, `{"id":7}`) })
	find := func(*segment.Call) adapter.Outcome {
		return adapter.Send(adapter.Request{Method: "GET", URL: s.URL + "/find", Asks: true})
	}
	a := &scripted{translate: find, next: func(answered []adapter.Answered) adapter.Outcome {
		if string(answered[0].Answer.Body) != `{"id":7}` {
			return adapter.Reject(errors.New("answer: another one"))
		}
		return adapter.Send(adapter.Request{Method: "POST", URL: s.URL + "/write"})
	}}
	result := run(t, a, Options{})
	if want := strings.TrimSuffix(strings.Repeat("GET /find\nPOST /write\n", 5), "\n"); result.Finding != Unverified || s.texts() != want {
		t.Errorf("%+v\n%s", result, s.texts())
	}
	a.next = func([]adapter.Answered) adapter.Outcome { return adapter.Reject(errors.New("answer: no person")) }
	if result := run(t, a, Options{}); result.Finding != Failed || !strings.Contains(result.Why, "answer: no person") {
		t.Errorf("%+v", result)
	}
	c, d := destination(t, a)
	if plan, err := PlanOf(c, d); err != nil || !plan.Asks || plan.Requests != 5 {
		t.Errorf("%+v, %v", plan, err)
	}
}

// A slow vendor is asked until it has it, and everything has to be there at once.
func TestItIsReadBackUntilItIsThere(t *testing.T) {
	asked := map[string]int{}
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		asked[r.URL.Path]++
		n := asked[r.URL.Path]
		if r.URL.Path == "/first" && n == 2 || r.URL.Path == "/second" && n < 3 {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, "{}")
	})
	check := func(path string) adapter.Check {
		return adapter.Check{Expected: path, Request: adapter.Request{Method: "GET", URL: s.URL + path},
			Read: func(a adapter.Answer) (bool, string) { return a.Status == 200, "not yet" }}
	}
	a := &scripted{translate: plainly(s.URL), checks: []adapter.Check{check("/first"), check("/second")}}
	result := run(t, a, Options{Wait: time.Hour, Every: time.Millisecond})
	if result.Finding != Verified || asked["/first"] != 3 || asked["/second"] != 3 || !strings.Contains(result.Record, "as scripted") {
		t.Errorf("%+v, asked %v", result, asked)
	}
}

func TestItIsReadBackOnceWhereThereIsNoTime(t *testing.T) {
	s := newServer(t, ok)
	a := &scripted{translate: plainly(s.URL), checks: []adapter.Check{{Expected: "a person", Request: adapter.Request{Method: "GET", URL: s.URL + "/person"},
		Read: func(adapter.Answer) (bool, string) { return false, "none with the key " + secret }}}}
	result := run(t, a, Options{})
	if result.Finding != Failed || len(s.arrivals()) != 6 || result.Record != "" || !strings.Contains(result.Why, "a person is not found: none with the key <secret>") {
		t.Errorf("%+v\n%s", result, s.texts())
	}
}

func TestACancelledContextEndsIt(t *testing.T) {
	s := newServer(t, ok)
	c, d := destination(t, &scripted{translate: plainly(s.URL), checks: []adapter.Check{{Expected: "a person", Request: adapter.Request{Method: "GET", URL: s.URL + "/person"},
		Read: func(adapter.Answer) (bool, string) { return false, "" }}}})
	ctx, cancel := context.WithCancel(t.Context())
	s.answer = func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/person" {
			cancel()
		}
		ok(w, r)
	}
	if _, err := Run(ctx, c, d, Options{Wait: 3 * time.Hour, Every: time.Hour}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	d.Settle = time.Hour
	if _, err := Run(ctx, c, d, Options{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestSettingsThatSendNothingVerifyNothing(t *testing.T) {
	a := &scripted{translate: func(*segment.Call) adapter.Outcome { return adapter.Drop(adapter.NothingToSend) }}
	result := run(t, a, Options{})
	if result.Finding != Failed || !strings.Contains(result.Why, "no call of the story") || result.Calls[0].Reason != adapter.NothingToSend {
		t.Errorf("%+v", result)
	}
}

// A call that goes only where an id was a userId before goes if the story had it as one.
func TestTheStoryKnowsItsOwnUserIDs(t *testing.T) {
	s := newServer(t, ok)
	for _, used := range []bool{true, false} {
		a := &scripted{}
		a.translate = func(call *segment.Call) adapter.Outcome {
			id := call.PreviousID
			if !used {
				id = "another"
			}
			if call.Type == segment.Alias {
				return plainly(s.URL)(call).OnlyIfUsed(id, adapter.PreviousIDIsAnonymous)
			}
			return plainly(s.URL)(call)
		}
		alias := run(t, a, Options{}).Calls[2]
		if want := map[bool]string{true: OutcomeDelivered, false: OutcomeDropped}[used]; alias.Outcome != want {
			t.Errorf("%t: %+v", used, alias)
		}
	}
}

// mute is an adapter that is no Verifier.
type mute struct {
	adapter.Common
	url string
}

func (m *mute) Translate(call *segment.Call) adapter.Outcome { return plainly(m.url)(call) }

func TestAnAdapterThatKnowsNothingToAskLeavesItToAPerson(t *testing.T) {
	result := run(t, &mute{url: newServer(t, ok).URL}, Options{})
	if result.Finding != Unverified || len(result.Look) != 1 || !strings.Contains(result.Look[0], result.Story.New) {
		t.Errorf("%+v", result)
	}
}

// A vendor may answer with what it was sent.
func TestWhatAVendorSaysHoldsNoSecret(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, strings.Repeat("x", maxSaid-5)+secret)
	})
	result := run(t, &scripted{translate: plainly(s.URL + "/" + secret)}, Options{})
	if text := fmt.Sprintf("%+v", result); result.Finding != Failed || strings.Contains(text, secret[:6]) {
		t.Error(text)
	}
	if said := result.Calls[0].Exchanges[0].Said; len(said) != maxSaid {
		t.Errorf("%d bytes", len(said))
	}
}
