package delivery

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"aka/router/breaker"
	"aka/router/concurrency"
	"aka/router/deststate"
	"aka/router/httpclient"

	"go.uber.org/zap"
)

func TestADestinationThatFailsHalfOfItsExchangesCountsAsDown(t *testing.T) {
	for ratio, down := range map[float64]bool{0.5: true, 0.6: false} {
		t.Run(fmt.Sprint(ratio), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{Breaker: breaker.Options{Ratio: ratio, Interval: 10 * time.Second}})
				well := time.Now().Add(time.Second)
				w.answer = func(id string, _ int) httpclient.Response {
					if strings.HasPrefix(id, "bad") && time.Now().Before(well) {
						return httpclient.Response{Status: 503}
					}
					return httpclient.Response{Status: 200}
				}
				w.run()
				for i := range breaker.MinExchanges / 2 {
					w.accept(track(fmt.Sprint("good", i), 1))
					time.Sleep(time.Millisecond)
					w.accept(track(fmt.Sprint("bad", i), 1))
					time.Sleep(time.Millisecond)
				}
				if got := w.metric("aka_destination_state", string(deststate.Down)) == 1; got != down {
					t.Errorf("it counts as down: %v, want %v", got, down)
				}
				time.Sleep(time.Minute)
				w.expectOutcomes(map[string]int{"delivered": breaker.MinExchanges})
				w.stop()
			})
		})
	}
}

func TestFailuresOfLongAgoDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Breaker: breaker.Options{Interval: 10 * time.Second}})
		w.answer = func(id string, attempt int) httpclient.Response {
			if strings.HasPrefix(id, "bad") && attempt == 1 {
				return httpclient.Response{Status: 503}
			}
			return httpclient.Response{Status: 200}
		}
		w.run()
		for i := range 10 * breaker.MinExchanges {
			w.accept(track(fmt.Sprint("good", i), 1))
			w.accept(track(fmt.Sprint("bad", i), 1))
			time.Sleep(time.Second)
		}
		if n := w.logs.FilterMessageSnippet("destination is down").Len(); n > 0 {
			t.Errorf("it counted as down %d times, with fewer exchanges in the interval than tell anything", n)
		}
		w.stop()
	})
}

// Calls that always fail are tried more often than those that pass, and must not add up to a destination that is down.
func TestManyPoisonCallsDoNotReachTheRatio(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.answer = func(id string, _ int) httpclient.Response {
			if strings.HasPrefix(id, "poison") {
				return httpclient.Response{Status: 500}
			}
			return httpclient.Response{Status: 200}
		}
		w.run()
		for hour := range 40 { // three hundred tries of poison in an hour, and twenty of others
			if hour < 5 {
				w.accept(track(fmt.Sprint("poison", hour), 1))
			}
			for i := range 20 {
				w.accept(track(fmt.Sprint("well", hour), i))
				time.Sleep(3 * time.Minute)
			}
		}
		if n := w.logs.FilterMessageSnippet("destination is down").Len(); n > 0 {
			t.Errorf("it counted as down %d times", n)
		}
		w.expectOutcomes(map[string]int{"delivered": 800, "dead/expired": 5})
		w.stop()
	})
}

func TestAVendorThatSetsThePaceDoesNotReachTheRatio(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.answer = func(_ string, attempt int) httpclient.Response {
			if attempt <= 2 {
				return httpclient.Response{Status: 429}
			}
			return httpclient.Response{Status: 200}
		}
		w.run()
		for i := range 200 {
			w.accept(track("well", i))
			time.Sleep(10 * time.Second)
		}
		if n := w.logs.FilterMessageSnippet("destination is down").Len(); n > 0 {
			t.Errorf("it counted as down %d times", n)
		}
		w.stop()
	})
}

// While a destination counts as down only probes are exchanges, and the log says once that it is down, not that calls fail.
func TestWhileTheBreakerIsOpenNothingIsTriedAndNothingLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{MaxBacklogAge: time.Hour})
		w.answer = func(string, int) httpclient.Response { return httpclient.Response{Status: 503} }
		for i := range 100 {
			w.accept(track(fmt.Sprint("u", i), 1))
		}
		w.run()
		time.Sleep(30 * time.Minute)
		probes := w.logs.FilterMessageSnippet("destination is down").Len()
		if tries := w.logs.FilterMessageSnippet("exchange failed").Len(); tries != 1 {
			t.Errorf("%d lines say that an exchange failed, want the first only", tries)
		}
		exchanges := w.metric("aka_exchanges_total", "5xx")
		if want := float64(concurrency.Initial + DefaultOptions.Breaker.Failures - 1 + probes - 1); exchanges > want {
			t.Errorf("%v exchanges were counted, want at most %v: until it opened, those in flight then, and the probes", exchanges, want)
		}
		time.Sleep(time.Hour)
		attempts := 0
		for _, d := range w.log.dead {
			attempts += d.Attempts
		}
		if sent := len(w.sent()); len(w.log.dead) != 100 || attempts != sent {
			t.Errorf("%d dead letters count %d attempts, and %d were made", len(w.log.dead), attempts, sent)
		}
		w.stop()
	})
}

func TestADestinationAtAPrivateAddressCountsAsDownAndSaysWhichKeyLetsItBe(t *testing.T) {
	refused := httpclient.New(httpclient.Options{Timeout: time.Minute}).Send(httpclient.Exchange{Method: "POST", URL: "http://10.0.0.1"})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Breaker: breaker.Options{Failures: 3}})
		var allowed atomic.Bool
		w.answer = func(string, int) httpclient.Response {
			if allowed.Load() {
				return httpclient.Response{Status: 200}
			}
			return refused
		}
		w.accept(track("a", 1))
		w.run()
		time.Sleep(time.Minute)
		if w.metric("aka_destination_state", string(deststate.Down)) != 1 || w.metric("aka_exchanges_total", "private_address") == 0 || w.metric("aka_possibly_delivered_total", "vendor") != 0 {
			t.Error("the destination does not count as down, for its address, and no more")
		}
		said := w.logs.FilterLevelExact(zap.ErrorLevel).All()
		if len(said) != 1 || !strings.Contains(fmt.Sprint(said[0].ContextMap()), "allow_private: true") {
			t.Errorf("the log says %v", said)
		}
		allowed.Store(true)
		time.Sleep(time.Hour)
		w.expectOutcomes(map[string]int{"delivered": 1})
		w.stop()
	})
}
