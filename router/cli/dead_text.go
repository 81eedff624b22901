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
	var shown bytes.Buffer
	if f.output.value == "json" {
		encoder := json.NewEncoder(&shown)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(result); err != nil {
			return err
		}
	} else {
		asText(&deadText{&shown})
	}
	_, err := io.WriteString(out, terminal.Escape(shown.String()))
	return err
}

// deadText shows dead letters to people.
type deadText struct{ out *bytes.Buffer }

func (t *deadText) list(l admin.DeadLetters) {
	if len(l.DeadLetters) == 0 {
		t.line("no dead letters")
		return
	}
	table := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	row := func(cells ...string) { _, _ = fmt.Fprintln(table, strings.Join(cells, "\t")) }
	row("ID", "DESTINATION", "TYPE", "REASON", "STATUS", "ATTEMPTS", "LAST", "MESSAGE ID")
	for _, d := range l.DeadLetters {
		row(strconv.FormatUint(d.ID, 10), terminal.Plain(d.Destination), terminal.Plain(d.Type), terminal.Plain(d.Reason),
			status(d.Status), strconv.Itoa(d.Attempts), d.Last.UTC().Format(time.RFC3339), terminal.Plain(d.MessageID))
	}
	_ = table.Flush()
	if l.Next > 0 {
		t.line("and more; --limit 0 lists all")
	}
}

// status shows an HTTP status; there is none when the call was never answered.
func status(code int) string {
	if code == 0 {
		return "-"
	}
	return strconv.Itoa(code)
}

// explainedLetter is a dead letter with its reason as a sentence.
type explainedLetter struct {
	admin.DeadLetter
	Why string `json:"why,omitempty"`
}

func explainLetter(d admin.DeadLetter) explainedLetter {
	return explainedLetter{d, adapter.Reason(d.Reason).Explain()}
}

func (t *deadText) letter(d explainedLetter) {
	t.line("dead letter %d", d.ID)
	pairs := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	pair := func(name, value string) { _, _ = fmt.Fprintf(pairs, "  %s\t%s\n", name, terminal.Plain(value)) }
	pair("destination", d.Destination)
	pair("type", d.Type)
	pair("reason", strings.TrimSuffix(d.Reason+": "+d.Why, ": "))
	if d.Detail != "" {
		pair("detail", d.Detail)
	}
	pair("status", status(d.Status))
	pair("attempts", strconv.Itoa(d.Attempts))
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
	t.line("%s %s", what, deadLetters(d.Count))
	if d.Skipped > 0 {
		t.line("kept %s of destinations that are not configured any more", deadLetters(d.Skipped))
	}
	if d.More {
		t.line("there are more that match; run it again for those")
	}
}

func deadLetters(count int) string {
	if count == 1 {
		return "1 dead letter"
	}
	return strconv.Itoa(count) + " dead letters"
}

func (t *deadText) line(format string, args ...any) { _, _ = fmt.Fprintf(t.out, format+"\n", args...) }
