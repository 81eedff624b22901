package delivery

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"aka/router/breaker"
)

// maxRetryAfter caps what a vendor's Retry-After may ask for.
const maxRetryAfter = 10 * time.Minute

// backoff returns the wait before the next try after so many failed ones: a random part of a time that doubles each time.
func (o RetryOptions) backoff(failed int) time.Duration {
	return rand.N(breaker.Doubled(o.Initial, o.Max, failed-1) + 1)
}

// asksToWait returns how long the vendor asks to wait: by Retry-After, or of a 429 without one by when its quota is reset, where none of
// it is left.
func (x *exchange) asksToWait(now time.Time) time.Duration {
	limit := x.response.RateLimit
	if x.response.RetryAfter != "" || x.response.Status != http.StatusTooManyRequests || limit.Known && limit.Remaining > 0 {
		return retryAfter(x.response.RetryAfter, now)
	}
	return untilReset(limit.Reset, now)
}

// retryAfter reads a Retry-After header: seconds or a date, capped. It returns 0 for anything else, and for what is past.
func retryAfter(header string, now time.Time) time.Duration {
	if header == "" {
		return 0
	}
	header = strings.TrimSpace(header)
	if seconds, err := strconv.ParseInt(header, 10, 64); err == nil {
		return capped(seconds, maxRetryAfter)
	}
	if isDigits(header) { // more seconds than a number holds
		return maxRetryAfter
	}
	if date, err := http.ParseTime(header); err == nil {
		return min(max(date.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

// untilReset reads an X-RateLimit-Reset: seconds from now, or since 1970. It is capped as a Retry-After is.
func untilReset(seconds int, now time.Time) time.Duration {
	const since1970 = 100_000_000 // no vendor's quota lasts three years
	if seconds < since1970 {
		return capped(int64(seconds), maxRetryAfter)
	}
	return min(max(time.Unix(int64(seconds), 0).Sub(now), 0), maxRetryAfter)
}

func capped(seconds int64, limit time.Duration) time.Duration {
	if seconds > int64(limit/time.Second) {
		return limit
	}
	return time.Duration(max(seconds, 0)) * time.Second
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
