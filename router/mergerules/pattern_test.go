package mergerules

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPatterns(t *testing.T) {
	for _, test := range []struct {
		pattern Pattern
		id      string
		want    bool
	}{
		{"test-*", "test-1", true},
		{"test-*", "test-", true},
		{"test-*", "test", false},
		{"test-*", "Test-1", false},
		{"*@example.com", "jen@example.com", true},
		{"*@example.com", "jen@example.com.org", false},
		{"*ab*ab", "abxabab", true},
		{"u-???", "u-123", true},
		{"u-???", "u-12", false},
		{"u-?", "u-ä", true},
		{"*?", "ä", true},
		{"**", "", true},
		{"*", "anything", true},
		{"a.c", "abc", false},
		{"[ab]", "a", false},
		{"[ab]", "[ab]", true},
		{`\*`, `\x`, true},
	} {
		if got := test.pattern.Match(test.id); got != test.want {
			t.Errorf("%q matches %q: %v", test.pattern, test.id, got)
		}
	}
}

func TestTheWorstPatternIsBounded(t *testing.T) {
	pattern := Pattern(strings.Repeat("*a", 100) + "*b")
	if pattern.Match(strings.Repeat("a", 1024)) {
		t.Error("it matches")
	}
}

// FuzzPattern compares with a regular expression.
func FuzzPattern(f *testing.F) {
	for _, seed := range [][2]string{{"test-*", "test-1"}, {"*a?b*", "xaybz"}, {"?*?", "ä"}, {"**a", "aa"}, {"", ""}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, id string) {
		if !utf8.ValidString(pattern) || !utf8.ValidString(id) || len(pattern) > MaxPatternLength {
			_ = Pattern(pattern).Match(id) // no panic, and an end
			return
		}
		expression := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
		want := regexp.MustCompile(`(?s)\A` + expression + `\z`).MatchString(id)
		if got := Pattern(pattern).Match(id); got != want {
			t.Errorf("%q matches %q: %v, want %v", pattern, id, got, want)
		}
	})
}

func BenchmarkPatternWorst(b *testing.B) {
	pattern, id := Pattern(strings.Repeat("*a", 100)+"*b"), strings.Repeat("a", 1024)
	for b.Loop() {
		pattern.Match(id)
	}
}
