package explain

import (
	"strings"
	"testing"

	"aka/destinations/adapter"
)

func TestTextShowsRateAndSign(t *testing.T) {
	shown := adapter.Shown{Method: "POST", URL: "https://vendor.test/", Rate: "2.5/s merges", Sign: "standard_webhooks m1"}
	var out strings.Builder
	e := Explanation{Calls: []Call{{Destinations: []Destination{{Name: "vendor", Outcome: OutcomeSend, Requests: []adapter.Shown{shown}}}}}}
	if err := e.WriteText(&out); err != nil || !strings.Contains(out.String(), "rate    2.5/s merges") || !strings.Contains(out.String(), "signed  standard_webhooks m1") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestTextTellsThatWhatComesNextDependsOnTheAnswer(t *testing.T) {
	const says = "and what comes next depends on the answer"
	for _, asks := range []bool{true, false} {
		shown := adapter.Show(adapter.Request{Method: "GET", URL: "https://vendor.test/people?key=jen", Asks: asks})
		var out strings.Builder
		e := Explanation{Calls: []Call{{Destinations: []Destination{{Name: "vendor", Outcome: OutcomeSend, Requests: []adapter.Shown{shown}}}}}}
		if err := e.WriteText(&out); err != nil || strings.Contains(out.String(), says) != asks {
			t.Errorf("asks %v: %v\n%s", asks, err, out.String())
		}
	}
}
