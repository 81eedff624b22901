package router

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap/zaptest"

	"aka/destinations/simulator"
	"aka/router/admin"
	"aka/router/config"
	"aka/router/config/configtest"
)

// From the SDK to the vendor and the operator: what is behind a dead letter waits, restarts included, until that is replayed
// in its place or discarded, and nothing goes twice.
func TestAnOperatorFreesWhatWaitsBehindADeadLetter(t *testing.T) {
	for name, c := range map[string]struct {
		method, path string
		want         []string
	}{
		"by replaying it":  {"POST", "/dead-letters/%d/replay", []string{"first", "second", "third"}},
		"by discarding it": {"DELETE", "/dead-letters/%d", []string{"second", "third"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newBlockingWorld(t)
			w.send("first")
			w.until("it is a dead letter that holds up others", func() bool { l := w.deadLetters(); return len(l) == 1 && l[0].Blocking })
			w.send("second")
			w.router.Stop(t.Context())
			w.start()
			w.send("third")
			deadLetters := w.deadLetters()
			if events := w.events(); len(deadLetters) != 1 || !deadLetters[0].Blocking || len(events) > 0 {
				t.Fatalf("%v passed the dead letter, or it does not block: %+v", events, deadLetters)
			}
			w.ask(c.method, fmt.Sprintf(c.path, deadLetters[0].ID), &admin.Done{})
			w.until("the others have passed", func() bool { return len(w.events()) >= len(c.want) })
			if got := w.events(); !slices.Equal(got, c.want) || len(w.deadLetters()) > 0 {
				t.Errorf("the vendor got %v, want %v, and %d dead letters are left", got, c.want, len(w.deadLetters()))
			}
			w.router.Stop(t.Context())
		})
	}
}

// blockingWorld is a router whose only vendor refuses the first call.
type blockingWorld struct {
	t       *testing.T
	account *simulator.Account
	config  string
	router  *Router
}

func newBlockingWorld(t *testing.T) *blockingWorld {
	sim, err := simulator.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	endpoint, err := sim.Add("vero", "vero", simulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &blockingWorld{t: t, account: sim.Account("vero")}
	if err := w.account.AddFaults(simulator.Fault{Status: http.StatusBadRequest, Times: 1}); err != nil {
		t.Fatal(err)
	}
	w.config = configtest.Write(t, fmt.Sprintf(`
listen: "127.0.0.1:0"
admin: { listen: "127.0.0.1:0" }
journal: { dir: %q }
sources: { test: { write_key: key } }
delivery: { on_dead: block, allow_private: true }
destinations: { vero: { settings: { auth_token: t, endpoint: %q } } }
`, filepath.Join(t.TempDir(), "data"), endpoint))
	w.start()
	return w
}

func (w *blockingWorld) start() {
	w.t.Helper()
	config, err := config.Load(w.config, config.LoadOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.router = New(config, zaptest.NewLogger(w.t))
	if err := w.router.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *blockingWorld) send(event string) {
	w.t.Helper()
	body := fmt.Sprintf(`{"userId":"jane","event":%q,"messageId":%q}`, event, event)
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://"+w.router.Addr()+"/v1/track", strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	request.SetBasicAuth("key", "")
	w.do(request, nil)
}

// ask asks the operator's server.
func (w *blockingWorld) ask(method, path string, into any) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+w.router.AdminAddr()+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header.Set(admin.ProofHeader, "1")
	w.do(request, into)
}

func (w *blockingWorld) do(request *http.Request, into any) {
	w.t.Helper()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		w.t.Fatalf("%s: %d %s %v", request.URL.Path, response.StatusCode, body, err)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(body, into); err != nil {
		w.t.Fatal(err)
	}
}

func (w *blockingWorld) deadLetters() []admin.DeadLetter {
	w.t.Helper()
	var page admin.DeadLetters
	w.ask("GET", "/dead-letters", &page)
	return page.DeadLetters
}

// events are what the vendor took, in order.
func (w *blockingWorld) events() (events []string) {
	for _, r := range w.account.Records() {
		if r.Event != "" {
			events = append(events, r.Event)
		}
	}
	return events
}

func (w *blockingWorld) until(what string, done func() bool) {
	w.t.Helper()
	m := &model{t: w.t, ctx: w.t.Context()}
	m.until(what, done)
}
