package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"aka/destinations/adapter"
	"aka/router/admin"
	"aka/router/terminal"
)

// write shows a result as the flags say: as JSON, or as the text that the function writes.
func (f *deadFlags) write(out io.Writer, result any, asText func(*deadText)) error {
	return f.output.write(out, result, func(shown *bytes.Buffer) { asText(&deadText{shown, f.kind}) })
}

// deadText shows dead letters, or dropped calls, to people.
type deadText struct {
	out  *bytes.Buffer
	kind keptKind
}

// pages shows a list page by page: it may be longer than what fits into memory.
type pages struct {
	kind   keptKind
	out    io.Writer
	asJSON bool
	shown  int
}

func (f *deadFlags) pages(out io.Writer) *pages {
	return &pages{kind: f.kind, out: out, asJSON: f.output.value == "json"}
}

func (p *pages) page(page admin.DeadLetters) error {
	text := &deadText{&bytes.Buffer{}, p.kind}
	for i := range page.DeadLetters {
		if !p.asJSON {
			break
		}
		if err := text.element(page.DeadLetters[i], p.shown+i == 0); err != nil {
			return err
		}
	}
	if !p.asJSON {
		text.rows(page.DeadLetters, p.shown == 0)
	}
	p.shown += len(page.DeadLetters)
	return p.write(text)
}

// end ends the list, of which those after the id are left; 0 is none.
func (p *pages) end(next uint64) error {
	text := &deadText{&bytes.Buffer{}, p.kind}
	switch {
	case p.asJSON:
		text.end(p.shown == 0, next)
	case next > 0:
		text.line("and more; --after %d lists the next, --limit 0 all", next)
	case p.shown == 0:
		text.line("no %s", p.kind.many)
	}
	return p.write(text)
}

func (p *pages) write(text *deadText) error {
	_, err := io.WriteString(p.out, terminal.Escape(text.out.String()))
	return err
}

// element writes an element of the JSON list.
func (t *deadText) element(d admin.DeadLetter, first bool) error {
	if first {
		t.out.WriteString("{\n  \"" + t.kind.key + "\": [")
	} else {
		t.out.WriteString(",")
	}
	var element bytes.Buffer
	encoder := json.NewEncoder(&element)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("    ", "  ")
	if err := encoder.Encode(d); err != nil {
		return err
	}
	t.out.WriteString("\n    " + strings.TrimSuffix(element.String(), "\n"))
	return nil
}

// end ends the JSON list.
func (t *deadText) end(empty bool, next uint64) {
	if empty {
		t.out.WriteString("{\n  \"" + t.kind.key + "\": []")
	} else {
		t.out.WriteString("\n  ]")
	}
	if next > 0 {
		t.out.WriteString(",\n  \"next\": " + strconv.FormatUint(next, 10))
	}
	t.line("\n}")
}

func (t *deadText) rows(deadLetters []admin.DeadLetter, first bool) {
	if len(deadLetters) == 0 {
		return
	}
	table := t.table()
	if first {
		table.row("ID", "DESTINATION", "TYPE", "REASON", "STATUS", "ATTEMPTS", "LAST", "MESSAGE ID")
	}
	for _, d := range deadLetters {
		table.row(strconv.FormatUint(d.ID, 10), terminal.Plain(d.Destination), terminal.Plain(d.Type), terminal.Plain(d.Reason),
			status(d.Status), strconv.Itoa(d.Attempts), d.Last.UTC().Format(time.RFC3339), terminal.Plain(d.MessageID))
	}
	_ = table.Flush()
}

func (t *deadText) summary(s admin.DeadSummary) {
	if s.Count == 0 {
		t.line("no %s", t.kind.many)
		return
	}
	table := t.table()
	table.row("DESTINATION", "REASON", "COUNT", "BYTES")
	for _, d := range s.DeadLetters {
		table.row(terminal.Plain(d.Destination), terminal.Plain(d.Reason), strconv.FormatUint(d.Count, 10), strconv.FormatUint(d.Bytes, 10))
	}
	table.row("all", "", strconv.FormatUint(s.Count, 10), strconv.FormatUint(s.Bytes, 10))
	_ = table.Flush()
}

type deadTable struct{ *tabwriter.Writer }

func (t *deadText) table() deadTable { return deadTable{tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)} }

func (t deadTable) row(cells ...string) { _, _ = fmt.Fprintln(t, strings.Join(cells, "\t")) }

// status shows an HTTP status; there is none when the call was never answered.
func status(code int) string {
	if code == 0 {
		return "-"
	}
	return strconv.Itoa(code)
}

// explainedDeadLetter is a dead letter with its reason as a sentence.
type explainedDeadLetter struct {
	admin.DeadLetter
	Why string `json:"why,omitempty"`
}

func explainDeadLetter(d admin.DeadLetter) explainedDeadLetter {
	return explainedDeadLetter{d, adapter.Reason(d.Reason).Explain()}
}

func (t *deadText) deadLetter(d explainedDeadLetter) {
	t.line("%s %d", t.kind.one, d.ID)
	pairs := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	pair := func(name, value string) { _, _ = fmt.Fprintf(pairs, "  %s\t%s\n", name, terminal.Plain(value)) }
	pair("destination", d.Destination)
	if d.Vendor != "" {
		pair("vendor", d.Vendor)
	}
	pair("type", d.Type)
	pair("reason", strings.TrimSuffix(d.Reason+": "+d.Why, ": "))
	if d.Detail != "" {
		pair("detail", d.Detail)
	}
	pair("status", status(d.Status))
	pair("attempts", strconv.Itoa(d.Attempts))
	if d.Replays > 0 {
		pair("replays", strconv.Itoa(d.Replays))
	}
	if d.Blocking {
		pair("blocking", "calls wait until it is replayed or discarded")
	}
	pair("first", d.First.UTC().Format(time.RFC3339))
	pair("last", d.Last.UTC().Format(time.RFC3339))
	pair("received", d.ReceivedAt.UTC().Format(time.RFC3339))
	pair("source", d.Source)
	pair("message id", d.MessageID)
	_ = pairs.Flush()
	t.out.WriteString("  call  ")
	if err := json.Indent(t.out, d.Call, "  ", "  "); err != nil {
		t.out.Write(d.Call)
	}
	t.line("")
}

// done shows what a replay or a discard came to.
func (t *deadText) done(what string, d admin.Done) {
	t.line("%s %s", what, t.kind.count(d.Count))
	if d.Skipped > 0 {
		t.line("kept %s of destinations that are not configured any more, or are of another type now", t.kind.count(d.Skipped))
	}
	if d.More {
		t.line("there are more that match; run it again for those, with --until %d to leave alone what was stored since", d.Until)
	}
}

func (t *deadText) line(format string, args ...any) { _, _ = fmt.Fprintf(t.out, format+"\n", args...) }
