package strictyaml

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

var errDuration = errors.New("not a duration")

// ParseDuration reads what time.ParseDuration reads, and days before it: 30d, 1d12h. Nothing is negative.
func ParseDuration(text string) (time.Duration, error) {
	days, rest, hasDays := strings.Cut(text, "d")
	if !hasDays {
		return nonNegative(time.ParseDuration(text))
	}
	count, err := strconv.ParseUint(days, 10, 32)
	if err != nil || count > uint64(math.MaxInt64/day)-1 {
		return 0, errDuration
	}
	whole := time.Duration(count) * day
	if rest == "" {
		return whole, nil
	}
	part, err := nonNegative(time.ParseDuration(rest))
	if err != nil || part >= day {
		return 0, errDuration
	}
	return whole + part, nil
}

func nonNegative(value time.Duration, err error) (time.Duration, error) {
	if err != nil || value < 0 {
		return 0, errDuration
	}
	return value, nil
}

// FormatDuration returns the shortest text that a duration is read back from: 1m30s, 24h, 30d.
func FormatDuration(value time.Duration) string {
	if value > day && value%day == 0 {
		return strconv.FormatInt(int64(value/day), 10) + "d"
	}
	text := value.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
