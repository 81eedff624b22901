package simulator

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// What an account answers to Take is what it answers over HTTP, and its people are the same.
func TestAnAccountWithoutANetworkAnswersAsOneWithOne(t *testing.T) {
	sim, err := Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	endpoint, err := sim.Add("legacy", "mixpanel", Options{IDMerge: "legacy"})
	if err != nil {
		t.Fatal(err)
	}
	offline, err := NewOffline("legacy", "mixpanel", Options{IDMerge: "legacy", PeopleOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	alias := func(from, to string) string {
		return `[{"event":"$create_alias","properties":{"distinct_id":"` + from + `","alias":"` + to + `","token":"t"}}]`
	}
	header := map[string]string{"Content-Type": "application/json"}
	var refusals []string
	for _, body := range []string{
		alias("a", "u"), alias("b", "u"), alias("a", "u"), "[{", `[{"event":"E","properties":{"distinct_id":"u","token":"t"}}]`, `{"event":7}`,
	} {
		answer, err := http.Post(endpoint+"/track?verbose=1", header["Content-Type"], strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		taken := offline.Take(http.MethodPost, EndpointOf("legacy", "mixpanel")+"/track?verbose=1", header, []byte(body))
		if taken.Status != answer.StatusCode || string(taken.Body) != string(text) || taken.ContentType != answer.Header.Get("Content-Type") {
			t.Errorf("%s: %d %s, over HTTP %d %s", body, taken.Status, taken.Body, answer.StatusCode, text)
		}
		refusals = append(refusals, taken.Refusal)
	}
	if want := []string{"", "errAliasAlreadyExists", "", "", "", ""}; !slices.Equal(refusals, want) {
		t.Errorf("refusals %q", refusals)
	}
	ids := func(g Graph) (all []string) {
		for _, person := range g {
			all = append(all, strings.Join(person.IDs, "+"))
		}
		return all
	}
	if over, without := ids(sim.Account("legacy").Graph()), ids(offline.Graph()); !slices.Equal(over, without) || len(over) == 0 {
		t.Errorf("people %q, over HTTP %q", without, over)
	}
	if stats := offline.Stats(); stats.Events != 1 || len(offline.Records()) > 0 || len(offline.Exchanges()) > 0 {
		text, _ := json.Marshal(stats)
		t.Errorf("it has kept more than people: %s", text)
	}
}
