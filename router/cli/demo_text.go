package cli

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"aka/destinations/simulator"
)

// The widths of the demo's tables; together they fit into 120 columns.
const (
	callWidth = 32
	cellWidth = 20
	nameWidth = 20
	gap       = "  "
	indent    = "  " // of a line that goes on
)

// text shows the story: what each vendor got of each call, and which ids it takes for one person.
func (t *demoResult) text() string {
	var out strings.Builder
	out.WriteString("Each row is a call, and what each vendor received for it. After \"-\" is the reason why it received nothing.\n" +
		"An alias makes two ids one person. Hardly any vendor can undo that.\n\n")
	t.calls(&out)
	out.WriteString("\nThe people at each vendor, before the aliases and after. A line is one person.\n\n")
	t.people(&out)
	t.close(&out)
	return out.String()
}

func (t *demoResult) calls(out *strings.Builder) {
	widths := []int{callWidth}
	for range t.names {
		widths = append(widths, cellWidth)
	}
	writeRow(out, widths, append([]string{"CALL"}, headings(t.names)...))
	for _, a := range t.acts {
		fmt.Fprintf(out, "\n# %s\n", a.title)
		for _, call := range a.calls {
			writeRow(out, widths, append([]string{call.label}, call.cells...))
		}
	}
}

func headings(names []string) []string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = strings.ToUpper(name)
	}
	return all
}

func (t *demoResult) people(out *strings.Builder) {
	before := 0
	for _, graph := range t.before {
		for _, line := range graphLines(graph) {
			before = max(before, utf8.RuneCountInString(line))
		}
	}
	widths := []int{nameWidth, before + len(gap), 120}
	writeRow(out, widths, []string{"VENDOR", "BEFORE", "AFTER"})
	for i, name := range t.names {
		writeRow(out, widths, []string{headings(t.names)[i],
			strings.Join(graphLines(t.before[name]), "\n"), strings.Join(graphLines(t.after[name]), "\n")})
	}
}

// graphLines are a line per person.
func graphLines(graph simulator.Graph) []string {
	lines := make([]string, len(graph))
	for i, person := range graph {
		lines[i] = shortID(strings.Join(person.IDs, " + "))
		switch n := len(person.Events); n {
		case 0:
		case 1:
			lines[i] += " (1 event)"
		default:
			lines[i] += fmt.Sprintf(" (%d events)", n)
		}
	}
	return lines
}

// close says in one line how it ended.
func (t *demoResult) close(out *strings.Builder) {
	end := "none lost, none merged by accident."
	if len(t.problems) > 0 {
		end = "and not all as they should."
	}
	fmt.Fprintf(out, "\n%d calls to %d destinations: %d delivered, %d dropped for a reason, %s\n",
		t.count(), len(t.names), t.ended[endedDelivered], t.ended[endedDropped], end)
}

// cell shows what the vendor got, or why it got nothing.
func (f fate) cell() string {
	switch f.ending.outcome {
	case endedDropped:
		return "- " + f.ending.reason
	case endedDelivered:
		var got []string
		for _, record := range f.taken {
			got = append(got, recordText(record))
		}
		return strings.Join(got, "\n")
	}
	return f.ending.outcome + ": " + f.ending.reason
}

// recordText says what the vendor took: the name of an event, or what the vendor calls it.
func recordText(r simulator.Record) string {
	switch r.Kind {
	case "event":
		return r.Event
	case "create_alias":
		return "MERGE $" + r.Kind
	case "identify":
		if len(r.IDs) > 1 {
			return "MERGE $" + r.Kind
		}
	case "merge":
		return "MERGE"
	case "alias":
		return "MERGE alias"
	case "reidentify":
		return "RENAME reidentify"
	}
	return r.Kind
}

// writeRow writes cells side by side, each wrapped to its width and at its line breaks.
func writeRow(out *strings.Builder, widths []int, cells []string) {
	columns := make([][]string, len(cells))
	height := 0
	for i, cell := range cells {
		columns[i] = wrap(cell, widths[i])
		height = max(height, len(columns[i]))
	}
	for y := range height {
		var line strings.Builder
		for i, column := range columns {
			text := ""
			if y < len(column) {
				text = column[y]
			}
			fmt.Fprintf(&line, "%-*s%s", widths[i], text, gap)
		}
		out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// wrap breaks lines that are too wide after a space or an underscore, where there is one.
func wrap(text string, width int) []string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		rest := []rune(line)
		for len(rest) > width {
			at := breakIn(rest[:width])
			lines = append(lines, strings.TrimRight(string(rest[:at]), " "))
			rest = []rune(indent + strings.TrimLeft(string(rest[at:]), " "))
		}
		lines = append(lines, string(rest))
	}
	return lines
}

func breakIn(line []rune) int {
	for at := len(line); at > len(indent); at-- {
		if line[at-1] == ' ' || line[at-1] == '_' {
			return at
		}
	}
	return len(line)
}
