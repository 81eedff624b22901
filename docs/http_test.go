package docs

import (
	"strings"
	"testing"

	"aka/router/expression"
)

// With -update the page says what aka explain does.
func TestThePageOfHTTPShowsWhatIsSent(t *testing.T) {
	p := pageOf(t, "http")
	if strings.Count(p.text, "<!-- explain ") != len(example.FindAllString(p.text, -1)) {
		t.Errorf("%s has examples that cannot be read", p.name)
	}
	expect(t, p, withExplanations(t, p.text, "http"))
}

func TestThePageOfHTTPHasEveryFunction(t *testing.T) {
	p := pageOf(t, "http")
	for _, name := range append(expression.FunctionNames(), "map", "filter", "any", "all") {
		if !strings.Contains(p.text, "`"+name+"(") {
			t.Errorf("%s does not have %s", p.name, name)
		}
	}
}
