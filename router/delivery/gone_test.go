package delivery

import (
	"testing"
	"testing/synctest"
	"time"

	"aka/router/httpclient"
)

// The dead letter may be gone while the decision about it is on its way to the disk, behind a read that takes its call up.
func TestADecisionStandsWhereItsDeadLetterGoesMeanwhile(t *testing.T) {
	for _, retry := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Options{OnDead: OnDeadBlock})
			w.answer = func(id string, attempt int) httpclient.Response {
				if id == "a-1" && attempt == 1 {
					return httpclient.Response{Status: 400}
				}
				return httpclient.Response{Status: 200}
			}
			w.run()
			w.accept(identify("a", 1), track("a", 2))
			time.Sleep(2 * time.Minute)
			w.stop()
			w.restart()
			deadLetter := w.log.deadLetter("a-1")
			d := &decision{retry: retry, answer: make(chan answer, 1)}
			if err := w.pipeline.ask(t.Context(), func() {
				w.log.discard(deadLetter)
				w.pipeline.parking.reader.takeUp(w.pipeline.deadLetters.places[deadLetter].queue)
				w.pipeline.deadLetters.take(deadLetter, d)
			}); err != nil {
				t.Fatal(err)
			}
			if a := <-d.answer; !a.blocks || a.err != nil {
				t.Errorf("retry %v: %v", retry, a)
			}
			time.Sleep(time.Minute)
			want := map[bool]int{true: 2, false: 1}[retry]
			if got := w.ended()["delivered"]; got != want {
				t.Errorf("retry %v: %d delivered, want %d: %v", retry, got, want, w.ended())
			}
			_ = w.pipeline.ask(t.Context(), func() {
				if n := w.pipeline.parking.identities.Len(); n > 0 {
					t.Errorf("retry %v: %d ids are blocked still", retry, n)
				}
			})
			if left := w.log.parkedIDs(); len(left) > 0 {
				t.Errorf("retry %v: still on disk: %v", retry, left)
			}
			w.stop()
		})
	}
}
