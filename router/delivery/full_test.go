package delivery

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"aka/router/journal"
)

// A start with too many blocked ids must read the log as far as the run before had: no queue is read back before that.
func TestAStartWithTooManyBlockedIDsGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Concurrency: Fixed(1), Window: 8})
		w.latency = time.Second
		w.accept(track("first", 1))
		w.accept(track("second", 2))
		w.accept(track("third", 3))
		for i := range maxBlockedIDs {
			pos := journal.Position{Seq: 2, Index: i}
			w.log.parked = append(w.log.parked, &journal.Parked{Queue: 1, Rank: pos, Position: pos, Entry: track("u"+strconv.Itoa(i), i)})
			w.log.parked[i].Entry.ReceivedAt = time.Now()
		}
		w.run()
		time.Sleep(10 * time.Second)
		w.stop()
		if n := len(w.sent()); n < 5 {
			t.Errorf("only %d calls were sent", n)
		}
	})
}
