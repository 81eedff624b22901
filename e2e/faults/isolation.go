package main

import (
	"net/http"
	"slices"
	"time"

	"aka/destinations/simulator"
	"aka/e2e/harness"
)

// third is the destination that is well while one hangs and one fails.
const third = "kissmetrics"

// isolation measures the third destination and the ingress while the two others are down, and while they are not, by turns.
func isolation(t *trial) {
	pairs, calls := 5, t.rate*6
	if t.Short {
		pairs, calls = 1, t.rate*2
	}
	var calm, faulty []figures
	for range pairs {
		calm = append(calm, measureThird(t, false, int64(calls)))
		faulty = append(faulty, measureThird(t, true, int64(calls)))
	}
	t.Runs = 2 * pairs
	for _, m := range []struct {
		what string
		of   func(figures) float64
	}{
		{"deliveries/s at the third destination", func(f figures) float64 { return f.delivered }},
		{"p99 of its lag in ms", func(f figures) float64 { return f.lag }},
		{"calls/s accepted", func(f figures) float64 { return f.accepted }},
		{"p99 of accepting in ms", func(f figures) float64 { return f.accept }},
	} {
		without, with := median(calm, m.of), median(faulty, m.of)
		t.Logf("%s: %.1f with one hanging and one failing, %.1f without, ratio %.2f", m.what, with, without, with/without)
	}
}

// figures are what one run measured.
type figures struct {
	delivered, accepted float64 // per second
	lag, accept         float64 // p99 in milliseconds
}

func measureThird(t *trial, down bool, calls int64) figures {
	w := newWorld(t, harness.Setup{Delivery: usual})
	hang, fail := simulator.Fault{Hang: true}, simulator.Fault{Status: http.StatusInternalServerError}
	if down {
		w.AddFaults("vero", hang)
		w.AddFaults("mixpanel", fail)
	}
	w.Start()
	l := w.startLoad()
	w.UntilAcked(l, calls)
	w.End(l)
	w.UntilAllEnded(third)
	f := w.figures(l)
	w.Account("vero").ClearFaults()
	w.Account("mixpanel").ClearFaults()
	w.verify(l, harness.Expectation{Faults: []simulator.Fault{hang, fail}})
	return f
}

func (w *world) figures(l *harness.Load) figures {
	all := w.Deliveries(third, harness.Expectation{})
	if len(all) == 0 {
		w.Fatalf("nothing can be measured: nothing was delivered")
	}
	arrived := map[harness.Step]time.Time{}
	for _, d := range all {
		if _, again := arrived[d.Step]; !again {
			arrived[d.Step] = d.At
		}
	}
	var lags, accepts []time.Duration
	var began, acked []time.Time
	for _, a := range l.Acks() {
		began, acked = append(began, a.Began), append(acked, a.At)
		accepts = append(accepts, a.At.Sub(a.Began))
		if at, ok := arrived[a.Step]; ok {
			lags = append(lags, max(0, at.Sub(a.At)))
		}
	}
	first := slices.MinFunc(began, time.Time.Compare)
	return figures{
		delivered: float64(len(all)) / all[len(all)-1].At.Sub(first).Seconds(),
		accepted:  float64(len(acked)) / slices.MaxFunc(acked, time.Time.Compare).Sub(first).Seconds(),
		lag:       p99(lags), accept: p99(accepts),
	}
}

// p99 is in milliseconds.
func p99(all []time.Duration) float64 {
	slices.Sort(all)
	return all[len(all)*99/100].Seconds() * 1000
}

func median(all []figures, of func(figures) float64) float64 {
	values := make([]float64, len(all))
	for i, f := range all {
		values[i] = of(f)
	}
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}
