package delivery

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"aka/destinations/adapter"
	"aka/router/breaker"
	"aka/router/httpclient"
	"aka/router/journal"
)

func TestALargeFrameIsPreparedPieceByPieceAndKeepsLittleInMemory(t *testing.T) {
	w := newWorld(t, Options{})
	for _, calls := range []int{0, 1, pieceCalls, pieceCalls + 1, 10*pieceCalls + 7} {
		p := New(Config{Destination: w.destination, Options: w.options, Allowed: func(string) []string { return nil }, Logger: zap.NewNop(),
			Metrics: NewMetrics(prometheus.NewRegistry())})
		var entries []journal.Entry
		size := 0
		for n := range calls {
			entries = append(entries, track("u", n))
			size += len(entries[n].JSON)
		}
		go func() {
			p.reader.takeFrame(context.Background(), journal.NewSizedFrame(1, 0, entries, size))
			close(p.reader.incoming)
		}()
		pieces, next, pinned := 0, 0, 0
		for piece := range p.reader.incoming {
			if (piece.begins != nil) != (pieces == 0) || len(piece.arrivals) > pieceCalls {
				t.Errorf("piece %d: begins %v, %d calls", pieces, piece.begins, len(piece.arrivals))
			}
			for _, a := range piece.arrivals {
				j := a.job
				if want := (journal.Position{Seq: 1, Index: next}); j.pos != want || j.entry.MessageID != entries[next].MessageID {
					t.Fatalf("call %s has the place %v, want %v", j.entry.MessageID, j.pos, want)
				}
				if next++; !j.detached {
					pinned += len(j.entry.JSON)
				}
			}
			pieces++
		}
		if next != calls || pieces != max(1, (calls+pieceCalls-1)/pieceCalls) {
			t.Errorf("%d calls in %d pieces, want %d", next, pieces, calls)
		}
		if pinned > 0 && size > 2*pinnedShare*pinned {
			t.Errorf("%d bytes of calls keep %d in memory", pinned, size)
		}
	}
}

func TestAFrameOfWhichOnlyTheFrontWaitsIsNotKeptInMemory(t *testing.T) {
	w := newWorld(t, Options{})
	p := New(Config{Destination: w.destination, Options: w.options, Allowed: func(string) []string { return nil }, Logger: zap.NewNop(),
		Metrics: NewMetrics(prometheus.NewRegistry())})
	p.checkpoint.progress = journal.NewProgress(journal.Position{Seq: 1}, 0)
	var entries []journal.Entry
	size := 0
	for n := range 10 * pieceCalls {
		e := track(fmt.Sprint("u", n), 0)
		if n >= pieceCalls {
			e.Routing = []byte(`{"vendor":false}`)
		}
		entries = append(entries, e)
		size += len(e.JSON)
	}
	go func() {
		p.reader.takeFrame(context.Background(), journal.NewSizedFrame(1, 0, entries, size))
		close(p.reader.incoming)
	}()
	copied := 0
	for piece := range p.reader.incoming {
		if piece.begins != nil {
			for _, a := range piece.arrivals {
				if a.job.detached {
					copied++
				}
			}
		}
		p.intake.begin(piece)
		p.intake.admit(entries[0].ReceivedAt)
	}
	if copied > 0 {
		t.Errorf("%d calls were copied before it was known what comes behind them", copied)
	}
	if p.window.count != pieceCalls {
		t.Fatalf("%d calls wait, want %d", p.window.count, pieceCalls)
	}
	for j := p.window.oldest; j != nil; j = j.newer {
		if !j.detached {
			t.Fatalf("call %v keeps its frame in memory", j.pos)
		}
	}
}

// A destination that is down holds a part of what it may, unless those all wait for one another: another may be taken.
func TestADestinationThatIsDownHoldsLittleAndStillFindsWhatIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := httpclient.Response{Err: errors.New("down")}
		w := newWorld(t, Options{Order: adapter.OrderStrict, Concurrency: Fixed(2), Breaker: breaker.Options{Failures: 2}})
		w.options.WindowBytes = 1 << 20
		w.answer = func(string, int) httpclient.Response { return down }
		for n := range 2 {
			w.accept(track("first", n))
		}
		w.run()
		time.Sleep(time.Minute)
		for i := range 2000 {
			w.accept(track(fmt.Sprint("u", i), 0))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if bytes, limit := w.pipeline.window.bytes, w.pipeline.maxBytes()/downShare; bytes < limit || bytes > limit+2000 {
			t.Errorf("%d bytes are held, %d are enough", bytes, limit)
		}
		w.set(func() { w.answer = nil })
		time.Sleep(time.Hour)
		w.expectOutcomes(map[string]int{"delivered": 2002})
		w.stop()
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Order: adapter.OrderStrict, Concurrency: Fixed(2), Breaker: breaker.Options{Failures: 2}})
		w.options.WindowBytes = 1 << 20
		w.answer = func(id string, _ int) httpclient.Response {
			if id == "poison-0" {
				return httpclient.Response{Err: errors.New("reset")}
			}
			return httpclient.Response{Status: 200}
		}
		for n := range 300 { // more than a part of the window
			w.accept(track("poison", n))
		}
		w.run()
		time.Sleep(30 * time.Second)
		w.accept(track("another", 0))
		time.Sleep(10 * time.Minute)
		w.expectOutcomes(map[string]int{"delivered": 1})
		w.stop()
	})
}
