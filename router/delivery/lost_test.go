package delivery

import (
	"testing"
	"testing/synctest"
	"time"

	"aka/router/httpclient"
)

// Dead letters that are gone, and whose places cannot be read, are looked up once: not again and again.
func TestPlacesThatCannotBeReadDoNotKeepTheLoopBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{OnDead: OnDeadBlock})
		w.answer = func(string, int) httpclient.Response { return httpclient.Response{Status: 400} }
		w.run()
		w.accept(track("a", 1), track("b", 2))
		time.Sleep(time.Second)
		w.log.mu.Lock()
		if len(w.log.dead) != 2 || len(w.log.parked) != 2 {
			t.Errorf("%d dead letters, %d places", len(w.log.dead), len(w.log.parked))
		}
		w.log.dead, w.log.parked = nil, nil
		w.log.mu.Unlock()
		time.Sleep(10 * time.Minute)
		if n := w.logs.FilterMessage("blocking dead letter is gone, continuing").Len(); n > 2 {
			t.Errorf("looked up %d times", n)
		}
		w.stop()
	})
}
