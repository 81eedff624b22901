package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"aka/destinations/simulator"
	"aka/e2e/harness"
	"aka/router/admin"
)

// mergers are the destinations whose vendors merge, in each of their ways, with the rules of merges as they are by default.
func mergers() []harness.Destination {
	return []harness.Destination{
		{Name: "kissmetrics", Vendor: "kissmetrics", Settings: "api_key: s3cret-key"},
		{Name: "kissmetrics-aliases", Vendor: "kissmetrics", Settings: "api_key: s3cret-key, alias_on_identify: true"},
		{Name: "legacy", Vendor: "mixpanel", Settings: "token: s3cret-token, id_merge: legacy", Options: simulator.Options{IDMerge: "legacy"}},
		{Name: "original", Vendor: "mixpanel", Settings: "token: s3cret-token, id_merge: original", Options: simulator.Options{IDMerge: "original"}},
		{Name: "vero", Vendor: "vero", Settings: "auth_token: s3cret-token"},
	}
}

// namesOf are the names of destinations.
func namesOf(all []harness.Destination) (names []string) {
	for _, d := range all {
		names = append(names, d.Name)
	}
	return names
}

// noGrace has users be known from the moment on that they are named.
const noGrace = "merges: { new_user_grace: 0s }"

// call sends a call of a type, as a format of its body.
func (w *world) call(callType, body string, args ...any) {
	w.t.Helper()
	w.send("/v1/"+callType, fmt.Sprintf(body, args...))
}

// merges runs a command of aka merges.
func (w *world) merges(args ...string) string {
	w.t.Helper()
	return strings.TrimSpace(aka(w.t, "", append(append([]string{"merges"}, args...), "--admin", w.Process.Admin)...))
}

// held lists the held aliases, in JSON's words, of one destination, or of all for "".
func (w *world) held(destination string) admin.HeldList {
	w.t.Helper()
	args := []string{"list", "--held", "--limit", "1000", "--output", "json"}
	if destination != "" {
		args = append(args, "--destination", destination)
	}
	var list admin.HeldList
	decodeInto(w.t, w.merges(args...), &list)
	return list
}

// untilHeld waits until so many aliases are held at each of the destinations.
func (w *world) untilHeld(count int, names ...string) {
	w.t.Helper()
	w.Until(fmt.Sprintf("%d aliases are held at %v", count, names), func() bool {
		return !slices.ContainsFunc(names, func(name string) bool { return w.heldAt(name) != count })
	})
}

func (w *world) heldAt(name string) int { return int(w.Metric("aka_merges_held", harness.Of(name))) }

// expectApart checks that a vendor takes ids for so many people.
func (w *world) expectApart(destination string, ids ...string) {
	w.t.Helper()
	graph := w.Account(destination).Graph()
	for i, id := range ids {
		person, ok := graph.Person(id)
		if !ok {
			w.t.Errorf("%s does not know %s:\n%s", destination, id, graph)
		}
		for _, other := range ids[i+1:] {
			if slices.Contains(person.IDs, other) {
				w.t.Errorf("%s takes %s and %s for one person:\n%s", destination, id, other, graph)
			}
		}
	}
}

// expectEvents checks which events a vendor credits to the person of an id.
func (w *world) expectEvents(destination, id string, want ...string) {
	w.t.Helper()
	person, _ := w.Account(destination).Graph().Person(id)
	if !slices.Equal(person.Events, want) {
		w.t.Errorf("%s credits %q to %s, want %q", destination, person.Events, id, want)
	}
}

// get reads a page of the admin server.
func (w *world) get(path string) string {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.Ctx, http.MethodGet, w.Process.Admin+path, nil)
	harness.Check(w.t, err)
	request.Header.Set("Accept", "application/json")
	response, err := http.DefaultClient.Do(request)
	harness.Check(w.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	harness.Check(w.t, err)
	if response.StatusCode != http.StatusOK {
		w.t.Fatalf("GET %s: %d %s", path, response.StatusCode, text)
	}
	return string(text)
}

func decodeInto(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("it is not JSON: %v\n%s", err, text)
	}
}
