package golden

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// walk goes through the steps of a case as the router does, and returns all requests.
func (c *Case) walk(t T, a adapter.Adapter, call *segment.Call, requests []adapter.Request, secrets []adapter.Secret) []adapter.Request {
	t.Helper()
	if c.Steps == nil {
		return requests
	}
	if _, is := a.(adapter.Stepper); !is {
		t.Fatal("steps: the adapter is no adapter.Stepper")
	}
	var answered []adapter.Answered
	end := adapter.Outcome{}
	for i, want := range c.Steps {
		if i >= len(requests) {
			t.Fatalf("steps: the call ends after %d of %d requests: %s", i, len(c.Steps), describe(end))
		}
		want.compare(t, i, requests[i], c.masker)
		if !requests[i].Asks || i < len(requests)-1 {
			continue
		}
		answered = append(answered, want.answer(t, a, i, requests[i]))
		end = next(t, a, call, requests, answered, secrets)
		requests = append(requests[:len(requests):len(requests)], end.Requests...)
	}
	if len(requests) != len(c.Steps) {
		t.Errorf("steps: there are %d more requests:\n%s", len(requests)-len(c.Steps), describe(adapter.Send(requests[len(c.Steps):]...)))
	}
	if string(end.Dropped) != c.Drop || (end.Rejected != nil) != (c.Reject != "") {
		t.Errorf("steps: the call ends with %s, want drop %q, reject %q", describe(end), c.Drop, c.Reject)
	}
	return requests
}

// answer returns the answer to a request that asks, which the adapter must find good to go on with.
func (want wantRequest) answer(t T, a adapter.Adapter, i int, r adapter.Request) adapter.Answered {
	t.Helper()
	if want.Answer == nil {
		t.Fatalf("request %d asks: give its answer", i)
	}
	answer := want.Answer.answer()
	if v := judge(a, []adapter.Request{r}, answer); len(v) != 1 || v[0].Class != adapter.Delivered {
		t.Fatalf("request %d: Judge says %+v of its answer, and the call goes on only when that is delivered", i, v)
	}
	return adapter.Answered{Request: r, Answer: answer}
}

// unexpected are answers that a vendor may give where none is thought of.
var unexpected = []adapter.Answer{
	{Status: 200}, {Status: 200, Body: []byte("null")}, {Status: 200, Body: []byte("{}")}, {Status: 200, Body: []byte("[]")},
	{Status: 200, Body: []byte(`{"id":1,"data":[{"id":null}],"results":{}}`)}, {Status: 200, Body: []byte("\xff{\x00")},
	{Status: 200, Body: []byte(`{"data":[{"id":"`), TooLong: true}, {Status: 404, Body: []byte(`{"errors":[]}`)},
	{Status: 200, Body: []byte("{}"), AfterPossibleDelivery: true},
}

// checkSteps feeds a call with answers that are not thought of, one step after the other.
func checkSteps(t T, a adapter.Adapter, call *segment.Call, first []adapter.Request, secrets []adapter.Secret) {
	t.Helper()
	for _, answer := range unexpected {
		requests, answered := first, []adapter.Answered(nil)
		for asks := true; asks && !t.Failed(); {
			answered = append(answered, adapter.Answered{Request: requests[len(requests)-1], Answer: answer})
			outcome := next(t, a, call, requests, answered, secrets)
			requests = append(requests[:len(requests):len(requests)], outcome.Requests...)
			asks = outcome.Asks()
		}
	}
}

// next asks the adapter twice, and checks what must hold whatever the answers. A panic is the test's.
func next(t T, a adapter.Adapter, call *segment.Call, before []adapter.Request, answered []adapter.Answered, secrets []adapter.Secret) adapter.Outcome {
	t.Helper()
	stepper := a.(adapter.Stepper)
	known, _ := json.Marshal([]any{call, call.Context(), answered})
	outcome := stepper.Next(call, answered)
	again := stepper.Next(call, answered)
	if after, _ := json.Marshal([]any{call, call.Context(), answered}); string(known) != string(after) {
		t.Errorf("Next modified the call or the answers:\n got %s\nwas %s", after, known)
	}
	if !reflect.DeepEqual(outcome, again) {
		t.Errorf("Next is not repeatable:\n first %+v\nsecond %+v", outcome, again)
	}
	if problem := problemOfNext(outcome, secrets); problem != "" {
		t.Error(problem)
	}
	if bounded := adapter.Next(a, call, before, answered); errors.Is(bounded.Rejected, adapter.ErrTooManySteps) {
		t.Errorf("Next asks more than %d times", adapter.MaxSteps)
	}
	return outcome
}

// problemOfNext checks what must hold of every outcome of Next: one with nothing in it ends the call.
func problemOfNext(o adapter.Outcome, secrets []adapter.Secret) string {
	switch {
	case o.Condition != nil || len(o.Ignored) > 0:
		return "Next: a condition and ignored options are Translate's"
	case len(o.Requests) == 0 && o.Dropped == "" && o.Rejected == nil:
		return ""
	}
	return problemOf(o, secrets)
}

// problemOfAsking returns what is wrong with the marks of requests that ask, or "".
func problemOfAsking(o adapter.Outcome) string {
	for i, r := range o.Requests {
		switch {
		case r.Asks && i < len(o.Requests)-1:
			return fmt.Sprintf("request %d asks, and is not the last", i)
		case r.Asks && r.Batch != nil:
			return "a request that asks goes alone, and in no batch: " + r.URL
		case r.Asks && r.Merges:
			return "a request that asks cannot be left out, and so must not merge: " + r.URL
		}
	}
	return ""
}
