package httpclient

import "testing"

// Most vendors send no such headers, and every answer is looked at.
func TestNoRateLimitTakesNoMemory(t *testing.T) {
	for name, h := range map[string]rateLimitHeaders{"none": {}, "one": {limit: []byte("50")}, "another": {remaining: []byte("3")}} {
		if n := testing.AllocsPerRun(100, func() {
			if h.numbers() != (RateLimit{}) {
				t.Errorf("%s says something", name)
			}
		}); n > 0 {
			t.Errorf("%s takes %v allocations", name, n)
		}
	}
}

func TestTheResetOfARateLimitMayStandAlone(t *testing.T) {
	for name, c := range map[string]struct {
		headers rateLimitHeaders
		want    RateLimit
	}{
		"alone":          {rateLimitHeaders{reset: []byte("30")}, RateLimit{Reset: 30}},
		"since 1970":     {rateLimitHeaders{reset: []byte("1767323045")}, RateLimit{Reset: 1767323045}},
		"milliseconds":   {rateLimitHeaders{reset: []byte("1767323045000")}, RateLimit{}},
		"no number":      {rateLimitHeaders{reset: []byte("soon")}, RateLimit{}},
		"with the other": {rateLimitHeaders{[]byte("10"), []byte("0"), []byte("30")}, RateLimit{Known: true, Limit: 10, Reset: 30}},
	} {
		if got := c.headers.numbers(); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}
