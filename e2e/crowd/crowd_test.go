package crowd

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"aka/destinations/simulator"
)

// told is deliveries to one person, a second apart.
func told(steps ...int) (all []Delivery) {
	for i, step := range steps {
		p := Place{Person: 7, Step: step}
		all = append(all, Delivery{Place: p, At: time.Unix(int64(i), 0), Content: p.String()})
	}
	return all
}

func TestSwapsAreFoundWithinARunAndOverARestart(t *testing.T) {
	crash := []time.Time{time.Unix(3, 500)} // after the fourth delivery
	for _, c := range []struct {
		name  string
		steps []int
		ends  []time.Time
		swaps int
	}{
		{"in order", []int{0, 1, 2, 3, 4, 5, 6}, nil, 0},
		{"free among themselves", []int{0, 1, 2, 3, 4, 6, 5}, nil, 0},
		{"an alias before what it follows", []int{0, 1, 3, 2, 4, 5, 6}, nil, 1},
		{"a step back", []int{0, 1, 2, 3, 2, 3}, nil, 1},
		{"the same after a crash", []int{0, 1, 2, 3, 2, 3, 4}, crash, 0},
		{"out of order after a crash", []int{0, 1, 2, 3, 3, 2}, crash, 1},
		{"left out before a crash, and told after it", []int{0, 1, 3, 4, 2, 3}, crash, 1},
	} {
		if got := Swaps(told(c.steps...), c.ends); len(got) != c.swaps {
			t.Errorf("%s: %d swaps, not %d: %v", c.name, len(got), c.swaps, got)
		}
	}
}

func TestWhatIsMissingChangedOrRepeatedIsFound(t *testing.T) {
	all := told(0, 1, 1, 2)
	meant := []Place{{7, 0}, {7, 1}, {7, 2}, {7, 3}, {8, 0}}
	if lost := Missing(all, meant); !slices.Equal(lost, []Place{{7, 3}, {8, 0}}) {
		t.Errorf("missing are %v", lost)
	}
	repeats := Repeats(all)
	if len(repeats) != 1 || repeats[0].Place != (Place{7, 1}) || repeats[0].Before.At != time.Unix(1, 0) {
		t.Errorf("repeats are %v", repeats)
	}
	if changed := Changed(all); len(changed) > 0 {
		t.Errorf("changed are %v", changed)
	}
	all[2].Content = "another"
	if changed := Changed(all); !slices.Equal(changed, []Place{{7, 1}}) {
		t.Errorf("changed are %v, not what was sent in two ways", changed)
	}
	if repeats := Repeats(all); len(repeats) > 0 {
		t.Errorf("%v are no repeats: they differ", repeats)
	}
}

func TestARecordIsKnownByWhatItSays(t *testing.T) {
	for step := range Steps {
		var record any
		if err := json.Unmarshal([]byte(Call(12, step)), &record); err != nil {
			t.Fatal(err)
		}
		counts := func(simulator.Exchange) bool { return true }
		all, err := Deliveries([]simulator.Exchange{{Records: []any{record}}}, counts)
		if err != nil || len(all) != 1 || all[0].Place != (Place{12, step}) {
			t.Errorf("step %d is %v, %v", step, all, err)
		}
		if p, err := PlaceOf(Place{12, step}.String()); err != nil || p != (Place{12, step}) {
			t.Errorf("the messageId of step %d is that of %v, %v", step, p, err)
		}
	}
	if _, err := PlaceOf("x"); !errors.Is(err, ErrNobody) {
		t.Errorf("x is somebody's: %v", err)
	}
}
