package delivery

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aka/destinations/adapter"
	"aka/router/httpclient"
)

// newWaitingWorld is one in which each call becomes two requests, the second some seconds after the first.
func newWaitingWorld(t *testing.T, wait time.Duration) *world {
	w := newWorld(t, Options{Concurrency: Fixed(1), Order: adapter.OrderStrict})
	w.vendor.steps, w.vendor.wait = 2, wait
	w.latency = 100 * time.Millisecond
	return w
}

// expectInOrder compares the ids of all exchanges with those that are wanted, in order.
func (w *world) expectInOrder(want string) {
	w.t.Helper()
	var ids []string
	for _, e := range w.sent() {
		ids = append(ids, e.id)
	}
	if got := strings.Join(ids, " "); got != want {
		w.t.Errorf("sent %s\nwant %s", got, want)
	}
}

func TestWait_HoldsItsPersonOnlyAndNoExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaitingWorld(t, 3*time.Second)
		w.accept(alias("b", "a", 1), track("b", 2), track("z", 3))
		w.run()
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"delivered": 3})
		w.expectInOrder("a-1 z-3 a-1 z-3 b-2 b-2")
		sent := w.sent()
		if waited := sent[2].start.Sub(sent[0].end); waited < 3*time.Second || waited > 4*time.Second {
			t.Errorf("the second request went after %s", waited)
		}
		if waited := sent[1].start.Sub(sent[0].end); waited > time.Second {
			t.Errorf("another person's call waited for %s", waited)
		}
		w.stop()
	})
}

// The vendor may have forgotten, or never have got, the first request: the whole wait begins anew.
func TestWait_BeginsAnewAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaitingWorld(t, 10*time.Second)
		w.accept(alias("b", "a", 1), track("b", 2))
		w.run()
		time.Sleep(5 * time.Second)
		w.expectInOrder("a-1")
		w.stop()
		w.restart()
		time.Sleep(time.Minute)
		w.expectInOrder("a-1 a-1 a-1 b-2 b-2")
		if sent := w.sent(); sent[2].start.Sub(sent[1].end) < 10*time.Second {
			t.Errorf("the second request went %s after the first", sent[2].start.Sub(sent[1].end))
		}
		w.stop()
	})
}

func TestWait_IsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaitingWorld(t, adapter.MaxWait+time.Hour)
		w.options.Retry.MaxAttempts = 1
		w.accept(alias("b", "a", 1))
		w.run()
		time.Sleep(adapter.MaxWait + 5*time.Second)
		w.expectOutcomes(map[string]int{"delivered": 1})
		if n := w.metric("aka_retries_total", "vendor"); n != 0 {
			t.Errorf("%v retries", n)
		}
		w.stop()
	})
}

// A failure of the second request is tried again from there.
func TestWait_IsNotRepeatedWhenTheNextRequestFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaitingWorld(t, 3*time.Second)
		w.answer = func(_ string, attempt int) httpclient.Response {
			if attempt == 2 {
				return httpclient.Response{Status: 500}
			}
			return httpclient.Response{Status: 200}
		}
		w.accept(alias("b", "a", 1))
		w.run()
		time.Sleep(time.Minute)
		w.expectInOrder("a-1 a-1 a-1")
		if sent := w.sent(); sent[2].start.Sub(sent[1].end) >= 3*time.Second {
			t.Errorf("the try after the failure went %s after it", sent[2].start.Sub(sent[1].end))
		}
		w.stop()
	})
}
