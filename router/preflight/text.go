package preflight

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"aka/destinations/adapter"
	"aka/router/mergerules"
	"aka/router/terminal"
)

// WriteText shows the report to people.
func (r *Report) WriteText(out *bytes.Buffer) {
	t := &reportText{out: out}
	t.input(&r.Input)
	if r.Unusable() {
		t.line("unusable: %s", r.unusableBecause())
		return
	}
	t.destinations(r)
	for i := range r.Findings {
		t.finding(&r.Findings[i])
	}
	for _, p := range r.Parted {
		t.line("")
		t.line("%d people differ between %s and %s by the rules of these vendors alone: no finding", p.People, p.Destinations[0], p.Destinations[1])
	}
	t.line("")
	if r.Clean {
		t.line("clean: no two people would be wrongly one")
		return
	}
	t.line("%s: see docs/preflight.md for what each finding means", countOf(len(r.Findings), "kind of finding", "kinds of findings"))
}

// unusableBecause says why a report is unusable.
func (r *Report) unusableBecause() string {
	switch i := &r.Input; {
	case len(i.Damaged) > 0:
		return "a file is damaged, so that calls are missing"
	case i.Calls == 0 && i.Unreadable == 0:
		return "there are no calls"
	}
	return "more than 1 % cannot be read"
}

// Problem says in one line why the report is unusable.
func (r *Report) Problem() string {
	i := &r.Input
	text := r.unusableBecause()
	if len(i.Damaged) > 0 {
		return text + ": " + i.Damaged[0].String()
	}
	if len(i.First) > 0 {
		return text + ": " + i.First[0].String()
	}
	return text
}

// String is the place and what is wrong there.
func (u Unreadable) String() string {
	where := terminal.Plain(u.File)
	if u.Line > 0 {
		where += fmt.Sprintf(":%d", u.Line)
	}
	return fmt.Sprintf("%s: %s: %s", where, u.Code, terminal.Plain(u.Message))
}

type reportText struct{ out *bytes.Buffer }

func (t *reportText) line(format string, args ...any) {
	_, _ = fmt.Fprintf(t.out, format+"\n", args...)
}

func (t *reportText) input(i *InputReport) {
	text := fmt.Sprintf("%s in %s", countOf(i.Calls, "call", "calls"), countOf(i.Files, "file", "files"))
	for _, more := range []struct {
		n    int
		what string
	}{{i.Duplicates, "duplicates"}, {i.Untimed, "without a time"}, {i.Unreadable, "unreadable"}} {
		if more.n > 0 {
			text += fmt.Sprintf(", %d %s", more.n, more.what)
		}
	}
	t.line("%s", text)
	for _, u := range slices.Concat(i.Damaged, i.First) {
		t.line("  ! %s", u)
	}
}

func (t *reportText) destinations(r *Report) {
	t.line("")
	table := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "destination\tpeople before\tafter\tdelivered\tdropped\theld\tdead\tmerges\trequests\tbilled events\t")
	for i := range r.Destinations {
		d := &r.Destinations[i]
		billed := "-"
		if d.BilledEvents != nil {
			billed = fmt.Sprint(*d.BilledEvents)
		}
		_, _ = fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t\n",
			d.Name, d.PeopleBefore, d.People, d.Delivered, d.Dropped-d.Held, d.Held, d.Dead, d.Merges, d.Requests, billed)
	}
	_ = table.Flush()
	for i := range r.Destinations {
		t.destination(&r.Destinations[i])
	}
}

func (t *reportText) destination(d *DestinationReport) {
	fired := slices.DeleteFunc(slices.Clone(d.Rules), func(c RuleCost) bool { return c.Fires == 0 })
	if len(d.Aliases)+len(d.SilentRefusals)+len(fired) == 0 {
		return
	}
	t.line("")
	t.line("%s", d.Name)
	for _, reason := range byCount(d.Aliases) {
		t.line("  %s not sent: %s, %s", countOf(d.Aliases[reason], "alias", "aliases"), reason, adapter.Reason(reason).Explain())
	}
	for _, word := range byCount(d.SilentRefusals) {
		t.line("  %s thrown away by the vendor: %s", countOf(d.SilentRefusals[word], "alias", "aliases"), terminal.Plain(word))
	}
	for _, c := range fired {
		t.line("  rule %s (%s) fires for %s%s", c.Rule, c.Verdict, countOf(c.Fires, "merge", "merges"), c.ifs())
	}
}

// ifs says what the verdicts of a rule would do.
func (c *RuleCost) ifs() string {
	var ifs []string
	if c.Guessed > 0 {
		ifs = append(ifs, fmt.Sprintf("%d by a guess, which are only observed", c.Guessed))
	}
	if c.DecidedByOthers > 0 {
		ifs = append(ifs, fmt.Sprintf("%d that other rules stop", c.DecidedByOthers))
	}
	if n := c.Aliases + c.Others; n > 0 && c.Rule != mergerules.BlockedIDs {
		left := ""
		if c.Others > 0 {
			left = fmt.Sprintf(" and leave %s out of other calls", countOf(c.Others, "merge", "merges"))
		}
		ifs = append(ifs, fmt.Sprintf("allow and observe would send %d, hold would hold %s%s, drop would drop as many",
			n, countOf(c.Aliases, "alias", "aliases"), left))
	}
	if len(ifs) == 0 {
		return ""
	}
	return ": " + strings.Join(ifs, "; ")
}

// byCount returns the keys, the highest count first.
func byCount[K ~string](counts map[K]int) []K {
	return slices.SortedFunc(maps.Keys(counts), func(a, b K) int { return cmp.Or(counts[b]-counts[a], strings.Compare(string(a), string(b))) })
}

func (t *reportText) finding(f *Finding) {
	t.line("")
	t.line("%s: %d", f.Kind, f.Count)
	t.line("  %s", f.What)
	for i := range f.Cases {
		t.oneCase(f.Kind, &f.Cases[i])
	}
	if more := f.Count - len(f.Cases); more > 0 {
		t.line("  and %d more", more)
	}
}

func (t *reportText) oneCase(kind Kind, c *Case) {
	ids := make([]string, len(c.IDs))
	for i, id := range c.IDs {
		ids[i] = terminal.Plain(id)
	}
	text := strings.Join(ids, " + ")
	switch {
	case kind == SharedID:
		text += fmt.Sprintf("   joined with %d other ids", c.MoreIDs)
	case c.MoreIDs > 0:
		text += fmt.Sprintf(" + %d more", c.MoreIDs)
	}
	if c.Reason != "" {
		text += "   " + terminal.Plain(c.Reason)
	}
	t.line("  - %s", text)
	for _, call := range c.Calls {
		t.line("      %s", call.text())
	}
	if more := c.Times - len(c.Calls); more > 0 {
		t.line("      and %s", countOf(more, "call more", "calls more"))
	}
	for _, at := range c.At {
		text := fmt.Sprintf("      at %s: %s", at.Destination, at.Outcome)
		if at.Reason != "" {
			text += " (" + string(at.Reason) + ")"
		}
		switch at.People {
		case "one":
			text += ", one person in the end"
		case "apart":
			text += ", different people in the end"
		}
		t.line("%s", text)
	}
	for _, line := range c.Fix {
		t.line("      config: %s", terminal.Plain(line))
	}
}

// text is the call on one line.
func (c *Call) text() string {
	text := fmt.Sprintf("%s:%d  %s  %s", terminal.Plain(c.File), c.Line, c.Time.UTC().Format(time.DateTime), c.Type)
	for _, id := range []struct{ name, value string }{{"previousId", c.PreviousID}, {"anonymousId", c.AnonymousID}, {"userId", c.UserID}} {
		if id.value != "" {
			text += " " + id.name + "=" + terminal.Plain(id.value)
		}
	}
	return text
}

func countOf(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
