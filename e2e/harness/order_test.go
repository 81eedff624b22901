package harness

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"testing"
	"time"

	"aka/destinations/simulator"
)

// delivered is deliveries of one person's steps, a second apart.
func delivered(steps ...int) (all []Delivery) {
	for i, step := range steps {
		s := Step{Person: 7, Index: step}
		all = append(all, Delivery{Step: s, At: time.Unix(int64(i), 0), Content: s.String()})
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
		{"left out before a crash, and sent after it", []int{0, 1, 3, 4, 2, 3}, crash, 1},
	} {
		if got := Swaps(delivered(c.steps...), c.ends); len(got) != c.swaps {
			t.Errorf("%s: %d swaps, not %d: %v", c.name, len(got), c.swaps, got)
		}
	}
}

func TestLostSwappedAndRepeatedAreCounted(t *testing.T) {
	for _, c := range []struct {
		name                    string
		steps                   []int
		lost, swapped, repeated int
	}{
		{"all in order", []int{0, 1, 2, 3, 4, 6, 5}, 0, 0, 0},
		{"one lost", []int{0, 1, 2, 4, 5, 6}, 1, 0, 0},
		{"one too late", []int{0, 1, 3, 2, 4, 5, 6}, 0, 1, 0},
		{"one before the identify", []int{0, 1, 2, 3, 5, 4, 6}, 0, 1, 0},
		{"the last twice", []int{0, 1, 2, 3, 4, 5, 6, 6}, 0, 0, 1},
		{"one twice, after what belongs behind it", []int{0, 1, 2, 3, 4, 5, 6, 4}, 0, 1, 1},
	} {
		checker := NewOrderChecker(Basic, 1)
		for _, step := range c.steps {
			checker.Add(Step{Index: step}, time.Time{})
		}
		if checker.Lost(1) != c.lost || checker.Swapped != c.swapped || checker.Repeated != c.repeated {
			t.Errorf("%s: lost %d, swapped %d, repeated %d", c.name, checker.Lost(1), checker.Swapped, checker.Repeated)
		}
	}
	checker := NewOrderChecker(Basic, 1)
	if checker.Add(Step{Person: 1}, time.Time{}); checker.Unknown != 1 || checker.Lost(2) != 14 {
		t.Errorf("%+v, %d lost of two people", checker, checker.Lost(2))
	}
}

func TestWhatIsMissingChangedOrRepeatedIsFound(t *testing.T) {
	all := delivered(0, 1, 1, 2)
	expected := []Step{{7, 0}, {7, 1}, {7, 2}, {7, 3}, {8, 0}}
	if lost := Missing(all, expected); !slices.Equal(lost, []Step{{7, 3}, {8, 0}}) {
		t.Errorf("missing are %v", lost)
	}
	repeats := Repeats(all)
	if len(repeats) != 1 || repeats[0].Step != (Step{7, 1}) || repeats[0].Before.At != time.Unix(1, 0) {
		t.Errorf("repeats are %v", repeats)
	}
	if changed := Changed(all); len(changed) > 0 {
		t.Errorf("changed are %v", changed)
	}
	all[2].Content = "another"
	if changed := Changed(all); !slices.Equal(changed, []Step{{7, 1}}) {
		t.Errorf("changed are %v, not what was sent in two ways", changed)
	}
	if repeats := Repeats(all); len(repeats) > 0 {
		t.Errorf("%v are no repeats: they differ", repeats)
	}
}

func TestARecordIsKnownByWhatItSays(t *testing.T) {
	everything := func(simulator.Exchange) bool { return true }
	for i, r := range Basic.Singles(&url.URL{}).Requests {
		var record any
		if err := json.Unmarshal(r.Body(12), &record); err != nil {
			t.Fatal(err)
		}
		want := Step{12, i}
		all, err := Deliveries([]simulator.Exchange{{Records: []any{record}}}, everything)
		if err != nil || len(all) != 1 || all[0].Step != want {
			t.Errorf("step %d is %v, %v", i, all, err)
		}
		id := record.(map[string]any)["messageId"].(string)
		if s, err := ParseStep(id); err != nil || s != want || s.String() != id {
			t.Errorf("the messageId %s is that of %v, %v", id, s, err)
		}
	}
	if _, err := ParseStep("x"); !errors.Is(err, ErrUnknown) {
		t.Errorf("x is a step: %v", err)
	}
	if all, err := Deliveries([]simulator.Exchange{{Records: []any{"x-old"}}}, everything); !errors.Is(err, ErrUnknown) {
		t.Errorf("x-old is %v, %v", all, err)
	}
}

func TestStepsAreFoundInAnyVendorsWords(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []Step
	}{
		"a track":             {`{"data":{"step":"~000000012-3~"}}`, []Step{{12, 3}}},
		"a batch":             {`[{"p":"~000000012-3~","x":"~"},{"p":"~000000013-0~"}]`, []Step{{12, 3}, {13, 0}}},
		"a query":             {`/kissmetrics/e?_n=Order&step=~000000014-9~&_t=1`, []Step{{14, 9}}},
		"an alias":            {`{"id":"000000015-old","new_id":"000000015-new"}`, []Step{{15, Basic.AliasStep()}}},
		"nothing of anybody":  {`{"id":"x-old"} ~12345678~ ~000000012-3`, nil},
		"an end after a sign": {`~`, nil},
	} {
		var got []Step
		found := Basic.Find([]byte(c.text), func(s Step) { got = append(got, s) })
		if !slices.Equal(got, c.want) || found != (len(c.want) > 0) {
			t.Errorf("%s: %v, %v", name, got, found)
		}
	}
}
