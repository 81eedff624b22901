package delivery

import (
	"testing"
	"time"
)

func FuzzRetryAfter(f *testing.F) {
	for _, header := range []string{"7", "0", "-1", "1e9", "99999999999999999999", "Fri, 02 Jan 2026 03:04:12 GMT", "Friday, 02-Jan-26 03:04:12 GMT", "soon", ""} {
		f.Add(header)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f.Fuzz(func(t *testing.T, header string) {
		if wait := retryAfter(header, now); wait < 0 || wait > maxRetryAfter {
			t.Fatalf("Retry-After %q is a wait of %s", header, wait)
		}
	})
}

func TestRetryAfterIsSecondsOrADateAndElseNothing(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"7": 7 * time.Second, " 7 ": 7 * time.Second, "0": 0, "-7": 0, "-99999999999999999999": 0,
		"600": 10 * time.Minute, "601": 10 * time.Minute, "1000000000": 10 * time.Minute, "99999999999999999999": 10 * time.Minute,
		"Fri, 02 Jan 2026 03:04:12 GMT": 7 * time.Second, "Friday, 02-Jan-26 03:04:12 GMT": 7 * time.Second, "Fri Jan  2 03:04:12 2026": 7 * time.Second,
		"Fri, 02 Jan 2026 03:04:04 GMT": 0, "Fri, 02 Jan 2099 03:04:04 GMT": 10 * time.Minute, "Thu, 01 Jan 1970 00:00:00 GMT": 0,
		"": 0, "soon": 0, "7s": 0, "7.5": 0, "1e3": 0, "0x7": 0, "7, 8": 0, "NaN": 0, "٧": 0,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("%q is a wait of %s, want %s", header, got, want)
		}
	}
}

func TestBackoffDoublesToItsLimitAndIsSpreadOverAllOfIt(t *testing.T) {
	o := RetryOptions{Initial: time.Second, Max: 10 * time.Second}
	for failed, longest := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 4: 8 * time.Second, 5: 10 * time.Second, 1000: 10 * time.Second} {
		low, high := longest, time.Duration(0)
		for range 2000 {
			wait := o.backoff(failed)
			low, high = min(low, wait), max(high, wait)
		}
		if low < 0 || low > longest/10 || high > longest || high < longest*9/10 {
			t.Errorf("after %d failures the waits are %s to %s, want 0 to %s", failed, low, high, longest)
		}
	}
}
