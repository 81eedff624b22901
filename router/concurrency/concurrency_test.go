package concurrency

import (
	"testing"
	"time"
)

// harness gives a limiter exchanges in rounds: as many as may begin do, and then end after a latency.
type harness struct {
	t       *testing.T
	limiter *Limiter
	now     time.Duration
}

func newHarness(t *testing.T, o Options) *harness {
	return &harness{t: t, limiter: New(o, start)}
}

func (h *harness) at() time.Time { return start.Add(h.now) }

func (h *harness) limit() int { return h.limiter.Status(h.at()).Limit }

// begin begins n exchanges, or all that may begin where n is negative.
func (h *harness) begin(n int) (tickets []Ticket) {
	for n < 0 || len(tickets) < n {
		if ok, _ := h.limiter.Ready(h.at()); !ok {
			break
		}
		tickets = append(tickets, h.limiter.Begin(h.at()))
	}
	return tickets
}

func (h *harness) end(tickets []Ticket, r Result) {
	for _, ticket := range tickets {
		h.limiter.End(h.at(), ticket, r)
	}
}

// rounds does so many rounds of n exchanges.
func (h *harness) rounds(rounds, n int, latency time.Duration, outcome Outcome) {
	for range rounds {
		tickets := h.begin(n)
		h.now += latency
		h.end(tickets, Result{Outcome: outcome, Latency: latency})
		h.now++ // what begins next begins later
	}
}

func (h *harness) want(limit int, why Why) {
	h.t.Helper()
	if s := h.limiter.Status(h.at()); s.Limit != limit || s.Why != why || s.InFlight != 0 {
		h.t.Errorf("limit %d because of %v, %d in flight; want %d because of %v, and 0", s.Limit, s.Why, s.InFlight, limit, why)
	}
}

func TestNew_BeginsAtSixteenWithinTheBounds(t *testing.T) {
	for _, test := range []struct{ options, want Options }{
		{Options{Min: 1, Max: 1024}, Options{Min: 16}}, {Options{Min: 20, Max: 1024}, Options{Min: 20}},
		{Options{Min: 1, Max: 4}, Options{Min: 4}}, {Options{}, Options{Min: 1}},
	} {
		if got := New(test.options, start).Status(start).Limit; got != test.want.Min {
			t.Errorf("%+v: begins at %d, want %d", test.options, got, test.want.Min)
		}
	}
}

func TestGrow_ByHalfEachRoundTripUpToMax(t *testing.T) {
	h := newHarness(t, Options{Min: 1, Max: 100})
	for _, want := range []int{16, 24, 36, 54, 81, 100, 100} {
		if h.limit() != want {
			t.Fatalf("limit %d, want %d", h.limit(), want)
		}
		h.rounds(1, -1, 100*ms, OK)
	}
	h.want(100, Growth)
	if got := h.limiter.Status(h.at()).Counts[Growth]; got != 5 {
		t.Errorf("grew %d times, want 5", got)
	}
}

func TestGrow_NotWhileLittleIsInFlight(t *testing.T) {
	h := newHarness(t, Options{Min: 1, Max: 100})
	h.rounds(50, 12, 100*ms, OK)
	h.want(16, Start)
	h.rounds(10, 13, 100*ms, OK)
	if h.limit() == 16 {
		t.Error("does not grow with 80% in flight")
	}
}

func TestGrow_NotByA4xx(t *testing.T) {
	h := newHarness(t, Options{Min: 1, Max: 100})
	h.rounds(100, -1, 100*ms, Neutral)
	h.want(16, Start)
}

func TestFailed_LowersOncePerRoundTrip(t *testing.T) {
	for outcome, why := range map[Outcome]Why{Failed: Errors, Throttled: Throttling} {
		h := newHarness(t, Options{Min: 1, Max: 1024, FixedRate: true})
		h.rounds(4, -1, 100*ms, OK)
		tickets := h.begin(-1)
		h.now += 100 * ms
		h.end(tickets[:20], Result{Outcome: OK, Latency: 100 * ms})
		h.end(tickets[20:25], Result{Outcome: outcome})
		h.end(tickets[25:], Result{Outcome: OK, Latency: 100 * ms})
		h.want(73, why)
	}
}

func TestFailed_HalvesWhenAllFail(t *testing.T) {
	h := newHarness(t, Options{Min: 1, Max: 1024})
	h.rounds(2, -1, 100*ms, OK)
	h.rounds(1, -1, 10*time.Second, TimedOut)
	h.want(18, Errors)
	h.rounds(1, -1, 10*time.Second, TimedOut)
	h.want(9, Errors)
	h.rounds(20, -1, 10*time.Second, TimedOut)
	if h.limit() > 2 {
		t.Errorf("limit %d after 20 rounds without an answer", h.limit())
	}
}

func TestFailed_AStrayTimeoutIsNoHarm(t *testing.T) {
	h := newHarness(t, Options{Min: 1, Max: 64})
	h.rounds(2, -1, 100*ms, OK)
	for range 20 {
		stray := h.begin(1)
		h.rounds(100, -1, 100*ms, OK)
		h.end(stray, Result{Outcome: TimedOut})
	}
	h.want(64, Growth)
}

// Two exchanges that come closer to each other than they left are a bucket's 429, whatever the rate.
func TestThrottled_OneAloneAmongManyLowersNothing(t *testing.T) {
	h := newHarness(t, Options{Min: 1, Max: 256})
	throttle(h)
	h.rounds(500, 1, 20*ms, OK)
	before := h.limiter.Status(h.at()).Rate
	h.rounds(1, 1, 100*ms, Throttled)
	if rate := h.limiter.Status(h.at()).Rate; rate != before {
		t.Errorf("one 429 among 500 makes %.1f/s of %.1f/s", rate, before)
	}
	h.rounds(50, 1, 20*ms, OK)
	h.rounds(1, 1, 100*ms, Throttled)
	if rate := h.limiter.Status(h.at()).Rate; rate >= before {
		t.Errorf("a second one a second later: %.1f/s as before", rate)
	}
}

func TestLatency_ThatRisesByMillisecondsIsThisMachines(t *testing.T) {
	h := newHarness(t, Options{Min: 1, Max: 64})
	for range 100 {
		tickets := h.begin(-1)
		latency := time.Duration(len(tickets)) * 60 * time.Microsecond
		h.now += latency
		h.end(tickets, Result{Outcome: OK, Latency: latency})
		h.now += 10 * ms
	}
	h.want(64, Growth)
}

func TestThrottled_DoesNotLowerTheLimitBelowWhatTheRateNeeds(t *testing.T) {
	h := newHarness(t, Options{Min: 1, Max: 256})
	throttle(h)
	for range 50 {
		h.now += time.Second
		h.rounds(1, 1, 100*ms, Throttled)
	}
	if s := h.limiter.Status(h.at()); s.Limit < int(s.Rate/10) {
		t.Errorf("limit %d at %.1f/s and 100ms", s.Limit, s.Rate)
	}
}

func TestLatency_ThatIsHighIsNoHarm(t *testing.T) {
	h := newHarness(t, Options{Min: 1, Max: 256})
	h.rounds(7, -1, 3*time.Second, OK)
	h.want(256, Growth)
}

func TestLatency_ThatRisesWithTheLoadLowersTheLimit(t *testing.T) {
	h := newHarness(t, Options{Min: 1, Max: 256})
	for range 100 {
		tickets := h.begin(-1)
		latency := max(1, time.Duration(len(tickets))/40) * 100 * ms
		h.now += latency
		h.end(tickets, Result{Outcome: OK, Latency: latency})
	}
	if limit := h.limit(); limit < 36 || limit >= 80 {
		t.Errorf("limit %d at a vendor that takes 40 at once", limit)
	}
	if s := h.limiter.Status(h.at()); s.Counts[Latency] == 0 || s.Base != 100*ms {
		t.Errorf("%d changes because of latency, base %v", s.Counts[Latency], s.Base)
	}
}

func TestLatency_ThatRisesByItselfIsTheNewBase(t *testing.T) {
	h := newHarness(t, Options{Min: 1, Max: 256})
	h.rounds(10, -1, 100*ms, OK)
	h.rounds(1, -1, time.Second, OK)
	if s := h.limiter.Status(h.at()); !s.Measuring || s.Limit != 128 {
		t.Errorf("measuring %v at %d, want at 128", s.Measuring, s.Limit)
	}
	h.rounds(10, -1, time.Second, OK)
	h.want(256, Growth)
	if s := h.limiter.Status(h.at()); s.Base != time.Second || s.Counts[Latency] != 0 {
		t.Errorf("base %v, %d changes because of latency", s.Base, s.Counts[Latency])
	}
	h.rounds(10, -1, 100*ms, OK)
	if s := h.limiter.Status(h.at()); s.Base > 125*ms {
		t.Errorf("base %v after the vendor got faster", s.Base)
	}
}

func TestSaturated_LatencyDoesNotCount(t *testing.T) {
	h := newHarness(t, Options{Min: 1, Max: 256})
	h.rounds(2, -1, 100*ms, OK)
	h.limiter.SetSaturated(true)
	h.rounds(5, -1, time.Second, OK)
	h.want(36, Growth)
	h.rounds(1, -1, 110*ms, OK)
	h.want(54, Growth) // that the vendor is as fast as ever is true all the same
	h.limiter.SetSaturated(false)
	if s := h.limiter.Status(h.at()); s.Base != 100*ms {
		t.Errorf("base %v", s.Base)
	}
}

func TestSaturated_TheLimitGrowsOnlyAtTheBase(t *testing.T) {
	for _, saturated := range []bool{false, true} {
		h := newHarness(t, Options{Min: 1, Max: 256})
		h.rounds(20, -1, 2*ms, OK)
		before := h.limit()
		h.limiter.SetSaturated(saturated)
		h.rounds(20, -1, 5*ms, OK)
		if grew := h.limit() > before; grew == saturated {
			t.Errorf("saturated %t: grew %t, %d", saturated, grew, h.limit())
		}
	}
}

func TestIdle_HalvesALimitThatIsNotUsed(t *testing.T) {
	h := newHarness(t, Options{Min: 1, Max: 256})
	h.rounds(8, -1, 100*ms, OK)
	h.rounds(700, 1, 100*ms, OK)
	h.want(128, Idle)
	h.now += time.Hour
	h.rounds(1, 1, 100*ms, OK)
	h.want(16, Idle)
	h.rounds(7, -1, 100*ms, OK)
	h.want(256, Growth)
}

func TestReset_BeginsAnewAndKeepsWhatIsInFlight(t *testing.T) {
	h := newHarness(t, Options{Min: 1, Max: 256})
	h.rounds(8, -1, 100*ms, OK)
	tickets := h.begin(-1)
	h.now += ms
	h.limiter.Reset(h.at())
	if s := h.limiter.Status(h.at()); s.Limit != 16 || s.InFlight != 256 || s.Why != Start || !s.Changed.Equal(h.at()) {
		t.Errorf("%+v", s)
	}
	if ok, wake := h.limiter.Ready(h.at()); ok || !wake.IsZero() {
		t.Errorf("ready %v, wake %v while more is in flight than the limit", ok, wake)
	}
	h.end(tickets, Result{Outcome: Failed})
	h.want(16, Start)
	h.rounds(1, -1, 100*ms, OK)
	h.want(24, Growth)
}

// throttle makes a limiter learn a rate.
func throttle(h *harness) {
	h.rounds(60, 10, 100*ms, OK)
	h.rounds(1, 10, 100*ms, Throttled)
	h.now += time.Second
	h.rounds(1, 1, 100*ms, OK)
}

func TestThrottled_LearnsWhatHasPassed(t *testing.T) {
	h := newHarness(t, Options{Min: 1, Max: 256})
	throttle(h)
	if s := h.limiter.Status(h.at()); s.Rate < 93 || s.Rate > 97 || s.Counts[Throttling] != 1 {
		t.Errorf("%+v, want 97%% of 98 per second", s)
	}
	h.begin(1)
	if ok, wake := h.limiter.Ready(h.at()); ok || wake.Before(h.at()) || wake.After(h.at().Add(11*ms)) {
		t.Errorf("ready %v, wake in %v", ok, wake.Sub(h.at()))
	}
}

func TestThrottled_NothingIsLearnedBesideAFixedRate(t *testing.T) {
	h := newHarness(t, Options{Min: 1, Max: 256, FixedRate: true})
	throttle(h)
	h.limiter.Quota(h.at(), 0, time.Minute)
	if s := h.limiter.Status(h.at()); s.Rate != 0 || !s.QuotaSpent.IsZero() || s.Counts[Throttling] != 1 {
		t.Errorf("%+v", s)
	}
}

func TestRate_GrowsWhileItHoldsBack(t *testing.T) {
	h := newHarness(t, Options{Min: 1, Max: 256})
	throttle(h)
	before := h.limiter.Status(h.at()).Rate
	for h.now < 2*time.Minute {
		h.rounds(1, -1, ms, OK)
	}
	after := h.limiter.Status(h.at()).Rate
	if want := before * 1.01 * 1.02 * 1.04; after < 0.99*want || after > 1.01*want {
		t.Errorf("from %.1f to %.1f, want %.1f", before, after, want)
	}
	for h.now < 4*time.Minute {
		h.rounds(1, 1, time.Second, OK)
	}
	if got := h.limiter.Status(h.at()).Rate; got > 1.09*after {
		t.Errorf("grew to %.1f while it held nothing back", got)
	}
}

func TestQuota_NothingBeginsBeforeTheResetOnceItIsSpent(t *testing.T) {
	h := newHarness(t, Options{Min: 1, Max: 256})
	tickets := h.begin(10)
	h.now += 100 * ms
	h.end(tickets[:8], Result{Outcome: OK, Latency: 100 * ms})
	h.limiter.Quota(h.at(), 5, 10*time.Second)
	if n := len(h.begin(-1)); n != 3 {
		t.Errorf("%d begin with 5 left and 2 in flight", n)
	}
	reset := h.at().Add(10 * time.Second)
	if ok, wake := h.limiter.Ready(h.at()); ok || !wake.Equal(reset) || !h.limiter.Status(h.at()).QuotaSpent.Equal(reset) {
		t.Errorf("ready %v, wake in %v", ok, wake.Sub(h.at()))
	}
	h.now += 10 * time.Second
	if n := len(h.begin(-1)); n != 11 {
		t.Errorf("%d begin after the reset", n)
	}
}

func TestPauses_OnlyALongRetryAfter(t *testing.T) {
	for wait, want := range map[time.Duration]bool{0: false, time.Second: false, 2 * time.Second: false, 3 * time.Second: true} {
		if Pauses(wait) != want {
			t.Errorf("%v pauses: %v", wait, !want)
		}
	}
}

func TestWhy_HasAWord(t *testing.T) {
	want := []string{"start", "latency", "errors", "429", "idle", "growth"}
	for why := range reasons {
		if why.String() != want[why] {
			t.Errorf("%d is %q, want %q", why, why, want[why])
		}
	}
}

func TestBeginEnd_AllocateNothing(t *testing.T) {
	h := newHarness(t, Options{Min: 1, Max: 64})
	throttle(h)
	allocations := testing.AllocsPerRun(10_000, func() {
		h.now += 11 * ms
		if ok, _ := h.limiter.Ready(h.at()); ok {
			h.limiter.End(h.at().Add(5*ms), h.limiter.Begin(h.at()), Result{Outcome: OK, Latency: 5 * ms})
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

// BenchmarkBeginEnd is what the limiter costs per exchange, with its part of the windows' medians.
func BenchmarkBeginEnd(b *testing.B) {
	for _, learned := range []bool{false, true} {
		name := "no rate"
		if learned {
			name = "learned rate"
		}
		b.Run(name, func(b *testing.B) {
			l := New(Options{Min: 1, Max: 64}, start)
			if learned {
				l.rate.state, l.rate.perSecond = guessed, 1e6
			}
			var tickets [64]Ticket
			now := time.Now() // as in use: with a monotonic clock
			l.origin = now
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(100 * time.Microsecond)
				if ok, _ := l.Ready(now); !ok {
					l.End(now, tickets[i%64], Result{Outcome: OK, Latency: time.Duration(5+i%3) * ms})
				}
				tickets[i%64] = l.Begin(now)
				i++
			}
		})
	}
}

func TestIsBeyond_IsWhatIsMoreAtOnceThanHasGoneWell(t *testing.T) {
	h := newHarness(t, Options{Min: 1, Max: 1024})
	beyond := func(tickets []Ticket) (n int) {
		for _, ticket := range tickets {
			if h.limiter.IsBeyond(ticket) {
				n++
			}
		}
		return n
	}
	tickets := h.begin(-1)
	if n := beyond(tickets); n != 0 {
		t.Errorf("at the start %d are", n)
	}
	h.now += 100 * ms
	h.end(tickets, Result{Outcome: OK, Latency: 100 * ms})
	tickets = h.begin(-1)
	if n := beyond(tickets); len(tickets) != 24 || n != 8 {
		t.Errorf("after growing %d of %d are", n, len(tickets))
	}
	h.end(tickets, Result{Outcome: Neutral})
	h.limiter.Reset(h.at())
	if n := beyond(h.begin(-1)); n != 15 {
		t.Errorf("after the destination was down %d are", n)
	}
}
