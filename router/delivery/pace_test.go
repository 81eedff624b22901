package delivery

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"aka/destinations"
	"aka/router/concurrency"
	"aka/router/deststate"
	"aka/router/httpclient"
)

// mostInFlight is how many exchanges there were at once, of those that began within a time.
func (w *world) mostInFlight(from, to time.Time) (most int) {
	type change struct {
		at time.Time
		by int
	}
	var changes []change
	for _, e := range w.sent() {
		changes = append(changes, change{e.start, 1})
		if !e.end.IsZero() {
			changes = append(changes, change{e.end, -1})
		}
	}
	slices.SortFunc(changes, func(a, b change) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.by, b.by)) })
	n := 0
	for _, c := range changes {
		if n += c.by; !c.at.Before(from) && !c.at.After(to) {
			most = max(most, n)
		}
	}
	return most
}

func (w *world) acceptPeople(n int) {
	for i := range n {
		w.accept(track(fmt.Sprint("u", i), 1))
	}
}

func TestPace_AdaptiveGrowsAtASlowVendorAndAFixedNumberDoesNot(t *testing.T) {
	for name, c := range map[string]struct {
		concurrency Concurrency
		window      int
		vendor      func(*destinations.Destination)
		want        int
	}{
		"adaptive":                        {Concurrency{}, 0, nil, 1024},
		"a small window":                  {Concurrency{}, 200, nil, 50},
		"a vendor that renames":           {Concurrency{}, 0, func(d *destinations.Destination) { d.Renames = true }, 128},
		"a vendor that allows few":        {Concurrency{}, 0, func(d *destinations.Destination) { d.MaxConcurrency = 5 }, 5},
		"bounds":                          {Concurrency{Min: 2, Max: 40}, 0, nil, 40},
		"a fixed number":                  {Fixed(3), 0, nil, 3},
		"bounds above what it allows":     {Concurrency{Min: 30, Max: 60}, 0, func(d *destinations.Destination) { d.MaxConcurrency = 10 }, 10},
		"bounds of a vendor that renames": {Concurrency{Max: 300}, 0, func(d *destinations.Destination) { d.Renames = true }, 300},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{Concurrency: c.concurrency, Window: c.window})
				if c.vendor != nil {
					c.vendor(w.destination)
				}
				w.latency = 100 * time.Millisecond
				w.acceptPeople(6000)
				begun := time.Now()
				w.run()
				time.Sleep(5 * time.Second)
				if most := w.mostInFlight(begun, time.Now()); most != c.want {
					t.Errorf("%d exchanges at once, want %d", most, c.want)
				}
				w.stop()
			})
		})
	}
}

func TestPace_ARateIsLearnedWhereNoneIsSet(t *testing.T) {
	for name, c := range map[string]struct {
		rate           float64
		least, most429 int
	}{
		"none is set": {0, 45 * 60, 90},
		"one is set":  {25, 24 * 60, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{Rate: c.rate})
				w.latency = 50 * time.Millisecond
				var second time.Time
				taken, refused := 0, 0
				w.answer = func(string, int) httpclient.Response {
					w.mu.Lock()
					defer w.mu.Unlock()
					if now := time.Now().Truncate(time.Second); !now.Equal(second) {
						second, taken = now, 0
					}
					if taken >= 50 {
						refused++
						return httpclient.Response{Status: 429}
					}
					taken++
					return httpclient.Response{Status: 200}
				}
				w.acceptPeople(9000)
				w.run()
				time.Sleep(time.Minute)
				learned := w.metric("aka_learned_rate", w.destination.Name)
				if delivered := w.delivered(); delivered < c.least || (learned > 0) != (c.rate == 0) {
					t.Errorf("%d delivered in a minute at a vendor that takes 50 per second, the learned rate is %v", delivered, learned)
				}
				w.mu.Lock()
				if refused > c.most429 {
					t.Errorf("%d answers were 429", refused)
				}
				w.mu.Unlock()
				w.stop()
			})
		})
	}
}

func TestPace_AShortRetryAfterIsAboutItsRequestOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.answer = func(id string, attempt int) httpclient.Response {
			if id == "a-1" && attempt == 1 {
				return httpclient.Response{Status: 503, RetryAfter: "2"}
			}
			return httpclient.Response{Status: 200}
		}
		w.accept(track("a", 1))
		w.run()
		synctest.Wait()
		asked := time.Now()
		w.accept(track("b", 1))
		time.Sleep(time.Minute)
		if wait := w.exchange("b-1").start.Sub(asked); wait > 100*time.Millisecond {
			t.Errorf("another call went after %s", wait)
		}
		if wait := w.exchange("a-1").start.Sub(asked); wait < 2*time.Second || wait > 3*time.Second {
			t.Errorf("the call went again after %s", wait)
		}
		w.stop()
	})
}

func TestPace_ASpentQuotaIsWaitedFor(t *testing.T) {
	for name, reset := range map[string]func() int{
		"in seconds":   func() int { return 30 },
		"as a time":    func() int { return int(time.Now().Add(30 * time.Second).Unix()) },
		"for too long": func() int { return 86400 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{})
				w.answer = func(id string, _ int) httpclient.Response {
					r := httpclient.Response{Status: 200}
					if id == "a-1" {
						r.RateLimit = httpclient.RateLimit{Known: true, Limit: 100, Remaining: 0, Reset: reset()}
					}
					return r
				}
				w.accept(track("a", 1))
				w.run()
				synctest.Wait()
				asked := time.Now()
				w.accept(track("b", 1))
				time.Sleep(time.Hour)
				from, to := 29*time.Second, 31*time.Second
				if name == "for too long" {
					from, to = maxRetryAfter, maxRetryAfter+time.Second
				}
				if wait := w.exchange("b-1").start.Sub(asked); wait < from || wait > to {
					t.Errorf("the next call went after %s", wait)
				}
				w.stop()
			})
		})
	}
}

func TestPace_BeginsAnewAfterTheDestinationWasDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.latency = 100 * time.Millisecond
		var down bool
		w.answer = func(string, int) httpclient.Response {
			w.mu.Lock()
			defer w.mu.Unlock()
			if down {
				return httpclient.Response{Status: 503}
			}
			return httpclient.Response{Status: 200}
		}
		w.acceptPeople(9000)
		w.run()
		time.Sleep(2 * time.Second)
		grown := w.metric("aka_concurrency_limit", w.destination.Name)
		w.set(func() { down = true })
		time.Sleep(2 * time.Minute)
		w.set(func() { down = false })
		for !w.isIn(deststate.OK) {
			time.Sleep(100 * time.Millisecond)
		}
		again := time.Now()
		time.Sleep(150 * time.Millisecond)
		if most := w.mostInFlight(again, again.Add(90*time.Millisecond)); grown <= 2*concurrency.Initial || most > concurrency.Initial {
			t.Errorf("a limit of %v before, and %d exchanges at once right after", grown, most)
		}
		w.stop()
	})
}

// What is slow because of this machine is not taken for the vendor's doing.
func TestPace_DoesNotShrinkWhileThisMachineIsSaturated(t *testing.T) {
	for _, saturated := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Options{Concurrency: Concurrency{Max: 64}})
			w.cpuIsSaturated = func() bool { return saturated }
			w.latency = 50 * time.Millisecond
			w.acceptPeople(8_000)
			w.run()
			time.Sleep(time.Second)
			before := w.metric("aka_concurrency_limit", w.destination.Name)
			// Each exchange takes as long as there are others.
			var inFlight int
			w.set(func() {
				w.latency = 0
				w.answer = func(string, int) httpclient.Response {
					w.mu.Lock()
					inFlight++
					wait := time.Duration(inFlight) * 4 * time.Millisecond
					w.mu.Unlock()
					time.Sleep(wait)
					w.mu.Lock()
					inFlight--
					w.mu.Unlock()
					return httpclient.Response{Status: 200}
				}
			})
			time.Sleep(10 * time.Second)
			after := w.metric("aka_concurrency_limit", w.destination.Name)
			if saturated && after < before || !saturated && after >= before {
				t.Errorf("saturated %t: the limit went from %v to %v", saturated, before, after)
			}
			w.stop()
		})
	}
}

// While the limit grows it comes to what a vendor refuses. That must not open the breaker, or the limit would begin anew each time.
func TestPace_AVendorThatTakesOnlySoManyAtOnceIsNotDown(t *testing.T) {
	for _, most := range []int{8, 40} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Options{})
			inFlight, refused := 0, 0
			w.answer = func(string, int) httpclient.Response {
				w.mu.Lock()
				if inFlight >= most {
					refused++
					w.mu.Unlock()
					return httpclient.Response{Status: 503}
				}
				inFlight++
				w.mu.Unlock()
				time.Sleep(100 * time.Millisecond)
				w.mu.Lock()
				defer w.mu.Unlock()
				inFlight--
				return httpclient.Response{Status: 200}
			}
			w.acceptPeople(10_000)
			w.run()
			time.Sleep(10 * time.Second)
			if most > concurrency.Initial && w.metric("aka_destination_state", string(deststate.OK)) != 1 {
				t.Errorf("%d at once: it looks down", most)
			}
			before := w.delivered()
			time.Sleep(10 * time.Second)
			if got, could := w.delivered()-before, most*10*10; got < could*8/10 {
				t.Errorf("%d at once: %d of %d were delivered", most, got, could)
			}
			if sent := len(w.sent()); refused > sent/20 {
				t.Errorf("%d at once: %d of %d were refused", most, refused, sent)
			}
			w.stop()
		})
	}
}
