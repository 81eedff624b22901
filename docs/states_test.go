package docs

import (
	"regexp"
	"strings"
	"testing"

	"aka/router/deststate"
)

var stateTable = regexp.MustCompile(`(?s)(<!-- destination states -->\n\n).*?(<!-- end of destination states -->\n)`)

// With -update the table has a row for each state of a destination.
func TestTheTableOfDestinationStatesIsCurrent(t *testing.T) {
	p := page{"docs/operations.md", read(t, "docs/operations.md")}
	if !stateTable.MatchString(p.text) {
		t.Fatal("there is no table of the destinations' states")
	}
	var rows strings.Builder
	rows.WriteString("| state | shown as | meaning |\n|---|---|---|\n")
	for _, s := range deststate.All() {
		sentence := strings.ReplaceAll(s.Sentence(), "delivery.backlog_alarm", "`delivery.backlog_alarm`")
		rows.WriteString(row("`"+string(s)+"`", s.Name(), sentence))
	}
	expect(t, p, stateTable.ReplaceAllString(p.text, "${1}"+rows.String()+"\n${2}"))
}
