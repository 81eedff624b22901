package expression

import (
	"math"
	"strings"
	"time"
)

// isoForm is ISO 8601 in UTC, to the millisecond.
const isoForm = "2006-01-02T15:04:05.000Z"

// dateForms are the forms of a time in a call. One without a zone is in UTC.
var dateForms = []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", time.DateOnly}

// The years that a time may have.
const firstYear, lastYear = 1, 9999

// moments of a number above this are milliseconds: as seconds they would be after the year 5138.
const maxSeconds = 100_000_000_000

// momentOf returns the time of a value: a time, a text in one of dateForms, or a number of seconds or milliseconds since 1970.
func momentOf(value any) (time.Time, bool) {
	if m, ok := value.(moment); ok {
		return m.t, true
	}
	if s, ok := value.(string); ok {
		return textMoment(strings.TrimSpace(s))
	}
	n, ok := number(value)
	if !ok {
		return time.Time{}, false
	}
	seconds := float(n)
	if seconds >= maxSeconds || seconds <= -maxSeconds {
		seconds /= 1000
	}
	if seconds >= maxSeconds || seconds <= -maxSeconds || seconds != seconds {
		return time.Time{}, false
	}
	return inRange(time.UnixMilli(int64(math.Round(seconds * 1000))).UTC())
}

func textMoment(s string) (time.Time, bool) {
	if len(s) > len("2006-01-02T15:04:05.999999999+00:00") {
		return time.Time{}, false
	}
	for _, form := range dateForms {
		if t, err := time.Parse(form, s); err == nil {
			return inRange(t.UTC())
		}
	}
	return time.Time{}, false
}

func inRange(t time.Time) (time.Time, bool) {
	return t, t.Year() >= firstYear && t.Year() <= lastYear
}

// date returns the time that a text or a number of a call says; nil for what is none.
func date(_ *budget, args []any) (any, error) {
	if t, ok := momentOf(args[0]); ok {
		return moment{t}, nil
	}
	return nil, nil
}

func iso(_ *budget, args []any) (any, error) {
	if t, ok := momentOf(args[0]); ok {
		return t.UTC().Format(isoForm), nil
	}
	return nil, nil
}

func unix(_ *budget, args []any) (any, error) {
	if t, ok := momentOf(args[0]); ok {
		return int(t.Unix()), nil
	}
	return nil, nil
}

func unixMillis(_ *budget, args []any) (any, error) {
	if t, ok := momentOf(args[0]); ok {
		return int(t.UnixMilli()), nil
	}
	return nil, nil
}
