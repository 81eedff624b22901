package explain

import (
	"strings"
	"testing"

	"aka/destinations/adapter"
)

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
