package delivery

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

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
			p.prepareAll(context.Background(), journal.NewSizedFrame(1, 0, entries, size))
			close(p.incoming)
		}()
		pieces, next, pinned := 0, 0, 0
		for piece := range p.incoming {
			if piece.from != next || len(piece.arrivals) > pieceCalls {
				t.Errorf("piece %d: from %d, %d calls", pieces, piece.from, len(piece.arrivals))
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
