package main

import (
	"slices"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func TestAShapeIsReadAsItIsWritten(t *testing.T) {
	for _, s := range []shape{
		{}, {latency: usual}, {latency: usual, perSecond: 50, bySecond: true}, {perSecond: 50}, {perSecond: 50, bucket: 10, retryAfter: true},
		{places: 8}, {latency: usual, workers: 40},
	} {
		if read, err := parseShape(s.String()); err != nil || read != s {
			t.Errorf("%s is read as %s: %v", s, read, err)
		}
	}
	for _, text := range []string{"", "x", "1s,x", "1s,places:x", "1s,bucket:5"} {
		if s, err := parseShape(text); err == nil {
			t.Errorf("%q is read as %s", text, s)
		}
	}
}

// taken is what a vendor answers, one exchange after the other, that far apart.
func taken(s shape, n int, apart time.Duration) (all []answer) {
	v := &vendor{shape: s}
	for i := range n {
		all = append(all, v.take(noon.Add(time.Duration(i)*apart)))
	}
	return all
}

func count429(all []answer) (n int) {
	for _, a := range all {
		if a.status == statusThrottled {
			n++
		}
	}
	return n
}

func TestACapAnswers429AboveItsRate(t *testing.T) {
	for name, c := range map[string]struct {
		shape shape
		n     int
		apart time.Duration
		want  int
	}{
		"a second's worth at once":        {shape{perSecond: 50, bySecond: true}, 60, 0, 10},
		"the same in two seconds":         {shape{perSecond: 50, bySecond: true}, 60, time.Second / 40, 0},
		"no bursts":                       {shape{perSecond: 50}, 60, 0, 59},
		"no bursts, at its rate":          {shape{perSecond: 50}, 60, time.Second / 50, 0},
		"a burst of ten":                  {shape{perSecond: 50, bucket: 10}, 60, 0, 50},
		"twice the rate, without a burst": {shape{perSecond: 50}, 60, time.Second / 100, 30},
	} {
		if got := count429(taken(c.shape, c.n, c.apart)); got != c.want {
			t.Errorf("%s: %d of %d are answered 429, not %d", name, got, c.n, c.want)
		}
	}
}

func TestACliffAnswers503AboveItsPlaces(t *testing.T) {
	v := &vendor{shape: shape{latency: usual, places: 2}}
	var got []answer
	for range 3 {
		got = append(got, v.take(noon))
	}
	v.left()
	v.left()
	got = append(got, v.take(noon))
	if want := []answer{{statusOK, usual}, {statusOK, usual}, {statusOverloaded, 0}, {statusOK, usual}}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestWorkersAnswerLaterTheMoreWait(t *testing.T) {
	got := taken(shape{latency: usual, workers: 2}, 5, 0)
	if want := []answer{{statusOK, usual}, {statusOK, usual}, {statusOK, 2 * usual}, {statusOK, 2 * usual}, {statusOK, 3 * usual}}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestTheBestRateIsThatOfTheTightestBound(t *testing.T) {
	for _, c := range []struct {
		shape shape
		want  float64
	}{
		{shape{}, 0}, {shape{latency: usual}, 1000}, {shape{latency: usual, perSecond: 50}, 50},
		{shape{latency: usual, places: 8}, 80}, {shape{latency: usual, workers: 400}, 1000},
	} {
		if got := c.shape.best(100); got != c.want {
			t.Errorf("%s: %v, not %v", c.shape, got, c.want)
		}
	}
}
