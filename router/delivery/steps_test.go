package delivery

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"

	"aka/destinations/adapter"
	"aka/router/httpclient"
	"aka/router/live"
	"aka/router/mergerules"
)

// newFindingWorld is one in which each call begins with a search.
func newFindingWorld(t *testing.T, o Options) *world {
	w := newWorld(t, o)
	w.vendor.asks = true
	w.latency = 100 * time.Millisecond
	return w
}

// expectSearches compares all exchanges with those that are wanted, in order: the ids of the calls, behind find for a search.
func (w *world) expectSearches(want string) {
	w.t.Helper()
	var all []string
	for _, e := range w.sent() {
		if e.finds {
			all = append(all, "find")
		}
		all = append(all, e.id)
	}
	if got := strings.Join(all, " "); got != want {
		w.t.Errorf("sent %s\nwant %s", got, want)
	}
}

// answers has the vendor answer the exchanges with these in order, and then with 200.
func (w *world) answers(responses ...httpclient.Response) {
	w.answer = func(string, int) httpclient.Response {
		n := len(w.sent())
		if n <= len(responses) {
			return responses[n-1]
		}
		return httpclient.Response{Status: 200}
	}
}

func ok(body string) httpclient.Response {
	return httpclient.Response{Status: 200, Body: []byte(body)}
}

func TestSteps_OtherCallsOfThePersonWaitForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFindingWorld(t, Options{Concurrency: Fixed(1)})
		w.vendor.wait = 3 * time.Second
		w.vendor.batch = &adapter.Batch{Key: "k", MaxItems: 10}
		w.accept(alias("b", "a", 1), track("b", 2), track("z", 3))
		w.run()
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"delivered": 3})
		if sent := w.sent(); sent[0].id != "a-1" || !sent[0].finds || sent[2].start.Sub(sent[0].end) < 3*time.Second {
			t.Errorf("sent %+v", sent)
		}
		first := slices.IndexFunc(w.sent(), func(e exchanged) bool { return e.id == "b-2" })
		if done := slices.IndexFunc(w.sent(), func(e exchanged) bool { return e.id == "a-1" && !e.finds }); first < done || !w.sent()[first].finds {
			t.Errorf("the call behind the alias went as exchange %d, the alias's last is %d", first, done)
		}
		w.stop()
	})
}

func TestSteps_TheAnswerMayEndTheCall(t *testing.T) {
	for body, want := range map[string]map[string]int{
		"none": {"dropped/previous_id_unknown": 1}, "bad": {"dead/rejected": 1}, "nothing to do": {"delivered": 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newFindingWorld(t, Options{})
			w.answers(ok(body))
			w.vendor.rule, w.destination.RememberMerges = adapter.MergeJoins, true
			w.accept(alias("a", "b", 1))
			w.run()
			time.Sleep(time.Minute)
			w.expectOutcomes(want)
			w.expectSearches("find b-1")
			for _, d := range w.log.dead {
				if d.Detail != "answer: <secret> has no id" {
					t.Errorf("dead letter: %q", d.Detail)
				}
			}
			w.accept(alias("a", "b", 2))
			time.Sleep(time.Minute)
			if remembers := body == "nothing to do"; remembers != (w.ended()["dropped/already_merged"] == 1) {
				t.Errorf("%s: %v", body, w.ended())
			}
			w.stop()
		})
	}
}

func TestSteps_AreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFindingWorld(t, Options{})
		w.answer = func(string, int) httpclient.Response { return ok("more") }
		w.accept(track("a", 1))
		w.run()
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"dead/rejected": 1})
		if n := len(w.sent()); n != adapter.MaxSteps {
			t.Errorf("%d searches", n)
		}
		w.stop()
	})
}

// What the search found may be gone when the next request is tried again.
func TestSteps_AFailureBeginsAnew(t *testing.T) {
	for name, c := range map[string]struct {
		failure httpclient.Response
		acted   bool
	}{
		"500":         {httpclient.Response{Status: 500}, true},
		"429":         {httpclient.Response{Status: 429}, false},
		"no answer":   {httpclient.Response{Err: fasthttp.ErrTimeout, PossiblyDelivered: true}, true},
		"credentials": {httpclient.Response{Status: 401}, false},
		"too large":   {httpclient.Response{Status: 413}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newFindingWorld(t, Options{})
				w.answers(ok(""), c.failure)
				w.accept(alias("b", "a", 1))
				w.run()
				time.Sleep(10 * time.Minute)
				if name == "too large" {
					w.expectOutcomes(map[string]int{"dead/too_large": 1})
					w.expectSearches("find a-1 a-1")
				} else {
					w.expectOutcomes(map[string]int{"delivered": 1})
					w.expectSearches("find a-1 a-1 find a-1 a-1")
					if got := w.vendor.afterPossibleDelivery(); got[len(got)-2] != c.acted {
						t.Errorf("the second search is after a possible delivery: %v", got)
					}
				}
				if n := w.pipeline.window.bytes; n != 0 {
					t.Errorf("the window has %d bytes left", n)
				}
				w.stop()
			})
		})
	}
}

// A search changes nothing, and so one without an answer has delivered nothing.
func TestSteps_AFailedSearchIsNoPossibleDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFindingWorld(t, Options{})
		w.answers(httpclient.Response{Err: fasthttp.ErrTimeout, PossiblyDelivered: true}, httpclient.Response{Status: 502})
		w.accept(track("a", 1))
		w.run()
		time.Sleep(time.Minute)
		w.expectSearches("find a-1 find a-1 find a-1 a-1")
		if slices.Contains(w.vendor.afterPossibleDelivery(), true) {
			t.Error("a search counts as a possible delivery")
		}
		w.stop()
	})
}

// A search that succeeds each time must not hide that the request behind it fails each time.
func TestSteps_TriesAreCountedAcrossThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFindingWorld(t, Options{Retry: RetryOptions{MaxAttempts: 3}})
		w.answer = func(string, int) httpclient.Response {
			if sent := w.sent(); !sent[len(sent)-1].finds {
				return httpclient.Response{Status: 500}
			}
			return ok("")
		}
		w.accept(track("a", 1))
		w.run()
		time.Sleep(time.Hour)
		w.expectOutcomes(map[string]int{"dead/max_attempts": 1})
		w.expectSearches("find a-1 a-1 find a-1 a-1 find a-1 a-1")
		w.stop()
	})
}

func TestSteps_BeginAnewAfterARestart(t *testing.T) {
	for _, crash := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newFindingWorld(t, Options{Concurrency: Fixed(1)})
			w.vendor.wait = 10 * time.Second
			w.accept(alias("b", "a", 1), track("b", 2))
			w.run()
			time.Sleep(5 * time.Second)
			w.expectSearches("find a-1")
			if saved := w.log.saved(); crash {
				w.stop()
				w.log.setSaved(saved)
			} else {
				w.stop()
			}
			w.restart()
			time.Sleep(time.Minute)
			w.expectSearches("find a-1 find a-1 a-1 find b-2 b-2")
			if sent := w.sent(); sent[2].start.Sub(sent[1].end) < 10*time.Second {
				t.Error("the wait was not whole")
			}
			if got := w.vendor.afterPossibleDelivery(); got[1] != crash {
				t.Errorf("after a possible delivery: %v, crash %v", got, crash)
			}
			w.stop()
		})
	}
}

// A dead letter that blocks others and is tried again has its steps again, too.
func TestSteps_ADeadLetterThatIsTriedAgainBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFindingWorld(t, Options{OnDead: OnDeadBlock})
		w.answers(ok(""), httpclient.Response{Status: 400})
		w.accept(identify("a", 1), track("a", 2))
		w.run()
		time.Sleep(time.Minute)
		w.expectSearches("find a-1 a-1")
		w.retry("a-1")
		time.Sleep(time.Minute)
		w.expectSearches("find a-1 a-1 find a-1 a-1 find a-2 a-2")
		w.stop()
	})
}

// The request that merges comes after the search, and is left out all the same.
func TestSteps_AMergeThatARuleForbidsIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFindingWorld(t, Options{})
		w.vendor.rule, w.vendor.marks, w.destination.RememberMerges = adapter.MergeJoins, true, true
		w.merges = mergerules.DefaultOptions
		first, second := identify("jane", 1), identify("joe", 2)
		first.AnonymousID, second.AnonymousID = "phone", "phone"
		w.accept(first)
		w.run()
		time.Sleep(time.Minute)
		w.accept(second)
		time.Sleep(time.Minute)
		w.expectSearches("find jane-1 jane-1 find joe-2")
		w.expectOutcomes(map[string]int{"delivered": 1, "dropped/merge_device_of_another_user": 1})
		w.stop()
	})
}

func TestSteps_AreShownToViewers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFindingWorld(t, Options{})
		w.answers(ok(strings.Repeat("x", 50_000)))
		var seen []string
		w.accept(track("a", 1))
		w.run()
		time.Sleep(150 * time.Millisecond)
		err := w.pipeline.ask(t.Context(), func() {
			for j := range w.pipeline.window.all {
				s := steps(j, live.Sending)
				seen = append(seen, string(rune('0'+s.Request))+"/"+string(rune('0'+s.Requests)))
				if s.More {
					t.Error("more to come after the last")
				}
			}
		})
		if n := w.pipeline.window.bytes; n < 50_000 {
			t.Errorf("the window has %d bytes, and does not count the answer", n)
		}
		if err != nil || !slices.Equal(seen, []string{"2/2"}) {
			t.Errorf("seen %v (%v)", seen, err)
		}
		w.stop()
	})
}
