package delivery

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"aka/destinations/adapter"
	"aka/router/httpclient"
	"aka/router/segment"
)

// Aliases go slowly, and nothing else waits for them.
func TestTheRateOfAnEndpointIsKept(t *testing.T) {
	for _, batch := range []*adapter.Batch{nil, {Key: "k", MaxItems: 1}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Options{})
			w.vendor.batch = batch
			w.vendor.rateOf = func(c *segment.Call) *adapter.Rate {
				if c.Type == segment.Alias {
					return &adapter.Rate{Key: "merges", PerSecond: 0.5}
				}
				return nil
			}
			for i := range 30 {
				w.accept(alias(fmt.Sprint("old", i), fmt.Sprint("new", i), i), track(fmt.Sprint("u", i), 100+i))
			}
			w.run()
			time.Sleep(10*time.Second + 500*time.Millisecond)
			if n := w.ended()["delivered"]; n != 30+6 {
				t.Errorf("%d calls in 10 seconds, want 30 and one alias every two seconds", n)
			}
			time.Sleep(time.Minute)
			w.expectOutcomes(map[string]int{"delivered": 60})
			w.stop()
		})
	}
}

func TestAQuotasResetIsWaitedForWhereNoRetryAfterIs(t *testing.T) {
	for name, c := range map[string]struct {
		response httpclient.Response
		from, to time.Duration
	}{
		"in seconds":          {httpclient.Response{Status: 429, RateLimit: httpclient.RateLimit{Reset: 30}}, 30 * time.Second, 32 * time.Second},
		"since 1970":          {httpclient.Response{Status: 429, RateLimit: httpclient.RateLimit{Reset: -1}}, 30 * time.Second, 32 * time.Second},
		"nothing left":        {httpclient.Response{Status: 429, RateLimit: httpclient.RateLimit{Known: true, Limit: 100, Reset: 30}}, 30 * time.Second, 32 * time.Second},
		"a day":               {httpclient.Response{Status: 429, RateLimit: httpclient.RateLimit{Reset: 86400}}, 10 * time.Minute, 11 * time.Minute},
		"Retry-After first":   {httpclient.Response{Status: 429, RetryAfter: "5", RateLimit: httpclient.RateLimit{Reset: 30}}, 5 * time.Second, 7 * time.Second},
		"some left":           {httpclient.Response{Status: 429, RateLimit: httpclient.RateLimit{Known: true, Limit: 100, Remaining: 5, Reset: 30}}, 0, 2 * time.Second},
		"another failure":     {httpclient.Response{Status: 500, RateLimit: httpclient.RateLimit{Reset: 30}}, 0, 2 * time.Second},
		"nothing of the kind": {httpclient.Response{Status: 429}, 0, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{Rate: 100})
				if c.response.RateLimit.Reset < 0 {
					c.response.RateLimit.Reset = int(time.Now().Add(31 * time.Second).Unix())
				}
				w.answer = func(_ string, attempt int) httpclient.Response {
					if attempt == 1 {
						return c.response
					}
					return httpclient.Response{Status: 200}
				}
				w.accept(track("a", 1))
				w.run()
				asked := time.Now()
				time.Sleep(time.Hour)
				if wait := w.exchange("a-1").start.Sub(asked); wait < c.from || wait > c.to {
					t.Errorf("went after %s, want %s to %s", wait, c.from, c.to)
				}
				w.stop()
			})
		})
	}
}
