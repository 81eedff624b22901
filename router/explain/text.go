package explain

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"aka/destinations/adapter"
	"aka/router/terminal"
)

// WriteText renders the explanation for people: one block per call, one paragraph per destination.
//
//	call 0  alias  message m1
//	  kissmetrics  send  GET https://trk.kissmetrics.io/a
//	                       query  _n = jane
//	                       query  _p = anon-1
//	  vero         drop  same_ids: the alias joins an id with itself, which changes nothing
func (e *Explanation) WriteText(w io.Writer) error {
	t := &textWriter{width: e.nameWidth()}
	if len(e.Calls) == 0 {
		t.line("the body holds no call")
	}
	for i, call := range e.Calls {
		if i > 0 {
			t.line("")
		}
		t.call(call)
	}
	_, err := w.Write(t.out.Bytes())
	return err
}

func (e *Explanation) nameWidth() int {
	width := 0
	for _, call := range e.Calls {
		for _, d := range call.Destinations {
			width = max(width, len(d.Name))
		}
	}
	return width
}

type textWriter struct {
	out   bytes.Buffer
	width int // of the longest destination's name
}

// line writes one line. What comes from the call cannot break it or reach the terminal: it is quoted where it must be.
func (t *textWriter) line(format string, args ...any) {
	fmt.Fprintf(&t.out, format, args...)
	t.out.WriteByte('\n')
}

func (t *textWriter) call(c Call) {
	t.line("call %d  %s  message %s", c.Index, cmp.Or(c.Type, "-"), cmp.Or(terminal.Plain(c.MessageID), "-"))
	if c.Source != "" {
		t.line("  source   %s", c.Source)
	}
	for _, w := range c.Warnings {
		t.line("  warning  %s: %s", w.Code, w.Message)
	}
	if c.Rejected != nil {
		t.line("  refused  %s: %s", c.Rejected.Code, c.Rejected.Message)
	}
	for _, d := range c.Destinations {
		t.destination(d)
	}
}

func (t *textWriter) destination(d Destination) {
	head := fmt.Sprintf("  %-*s  %-6s", t.width, d.Name, d.Outcome)
	if d.Outcome != OutcomeSend {
		t.line("%s  %s: %s", head, d.Reason, d.Why)
	}
	if d.Error != "" {
		t.line("%*s  %s", len(head), "", terminal.Plain(d.Error))
	}
	for _, r := range d.Requests {
		t.line("%s  %s %s", head, r.Method, terminal.Plain(r.URL))
		t.request(r, strings.Repeat(" ", len(head)+4))
		head = fmt.Sprintf("  %-*s  %-6s", t.width, "", "then")
	}
	if len(d.Transform) > 0 {
		t.line("  %-*s  note: edited by %s", t.width, "", strings.Join(d.Transform, ", "))
	}
	for _, leaf := range d.Leaves {
		t.line("  %-*s  leaf: %s", t.width, "", terminal.Plain(leaf.text()))
	}
	if d.Note != "" {
		t.line("  %-*s  note: %s", t.width, "", d.Note)
	}
	if len(d.Diagnostics) > 0 {
		t.line("  %-*s  note: %s", t.width, "", strings.Join(d.Diagnostics, ", "))
	}
}

// text is the key, the expression, and the value or why there is none.
func (l Leaf) text() string {
	value := "= " + l.Value
	switch {
	case l.Error != "":
		value = "failed: " + l.Error
	case l.Missing:
		value = "has no value"
	}
	return l.Key + ": " + l.Expression + "  " + value
}

func (t *textWriter) request(r adapter.Shown, indent string) {
	if r.Merges {
		t.line("%smerges two ids: the rules of merges may leave this request out", indent)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		t.line("%sheader  %s: %s", indent, terminal.Plain(name), terminal.Plain(r.Header[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Query)) {
		t.line("%squery   %s = %s", indent, terminal.Plain(name), terminal.Plain(r.Query[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Form)) {
		t.line("%sform    %s = %s", indent, terminal.Plain(name), jsonText(r.Form[name], indent+"        "))
	}
	if r.JSON != nil {
		t.line("%sjson    %s", indent, jsonText(r.JSON, indent+"        "))
	}
	if r.Text != "" {
		t.line("%sbody    %s", indent, terminal.Plain(r.Text))
	}
	if r.Envelope != "" {
		t.line("%sin      %s", indent, terminal.Plain(r.Envelope))
	}
	if r.Sign != "" {
		t.line("%ssigned  %s", indent, terminal.Plain(r.Sign))
	}
	if r.Rate != "" {
		t.line("%srate    %s", indent, terminal.Plain(r.Rate))
	}
	if r.Asks {
		t.line("%sand what comes next depends on the answer", indent)
	}
	if r.Wait != "" {
		t.line("%sand waits %s before the next request", indent, r.Wait)
	}
}

// jsonText shows text as it is and anything else as indented JSON.
func jsonText(value any, indent string) string {
	if text, ok := value.(string); ok {
		return terminal.Plain(text)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent(indent, "  ")
	if err := encoder.Encode(value); err != nil {
		return fmt.Sprint(value)
	}
	// The encoder has left line breaks only between values.
	return terminal.Escape(strings.TrimSuffix(out.String(), "\n"))
}
