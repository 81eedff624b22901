package delivery

import (
	"testing"
	"testing/synctest"
	"time"

	"aka/destinations/adapter"
	"aka/router/deststate"
	"aka/router/httpclient"
)

// The queue of a receiver that asks to stop is kept, and its operator learns why nothing goes.
func TestAReceiverThatAsksToStopLosesNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.vendor.judge = func(n int, a adapter.Answer) []adapter.Verdict {
			if a.Status == 410 {
				return adapter.Verdicts(n, adapter.Verdict{Class: adapter.Operator, Note: string(adapter.Gone), Detail: string(a.Body)})
			}
			return adapter.Verdicts(n, a.Verdict())
		}
		w.answer = func(string, int) httpclient.Response {
			return httpclient.Response{Status: 410, Body: []byte("moved out")}
		}
		w.accept(alias("b", "a", 1), track("b", 2), track("c", 1))
		w.run()
		time.Sleep(72 * time.Hour)
		w.expectOutcomes(map[string]int{})
		if w.metric("aka_destination_state", string(deststate.AuthFailed)) != 1 {
			t.Error("it is not held")
		}
		status, err := w.pipeline.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(status.Failures) != 1 || status.Failures[0].Kind != "gone" || status.Failures[0].Why != adapter.Gone.Explain() || status.Failures[0].Detail != "moved out" {
			t.Errorf("its last failures are %+v", status.Failures)
		}
		logged := w.logs.FilterMessage("receiver asks to stop, calls wait").All()
		if len(logged) == 0 || logged[0].ContextMap()["hint"] != adapter.Gone.Explain() || w.logs.FilterMessageSnippet("credentials refused").Len() != 0 {
			t.Errorf("logged %+v", w.logs.All())
		}
		w.set(func() { w.answer = nil })
		time.Sleep(24 * time.Hour)
		w.expectOutcomes(map[string]int{"delivered": 3})
		w.stop()
	})
}
