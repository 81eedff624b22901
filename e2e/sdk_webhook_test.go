//go:build sdks

package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"aka/e2e/harness"
)

// The keys of a receiver, of which one takes the other's place.
const (
	oldWebhookKey = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	newWebhookKey = "whsec_C2FtcGxlLXNlY3JldC1mb3ItdGVzdHMtb25seSE="
)

// receiver is a program in Node that verifies webhooks with the library of Standard Webhooks.
type receiver struct {
	*script
	url string
}

// received is a request as the receiver had it.
type received struct {
	ID, Timestamp, Authorization, Body, Error string
	Signatures                                []string
	Status                                    int
}

func startReceiver(w *world, key string) *receiver {
	w.t.Helper()
	r := &receiver{script: w.startScript("webhooks.mjs")}
	var started struct{ URL string }
	r.read(&started)
	r.url = started.URL
	r.set(map[string]any{"secret": key})
	return r
}

// set sets what the receiver verifies with, or answers. No request may be under way.
func (r *receiver) set(what map[string]any) {
	r.w.t.Helper()
	r.write(what)
	var confirmed received
	r.read(&confirmed)
	if confirmed.Body != "" {
		r.w.t.Fatalf("a request comes while the receiver is set: %+v", confirmed)
	}
}

// next returns the next request, which the library must have taken.
func (r *receiver) next() (got received) {
	r.w.t.Helper()
	r.read(&got)
	if got.Error != "" {
		r.w.t.Errorf("the library refuses %s: %s", got.Body, got.Error)
	}
	return got
}

// messageIDs are those of a body: of one call, or of an array.
func messageIDs(t *testing.T, body string) (ids []string) {
	t.Helper()
	if !strings.HasPrefix(body, "[") {
		body = "[" + body + "]"
	}
	var calls []struct{ MessageID string }
	if err := json.Unmarshal([]byte(body), &calls); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	for _, c := range calls {
		ids = append(ids, c.MessageID)
	}
	return ids
}

// newWebhookWorld is a world whose destination is such a receiver.
func newWebhookWorld(t *testing.T, settings string) (*world, *receiver) {
	t.Helper()
	w := newWorld(t, harness.Setup{
		Destinations: []harness.Destination{{Name: "vero", Vendor: "vero", Settings: "auth_token: t"}},
		Delivery:     "retry: { initial: 1ms, max: 10ms }, breaker: { cooldown: 20ms, max_cooldown: 50ms }",
	})
	r := startReceiver(w, oldWebhookKey)
	w.Destinations = nil
	w.Add(harness.Destination{
		Name: "hook", Vendor: "webhook", Endpoint: r.url,
		Settings: "allow_http: true, url: " + strings.Replace(r.url, "://", "://aka:p4ssw0rd@", 1) + ", " + settings,
	})
	w.Configure()
	w.Start()
	return w, r
}

// useKeys changes the keys in the config, the new one first, and has it applied.
func (w *world) useKeys(keys ...string) {
	w.t.Helper()
	hook := w.Destination("hook")
	before, _, _ := strings.Cut(hook.Settings, "secrets:")
	hook.Settings = before + "secrets: [" + strings.Join(keys, ", ") + "]"
	w.Configure()
	aka(w.t, "", "reload", "--admin", w.Process.Admin)
}

func TestAWebhookIsVerifiedByAnothersLibraryAtEachTry(t *testing.T) {
	w, r := newWebhookWorld(t, "secrets: ["+oldWebhookKey+"]")
	r.set(map[string]any{"answers": []int{503, 0}})
	w.send("/v1/batch", `{"batch":[
		{"type":"track","messageId":"m0","anonymousId":"someone","event":"E"},
		{"type":"alias","messageId":"m1","previousId":"jen@email.com","userId":"507f191e81"},
		{"type":"track","messageId":"m2","userId":"507f191e81","event":"E","properties":{"price":19.90,"é":"</script>"}}]}`)
	tries := map[string][]received{}
	merged := false
	for range 5 { // three calls, and two that are tried again
		got := r.next()
		id := messageIDs(t, got.Body)[0]
		tries[id] = append(tries[id], got)
		merged = merged || id == "m1" && got.Status == 204
		if id == "m2" && !merged {
			t.Error("a call comes before the alias that it stands behind")
		}
		if got.ID != id || len(got.Signatures) != 1 || got.Authorization != "Basic YWthOnA0c3N3MHJk" {
			t.Errorf("got %+v", got)
		}
	}
	w.UntilAllEnded()
	for id, all := range tries {
		if all[len(all)-1].Status != 204 {
			t.Errorf("%s is not delivered", id)
		}
		for i, again := range all[1:] {
			first := all[i]
			if again.Body != first.Body || again.ID != first.ID {
				t.Errorf("a retry is %+v, and was %+v", again, first)
			}
			if first.Status == 503 && (again.Timestamp == first.Timestamp || again.Signatures[0] == first.Signatures[0]) {
				t.Error("a retry a second later is not signed anew")
			}
		}
	}
	r.close()
	w.Stop()
	if log := w.Process.Log.String(); strings.Contains(log, "p4ssw0rd") || strings.Contains(log, "MfKQ9r8G") || strings.Contains(log, "v1,") {
		t.Errorf("a secret is in the log:\n%s", log)
	}
}

// The receiver on the page is run as it is written there. It prints each call that it takes.
func TestTheReceiverOnThePageTakesEachCallOnce(t *testing.T) {
	text, err := os.ReadFile("../docs/vendors/webhook.md")
	harness.Check(t, err)
	_, code, found := strings.Cut(string(text), "<!-- receiver -->\n```js\n")
	code, _, _ = strings.Cut(code, "\n```\n")
	if !found {
		t.Fatal("there is no receiver on the page")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	harness.Check(t, err)
	address := listener.Addr().String()
	harness.Check(t, listener.Close())
	_, port, _ := strings.Cut(address, ":")
	t.Setenv("PORT", port)
	t.Setenv("WEBHOOK_SECRET", oldWebhookKey)

	w := newWorld(t, harness.Setup{
		Destinations: []harness.Destination{
			{Name: "single", Vendor: "webhook", Endpoint: "http://" + address, Settings: "url: https://hooks.example.com, secrets: [" + oldWebhookKey + "]"},
			{Name: "batch", Vendor: "webhook", Endpoint: "http://" + address, Settings: "batch: 10, url: https://hooks.example.com, secrets: [" + oldWebhookKey + "]"},
		},
		Delivery: "retry: { initial: 1ms, max: 10ms }, breaker: { cooldown: 20ms, max_cooldown: 50ms }",
	})
	page := w.startScript("--input-type=module", "-e", code)
	w.Start()
	w.send("/v1/batch", `{"batch":[{"type":"alias","messageId":"m1","previousId":"jen@email.com","userId":"507f191e81"},{"type":"track","messageId":"m2","userId":"507f191e81","event":"E"}]}`)
	var order []string
	for range 2 {
		var taken struct{ MessageID string }
		page.read(&taken)
		order = append(order, taken.MessageID)
	}
	w.UntilAllEnded()
	if fmt.Sprint(order) != "[m1 m2]" {
		t.Errorf("it took %v", order)
	}
	w.Stop()
	harness.Check(t, page.kill())
	if more, err := page.output.ReadString('\n'); err == nil {
		t.Errorf("it took %s, too", more)
	}
}

func TestAWebhooksKeyIsRotated(t *testing.T) {
	w, r := newWebhookWorld(t, "secrets: ["+oldWebhookKey+"]")
	n := 0
	sent := func() received {
		t.Helper()
		n++
		w.send("/v1/track", fmt.Sprintf(`{"messageId":"r%d","userId":"u1","event":"E"}`, n))
		var got received
		r.read(&got)
		return got
	}
	expect := func(when string, got received, signatures, status int) {
		t.Helper()
		if len(got.Signatures) != signatures || got.Status != status || (got.Error == "") != (status == 204) {
			t.Errorf("%s: got %+v", when, got)
		}
		if status == 204 {
			w.UntilAllEnded()
		}
	}
	expect("the old key", sent(), 1, 204)
	w.useKeys(newWebhookKey, oldWebhookKey)
	expect("both keys, to a receiver of the old one", sent(), 2, 204)
	r.set(map[string]any{"secret": newWebhookKey})
	expect("both keys, to a receiver of the new one", sent(), 2, 204)
	w.useKeys(newWebhookKey)
	expect("the new key", sent(), 1, 204)

	r.set(map[string]any{"secret": oldWebhookKey})
	expect("the new key, to a receiver of the old one", sent(), 1, 401)
	w.useKeys(oldWebhookKey)
	got := received{}
	for got.Status != 204 { // what the new key signed may be under way
		got = received{}
		r.read(&got)
	}
	expect("the old key again", got, 1, 204)
	if ids := messageIDs(t, got.Body); ids[0] != fmt.Sprintf("r%d", n) {
		t.Errorf("the call that was refused is lost: got %v", ids)
	}
	r.close()
	w.Stop()
}

func TestAWebhooksBatchIsSignedWhole(t *testing.T) {
	w, r := newWebhookWorld(t, "batch: 100, secrets: ["+oldWebhookKey+"]")
	var calls []string
	for i := range 50 {
		calls = append(calls, fmt.Sprintf(`{"type":"track","messageId":"b%d","userId":"u%d","event":"E"}`, i, i))
	}
	calls = append(calls, `{"type":"alias","messageId":"a.1","previousId":"u1","userId":"v1"}`, `{"type":"track","messageId":"t1","userId":"v1","event":"E"}`)
	r.set(map[string]any{"answers": []int{503}})
	w.send("/v1/batch", `{"batch":[`+strings.Join(calls, ",")+`]}`)
	taken, largest := []string{}, 0
	for len(taken) < len(calls) {
		got := r.next()
		ids := messageIDs(t, got.Body)
		if largest = max(largest, len(ids)); len(ids) > 1 && !strings.HasPrefix(got.ID, "b_") || !strings.HasPrefix(got.Body, "[") {
			t.Errorf("%d calls have the id %s", len(ids), got.ID)
		}
		if got.Status == 204 {
			taken = append(taken, ids...)
		}
	}
	w.UntilAllEnded()
	if largest < 2 {
		t.Error("nothing went together")
	}
	if before, alias, after := slices.Index(taken, "b1"), slices.Index(taken, "a.1"), slices.Index(taken, "t1"); before > alias || alias > after {
		t.Errorf("one person's calls arrive as %v", taken)
	}
	r.close()
	w.Stop()
}
