package ingress

import (
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"aka/router/journal"
)

// limiterAt returns a limiter and its clock, which stands still.
func limiterAt(rate float64) (*limiter, *time.Time) {
	l := newLimiter(rate)
	now := l.start
	l.now = func() time.Time { return now }
	return l, &now
}

func TestALimiterTakesItsRateOverTime(t *testing.T) {
	for _, c := range []struct {
		rate  float64
		calls int // of each request
	}{{1, 1}, {10, 1}, {1000, 1}, {0.1, 1}, {2.5, 1}, {10, 7}, {10, 250}, {1000, 5000}, {3e6, 100}} {
		l, now := limiterAt(c.rate)
		duration := time.Duration(max(60, 50*float64(c.calls)/c.rate) * float64(time.Second))
		taken := 0
		for end := now.Add(duration); now.Before(end); *now = now.Add(duration / 20_000) {
			for range 5 {
				if l.take(c.calls) {
					taken += c.calls
				}
			}
		}
		allowed := c.rate * duration.Seconds()
		burst := max(c.rate, 1) + float64(c.calls)
		if least := math.Min(allowed, 100_000*float64(c.calls)); float64(taken) > allowed+burst || float64(taken) < 0.99*least-burst {
			t.Errorf("%v per second, %d at once: %d in %s", c.rate, c.calls, taken, duration)
		}
	}
}

func TestALargeBatchPassesOnceAndItsDebtIsPaidByTime(t *testing.T) {
	l, now := limiterAt(10)
	if !l.take(40) {
		t.Fatal("refused with a full bucket")
	}
	// 30 too many are 3 seconds.
	for _, c := range []struct {
		after time.Duration
		retry int
	}{{0, 3}, {time.Millisecond, 3}, {999 * time.Millisecond, 2}, {1500 * time.Millisecond, 1}, {499 * time.Millisecond, 1}} {
		*now = now.Add(c.after)
		if l.take(1) || !l.inDebt() || l.retrySeconds() != c.retry {
			t.Errorf("%s later: in debt %v for %d s", c.after, l.inDebt(), l.retrySeconds())
		}
	}
	*now = now.Add(time.Millisecond)
	if l.inDebt() || !l.take(1) {
		t.Error("refused when all was paid")
	}
	if l.take(1) {
		t.Error("taken in debt")
	}
}

func TestTheBucketHoldsASecondsWorthAndOneCallAtLeast(t *testing.T) {
	for rate, want := range map[float64]int{100: 101, 1: 2, 0.01: 2, 2.5: 3} {
		l, now := limiterAt(rate)
		*now = now.Add(1000 * time.Hour) // what was not used then is not saved up
		taken := 0
		for l.take(1) {
			taken++
		}
		// One more than it holds: with nothing in it there is no debt yet.
		if taken != want {
			t.Errorf("%v per second: %d at once, not %d", rate, taken, want)
		}
	}
}

func TestWhatIsGivenBackCanBeTakenAgain(t *testing.T) {
	l, _ := limiterAt(10)
	before := l.empty.Load()
	for range 1000 {
		if !l.take(500) || l.take(1) {
			t.Fatal("not as before")
		}
		l.giveBack(500)
	}
	if after := l.empty.Load(); after != before {
		t.Errorf("%d, not %d", after, before)
	}
}

func TestRatesOfAnySizeStayInRange(t *testing.T) {
	for _, rate := range []float64{math.SmallestNonzeroFloat64, 1e-300, 1e-9, 1e18, math.MaxFloat64, math.Inf(1)} {
		l, now := limiterAt(rate)
		*now = now.Add(50 * 365 * 24 * time.Hour)
		for range 3 {
			l.take(math.MaxInt32)
		}
		if slow := rate < 1; l.inDebt() != slow || slow && l.retrySeconds() != maxRetrySeconds {
			t.Errorf("%v per second: in debt %v for %d s", rate, l.inDebt(), l.retrySeconds())
		}
	}
}

func TestManyAtOnceTakeNoMoreThanOneTooMany(t *testing.T) {
	l, _ := limiterAt(1000)
	var taken atomic.Int64
	var senders sync.WaitGroup
	for range 8 {
		senders.Go(func() {
			for range 1000 {
				if l.take(7) {
					taken.Add(7)
				}
			}
		})
	}
	senders.Wait()
	// 142 times 7 are 994, and one more leads into debt.
	if got := taken.Load(); got != 1001 {
		t.Errorf("%d", got)
	}
}

// rated is a server whose source named website has a rate, and its clock.
func rated(t *testing.T, rate float64) (*stand, *time.Time) {
	t.Helper()
	config := testConfig()
	website := config.Sources["website"]
	website.Rate = rate
	config.Sources["website"] = website
	s := start(t, config)
	limiter := s.server.rules.Load().keys.find([]byte(testKey)).limiter
	now := limiter.start
	limiter.now = func() time.Time { return now }
	return s, &now
}

func batchOfTracks(calls int) string {
	return `{"batch":[` + strings.Repeat(`{"type":"track","userId":"u","event":"e"},`, calls-1) + call + `]}`
}

func TestASourceAboveItsRateIs429(t *testing.T) {
	s, now := rated(t, 10)
	s.wantCount(t, 0, "requests_total", "status=429")
	s.wantCount(t, 0, "calls_rejected_total", "code=rate_limited", "source=website")
	if got := s.post(t, "/v1/batch", batchOfTracks(40)); got.StatusCode != 200 {
		t.Fatalf("%d %s", got.StatusCode, got.body)
	}
	kept := len(s.entries)
	expect429 := func(seconds int, got answer) {
		t.Helper()
		wait := strconv.Itoa(seconds)
		if got.StatusCode != 429 || got.code(t) != "rate_limited" || got.Header.Get("Retry-After") != wait || got.Header.Get("X-Ratelimit-Reset") != wait {
			t.Errorf("%d %s %v", got.StatusCode, got.body, got.Header)
		}
	}
	got := s.post(t, "/v1/alias", call, "Origin: https://a.example")
	expect429(3, got)
	if h := got.Header; h.Get("Access-Control-Allow-Origin") != "https://a.example" || h.Get("Access-Control-Expose-Headers") != "Retry-After, X-RateLimit-Reset" {
		t.Errorf("%v", h)
	}
	expect429(3, s.post(t, "/v1/batch", batchOfTracks(2)))
	// The key is in the body: it is parsed, and not kept.
	expect429(3, s.send(t, "POST", "/v1/alias", strings.Replace(call, "{", `{"writeKey":"`+testKey+`",`, 1)))
	if len(s.entries) != kept {
		t.Errorf("%d more calls were kept", len(s.entries)-kept)
	}
	*now = now.Add(2500 * time.Millisecond)
	expect429(1, s.post(t, "/v1/alias", call))
	s.wantCount(t, 4, "requests_total", "status=429")
	s.wantCount(t, 4, "calls_rejected_total", "code=rate_limited", "source=website")
	*now = now.Add(500 * time.Millisecond)
	if got := s.post(t, "/v1/alias", call); got.StatusCode != 200 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

func TestABodyAboveTheRateIsNotParsed(t *testing.T) {
	s, _ := rated(t, 10)
	s.post(t, "/v1/batch", batchOfTracks(40))
	for _, body := range []string{"not JSON", zipped("x")[:9], strings.Repeat(" ", 5<<20)} {
		if got := s.post(t, "/v1/batch", body, "Content-Encoding: gzip"); got.StatusCode != 429 {
			t.Errorf("%d %s", got.StatusCode, got.body)
		}
	}
	if got := s.post(t, "/v1/nothing", ""); got.StatusCode != 404 {
		t.Errorf("%d", got.StatusCode)
	}
}

func TestOneSourcesRateIsItsOwn(t *testing.T) {
	s, _ := rated(t, 1)
	s.post(t, "/v1/batch", batchOfTracks(100))
	if got := s.post(t, "/v1/alias", call); got.StatusCode != 429 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	for range 50 {
		if got := s.send(t, "POST", "/v1/alias", call, "X-Write-Key: pages-key"); got.StatusCode != 200 {
			t.Fatalf("%d %s", got.StatusCode, got.body)
		}
	}
}

func TestWhatIsNotKeptIsNotCharged(t *testing.T) {
	s, _ := rated(t, 10)
	for range 30 {
		s.err = journal.ErrFull
		if got := s.post(t, "/v1/batch", batchOfTracks(40)); got.StatusCode != 503 {
			t.Fatalf("%d %s", got.StatusCode, got.body)
		}
		s.err = nil
		for body, status := range map[string]int{`{"batch":[{},{},{}]}`: 200, `{"batch":[]}`: 200, "x": 400} {
			if got := s.post(t, "/v1/batch", body); got.StatusCode != status {
				t.Fatalf("%s: %d %s", body, got.StatusCode, got.body)
			}
		}
	}
	limiter := s.server.rules.Load().keys.find([]byte(testKey)).limiter
	if empty := limiter.empty.Load(); empty != -limiter.most {
		t.Errorf("the bucket is empty at %d ns", empty)
	}
}

func BenchmarkLimiter(b *testing.B) {
	for name, rate := range map[string]float64{"unlimited": 0, "in credit": math.MaxFloat64, "in debt": 1e-9} {
		b.Run(name, func(b *testing.B) {
			l := newLimiter(rate)
			l.take(100)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if !l.inDebt() {
						l.take(1)
					}
				}
			})
		})
	}
}
