package e2e

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"aka/destinations/simulator"
	"aka/e2e/harness"
	"aka/router/journal"
)

const writeKey = harness.WriteKey

// testTimeout bounds one test, on any machine. None takes a tenth of it on one that is idle.
const testTimeout = 10 * time.Minute

// destinations are every vendor, and Mixpanel in the modes that merge and that do not.
var destinations = []harness.Destination{
	{Name: "kissmetrics", Vendor: "kissmetrics", Settings: "api_key: s3cret-key"},
	{Name: "mixpanel", Vendor: "mixpanel", Settings: "token: s3cret-token, id_merge: simplified", Options: simulator.Options{IDMerge: "simplified"}, NoAlias: true},
	{Name: "original", Vendor: "mixpanel", Settings: "token: s3cret-token, id_merge: original", Options: simulator.Options{IDMerge: "original"}},
	{Name: "vero", Vendor: "vero", Settings: "auth_token: s3cret-token"},
}

// rememberingMerges are the destinations where each remembers what was merged.
func rememberingMerges() []harness.Destination {
	all := slices.Clone(destinations)
	for i := range all {
		all[i].More = "remember_merges: true,"
	}
	return all
}

// world is what one test takes place in: simulated vendors, a config that sends to them, and a folder for the journal.
type world struct {
	*harness.World
	t *testing.T
}

func newWorld(t *testing.T, s harness.Setup) *world {
	t.Helper()
	s.Binary, s.Timeout = binary, testTimeout
	if s.Destinations == nil {
		s.Destinations = destinations
	}
	return &world{harness.NewWorld(t, s), t}
}

// journaled returns every call in the journal, in order. Nothing may run.
func (w *world) journaled() (all []journal.Entry) {
	w.t.Helper()
	w.EachEntry(func(_ uint64, entry journal.Entry) { all = append(all, entry) })
	return all
}

// send posts a body, which must be taken.
func (w *world) send(path, body string) {
	w.t.Helper()
	status, answer, err := post(w.Ctx, http.DefaultClient, w.Process.API+path, body)
	if err != nil || status != http.StatusOK {
		w.t.Fatalf("POST %s: %d %s %v", path, status, answer, err)
	}
}

// aka runs a command that ends by itself, and returns what it printed. It must succeed.
func aka(t *testing.T, input string, args ...string) string {
	t.Helper()
	out, err := harness.Command(t.Context(), binary, input, args...)
	harness.Check(t, err)
	return string(out)
}

// post sends a body as an SDK does, and returns the status and the answer.
func post(ctx context.Context, client *http.Client, url, body string) (status int, answer string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, "", err
	}
	request.SetBasicAuth(writeKey, "")
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}

// took lists what a vendor took as "kind ids event", in order.
func took(a *simulator.Account) []string {
	records := a.Records()
	lines := make([]string, len(records))
	for i := range records {
		lines[i] = lineOf(&records[i])
	}
	return lines
}

func lineOf(r *simulator.Record) string {
	return strings.TrimSpace(r.Kind + " " + strings.Join(r.IDs, " ") + " " + r.Event)
}
