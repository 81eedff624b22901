package delivery

import (
	"fmt"
	"strconv"

	"aka/destinations"
	"aka/router/concurrency"
)

// Concurrency is how many exchanges may be in flight: as many as Min and Max where they are the same, else a limit between them that
// follows how the vendor does. The zero value is adaptive, and leaves both bounds to aka.
type Concurrency struct {
	// Min is the lowest limit. 1 to 1024. Default 1.
	Min int `yaml:"min"`
	// Max is the highest limit. 1 to 1024. Default: 1024, or a quarter of window, or 128 for Vero, whichever is least.
	Max int `yaml:"max"`
}

const (
	// mostInFlight is the highest limit.
	mostInFlight = 1024
	// mostRenames is the highest adaptive limit where an alias renames a profile: after a crash as many requests may go twice.
	mostRenames = 128
	// windowShare is which part of the window may be in flight: the rest waits for its turn.
	windowShare = 4
	adaptive    = "adaptive"
)

// Fixed returns a concurrency that does not change.
func Fixed(n int) Concurrency { return Concurrency{n, n} }

// IsSection implements strictyaml.ValueOrSection.
func (c *Concurrency) IsSection() bool { return c.Min != c.Max }

// UnmarshalText reads `adaptive`, or a number.
func (c *Concurrency) UnmarshalText(text []byte) error {
	if string(text) == adaptive {
		*c = Concurrency{}
		return nil
	}
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 || n > mostInFlight {
		return fmt.Errorf("expected adaptive, 1 to %d, or { min, max }, not %q", mostInFlight, text)
	}
	*c = Fixed(n)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (c Concurrency) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// String returns the word or the number, or both bounds.
func (c Concurrency) String() string {
	switch {
	case c == Concurrency{}:
		return adaptive
	case c.Min == c.Max:
		return strconv.Itoa(c.Min)
	}
	return fmt.Sprintf("%s, %d to %d", adaptive, max(c.Min, 1), c.Max)
}

// check reports bounds that are out of their range.
func (c Concurrency) check(report func(key, format string, args ...any)) {
	for _, bound := range [...]struct {
		key string
		n   int
	}{{"min", c.Min}, {"max", c.Max}} {
		if bound.n < 0 || bound.n > mostInFlight {
			report("concurrency."+bound.key, "expected 1 to %d, not %d", mostInFlight, bound.n)
		}
	}
	if c.Max > 0 && c.Min > c.Max {
		report("concurrency.min", "expected up to concurrency.max, %d, not %d", c.Max, c.Min)
	}
}

// least is how many calls the window must hold.
func (c Concurrency) least() int { return max(c.Min, c.Max, 1) }

// MostInFlight is how many exchanges may ever be in flight to a destination.
func (o *Options) MostInFlight(d *destinations.Destination) int { return o.bounds(d).Max }

// bounds are those of the limit at a destination.
func (o *Options) bounds(d *destinations.Destination) concurrency.Options {
	limit := concurrency.Options{Min: max(o.Concurrency.Min, 1), Max: o.Concurrency.Max, FixedRate: o.Rate > 0}
	if limit.Max == 0 {
		limit.Max = max(min(mostInFlight, o.Window/windowShare), 1)
		if d.Renames {
			limit.Max = min(limit.Max, mostRenames)
		}
	}
	if d.MaxConcurrency > 0 {
		limit.Max = min(limit.Max, d.MaxConcurrency)
	}
	limit.Min = min(limit.Min, limit.Max)
	return limit
}
