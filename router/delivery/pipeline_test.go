package delivery

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"aka/destinations"
	"aka/destinations/adapter"
	"aka/router/breaker"
	"aka/router/concurrency"
	"aka/router/httpclient"
	"aka/router/journal"
	"aka/router/live"
	"aka/router/mergerules"
	"aka/router/merges"
	"aka/router/quarantine"
	"aka/router/reorder"
	"aka/router/segment"
)

func TestEveryCallArrivesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.accept(track("a", 1), track("a", 2), track("b", 1))
		w.accept(track("c", 1))
		w.run()
		synctest.Wait()
		w.expectSent("a-1", "a-2", "b-1", "c-1")
		w.expectOutcomes(map[string]int{"delivered": 4})
		w.stop()
	})
}

func TestWhatComesAfterAnAliasWaitsForItAndItsSettleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.destination.Settle = 2 * time.Second
		w.latency = time.Second
		w.accept(track("visitor", 1), alias("visitor", "jane", 2), track("jane", 3), track("other", 4))
		w.run()
		time.Sleep(time.Minute)
		alias, after, other := w.exchange("jane-2"), w.exchange("jane-3"), w.exchange("other-4")
		if alias.start.Before(w.exchange("visitor-1").end) {
			t.Error("the alias went before the call in front of it had ended")
		}
		if wait := after.start.Sub(alias.end); wait < 2*time.Second || wait > 3*time.Second {
			t.Errorf("the call behind the alias waited %s, want the settle time", wait)
		}
		if other.start.After(w.exchange("visitor-1").end) {
			t.Error("another person's call waited")
		}
		w.stop()
	})
}

func TestTheSettleTimeIsKeptAcrossARestart(t *testing.T) {
	for _, first := range []string{"visitor", "other"} { // the log's first call has ended, or waits
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Options{})
			w.destination.Settle = 2 * time.Second
			w.answer = func(id string, _ int) httpclient.Response {
				if id == "other-1" {
					return httpclient.Response{Status: 500}
				}
				return httpclient.Response{Status: 200}
			}
			w.accept(track(first, 1), alias("visitor", "jane", 2), track("jane", 3))
			w.run()
			time.Sleep(time.Second)
			w.stop()
			w.restart()
			time.Sleep(time.Minute)
			if wait := w.exchange("jane-3").start.Sub(w.exchange("jane-2").end); wait < 2*time.Second {
				t.Errorf("the call behind the alias waited %s", wait)
			}
			w.stop()
		})
	}
}

func TestAFailureIsRetriedWithTheSameBytesAndHoldsOnlyItsPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.answer = func(id string, attempt int) httpclient.Response {
			if id == "a-1" && attempt <= 3 {
				return httpclient.Response{Status: 500}
			}
			return httpclient.Response{Status: 200}
		}
		w.accept(identify("a", 1), track("a", 2), track("b", 3))
		w.run()
		time.Sleep(time.Minute)
		w.expectSent("a-1", "b-3", "a-1", "a-1", "a-1", "a-2")
		w.expectOutcomes(map[string]int{"delivered": 3})
		w.stop()
	})
}

func TestRetryAfterIsWaitedFor(t *testing.T) {
	for _, c := range []struct {
		header   string
		from, to time.Duration
	}{
		{"7", 7 * time.Second, 9 * time.Second},
		{"0", 0, 2 * time.Second},
		{"-5", 0, 2 * time.Second},
		{"1000000000", 10 * time.Minute, 11 * time.Minute},
		{"99999999999999999999999", 10 * time.Minute, 11 * time.Minute},
		{"soon", 0, 2 * time.Second},
		{"date", 30 * time.Second, 32 * time.Second},
	} {
		t.Run(c.header, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				header := c.header
				if header == "date" {
					header = time.Now().Add(31 * time.Second).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
				}
				w := newWorld(t, Options{})
				w.answer = func(id string, attempt int) httpclient.Response {
					if id == "a-1" && attempt == 1 {
						return httpclient.Response{Status: 429, RetryAfter: header}
					}
					return httpclient.Response{Status: 200}
				}
				w.accept(track("a", 1))
				w.run()
				synctest.Wait()
				asked := time.Now()
				w.accept(track("b", 1))
				time.Sleep(time.Hour)
				for _, id := range []string{"a-1", "b-1"} {
					if id == "b-1" && c.from == 0 {
						continue
					}
					if wait := w.exchange(id).start.Sub(asked); wait < c.from || wait > c.to {
						t.Errorf("%s went after %s, want %s to %s", id, wait, c.from, c.to)
					}
				}
				w.stop()
			})
		})
	}
}

func TestTheBreakerLeavesADestinationThatIsDownAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Breaker: breaker.Options{Failures: 5, Cooldown: 5 * time.Second, MaxCooldown: time.Minute}, Retry: RetryOptions{MaxAge: time.Minute, MaxAttempts: 4}})
		var down atomic.Bool
		down.Store(true)
		w.answer = func(string, int) httpclient.Response {
			if down.Load() {
				return httpclient.Response{Status: 503}
			}
			return httpclient.Response{Status: 200}
		}
		for i := range 100 {
			w.accept(track(fmt.Sprint("u", i), 1))
		}
		w.run()
		time.Sleep(time.Hour)
		if sent := len(w.sent()); sent > 5+concurrency.Initial+70 {
			t.Errorf("%d exchanges with a destination that was down for an hour", sent)
		}
		for i, e := range w.sent() {
			if i > 30 && e.start.Sub(w.sent()[i-1].start) < 30*time.Second {
				t.Errorf("probes %d and %d are %s apart", i-1, i, e.start.Sub(w.sent()[i-1].start))
			}
		}
		down.Store(false)
		time.Sleep(10 * time.Minute)
		w.expectOutcomes(map[string]int{"delivered": 100})
		w.stop()
	})
}

func TestRefusedCredentialsHoldTheDestinationAndLoseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Retry: RetryOptions{MaxAge: time.Hour, MaxAttempts: 3}})
		var rotated atomic.Bool
		rotated.Store(true)
		w.answer = func(string, int) httpclient.Response {
			if rotated.Load() {
				return httpclient.Response{Status: 401}
			}
			return httpclient.Response{Status: 200}
		}
		for i := range 50 {
			w.accept(track(fmt.Sprint("u", i), 1))
		}
		w.run()
		time.Sleep(48 * time.Hour)
		if probes := len(w.sent()); probes > concurrency.Initial+48*60 {
			t.Errorf("%d exchanges in two days", probes)
		}
		w.expectOutcomes(map[string]int{})
		rotated.Store(false)
		time.Sleep(10 * time.Minute)
		w.expectOutcomes(map[string]int{"delivered": 50})
		w.stop()
	})
}

// A firewall in front of a vendor answers 403 to what it does not like the look of.
func TestAuthFailed_OfOneCallDelaysOthersBriefly(t *testing.T) {
	for _, batch := range []int{0, 10} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Options{Batch: BatchOptions{MaxItems: max(batch, 1)}, Retry: RetryOptions{MaxAge: 24 * time.Hour}})
			if batch > 0 {
				w.vendor.batch = &adapter.Batch{Key: "k", MaxItems: batch}
			}
			w.batchAnswer = func(ids []string) httpclient.Response {
				if slices.Contains(ids, "poison-1") {
					return httpclient.Response{Status: 403}
				}
				return httpclient.Response{Status: 200}
			}
			w.accept(identify("poison", 1), track("poison", 2))
			w.run()
			for i := range 30 {
				for who := range 5 {
					w.accept(track(fmt.Sprint("well", who), i))
				}
				time.Sleep(time.Hour)
				if n := w.ended()["delivered"]; n < 5*(i+1) {
					t.Errorf("batch %d: %d calls were delivered in %d hours", batch, n, i+1)
					break
				}
			}
			w.expectOutcomes(map[string]int{"delivered": 151, "dead/expired": 1})
			for _, d := range w.log.dead {
				if d.Entry.MessageID != "poison-1" || d.Status != 403 {
					t.Errorf("dead letter: %+v", d)
				}
			}
			if held := w.logs.FilterMessageSnippet("credentials refused").Len(); held > 1 {
				t.Errorf("batch %d: the destination was held %d times", batch, held)
			}
			w.stop()
		})
	}
}

func TestAPoisonCallEndsAsADeadLetterAndBlocksNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Retry: RetryOptions{Initial: time.Second, Max: time.Minute, MaxAge: 24 * time.Hour}})
		w.answer = func(id string, _ int) httpclient.Response {
			if id == "poison-1" {
				return httpclient.Response{Status: 500, Body: []byte("t0ken is " + strings.Repeat("x", 2000))}
			}
			return httpclient.Response{Status: 200}
		}
		w.accept(identify("poison", 1), track("poison", 2))
		w.run()
		for i := range 30 {
			w.accept(track("well", i))
			time.Sleep(time.Hour)
		}
		w.expectOutcomes(map[string]int{"delivered": 31, "dead/expired": 1})
		d := w.log.dead[0]
		if d.Entry.MessageID != "poison-1" || d.Status != 500 || d.Attempts < 100 || d.Last.Sub(d.First) < 23*time.Hour {
			t.Errorf("dead letter: %+v", d)
		}
		if w.exchange("poison-2").start.Before(d.Last) {
			t.Error("the call behind it went before it had ended")
		}
		w.stop()
	})
}

func TestARefusalBecomesADeadLetterWithWhatTheVendorSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.vendor.judge = func(n int, a adapter.Answer) []adapter.Verdict {
			v := adapter.StatusVerdict(a.Status)
			v.Detail = string(a.Body)
			return adapter.Verdicts(n, v)
		}
		w.answer = func(string, int) httpclient.Response {
			return httpclient.Response{Status: 400, Body: []byte("bad token s3cr3t" + strings.Repeat("x", 2000))}
		}
		w.accept(track("a", 1))
		w.run()
		time.Sleep(time.Second)
		w.expectOutcomes(map[string]int{"dead/refused": 1})
		if d := w.log.dead[0]; !strings.HasPrefix(d.Detail, "bad token <secret>x") || len(d.Detail) > maxDetail {
			t.Errorf("detail: %q", d.Detail)
		}
		w.stop()
	})
}

func TestATooLargeBatchIsHalvedUntilItFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.vendor.batch = &adapter.Batch{Key: "import", MaxItems: 100}
		w.batchAnswer = func(ids []string) httpclient.Response {
			if len(ids) > 3 || slices.Contains(ids, "a-5") {
				return httpclient.Response{Status: 413}
			}
			return httpclient.Response{Status: 200}
		}
		w.latency = time.Second
		for i := range 20 {
			w.accept(track("a", i))
		}
		w.run()
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"delivered": 19, "dead/too_large": 1})
		if w.log.dead[0].Entry.MessageID != "a-5" {
			t.Errorf("dead: %s", w.log.dead[0].Entry.MessageID)
		}
		w.stop()
	})
}

func TestABatchHoldsWhatWaitsAndNoMoreThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Concurrency: Fixed(1), Batch: BatchOptions{MaxItems: 2000, MaxWait: 100 * time.Millisecond}})
		w.vendor.batch = &adapter.Batch{Key: "import", MaxItems: 10, MaxBytes: 100}
		w.latency = time.Second
		var calls []journal.Entry
		for i := range 50 {
			calls = append(calls, track("a", i))
		}
		w.accept(calls...)
		w.run()
		time.Sleep(time.Hour)
		w.expectOutcomes(map[string]int{"delivered": 50})
		for i, b := range w.batches {
			if len(b) == 0 || len(b) > 10 {
				t.Errorf("batch %d has %d items", i, len(b))
			}
		}
		if len(w.batches) > 10 {
			t.Errorf("50 calls went in %d batches", len(w.batches))
		}
		w.stop()
	})
}

func TestRequestsOfOneCallGoInOrderAndResumeAtTheOneThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.vendor.steps = 3
		w.answer = func(id string, attempt int) httpclient.Response {
			if id == "a-1/1" && attempt <= 2 {
				return httpclient.Response{Err: fasthttp.ErrTimeout, PossiblyDelivered: true}
			}
			return httpclient.Response{Status: 200}
		}
		w.accept(track("a", 1))
		w.run()
		time.Sleep(time.Minute)
		w.expectSent("a-1/0", "a-1/1", "a-1/1", "a-1/1", "a-1/2")
		w.expectOutcomes(map[string]int{"delivered": 1})
		if !slices.Equal(w.vendor.afterPossibleDelivery(), []bool{false, true, false}) {
			t.Errorf("after a possible delivery: %v", w.vendor.afterPossibleDelivery())
		}
		w.stop()
	})
}

func TestARestartGoesOnWhereItStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.answer = func(id string, _ int) httpclient.Response {
			if id == "b-2" {
				return httpclient.Response{Status: 429}
			}
			return httpclient.Response{Status: 200}
		}
		w.accept(track("a", 1), track("b", 2), track("c", 3))
		w.run()
		time.Sleep(time.Second)
		w.stop()
		w.accept(track("d", 4))
		w.set(func() { w.answer = nil })
		w.restart()
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"delivered": 2})
		again := w.sent()[len(w.sent())-2:]
		if ids := []string{again[0].id, again[1].id}; !slices.Contains(ids, "b-2") || !slices.Contains(ids, "d-4") {
			t.Errorf("after the restart %v were sent", ids)
		}
		if slices.Contains(w.vendor.afterPossibleDelivery(), true) {
			t.Error("an orderly stop leaves nothing possibly delivered")
		}
		w.stop()
	})
}

// A vendor that renamed somebody, and whose answer was lost or was a gateway's, must not get a second rename as of a
// first one, however long the retry takes and whatever happens meanwhile.
func TestWhatAFailedTryMayHaveDoneIsRemembered(t *testing.T) {
	for name, c := range map[string]struct {
		failing string
		failure httpclient.Response
		want    []bool
	}{
		"no answer":           {"a-1/0", httpclient.Response{Err: fasthttp.ErrTimeout, PossiblyDelivered: true}, []bool{true, false}},
		"an answer of 502":    {"a-1/0", httpclient.Response{Status: 502}, []bool{true, false}},
		"a web page":          {"a-1/0", httpclient.Response{Status: 200, ContentType: "text/html"}, []bool{true, false}},
		"an answer of 429":    {"a-1/0", httpclient.Response{Status: 429}, []bool{false, false}},
		"a redirect":          {"a-1/0", httpclient.Response{Status: 302, ContentType: "text/html"}, []bool{false, false}},
		"the step after":      {"a-1/1", httpclient.Response{Status: 429}, []bool{true, false}},
		"no step was reached": {"a-1/0", httpclient.Response{Err: fasthttp.ErrNoFreeConns}, []bool{false, false}},
	} {
		for _, restarted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restarted %v", name, restarted), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, Options{})
					w.vendor.steps = 2
					w.answer = func(id string, _ int) httpclient.Response {
						if id == c.failing {
							return c.failure
						}
						return httpclient.Response{Status: 200}
					}
					w.accept(alias("b", "a", 1))
					w.run()
					time.Sleep(time.Second)
					if restarted {
						w.stop()
					}
					before := len(w.vendor.afterPossibleDelivery())
					w.set(func() { w.answer = nil })
					if restarted {
						w.restart()
					}
					time.Sleep(time.Hour)
					w.expectOutcomes(map[string]int{"delivered": 1})
					want := c.want
					if !restarted && c.failing == "a-1/1" {
						want = []bool{false} // it goes on with the step that failed
					}
					if afterPossibleDelivery := w.vendor.afterPossibleDelivery()[before:]; !slices.Equal(afterPossibleDelivery, want) {
						t.Errorf("after a possible delivery: %v, want %v", afterPossibleDelivery, want)
					}
					w.stop()
				})
			})
		}
	}
}

func TestAfterACrashWhatMayHaveBeenSentIsPossiblyDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.latency = time.Minute
		w.accept(alias("old", "new", 1))
		w.run()
		time.Sleep(time.Second)
		saved := w.log.saved()
		w.stop() // the alias is in flight, and ends
		w.log.setSaved(saved)
		w.restart() // as if it had been killed
		time.Sleep(10 * time.Minute)
		if got := w.vendor.afterPossibleDelivery(); len(got) != 2 || !got[1] {
			t.Errorf("after a possible delivery: %v", got)
		}
		w.stop()
	})
}

func TestAfterACrashSoonAfterTheStartWhatMayHaveBeenSentIsPossiblyDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.run()
		w.stop()
		w.latency = time.Minute
		w.accept(alias("old", "new", 1))
		w.restart()
		time.Sleep(time.Millisecond)
		saved := w.log.saved()
		w.stop() // the alias is in flight, and ends
		w.log.setSaved(saved)
		w.restart() // as if it had been killed
		time.Sleep(10 * time.Minute)
		if afterPossibleDelivery := w.vendor.afterPossibleDelivery(); !slices.Equal(afterPossibleDelivery, []bool{false, true}) {
			t.Errorf("after a possible delivery: %v", afterPossibleDelivery)
		}
		w.stop()
	})
}

func TestPossiblyDelivered_StaysSoThroughAnOrderlyStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.answer = func(string, int) httpclient.Response {
			return httpclient.Response{Err: fasthttp.ErrTimeout, PossiblyDelivered: true}
		}
		w.accept(alias("b", "a", 1))
		w.run()
		time.Sleep(time.Second)
		w.stop()
		w.run()
		w.stop() // before it has even read the log
		w.set(func() { w.answer = nil })
		w.restart()
		time.Sleep(time.Hour)
		if afterPossibleDelivery := w.vendor.afterPossibleDelivery(); !slices.Equal(afterPossibleDelivery, []bool{true}) {
			t.Errorf("after a possible delivery: %v", afterPossibleDelivery)
		}
		w.stop()
	})
}

// To a vendor that renames on alias, a call under the old id that is repeated after the alias makes a second person.
func TestAfterACrashNothingComesAgainThatEndedBeforeAnAlias(t *testing.T) {
	for _, failing := range []bool{false, true} {
		t.Run(fmt.Sprintf("saving fails at first %v", failing), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{Order: adapter.OrderStrict})
				w.destination.Renames = true
				if failing {
					w.log.setSaveErr(errors.New("disk full"))
				}
				var saved []byte
				w.answer = func(id string, _ int) httpclient.Response {
					if id == "new-3" {
						saved = w.log.saved()
					}
					return httpclient.Response{Status: 200}
				}
				w.accept(identify("old", 1), track("old", 2), alias("old", "new", 3), track("new", 4), track("other", 5))
				w.run()
				time.Sleep(time.Minute)
				if failing {
					w.expectSent("old-1", "other-5", "old-2")
					w.log.setSaveErr(nil)
					time.Sleep(time.Second)
				}
				w.expectOutcomes(map[string]int{"delivered": 5})
				before := len(w.sent())
				w.stop()
				w.log.setSaved(saved)
				w.restart() // as if it had been killed while the alias was in flight
				time.Sleep(time.Minute)
				var again []string
				for _, e := range w.sent()[before:] {
					again = append(again, e.id)
				}
				if !slices.Equal(again, []string{"new-3", "new-4"}) {
					t.Errorf("after the crash %v came again", again)
				}
				w.stop()
			})
		})
	}
}

// An alias that waits for the progress to be saved waits for no more than what had ended when its turn came.
func TestAliasesAreNotHeldUpByCallsThatKeepEnding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Order: adapter.OrderStrict})
		w.destination.Renames = true
		w.latency = time.Millisecond
		w.run()
		for i := range 1000 {
			w.accept(track(fmt.Sprint("u", i), 1))
			if i%100 == 50 {
				w.accept(alias("old", "new", i))
			}
			time.Sleep(time.Millisecond)
		}
		for i := 50; i < 900; i += 100 {
			took := w.exchange(fmt.Sprint("new-", i)).start.Sub(w.exchange(fmt.Sprint("u", i, "-1")).start)
			if took > 2*aliasGap {
				t.Errorf("alias %d waited %s", i, took)
			}
		}
		w.stop()
	})
}

func TestStopWaitsForWhatIsInFlightAndNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.latency = 3 * time.Second
		w.accept(track("a", 1))
		w.run()
		time.Sleep(time.Second)
		start := time.Now()
		w.stop()
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("stopping took %s", took)
		}
		w.expectOutcomes(map[string]int{"delivered": 1})

		w.set(func() { w.latency = time.Hour })
		w.accept(track("a", 2))
		w.restart()
		time.Sleep(time.Second)
		start = time.Now()
		w.stop()
		if took := time.Since(start); took != stopTimeout {
			t.Errorf("stopping took %s", took)
		}
		w.set(func() { w.latency = 0 })
		w.restart()
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"delivered": 1})
		w.stop()
		time.Sleep(2 * time.Hour) // the abandoned exchange ends
	})
}

func TestOldCallsOfADestinationThatIsDownBecomeDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Window: 20, MaxBacklogAge: time.Hour})
		w.answer = func(string, int) httpclient.Response { return httpclient.Response{Err: fasthttp.ErrDialTimeout} }
		for i := range 100 {
			w.accept(identify("same", i))
		}
		w.run()
		time.Sleep(50 * time.Minute)
		w.expectOutcomes(map[string]int{})
		time.Sleep(3 * time.Hour)
		w.expectOutcomes(map[string]int{"dead/too_old": 100})
		for i, d := range w.log.dead {
			if want := fmt.Sprintf("same-%d", i); d.Entry.MessageID != want {
				t.Fatalf("dead letter %d is %s: out of order", i, d.Entry.MessageID)
			}
		}
		w.stop()
	})
}

func TestAReplayedCallIsAsYoungAsItsReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{MaxBacklogAge: time.Hour})
		w.answer = func(string, int) httpclient.Response { return httpclient.Response{Err: fasthttp.ErrDialTimeout} }
		replayed := identify("a", 1)
		replayed.Target = "vendor"
		young := identify("b", 1)
		time.Sleep(10 * time.Hour)
		young.ReceivedAt = time.Now()
		w.accept(replayed, young)
		w.run()
		time.Sleep(50 * time.Minute)
		w.expectOutcomes(map[string]int{})
		time.Sleep(time.Hour)
		w.expectOutcomes(map[string]int{"dead/too_old": 2})
		w.set(func() { w.answer = func(string, int) httpclient.Response { return httpclient.Response{Status: 200} } })
		w.accept(replayed)
		time.Sleep(time.Hour)
		w.expectOutcomes(map[string]int{"dead/too_old": 2, "delivered": 1})
		w.stop()
	})
}

func TestADeadLetterThatCannotBeStoredIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.answer = func(string, int) httpclient.Response { return httpclient.Response{Status: 400} }
		w.log.storeDeadErr = errors.New("disk full")
		w.accept(identify("a", 1), track("a", 2))
		w.run()
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{})
		w.log.setStoreDeadErr(nil)
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"dead/refused": 2})
		w.stop()
	})
}

func TestParking_ACallThatFailsAloneIsParkedWithThoseBehindIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Order: adapter.OrderStrict})
		w.answer = func(id string, _ int) httpclient.Response {
			if id == "poison-1" {
				return httpclient.Response{Status: 500}
			}
			return httpclient.Response{Status: 200}
		}
		w.accept(track("poison", 1), track("well", 2), track("poison", 3))
		w.run()
		time.Sleep(2 * time.Minute)
		w.accept(track("poison", 4), track("well", 5))
		time.Sleep(2 * time.Minute)
		if got := w.log.parkedIDs(); !slices.Equal(got, []string{"poison-1", "poison-3", "poison-4"}) {
			t.Errorf("parked: %v", got)
		}
		if floor := w.pipeline.Floor(); floor != 3 {
			t.Errorf("the floor is at %d: the calls that are parked hold it up", floor)
		}
		w.expectOutcomes(map[string]int{"delivered": 2})
		w.stop()

		w.accept(track("poison", 6))
		w.restart()
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{})
		w.set(func() { w.answer = nil })
		time.Sleep(2 * time.Minute)
		w.expectOutcomes(map[string]int{"delivered": 4})
		sent := w.sent()
		var last []string
		for _, e := range sent[len(sent)-4:] {
			last = append(last, e.id)
		}
		if !slices.Equal(last, []string{"poison-1", "poison-3", "poison-4", "poison-6"}) {
			t.Errorf("sent last: %v", last)
		}
		if got := w.log.parkedIDs(); len(got) > 0 {
			t.Errorf("still parked: %v", got)
		}
		w.stop()
	})
}

func TestParking_CallsThatAreNoLongerForTheDestinationEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Order: adapter.OrderStrict, MaxBacklogAge: 24 * time.Hour})
		w.answer = func(string, int) httpclient.Response { return httpclient.Response{Status: 500} }
		w.accept(track("poison", 1), track("poison", 2), track("poison", 3))
		w.run()
		time.Sleep(2 * time.Minute)
		if got := w.log.parkedIDs(); len(got) != 3 {
			t.Fatalf("parked: %v", got)
		}
		w.stop()
		w.allowed = []string{"another"}
		time.Sleep(48 * time.Hour)
		w.restart()
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"dropped/filtered_by_source": 3})
		if got := w.log.parkedIDs(); len(got) > 0 {
			t.Errorf("still parked: %v", got)
		}
		w.stop()
	})
}

func TestACallWhoseParkingSeemedToFailDoesNotComeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.log.parkErr, w.log.parkTimesOut = errors.New("timeout"), true
		w.answer = func(id string, _ int) httpclient.Response {
			if id == "jane-1" {
				return httpclient.Response{Status: 429}
			}
			return httpclient.Response{Status: 200}
		}
		w.accept(identify("jane", 1))
		w.run()
		time.Sleep(2 * time.Minute)
		if len(w.log.parkedIDs()) == 0 {
			t.Fatal("it was not parked")
		}
		w.set(func() { w.answer = nil })
		time.Sleep(2 * time.Minute)
		w.accept(alias("jane", "jane2", 2))
		time.Sleep(time.Minute)
		w.stop()
		before := len(w.sent())
		w.restart()
		time.Sleep(time.Minute)
		if again := w.sent()[before:]; len(again) > 0 {
			t.Errorf("after an orderly restart %v came again", again)
		}
		w.stop()
	})
}

func TestPossiblyDelivered_OfAParkedCallOutlivesAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		var status atomic.Int32
		status.Store(429)
		w.answer = func(string, int) httpclient.Response { return httpclient.Response{Status: int(status.Load())} }
		w.accept(alias("old", "new", 1))
		w.run()
		time.Sleep(2 * time.Minute)
		if len(w.log.parkedIDs()) == 0 {
			t.Fatal("it was not parked")
		}
		status.Store(502) // the vendor may have done it
		time.Sleep(5 * time.Minute)
		w.stop()
		before := len(w.vendor.afterPossibleDelivery())
		w.set(func() { w.answer = nil })
		w.restart()
		time.Sleep(5 * time.Minute)
		if afterPossibleDelivery := w.vendor.afterPossibleDelivery()[before:]; !slices.Equal(afterPossibleDelivery, []bool{true}) {
			t.Errorf("after a possible delivery: %v", afterPossibleDelivery)
		}
		w.stop()
	})
}

func TestOneCallThatAlwaysFailsDoesNotMakeItsDestinationLookDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.answer = func(id string, _ int) httpclient.Response {
			if id == "poison-1" {
				return httpclient.Response{Status: 500}
			}
			return httpclient.Response{Status: 200}
		}
		w.accept(track("poison", 1))
		w.run()
		time.Sleep(10 * time.Hour)
		asked := time.Now()
		w.accept(track("well", 1))
		time.Sleep(time.Second)
		if wait := w.exchange("well-1").start.Sub(asked); wait > 200*time.Millisecond {
			t.Errorf("another call waited %s", wait)
		}
		time.Sleep(15 * time.Hour)
		w.expectOutcomes(map[string]int{"dead/expired": 1, "delivered": 1})
		w.stop()
	})
}

func TestWhatWaitsKeepsLittleInMemory(t *testing.T) {
	// A frame of 900 KB of which one small call is meant for the destination, the rest is not.
	block := make([]byte, 900<<10)
	live := track("u", 1)
	json := block[:copy(block, live.JSON)]
	live.JSON = json
	other := track("d", 1)
	other.JSON, other.Routing = block[len(json):], []byte(`{"vendor":false}`)
	w := newWorld(t, Options{})
	p := New(Config{Destination: w.destination, Options: w.options, Allowed: func(string) []string { return nil }, Logger: zap.NewNop(),
		Metrics: NewMetrics(prometheus.NewRegistry())})
	for range 2 {
		arrivals := p.prepared(journal.NewSizedFrame(1, 0, []journal.Entry{live, other}, len(block)))
		if j := arrivals[0].job; !j.detached || arrivals[1].job != nil {
			t.Errorf("its own copy: %v, %v, want only the first, which waits, to have one", j.detached, arrivals[1].job)
		}
		if j := arrivals[0].job; j.size < len(live.JSON)+len(j.outcome.Requests[0].Body) {
			t.Errorf("its size is counted as %d bytes", j.size)
		}
	}
	if detail := p.detail(strings.Repeat("x", 64<<10)); len(detail) > maxDetail {
		t.Errorf("%d bytes of what the vendor said are kept", len(detail))
	}
}

// prepared returns the calls of a small frame, as they come to the loop.
func (p *Pipeline) prepared(f *journal.Frame) []arrival {
	go p.reader.takeFrame(context.Background(), f)
	return (<-p.reader.incoming).arrivals
}

func TestParking_ACallThatCannotBeParkedStaysWhereItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Retry: RetryOptions{MaxAge: time.Hour}})
		w.log.parkErr = errors.New("full")
		w.answer = func(id string, _ int) httpclient.Response {
			if id == "poison-1" {
				return httpclient.Response{Status: 500}
			}
			return httpclient.Response{Status: 200}
		}
		w.accept(identify("poison", 1), track("poison", 2))
		w.run()
		for i := range 100 {
			w.accept(track("well", i))
			time.Sleep(time.Minute)
		}
		w.expectOutcomes(map[string]int{"delivered": 101, "dead/expired": 1})
		w.stop()
	})
}

func TestTheRateIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Rate: 10})
		for i := range 100 {
			w.accept(track(fmt.Sprint("u", i), 1))
		}
		w.run()
		start := time.Now()
		time.Sleep(5 * time.Second)
		if n := len(w.sent()); n < 55 || n > 61 {
			t.Errorf("%d calls in 5 s at 10 a second, with a burst of 10", n)
		}
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"delivered": 100})
		if took := w.sent()[99].start.Sub(start); took < 8*time.Second {
			t.Errorf("all went in %s", took)
		}
		w.stop()
	})
}

func TestTheWindowIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Window: 50, Concurrency: Fixed(4)})
		w.latency = time.Hour
		for i := range 30 {
			var calls []journal.Entry
			for n := range 10 {
				calls = append(calls, track(fmt.Sprint("u", i), n))
			}
			w.accept(calls...)
		}
		w.run()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := w.pipeline.window.count; n != 50 {
			t.Errorf("%d calls in the window, want 50", n)
		}
		w.set(func() { w.latency = 0 })
		time.Sleep(10 * time.Hour)
		w.expectOutcomes(map[string]int{"delivered": 300})
		w.stop()
	})
}

// TestIdentityOrderHoldsThroughEverything runs random calls of few people against a destination with random latency,
// failures, partial batches, breaker, refusals, restarts, merge rules that hold aliases, and operators who replay and discard what holds
// up others, or approve and refuse it. It checks every exchange against the order of the journal.
var stories = flag.Int("stories", 60, "random stories that the order must hold through")

func TestIdentityOrderHoldsThroughEverything(t *testing.T) {
	parkings, replays, discards, withdrawn, approved, refused := 0, 0, 0, 0, 0, 0
	for seed := range uint64(*stories) {
		synctest.Test(t, func(t *testing.T) {
			s := randomStory(t, seed)
			parkings, replays, discards, withdrawn = parkings+s.log.parkings, replays+s.replays, discards+s.discards, withdrawn+s.log.withdrawn
			approved, refused = approved+s.approved, refused+s.refused
		})
	}
	t.Logf("%d calls were parked, %d replayed, %d discarded and %d withdrawn; %d held aliases were approved and %d refused", parkings, replays, discards, withdrawn, approved, refused)
	if approved < 10 || refused < 10 {
		t.Errorf("only %d held aliases were approved and %d refused: the stories are too tame", approved, refused)
	}
	if parkings < 100 || replays < 100 || discards < 100 || *stories >= 1000 && withdrawn == 0 {
		t.Errorf("only %d calls were parked, %d replayed, %d discarded and %d withdrawn: the stories are too tame", parkings, replays, discards, withdrawn)
	}
}

// operatedWorld is a world in which dead letters are replayed in their places, and discarded.
type operatedWorld struct {
	*world
	replays, discards, approved, refused int
}

// operate decides on some of the dead letters that hold up others, one in so many, and returns how many do.
func (s *operatedWorld) operate(random *rand.Rand, oneIn int) (held int) {
	for _, d := range s.log.deadLetters() {
		if !s.pipeline.Blocks(d.ID) {
			continue
		}
		held++
		switch {
		case random.IntN(oneIn) > 0, s.isDecided(d.ID):
		case random.IntN(3) == 0:
			s.release(d.Entry.MessageID)
			s.discards++
		default:
			s.retry(d.Entry.MessageID)
			s.replays++
		}
	}
	return held
}

// decide approves or refuses some of the held aliases, one in so many, and returns how many there were.
func (s *operatedWorld) decide(random *rand.Rand, oneIn int) (held int) {
	all := s.held()
	for _, h := range all {
		if random.IntN(oneIn) > 0 {
			continue
		}
		do, count := s.pipeline.ApproveHeld, &s.approved
		if random.IntN(2) == 0 {
			do, count = s.pipeline.RefuseHeld, &s.refused
		}
		done, err := do(s.t.Context(), quarantine.Filter{IDs: []uint64{h.ID}}, quarantine.MaxDecided)
		if err != nil && !errors.Is(err, ErrNotReadBack) {
			s.t.Error(err)
		}
		*count += done.Count
	}
	return len(all)
}

// isDecided reports whether a decision about the dead letter is on its way to the disk, such as its withdrawal.
func (s *operatedWorld) isDecided(deadLetter uint64) (decided bool) {
	err := s.pipeline.ask(s.t.Context(), func() { decided = s.pipeline.deadLetters.isDeciding(deadLetter) })
	if err != nil {
		s.t.Error(err)
	}
	return decided
}

// statusIgnored is how the vendor of the stories says that it did nothing with a call.
const statusIgnored = 299

// randomStory returns the world in the end.
func randomStory(t *testing.T, seed uint64) *operatedWorld {
	random := rand.New(rand.NewPCG(seed, 2))
	w := newWorld(t, Options{
		Concurrency: Fixed(1 + random.IntN(8)), Window: 8 + random.IntN(60), Retry: RetryOptions{Initial: 100 * time.Millisecond, Max: 10 * time.Second, MaxAttempts: 400},
		Breaker: breaker.Options{Failures: 1 + random.IntN(6), Ratio: 0.1 + 0.4*random.Float64(), Interval: time.Minute, Cooldown: time.Second, MaxCooldown: 4 * time.Second},
		OnDead:  []OnDead{OnDeadContinue, OnDeadBlock}[random.IntN(2)],
		Batch:   BatchOptions{MaxItems: 1 + random.IntN(5), MaxWait: 50 * time.Millisecond},
		Order:   []adapter.Order{adapter.OrderIdentity, adapter.OrderStrict}[random.IntN(2)],
	})
	s := &operatedWorld{world: w}
	if random.IntN(2) == 0 {
		w.vendor.rule, w.destination.RememberMerges, w.merges = adapter.MergeJoins, true, mergerules.DefaultOptions
		w.merges.NewUserGrace, w.merges.MaxIDs = 0, 2+random.IntN(4)
		if random.IntN(5) == 0 {
			w.vendor.rule = adapter.MergeGivesUnkept
		}
	}
	w.destination.Settle = time.Duration(random.IntN(2)) * 300 * time.Millisecond
	if random.IntN(2) == 0 {
		w.vendor.batch = &adapter.Batch{Key: "k", MaxItems: 4}
	}
	if random.IntN(3) == 0 {
		w.vendor.steps, w.vendor.wait = 2, time.Duration(1+random.IntN(3000))*time.Millisecond
	}
	if random.IntN(3) == 0 {
		w.vendor.asks = true
	}
	if random.IntN(4) == 0 {
		w.vendor.rateOf = func(*segment.Call) *adapter.Rate { return &adapter.Rate{Key: "all", PerSecond: 20} }
	}
	w.latency = time.Duration(random.IntN(200)) * time.Millisecond
	w.random = rand.New(rand.NewPCG(seed, 3)) // the vendor has its own
	w.stubborn = map[string]bool{}
	w.answer = func(id string, _ int) httpclient.Response {
		if w.isStubborn(id) {
			return httpclient.Response{Status: 500}
		}
		if w.refusesAll.Load() {
			return httpclient.Response{Status: 404}
		}
		switch w.chance(20) {
		case 0:
			return httpclient.Response{Status: 500}
		case 1:
			return httpclient.Response{Err: fasthttp.ErrTimeout, PossiblyDelivered: true}
		case 2:
			return httpclient.Response{Status: 400}
		case 3:
			return httpclient.Response{Status: 413}
		case 4:
			return httpclient.Response{Status: statusIgnored}
		}
		if w.chance(200) == 0 {
			return httpclient.Response{Status: 401}
		}
		return httpclient.Response{Status: 200, Body: []byte([]string{"none", "more", "nothing to do", ""}[min(w.chance(20), 3)])}
	}
	w.vendor.judge = func(n int, a adapter.Answer) []adapter.Verdict {
		if a.Status == statusIgnored {
			return adapter.Verdicts(n, adapter.Verdict{Class: adapter.Dropped, Note: string(adapter.UserUnknown)})
		}
		return adapter.Verdicts(n, a.Verdict())
	}
	people := []string{"a", "b", "c", "d"}
	if random.IntN(3) == 0 {
		people = append(people, "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u", "v", "w", "x", "y", "z")
	}
	person := func() string { return people[random.IntN(len(people))] }
	devices := random.IntN(2) == 0
	accept := func(entries ...journal.Entry) {
		for i := range entries {
			if devices && random.IntN(3) > 0 {
				entries[i] = fromDevice(entries[i], time.Duration(random.IntN(400))*time.Millisecond)
			}
		}
		w.accept(entries...)
		if devices {
			time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
		}
	}
	total := 0
	w.run()
	for range 12 {
		for range random.IntN(12) {
			total++
			switch random.IntN(6) {
			case 0:
				accept(alias(person(), person(), total))
			case 1:
				accept(identify(person(), total))
			case 2:
				accept(track(person(), total), track(person(), total+1000))
				total++
			default:
				accept(track(person(), total))
			}
		}
		time.Sleep(time.Duration(random.IntN(2000)) * time.Millisecond)
		if random.IntN(3) == 0 {
			time.Sleep(2 * time.Minute) // long enough to be parked
		}
		if w.refusesAll.Load() {
			time.Sleep(time.Minute) // long enough to be noticed
		}
		w.log.fail(false)
		s.operate(random, 4)
		s.decide(random, 3)
		w.log.fail(random.IntN(6) == 0)
		w.refusesAll.Store(random.IntN(3) == 0)
		if random.IntN(4) == 0 {
			w.log.fail(false)
			w.stop()
			w.restart()
		}
	}
	w.log.fail(false)
	w.refusesAll.Store(false)
	w.set(func() { w.stubborn = nil })
	time.Sleep(10 * time.Minute)
	for s.operate(random, 2)+s.decide(random, 2) > 0 {
		time.Sleep(10 * time.Minute)
	}
	w.stop()
	w.checkOrder()
	ended := 0
	for _, n := range w.ended() {
		ended += n
	}
	if ended != total+s.replays+w.log.withdrawn {
		t.Errorf("%d calls accepted, %d of them tried again in their places and %d withdrawn, %d ended: %v", total, s.replays, w.log.withdrawn, ended, w.ended())
	}
	if left := w.log.parkedIDs(); len(left) > 0 {
		t.Errorf("still parked: %v", left)
	}
	// An alias of which both ids became one person meanwhile, by others, is dropped for that.
	dropped := w.ended()["dropped/merge_refused"]
	if dropped > s.refused || dropped+w.ended()["dropped/already_merged"]+w.ended()["dropped/alias_taken"] < s.refused {
		t.Errorf("%d held aliases were refused: %v", s.refused, w.ended())
	}
	if t.Failed() {
		t.Logf("seed %d", seed)
	}
	return s
}

// world is a pipeline between a log and a vendor that are made for tests, on a fake clock.
type world struct {
	waits     bool // see Config.Waits
	keptDrops []string
	watch     *live.Recorder // nil where there are no viewers
	// cpuIsSaturated is nil where it never is.
	cpuIsSaturated func() bool
	t              *testing.T
	log            *testLog
	vendor         *testVendor
	destination    *destinations.Destination
	options        Options
	merges         mergerules.Options
	people         knownUsers // what the merge rules know; nil is the memory
	devices        Devices
	memory         merges.Options
	pipeline       *Pipeline
	registry       *prometheus.Registry
	logs           *observer.ObservedLogs // of the pipeline that runs
	logLevel       zapcore.Level          // the least that the log takes
	shared         *testLog               // where the calls come from; nil is log
	refusesAll     atomic.Bool            // as where billing has stopped
	read           atomic.Uint64          // the frame that is read next
	allowed        []string               // the destinations of the only source; none is all
	earlier        map[string]int         // outcomes of the pipelines before the last restart

	mu          sync.Mutex
	random      *rand.Rand
	latency     time.Duration
	answer      func(id string, attempt int) httpclient.Response
	batchAnswer func(ids []string) httpclient.Response
	whole       func(httpclient.Exchange) httpclient.Response // in place of the other two
	stubborn    map[string]bool
	attempts    map[string]int
	exchanges   []exchanged
	batches     [][]string
}

type exchanged struct {
	id         string
	start, end time.Time
	ok         bool
	refused    bool // as everything is: it may be withdrawn
	finds      bool // it is a search
}

const stopTimeout = 20 * time.Second

func newWorld(t *testing.T, o Options) *world {
	merged := DefaultOptions
	set := func(dst *int, v int) {
		if v != 0 {
			*dst = v
		}
	}
	merged.Concurrency = o.Concurrency
	set(&merged.Window, o.Window)
	set(&merged.Batch.MaxItems, o.Batch.MaxItems)
	set(&merged.Breaker.Failures, o.Breaker.Failures)
	set(&merged.Retry.MaxAttempts, o.Retry.MaxAttempts)
	setTime := func(dst *time.Duration, v time.Duration) {
		if v != 0 {
			*dst = v
		}
	}
	setTime(&merged.Batch.MaxWait, o.Batch.MaxWait)
	setTime(&merged.Retry.Initial, o.Retry.Initial)
	setTime(&merged.Retry.Max, o.Retry.Max)
	setTime(&merged.Retry.MaxAge, o.Retry.MaxAge)
	setTime(&merged.Breaker.Cooldown, o.Breaker.Cooldown)
	setTime(&merged.Breaker.MaxCooldown, o.Breaker.MaxCooldown)
	setTime(&merged.MaxBacklogAge, o.MaxBacklogAge)
	setTime(&merged.Breaker.Interval, o.Breaker.Interval)
	if o.Breaker.Ratio != 0 {
		merged.Breaker.Ratio = o.Breaker.Ratio
	}
	merged.Rate = o.Rate
	merged.Order = o.Order
	if o.OnDead != "" {
		merged.OnDead = o.OnDead
	}
	vendor := &testVendor{steps: 1}
	return &world{
		t: t, log: newTestLog(), memory: merges.Options{Key: bytes.Repeat([]byte("k"), merges.MinKey)}, vendor: vendor, options: merged, attempts: map[string]int{}, earlier: map[string]int{},
		destination: &destinations.Destination{Name: "vendor", Type: "vendor", Names: []string{"vendor"}, Order: adapter.OrderIdentity,
			Adapter: vendor, Masker: adapter.NewMasker([]adapter.Secret{adapter.NewSecret("s3cr3t")})},
	}
}

func (w *world) run() {
	w.registry = prometheus.NewRegistry()
	core, logs := observer.New(w.logLevel)
	w.logs = logs
	config := Config{
		Destination: w.destination, Options: w.options, Journal: w.log, Read: w.log.readFrom, Allowed: func(string) []string { return w.allowed },
		KeptDrops: w.keptDrops, Sender: w, Logger: zap.New(core, zap.Development()), Metrics: NewMetrics(w.registry), Watch: w.watch, Memory: w.memory,
		CPUIsSaturated: w.cpuIsSaturated,
	}
	if w.shared != nil {
		config.Journal = &sharedLog{w.log, w.shared}
		config.Read = func(from uint64) Frames { return &countedReader{w.shared.readFrom(from), &w.read} }
	}
	config.Merges, config.Devices, config.Waits = w.merges, w.devices, w.waits
	w.pipeline = New(config)
	if w.people != nil {
		w.pipeline.mergeGuard.known = w.people
	}
	if err := w.pipeline.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	w.pipeline.Stop(ctx)
}

// restart starts a new pipeline on the same log. Outcomes count anew; ended keeps the sum.
func (w *world) restart() {
	w.earlier = w.ended()
	w.run()
}

// set changes what the vendor does.
func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *world) accept(entries ...journal.Entry) { w.log.append(entries) }

// Send plays the vendor.
func (w *world) Send(x httpclient.Exchange) httpclient.Response {
	ids := idsOf(x.Body)
	w.mu.Lock()
	latency := w.latency
	if w.random != nil && latency > 0 {
		latency = time.Duration(w.random.Int64N(int64(latency))) + 1
	}
	at := len(w.exchanges)
	for _, id := range ids {
		w.exchanges = append(w.exchanges, exchanged{id: id, start: time.Now(), finds: bytes.Contains(x.Body, []byte("find"))})
		w.attempts[id]++
	}
	w.batches = append(w.batches, ids)
	attempt, answer, batchAnswer := w.attempts[ids[0]], w.answer, w.batchAnswer
	w.mu.Unlock()

	if latency > 0 {
		time.Sleep(latency)
	}
	r := httpclient.Response{Status: 200}
	if answer != nil {
		r = answer(ids[0], attempt)
	}
	if batchAnswer != nil {
		r = batchAnswer(ids)
	}
	if w.whole != nil {
		r = w.whole(x)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range ids {
		w.exchanges[at+i].end = time.Now()
		w.exchanges[at+i].ok = r.Err == nil && r.Status == 200 && string(r.Body) != "none" && string(r.Body) != "more"
		w.exchanges[at+i].refused = r.Status == 404
	}
	return r
}

func idsOf(body []byte) []string {
	var one struct{ ID string }
	if json.Unmarshal(body, &one) == nil {
		return []string{one.ID}
	}
	var many []struct{ ID string }
	if err := json.Unmarshal(body, &many); err != nil {
		panic(err)
	}
	var ids []string
	for _, m := range many {
		ids = append(ids, m.ID)
	}
	return ids
}

// isStubborn reports whether the vendor fails on a call every time: on one in ten, while stubborn is set.
func (w *world) isStubborn(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stubborn == nil {
		return false
	}
	if _, known := w.stubborn[id]; !known {
		w.stubborn[id] = w.random.IntN(10) == 0
	}
	return w.stubborn[id]
}

func (w *world) chance(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.random.IntN(n)
}

func (w *world) sent() []exchanged {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.exchanges)
}

// exchange returns the last exchange of a call.
func (w *world) exchange(id string) exchanged {
	w.t.Helper()
	sent := w.sent()
	for i := len(sent) - 1; i >= 0; i-- {
		if sent[i].id == id {
			return sent[i]
		}
	}
	w.t.Fatalf("%s was not sent", id)
	return exchanged{}
}

func (w *world) expectSent(ids ...string) {
	w.t.Helper()
	var got []string
	for _, e := range w.sent() {
		got = append(got, e.id)
	}
	slices.Sort(got)
	slices.Sort(ids)
	if !slices.Equal(got, ids) {
		w.t.Errorf("sent %v\nwant %v", got, ids)
	}
}

// ended counts the calls that ended, by outcome and reason, in all pipelines so far.
func (w *world) ended() map[string]int {
	total := map[string]int{}
	for k, v := range w.earlier {
		total[k] = v
	}
	for k, v := range w.outcomes() {
		total[k] += v
	}
	return total
}

func (w *world) outcomes() map[string]int {
	synctest.Wait()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	got := map[string]int{}
	for _, f := range families {
		if f.GetName() != "aka_outcomes_total" {
			continue
		}
		for _, m := range f.Metric {
			labels := map[string]string{}
			for _, l := range m.Label {
				labels[l.GetName()] = l.GetValue()
			}
			if n := int(m.Counter.GetValue()); n > 0 {
				got[strings.TrimSuffix(labels["outcome"]+"/"+labels["reason"], "/")] += n
			}
		}
	}
	return got
}

func (w *world) expectOutcomes(want map[string]int) {
	w.t.Helper()
	if got := w.outcomes(); fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Errorf("outcomes %v, want %v", got, want)
	}
}

// metric returns the sum of a metric's values, of the pipeline that runs, over the series that have the label value.
func (w *world) metric(name, label string) float64 {
	w.t.Helper()
	synctest.Wait()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	sum, found := 0.0, false
	for _, f := range families {
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if f.GetName() == name && l.GetValue() == label {
					sum, found = sum+m.Counter.GetValue()+m.Gauge.GetValue(), true
				}
			}
		}
	}
	if !found {
		w.t.Fatalf("there is no metric %s with %q", name, label)
	}
	return sum
}

// checkOrder checks all exchanges: no two calls that conflict overlap, and none is sent after a later one had begun.
func (w *world) checkOrder() {
	place := map[string]int{}
	entries := w.log.inOrder()
	for i, e := range entries {
		place[e.MessageID] = i
	}
	conflict := func(a, b journal.Entry) bool {
		strict := w.options.Order == adapter.OrderStrict
		if !strict && !a.Type.ChangesIdentity() && !b.Type.ChangesIdentity() {
			return false
		}
		for _, id := range a.IDs(nil) {
			if slices.Contains(b.IDs(nil), id) {
				return true
			}
		}
		return false
	}
	sent := slices.DeleteFunc(w.sent(), func(e exchanged) bool { return e.refused })
	last := map[string]int{} // a call of several requests is delivered by its last
	for i, e := range sent {
		last[e.id] = i
	}
	for i, a := range sent {
		for _, b := range sent[i+1:] {
			if a.id == b.id {
				continue
			}
			earlier, later := a, b
			if place[a.id] > place[b.id] {
				earlier, later = b, a
			}
			if later.start.Before(w.log.withdrawnAt[earlier.id]) {
				continue // the earlier was dead then
			}
			first, second := entries[place[earlier.id]], entries[place[later.id]]
			if !conflict(first, second) {
				continue
			}
			if later.start.Before(earlier.end) {
				w.t.Errorf("%s was sent %s before %s, which stands before it, had ended", later.id, earlier.end.Sub(later.start), earlier.id)
			}
			if first.Type == segment.Alias && earlier.ok && sent[last[earlier.id]] == earlier && later.start.Sub(earlier.end) < w.destination.Settle {
				w.t.Errorf("%s was sent %s after the alias %s", later.id, later.start.Sub(earlier.end), earlier.id)
			}
		}
	}
}

// inOrder returns the log's calls in the order in which destinations take them.
func (l *testLog) inOrder() (entries []journal.Entry) {
	order := reorder.New()
	for _, f := range l.frames {
		order.Add(f)
	}
	order.Advance(time.Now().Add(24 * time.Hour))
	for p, ok := order.Next(); ok; p, ok = order.Next() {
		entries = append(entries, l.frames[p.Position.Seq-1].Entries[p.Position.Index])
	}
	return entries
}

// fromDevice makes it a call that a device made so long ago by its clock.
func fromDevice(e journal.Entry, ago time.Duration) journal.Entry {
	e.FromDevice, e.Clock, e.ReorderWindow = true, time.Now().Add(-ago).UnixMicro(), 300*time.Millisecond
	return e
}

// testVendor makes one request of each call, or several.
type testVendor struct {
	adapter.Common
	steps int
	wait  time.Duration // between them
	batch *adapter.Batch
	judge func(n int, a adapter.Answer) []adapter.Verdict
	// rule, when set, is what an alias and an identify merge by; account is where.
	rule    adapter.MergeRule
	limit   int
	account string
	// aliasesOnly: no identify merges anything. drop is the messageId of a call that is dropped.
	aliasesOnly bool
	drop        string
	// ifUsed sends an alias only where its previousId is used.
	ifUsed bool
	// marks has the last request of an identify marked as the one that merges.
	marks bool
	// asks has each call begin with a search, whose answer "none" drops it, "bad" rejects it, and "more" asks again; any other is
	// followed by the call's own requests.
	asks bool
	sign *adapter.Sign
	// rateOf is the rate of a call's requests; nil is none.
	rateOf func(*segment.Call) *adapter.Rate

	mu                sync.Mutex
	possiblyDelivered []bool
}

func (v *testVendor) Translate(c *segment.Call) adapter.Outcome {
	if c.Event == "drop me" || v.drop != "" && c.MessageID == v.drop {
		return adapter.Drop(adapter.NothingToSend)
	}
	if c.Event == "drop me with a note" {
		return adapter.Outcome{Dropped: adapter.Other, Note: "it is internal"}
	}
	if c.Event == "reject me" {
		return adapter.Reject(errors.New("event: not this one"))
	}
	outcome := v.requests(c)
	if v.asks {
		outcome = adapter.Send(v.search(c))
	}
	if c.Event == "ignore my options" {
		outcome.Ignored = []string{"integrations.Vendor.one", "integrations.Vendor.other"}
	}
	if v.ifUsed && c.Type == segment.Alias {
		return outcome.OnlyIfUsed(c.PreviousID, adapter.PreviousIDIsAnonymous)
	}
	return outcome
}

func (v *testVendor) search(c *segment.Call) adapter.Request {
	return adapter.Request{Method: "GET", URL: "https://vendor.test/", Body: []byte(`{"id":"` + c.MessageID + `","find":true}`), Asks: true, Wait: v.wait}
}

func (v *testVendor) Next(c *segment.Call, answered []adapter.Answered) adapter.Outcome {
	switch last := answered[len(answered)-1].Answer; string(last.Body) {
	case "none":
		return adapter.Drop(adapter.PreviousIDUnknown)
	case "bad":
		return adapter.Reject(errors.New("answer: s3cr3t has no id"))
	case "more":
		return adapter.Send(v.search(c))
	case "nothing to do":
		return adapter.Outcome{}
	}
	return v.requests(c)
}

func (v *testVendor) requests(c *segment.Call) adapter.Outcome {
	var requests []adapter.Request
	for i := range v.steps {
		id := c.MessageID
		if v.steps > 1 && v.wait == 0 {
			id = fmt.Sprintf("%s/%d", id, i)
		}
		requests = append(requests, adapter.Request{Method: "POST", URL: "https://vendor.test/", Body: []byte(`{"id":"` + id + `"}`), Batch: v.batch, Wait: v.wait, Merges: v.marks && c.Type == segment.Identify && i == v.steps-1, Sign: v.sign})
	}
	if v.rateOf != nil {
		for i := range requests {
			requests[i].Rate = v.rateOf(c)
		}
	}
	return adapter.Send(requests...)
}

func (v *testVendor) Judge(requests []adapter.Request, a adapter.Answer) []adapter.Verdict {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.possiblyDelivered = append(v.possiblyDelivered, a.AfterPossibleDelivery)
	if v.judge != nil {
		return v.judge(len(requests), a)
	}
	return adapter.Verdicts(len(requests), a.Verdict())
}

// testLog is a log in memory.
type testLog struct {
	mu           sync.Mutex
	frames       []*journal.Frame
	calls        uint64
	arrived      chan struct{}
	progress     []byte
	saveErr      error
	dead         []*journal.DeadLetter
	lastID       uint64
	storeDeadErr error
	parked       []*journal.Parked
	parkings     int
	withdrawn    int
	withdrawnAt  map[string]time.Time
	parkErr      error
	unparkErr    error
	dropped      []*journal.DeadLetter
	// keepDropped, when set, is called before dropped calls are stored, and may fail.
	keepDropped func(ctx context.Context) error
	// unparkTimesOut makes removing fail with unparkErr although it was done.
	unparkTimesOut bool
	// parkTimesOut makes parking fail with parkErr although it was done.
	parkTimesOut bool
	facts        map[string][]byte
	ledger       []journal.LedgerEntry
	decisions    []journal.AutoDecision
	// beforeSave, when set, is called before progress is saved.
	beforeSave func()
}

func newTestLog() *testLog {
	return &testLog{arrived: make(chan struct{}), withdrawnAt: map[string]time.Time{}}
}

func (l *testLog) append(entries []journal.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range entries {
		entries[i].ReceivedAt = time.Now()
	}
	f := journal.NewFrame(uint64(len(l.frames)+1), l.calls, entries)
	f.Committed = time.Now().Truncate(time.Millisecond)
	l.frames = append(l.frames, f)
	l.calls += uint64(len(entries))
	close(l.arrived)
	l.arrived = make(chan struct{})
}

func (l *testLog) LoadProgress(context.Context, string) (*journal.Progress, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.progress == nil {
		return journal.NewProgress(journal.Position{Seq: 1}, 0), nil
	}
	return journal.DecodeProgress(l.progress)
}

func (l *testLog) SaveProgress(_ context.Context, _ string, encoded []byte, facts []journal.Fact, entries []journal.LedgerEntry) error {
	l.mu.Lock()
	before := l.beforeSave
	l.mu.Unlock()
	if before != nil {
		before()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.saveErr != nil {
		return l.saveErr
	}
	l.progress = encoded
	l.apply(facts)
	l.ledger = append(l.ledger, entries...)
	return nil
}

func (l *testLog) AutoDecisions(context.Context, string, time.Time) ([]journal.AutoDecision, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.decisions, nil
}

func (l *testLog) saved() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.progress
}

func (l *testLog) setSaveErr(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.saveErr = err
}

func (l *testLog) setSaved(progress []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.progress = progress
}

func (l *testLog) StoreDeadLetters(_ context.Context, deadLetters []*journal.DeadLetter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.storeDeadErr != nil {
		return l.storeDeadErr
	}
	for _, d := range deadLetters {
		l.lastID++
		d.ID = l.lastID
		l.dead = append(l.dead, d)
		if d.Place != nil {
			d.Place.DeadLetterID = d.ID
			l.put(d.Place)
		}
	}
	return nil
}

func (l *testLog) KeepDropped(ctx context.Context, calls []*journal.DeadLetter) error {
	l.mu.Lock()
	keep := l.keepDropped
	l.mu.Unlock()
	if keep != nil {
		if err := keep(ctx); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range calls {
		same := func(other *journal.DeadLetter) bool { return other.Position == d.Position }
		if !slices.ContainsFunc(l.dropped, same) {
			l.dropped = append(l.dropped, d)
		}
	}
	return nil
}

func (l *testLog) Withdraw(_ context.Context, _ string, deadLetters []uint64, park func(*journal.DeadLetter) *journal.Parked) (parked []*journal.Parked, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = slices.DeleteFunc(l.dead, func(d *journal.DeadLetter) bool {
		if !slices.Contains(deadLetters, d.ID) {
			return false
		}
		p := park(d)
		l.put(p)
		parked = append(parked, p)
		l.withdrawn++
		l.withdrawnAt[d.Entry.MessageID] = time.Now()
		return true
	})
	return parked, nil
}

func (l *testLog) DeadLetter(_ context.Context, id uint64) (*journal.DeadLetter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range l.dead {
		if d.ID == id {
			return d, nil
		}
	}
	return nil, journal.ErrNoDeadLetter
}

func (l *testLog) deadLetters() []*journal.DeadLetter {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.dead)
}

// discard removes a dead letter, as an operator does or its age.
func (l *testLog) discard(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = slices.DeleteFunc(l.dead, func(d *journal.DeadLetter) bool { return d.ID == id })
}

// deadLetter returns the id of a call's dead letter; 0 when there is none.
func (l *testLog) deadLetter(messageID string) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range l.dead {
		if d.Entry.MessageID == messageID {
			return d.ID
		}
	}
	return 0
}

func (l *testLog) Park(_ context.Context, _ string, calls []*journal.Parked) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.parkErr != nil && !l.parkTimesOut {
		return l.parkErr
	}
	if len(calls) > journal.MaxParked {
		panic("too many calls at once")
	}
	for _, p := range calls {
		l.put(p)
	}
	return l.parkErr
}

// put stores a parked call, in place of what has its key.
func (l *testLog) put(p *journal.Parked) {
	kept := *p
	for i, known := range l.parked {
		if known.Queue == p.Queue && known.Rank == p.Rank {
			l.parked[i] = &kept
			return
		}
	}
	l.parkings++
	l.parked = append(l.parked, &kept)
	slices.SortFunc(l.parked, func(a, b *journal.Parked) int {
		return cmp.Or(cmp.Compare(a.Queue, b.Queue), a.Rank.Compare(b.Rank))
	})
}

func (l *testLog) Unpark(_ context.Context, _ string, keys []journal.ParkedKey, facts []journal.Fact) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.unparkErr != nil && !l.unparkTimesOut {
		return l.unparkErr
	}
	l.parked = slices.DeleteFunc(l.parked, func(p *journal.Parked) bool {
		return slices.Contains(keys, journal.ParkedKey{Queue: p.Queue, Rank: p.Rank})
	})
	l.apply(facts)
	return l.unparkErr
}

func (l *testLog) ReadQueue(_ context.Context, _ string, queue uint64, from journal.Rank, visit func(*journal.Parked) bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.parked {
		if again := *p; p.Queue == queue && !p.Rank.Before(from) && !visit(&again) {
			return nil
		}
	}
	return nil
}

func (l *testLog) EachParked(_ context.Context, _ string, visit func(*journal.Parked) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.parked {
		again := *p
		if err := visit(&again); err != nil {
			return err
		}
	}
	return nil
}

// fail has parking fail from now on, or work again.
func (l *testLog) fail(fails bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.parkErr = nil
	if fails {
		l.parkErr = errors.New("full")
	}
}

func (l *testLog) parkedIDs() (ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	inOrder := slices.Clone(l.parked)
	slices.SortFunc(inOrder, func(a, b *journal.Parked) int {
		return cmp.Or(a.Rank.Compare(b.Rank))
	})
	for _, p := range inOrder {
		ids = append(ids, p.Entry.MessageID)
	}
	return ids
}

func (l *testLog) setStoreDeadErr(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.storeDeadErr = err
}

func (l *testLog) Head() (uint64, journal.Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls, journal.Position{Seq: uint64(len(l.frames) + 1)}
}

func (l *testLog) readFrom(seq uint64) Frames { return &testReader{l, seq} }

type testReader struct {
	log  *testLog
	next uint64
}

func (r *testReader) Close() {}

func (r *testReader) Next(ctx context.Context) (*journal.Frame, error) {
	f, _, err := r.NextBefore(ctx, time.Time{}, 0)
	return f, err
}

func (r *testReader) NextBefore(ctx context.Context, due time.Time, left time.Duration) (*journal.Frame, time.Time, error) {
	for {
		r.log.mu.Lock()
		arrived := r.log.arrived
		if r.next <= uint64(len(r.log.frames)) {
			f := r.log.frames[r.next-1]
			r.log.mu.Unlock()
			r.next++
			return f, time.Time{}, nil
		}
		if !due.IsZero() && !time.Now().Before(due) {
			r.log.mu.Unlock()
			return nil, due, nil
		}
		r.log.mu.Unlock()
		var passed <-chan time.Time
		if !due.IsZero() {
			passed = time.After(time.Until(due))
		}
		select {
		case <-arrived:
		case <-passed:
		case <-ctx.Done():
			return nil, time.Time{}, ctx.Err()
		}
	}
}

func call(t segment.Type, user, previous string, n int) journal.Entry {
	id := fmt.Sprintf("%s-%d", user, n)
	return journal.Entry{Source: "s", Message: segment.Message{
		Header: segment.Header{Type: t, MessageID: id, UserID: user, PreviousID: previous, Timestamp: time.Now()},
		JSON:   []byte(`{"type":"` + t.String() + `","event":"x"}`),
	}}
}

func track(user string, n int) journal.Entry           { return call(segment.Track, user, "", n) }
func identify(user string, n int) journal.Entry        { return call(segment.Identify, user, "", n) }
func alias(previous, user string, n int) journal.Entry { return call(segment.Alias, user, previous, n) }

// afterPossibleDelivery returns, for each answer, whether the adapter saw that an earlier try was possibly delivered.
func (v *testVendor) afterPossibleDelivery() []bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.possiblyDelivered)
}
