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
