package golden

import (
	"bytes"
	"errors"
	"net/url"
	"testing"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// finder looks an alias's person up before it merges.
type finder struct{ adapter.Common }

var finders = adapter.Vendor{Names: []string{"Finder"}, New: func(s adapter.Settings) (adapter.Adapter, error) {
	f := &finder{}
	return f, s.Decode(&f.Common)
}}

func TestStepsAreGoldenCases(t *testing.T) { run(t, finders, "testdata/steps") }

func (f *finder) Translate(call *segment.Call) adapter.Outcome {
	if call.Type != segment.Alias {
		return adapter.Drop(adapter.NothingToSend)
	}
	return adapter.Send(adapter.Request{Method: "GET", URL: "https://finder.test/people?key=" + url.QueryEscape(call.PreviousID), Asks: true})
}

func (f *finder) Judge(requests []adapter.Request, answer adapter.Answer) []adapter.Verdict {
	verdict := answer.Verdict()
	if requests[0].Asks && answer.Status == 404 && answer.IsObject() {
		verdict = adapter.Verdict{Class: adapter.Delivered}
	}
	return adapter.Verdicts(len(requests), verdict)
}

func (f *finder) Next(call *segment.Call, answered []adapter.Answered) adapter.Outcome {
	answer := answered[len(answered)-1].Answer
	switch {
	case answer.Status == 404 && answer.AfterPossibleDelivery:
		return adapter.Outcome{}
	case answer.Status == 404:
		return adapter.Drop(adapter.PreviousIDUnknown)
	case !bytes.Contains(answer.Body, []byte("seven")):
		return adapter.Reject(errors.New("answer: has no id"))
	}
	return adapter.Send(adapter.Request{
		Method: "POST", URL: "https://finder.test/people/seven", Header: map[string]string{"Content-Type": "application/json"}, Body: []byte(`{"key":"` + call.UserID + `"}`),
	})
}

func (f *finder) Merges(call *segment.Call) (adapter.Merge, bool) {
	return adapter.Merge{Rule: adapter.MergeAbsorbs, From: call.PreviousID, To: call.UserID}, true
}
func (f *finder) Account() string { return "finder" }

func TestARequestThatAsksIsTheLastAndGoesAlone(t *testing.T) {
	asks, plain := adapter.Request{Asks: true}, adapter.Request{}
	batched, merging := adapter.Request{Asks: true, Batch: &adapter.Batch{}}, adapter.Request{Asks: true, Merges: true}
	for name, c := range map[string]struct {
		requests []adapter.Request
		ok       bool
	}{
		"last": {[]adapter.Request{plain, asks}, true}, "first": {[]adapter.Request{asks, plain}, false},
		"batched": {[]adapter.Request{batched}, false}, "merging": {[]adapter.Request{merging}, false},
	} {
		if problem := problemOfAsking(adapter.Send(c.requests...)); (problem == "") != c.ok {
			t.Errorf("%s: %q", name, problem)
		}
	}
}

func TestNextMayEndACall(t *testing.T) {
	for name, c := range map[string]struct {
		outcome adapter.Outcome
		ok      bool
	}{
		"the end": {adapter.Outcome{}, true}, "a drop": {adapter.Drop(adapter.UserUnknown), true}, "a drop for a whim": {adapter.Drop("whim"), false},
		"a condition": {adapter.Outcome{Condition: &adapter.Condition{}}, false},
		"plain http":  {adapter.Send(adapter.Request{Method: "GET", URL: "http://finder.test"}), false},
	} {
		if problem := problemOfNext(c.outcome, nil); (problem == "") != c.ok {
			t.Errorf("%s: %q", name, problem)
		}
	}
}
