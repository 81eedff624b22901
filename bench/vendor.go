package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// shape is how a vendor behaves under load. The zero value takes everything at once.
type shape struct {
	// latency is the time from an exchange to the first byte of its answer.
	latency time.Duration
	// perSecond is how many exchanges it takes each second; it answers the others 429. 0 is any number. The cap is a bucket of so many
	// tokens, or with bySecond a count that begins anew each second.
	perSecond, bucket int
	bySecond          bool
	// retryAfter has each 429 say when the next second begins.
	retryAfter bool
	// places is how many exchanges may be in flight; it answers the others 503 at once. 0 is any number.
	places int
	// workers do one exchange at a time each, and the others wait. 0 is any number.
	workers int
}

// String returns what parseShape reads: the latency, and what differs from the zero value.
func (s shape) String() string {
	parts := []string{s.latency.String()}
	switch {
	case s.perSecond > 0 && s.bySecond:
		parts = append(parts, fmt.Sprintf("second:%d", s.perSecond))
	case s.perSecond > 0:
		parts = append(parts, fmt.Sprintf("bucket:%d:%d", s.perSecond, s.bucket))
	}
	if s.retryAfter {
		parts = append(parts, "retry-after")
	}
	if s.places > 0 {
		parts = append(parts, fmt.Sprintf("places:%d", s.places))
	}
	if s.workers > 0 {
		parts = append(parts, fmt.Sprintf("workers:%d", s.workers))
	}
	return strings.Join(parts, ",")
}

func parseShape(text string) (s shape, err error) {
	latency, rest, more := strings.Cut(text, ",")
	if s.latency, err = time.ParseDuration(latency); err != nil || !more {
		return s, err
	}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(part, ":")
		switch name {
		case "second":
			s.bySecond = true
			s.perSecond, err = strconv.Atoi(value)
		case "bucket":
			_, err = fmt.Sscanf(value, "%d:%d", &s.perSecond, &s.bucket)
		case "retry-after":
			s.retryAfter = true
		case "places":
			s.places, err = strconv.Atoi(value)
		case "workers":
			s.workers, err = strconv.Atoi(value)
		default:
			err = errFlag
		}
		if err != nil {
			return s, fmt.Errorf("shape %q: %s: %w", text, name, err)
		}
	}
	return s, nil
}

// vendor is a shape with its state.
type vendor struct {
	shape
	inFlight int
	second   time.Time // the one that is counted
	count    int
	filled   time.Time // when tokens were added last
	tokens   float64
	free     []time.Time // when each worker is
}

// answer is what comes of an exchange, and after which time.
type answer struct {
	status int
	after  time.Duration
}

const (
	statusOK         = 200
	statusThrottled  = 429
	statusOverloaded = 503
)

// take decides about an exchange that comes now. It is in flight until left.
func (v *vendor) take(now time.Time) answer {
	v.inFlight++
	switch {
	case v.places > 0 && v.inFlight > v.places:
		return answer{statusOverloaded, 0}
	case v.perSecond > 0 && !v.allows(now):
		return answer{statusThrottled, v.latency}
	case v.workers > 0:
		return answer{statusOK, v.queue(now)}
	}
	return answer{statusOK, v.latency}
}

func (v *vendor) left() { v.inFlight-- }

func (v *vendor) allows(now time.Time) bool {
	if v.bySecond {
		if second := now.Truncate(time.Second); !second.Equal(v.second) {
			v.second, v.count = second, 0
		}
		v.count++
		return v.count <= v.perSecond
	}
	full := float64(max(v.bucket, 1))
	v.tokens = min(full, v.tokens+now.Sub(v.filled).Seconds()*float64(v.perSecond)) // the first time is after years
	v.filled = now
	if v.tokens < 1 {
		return false
	}
	v.tokens--
	return true
}

// queue gives an exchange to the worker that is free first, and returns when its answer is due.
func (v *vendor) queue(now time.Time) time.Duration {
	if v.free == nil {
		v.free = make([]time.Time, v.workers)
	}
	i := 0
	for n, at := range v.free {
		if at.Before(v.free[i]) {
			i = n
		}
	}
	begins := slices.MaxFunc([]time.Time{now, v.free[i]}, time.Time.Compare)
	v.free[i] = begins.Add(v.latency)
	return v.free[i].Sub(now)
}

// best is how many exchanges a second such a vendor takes from an aka that may have so many in flight; 0 is any number.
func (s shape) best(most int) float64 {
	switch {
	case s.perSecond > 0:
		return float64(s.perSecond)
	case s.places > 0:
		most = min(most, s.places)
	case s.workers > 0:
		most = min(most, s.workers)
	}
	if s.latency == 0 {
		return 0
	}
	return float64(most) / s.latency.Seconds()
}
