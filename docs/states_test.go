package docs

import (
	"fmt"
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

// Where a picture or a dashboard has names of its own for the states, they are those of the table.
func TestEveryPictureNamesTheStatesAsTheTableDoes(t *testing.T) {
	page, badges := read(t, "router/admin/page/states.js"), read(t, "router/admin/page/format.js")
	dashboard, guide := read(t, "deploy/grafana/aka.json"), read(t, "docs/operations.md")
	_, picture, _ := strings.Cut(guide, "```mermaid\n")
	picture, _, _ = strings.Cut(picture, "```")
	for _, s := range deststate.All() {
		if s != deststate.OK && !strings.Contains(page, fmt.Sprintf("['%s', '%s',", s, s.Name())) {
			t.Errorf("the page's picture has no %s that is called %q", s, s.Name())
		}
		if !strings.Contains(badges, "\n  "+string(s)+": [") {
			t.Errorf("the page has no badge for %s", s)
		}
		if !strings.Contains(dashboard, fmt.Sprintf("%q: %q", "text", s.Name())) || !strings.Contains(dashboard, fmt.Sprintf(`state=\"%s\"`, s)) {
			t.Errorf("the dashboard has no %s that is called %q", s, s.Name())
		}
		if !regexp.MustCompile(`\b` + string(s) + `\b`).MatchString(picture) {
			t.Errorf("the picture of docs/operations.md has no %s", s)
		}
	}
	if n := len(regexp.MustCompile(`(?m)^  \['\w+', '`).FindAllString(page, -1)); n != len(deststate.All())-1 {
		t.Errorf("the page's picture has %d states beside ok", n)
	}
}
