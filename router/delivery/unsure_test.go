package delivery

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"aka/router/breaker"
	"aka/router/httpclient"
)

// A write that seems to have failed may be on disk. The call goes on from memory then, and must not be read back beside that.
func TestACallWhoseParkingSeemedToFailIsNotReadBackWhileItIsInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Concurrency: Fixed(4), Window: 8, Retry: RetryOptions{Initial: 100 * time.Millisecond, Max: time.Second}, Breaker: breaker.Options{Failures: 1000}})
		w.options.Breaker.Ratio = 0
		fails := map[string]bool{"x-1": true, "x-3": true}
		w.answer = func(id string, _ int) httpclient.Response {
			if id == "x-2" {
				time.Sleep(40 * time.Second)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if fails[id] {
				return httpclient.Response{Status: 500}
			}
			return httpclient.Response{Status: 200}
		}
		succeed := func(id string) {
			w.set(func() { delete(fails, id) })
			time.Sleep(10 * time.Second)
		}
		w.run()
		seemToFail(w.log, errors.New("took too long"))
		w.accept(identify("x", 1), track("x", 2), track("x", 3))
		time.Sleep(2 * time.Minute) // the tracks are on disk, and in memory
		succeed("x-1")
		seemToFail(w.log, nil)
		w.accept(identify("x", 4), track("x", 5)) // wait on disk behind x-3
		time.Sleep(5 * time.Second)
		succeed("x-3") // x-2 is in flight
		time.Sleep(2 * time.Minute)
		w.stop()
		w.expectOutcomes(map[string]int{"delivered": 5})
		w.checkOrder()
		if left := w.log.parkedIDs(); len(left) > 0 {
			t.Errorf("still on disk: %v", left)
		}
	})
}

// seemToFail has parking succeed, and say err.
func seemToFail(l *testLog, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.parkErr, l.parkTimesOut = err, err != nil
}
