package mergerules

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// The bounds of a list of patterns.
const (
	MaxPatterns      = 100
	MaxPatternLength = 255
)

// Pattern matches a whole id: * is any text, also none, and ? is one character. Everything else is itself; case matters.
type Pattern string

// Patterns are a list of them.
type Patterns []Pattern

// Match reports whether one of the patterns matches.
func (p Patterns) Match(id string) bool {
	for _, one := range p {
		if one.Match(id) {
			return true
		}
	}
	return false
}

func (p Patterns) check(key string, report func(key, format string, args ...any)) {
	if len(p) > MaxPatterns {
		report(key, "expected at most %d patterns, not %d", MaxPatterns, len(p))
	}
	for i, one := range p {
		if problem := one.problem(); problem != "" {
			report(fmt.Sprintf("%s[%d]", key, i), "%s", problem)
		}
	}
}

func (p Pattern) problem() string {
	switch {
	case p == "":
		return "expected a pattern such as test-*, not an empty text"
	case len(p) > MaxPatternLength:
		return fmt.Sprintf("expected at most %d bytes, not %d", MaxPatternLength, len(p))
	}
	return ""
}

// Match reports whether the whole id matches. If it fails behind a *, only the last * takes one character more: what is before
// it matches as well as it can. So the time is bounded by the product of the two lengths, which are bounded.
func (p Pattern) Match(id string) bool {
	pattern := string(p)
	at, in := 0, 0       // in the pattern, and in the id
	star, taken := -1, 0 // behind the last *, and where in the id its text ends
	for in < len(id) {
		switch {
		case at < len(pattern) && pattern[at] == '*':
			at++
			star, taken = at, in
			continue
		case at < len(pattern) && pattern[at] == '?':
			_, size := utf8.DecodeRuneInString(id[in:])
			at++
			in += size
			continue
		case at < len(pattern) && pattern[at] == id[in]:
			at++
			in++
			continue
		case star < 0:
			return false
		}
		_, size := utf8.DecodeRuneInString(id[taken:])
		taken += size
		at, in = star, taken
	}
	return strings.Trim(pattern[at:], "*") == ""
}
