package main

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"time"

	"aka/destinations/simulator"
	"aka/e2e/crowd"
)

// third is the destination that is well while one hangs and one fails.
const third = "kissmetrics"

// isolation measures the third destination and the ingress while the two others are down, and while they are not, by turns.
func isolation(h *suite, r *Result) error {
	pairs, calls := 5, h.rate*6
	if h.short {
		pairs, calls = 1, h.rate*2
	}
	var calm, faulty []figures
	for range pairs {
		for _, down := range []bool{false, true} {
			f, err := measureThird(h, r, down, int64(calls))
			if err != nil {
				return err
			}
			if down {
				faulty = append(faulty, f)
			} else {
				calm = append(calm, f)
			}
		}
	}
	r.Runs = 2 * pairs
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
		r.measured("%s: %.1f with one hanging and one failing, %.1f without, ratio %.2f", m.what, with, without, with/without)
	}
	return nil
}

// figures are what one run measured.
type figures struct {
	delivered, accepted float64 // per second
	lag, accept         float64 // p99 in milliseconds
}

func measureThird(h *suite, r *Result, down bool, calls int64) (figures, error) {
	w, err := newWorld(h, plan{delivery: usual})
	if err != nil {
		return figures{}, err
	}
	defer w.close()
	hang, fail := simulator.Fault{Hang: true}, simulator.Fault{Status: http.StatusInternalServerError}
	if down {
		if err := w.account("vero").AddFaults(hang); err != nil {
			return figures{}, err
		}
		if err := w.account("mixpanel").AddFaults(fail); err != nil {
			return figures{}, err
		}
	}
	if _, err := w.start(); err != nil {
		return figures{}, err
	}
	l := startLoad(w, h.rate)
	if err := l.untilAcked(w, calls); err != nil {
		return figures{}, err
	}
	if err := l.end(w); err != nil {
		return figures{}, err
	}
	if err := w.untilAllEnded(third); err != nil {
		return figures{}, err
	}
	f, err := w.figures(l)
	if err != nil {
		return f, err
	}
	w.account("vero").ClearFaults()
	w.account("mixpanel").ClearFaults()
	return f, w.verify(r, l, expectation{faults: []simulator.Fault{hang, fail}})
}

var errNothing = errors.New("nothing can be measured: nothing was delivered")

func (w *world) figures(l *load) (figures, error) {
	all, err := crowd.Deliveries(w.account(third).Exchanges(), expectation{}.wasTaken)
	if err != nil || len(all) == 0 {
		return figures{}, cmp.Or(err, errNothing)
	}
	arrived := map[crowd.Place]time.Time{}
	for _, d := range all {
		if _, again := arrived[d.Place]; !again {
			arrived[d.Place] = d.At
		}
	}
	var lags, accepts []time.Duration
	var began, acked []time.Time
	for _, a := range l.taken() {
		began, acked = append(began, a.began), append(acked, a.at)
		accepts = append(accepts, a.at.Sub(a.began))
		if at, ok := arrived[a.Place]; ok {
			lags = append(lags, max(0, at.Sub(a.at)))
		}
	}
	first := slices.MinFunc(began, time.Time.Compare)
	return figures{
		delivered: float64(len(all)) / all[len(all)-1].At.Sub(first).Seconds(),
		accepted:  float64(len(acked)) / slices.MaxFunc(acked, time.Time.Compare).Sub(first).Seconds(),
		lag:       p99(lags), accept: p99(accepts),
	}, nil
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
