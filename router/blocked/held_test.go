package blocked

import (
	"slices"
	"testing"
	"time"
)

func at(hours float64) time.Time { return time.Unix(1_700_000_000, 0).Add(hoursOf(hours)) }

func hoursOf(hours float64) time.Duration { return time.Duration(hours * float64(time.Hour)) }

func TestHolding_CountsOnlyTheTimeForAnOperator(t *testing.T) {
	q := NewQueue(1)
	q.Hold(at(0))
	q.Hold(at(2))
	q.Unhold(at(3)) // the other is held still
	q.Unhold(at(5))
	q.Hold(at(20))
	for from, want := range map[float64]float64{0: 6, 4: 2, 10: 1, 20.5: 0.5, 30: 0} {
		if got := q.HeldSince(at(from), at(21)); got != hoursOf(want) {
			t.Errorf("since hour %v it was held for %s, want %s", from, got, hoursOf(want))
		}
	}
	other := NewQueue(2)
	other.WasHeld([]Span{{at(-10), at(-8)}, {at(4), at(6)}})
	q = Join(other, q)
	if got := q.HeldSince(at(-100), at(22)); got != hoursOf(2+6+2) || q.holding.count != 1 {
		t.Errorf("joined it was held for %s, %d are", got, q.holding.count)
	}
	q.Unhold(at(23))
	if want := []Span{{at(-10), at(-8)}, {at(0), at(6)}, {at(20), at(23)}}; !slices.Equal(q.HeldSpans(at(50)), want) {
		t.Errorf("it was held %v, want %v", q.HeldSpans(at(50)), want)
	}
}

func TestHolding_IsBounded(t *testing.T) {
	q := NewQueue(1)
	q.WasHeld([]Span{{at(0), at(24)}})
	for i := range 1000 {
		q.Hold(at(float64(100 + i)))
		q.Unhold(at(float64(100+i) + 0.5))
	}
	if n := len(q.HeldSpans(at(2000))); n > maxSpans {
		t.Errorf("%d spans are kept", n)
	}
	if got := q.HeldSince(at(0), at(2000)); got < hoursOf(24) || got > hoursOf(24+500) {
		t.Errorf("it was held for %s", got)
	}
}
