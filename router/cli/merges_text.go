package cli

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"aka/router/admin"
	"aka/router/journal"
	"aka/router/quarantine"
	"aka/router/terminal"
)

// write shows a result as the flags say: as JSON, or as the text that the function writes.
func (f *mergeFlags) write(out io.Writer, result any, asText func(*mergeText)) error {
	return f.output.write(out, result, func(shown *bytes.Buffer) { asText(&mergeText{deadText{out: shown}}) })
}

// mergeText shows merges to people.
type mergeText struct{ deadText }

func (t *mergeText) ledger(list *admin.Merges) {
	if len(list.Merges) == 0 {
		t.line("no merges")
	} else {
		table := t.table()
		table.row("NUMBER", "TIME", "DESTINATION", "VERDICT", "RULE", "REASON", "STATUS", "IDS", "FROM", "TO", "MESSAGE ID")
		for i := range list.Merges {
			m := &list.Merges[i]
			table.row(strconv.FormatUint(m.Number, 10), shownTime(m.Time), terminal.Plain(m.Destination), m.Verdict.String(), orDash(m.Rule), orDash(m.Reason),
				status(m.Status), size(m.IDs), t.end(list, m.From), t.end(list, m.To), terminal.Plain(m.MessageID))
		}
		_ = table.Flush()
	}
	if list.Next > 0 {
		t.line("and more; --limit lists them, aka merges export writes all")
	}
}

// end shows one end of a merge: the id that was asked for, or the start of a digest.
func (t *mergeText) end(list *admin.Merges, digest journal.Digest) string {
	if list.Digest != nil && *list.Digest == digest {
		return terminal.Plain(list.ID)
	}
	return shortDigest(digest)
}

func shortDigest(digest journal.Digest) string { return digest.String()[:12] }

func shownTime(at time.Time) string { return at.UTC().Format(time.RFC3339) }

func orDash(text string) string { return cmp.Or(terminal.Plain(text), "-") }

// size shows how many ids a person has; 0 is not known.
func size(ids uint32) string {
	if ids == 0 {
		return "-"
	}
	return strconv.FormatUint(uint64(ids), 10)
}

func (t *mergeText) merge(m *admin.Merge) {
	t.line("merge %d", m.Number)
	t.pairs([][2]string{
		{"time", shownTime(m.Time)}, {"destination", m.Destination}, {"verdict", m.Verdict.String()}, {"dry", dryRun(m.Dry)}, {"rule", m.Rule}, {"decided by", m.By.String()},
		{"reason", m.Reason}, {"may be sent", mayBeSent(m.MayBeSent)}, {"status", status(m.Status)}, {"type", m.Type}, {"source", m.Source}, {"message id", m.MessageID},
		{"from", m.From.String() + ids(m.FromIDs)}, {"to", m.To.String() + ids(m.ToIDs)}, {"ids after", size(m.IDs)},
		{"place", fmt.Sprintf("frame %d, call %d", m.Frame, m.Index)},
	})
}

func dryRun(dry bool) string {
	if !dry {
		return ""
	}
	return "yes: nothing was sent"
}

func mayBeSent(may bool) string {
	if !may {
		return ""
	}
	return "yes, an earlier try had no answer"
}

func ids(n uint32) string {
	switch n {
	case 0:
		return ""
	case 1:
		return ", 1 id"
	}
	return fmt.Sprintf(", %d ids", n)
}

// pairs writes names and values. Those without a value are left out.
func (t *mergeText) pairs(all [][2]string) {
	table := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	for _, pair := range all {
		if pair[1] != "" {
			_, _ = fmt.Fprintf(table, "  %s\t%s\n", pair[0], terminal.Plain(pair[1]))
		}
	}
	_ = table.Flush()
}

func (t *mergeText) held(list *admin.HeldList) {
	if len(list.Held) == 0 {
		t.line("no aliases are held")
		return
	}
	table := t.table()
	table.row("ID", "DESTINATION", "RULE", "SOURCE", "HELD SINCE", "VERDICT AT", "WAITING", "IDS", "MESSAGE ID")
	for i := range list.Held {
		h := &list.Held[i]
		table.row(strconv.FormatUint(h.ID, 10), terminal.Plain(h.Destination), terminal.Plain(h.Rule), terminal.Plain(h.Source), shownTime(h.HeldAt), shownTime(h.VerdictAt),
			strconv.FormatUint(h.Waiting, 10), size(h.From.IDs)+"+"+size(h.To.IDs), terminal.Plain(h.MessageID))
	}
	_ = table.Flush()
	if list.More {
		t.line("and more; --limit lists them, --summary counts them")
	}
}

func (t *mergeText) summary(s *admin.HeldSummary) {
	if len(s.Held) == 0 {
		t.line("no aliases are held")
		return
	}
	table := t.table()
	table.row("DESTINATION", "RULE", "SOURCE", "COUNT", "OLDEST")
	for _, c := range s.Held {
		table.row(terminal.Plain(c.Destination), terminal.Plain(c.Rule), terminal.Plain(c.Source), strconv.FormatUint(c.Count, 10), shownTime(c.Oldest))
	}
	table.row("all", "", "", strconv.FormatUint(s.Count, 10), "")
	_ = table.Flush()
}

func (t *mergeText) heldAlias(h *quarantine.Held) {
	t.line("held alias %d", h.ID)
	pairs := [][2]string{
		{"destination", h.Destination}, {"rule", h.Rule}, {"source", h.Source}, {"type", h.Type}, {"message id", h.MessageID},
		{"held since", shownTime(h.HeldAt)}, {"verdict at", shownTime(h.VerdictAt)}, {"calls behind it", strconv.FormatUint(h.Waiting, 10)},
		{"like it", fmt.Sprintf("%d in the last hour", h.AlikeLastHour)},
		{"from", heldPerson(&h.From)}, {"to", heldPerson(&h.To)},
	}
	if h.Partial {
		pairs = append(pairs, [2]string{"memory", "partial: the people may be larger"})
	}
	t.pairs(pairs)
}

func heldPerson(p *quarantine.Person) string {
	words := []string{p.Digest.String() + ids(p.IDs)}
	if !p.UserSince.IsZero() {
		words = append(words, "a user since "+shownTime(p.UserSince))
		if p.UserSource != "" {
			words = append(words, "by source "+p.UserSource)
		}
	}
	return strings.Join(words, ", ")
}

func (t *mergeText) decided(verb string, done *admin.Decided) {
	if done.Left > 0 {
		t.line("%s %s, %d are left: try again", verb, aliases(done.Count), done.Left)
		return
	}
	t.line("%s %s", verb, aliases(done.Count))
}

func (t *mergeText) decisions(list *admin.AutoDecisions) {
	if len(list.AutoDecisions) == 0 {
		t.line("no decisions in advance")
		return
	}
	table := t.table()
	table.row("DESTINATION", "NUMBER", "VERDICT", "RULE", "SOURCE", "UNTIL")
	for _, a := range list.AutoDecisions {
		table.row(terminal.Plain(a.Destination), strconv.FormatUint(a.Number, 10), a.Verdict.String(), terminal.Plain(a.Rule), cmp.Or(terminal.Plain(a.Source), "all"), shownTime(a.Until))
	}
	_ = table.Flush()
}

func (t *mergeText) imported(done *admin.Imported) {
	pairs := "pairs"
	if done.Count == 1 {
		pairs = "pair"
	}
	t.line("imported %d %s into the memory of %s", done.Count, pairs, terminal.Plain(done.Destination))
	if done.Skipped == 0 {
		return
	}
	t.line("left out %d bad rows:", done.Skipped)
	for _, bad := range done.BadRows {
		t.line("  row %d %s", bad.Row, terminal.Plain(bad.Problem))
	}
	if rest := done.Skipped - len(done.BadRows); rest > 0 {
		t.line("  and %d more", rest)
	}
}

func aliases(count int) string {
	if count == 1 {
		return "1 alias"
	}
	return strconv.Itoa(count) + " aliases"
}
