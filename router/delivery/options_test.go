package delivery

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"aka/destinations/adapter"
	"aka/router/httpclient"
	"aka/router/live"
)

// A call whose options make no sense goes all the same. Each option is counted once, and stands in the debug log and in the live view.
func TestOptionsThatMakeNoSenseAreCountedAndTheCallGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watched(t, Options{})
		w.logLevel = zap.DebugLevel
		w.run()
		if got := w.metric("aka_options_ignored_total", "vendor"); got != 0 {
			t.Fatalf("%v are counted before the first call", got)
		}
		odd := track("a", 1)
		odd.JSON = []byte(`{"type":"track","event":"ignore my options"}`)
		w.accept(odd, track("a", 2))
		time.Sleep(time.Second)
		w.expectSent("a-1", "a-2")
		if got := w.metric("aka_options_ignored_total", "vendor"); got != 2 {
			t.Errorf("%v are counted, want 2", got)
		}
		var options []string
		for _, line := range w.logs.FilterMessage("ignored a malformed option").All() {
			options = append(options, line.ContextMap()["option"].(string))
		}
		if len(options) != 2 || options[0] != "integrations.Vendor.one" || options[1] != "integrations.Vendor.other" {
			t.Errorf("the log names %q", options)
		}
		for id, want := range map[string]string{"a-1": "ignored_option: integrations.Vendor.one, integrations.Vendor.other", "a-2": ""} {
			if calls := w.watch.Calls(live.Filter{ID: id}, 1); len(calls) != 1 || calls[0].Destinations[0].Note != want {
				t.Errorf("%s: the live view has %+v", id, calls)
			}
		}
		w.stop()
		w.watch.Close()
	})
}

// A vendor that refuses a batch and names no call of it gets it in halves: the call at fault is refused alone, and the others are
// taken.
func TestABatchThatIsRefusedAsAWholeIsHalvedUntilTheCallAtFaultIsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.vendor.batch = &adapter.Batch{Key: "import", MaxItems: 100}
		w.vendor.judge = func(n int, a adapter.Answer) []adapter.Verdict {
			verdict := a.Verdict()
			if a.Status == 400 {
				verdict = adapter.Verdict{Class: adapter.Isolate, Detail: "cannot be read"}
			}
			return adapter.Verdicts(n, verdict)
		}
		w.batchAnswer = func(ids []string) httpclient.Response {
			for _, id := range ids {
				if id == "u5-5" || id == "u31-31" {
					return httpclient.Response{Status: 400}
				}
			}
			return httpclient.Response{Status: 200}
		}
		for i := range 40 {
			w.accept(track("u"+strconv.Itoa(i), i))
		}
		w.run()
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"delivered": 38, "dead/refused": 2})
		for _, d := range w.log.dead {
			if id := d.Entry.MessageID; id != "u5-5" && id != "u31-31" || d.Detail != "cannot be read" || d.Status != 400 {
				t.Errorf("dead: %s, %d %q", id, d.Status, d.Detail)
			}
		}
		if n := len(w.sent()); n > 40*7 {
			t.Errorf("%d calls went in all", n)
		}
		w.stop()
	})
}
