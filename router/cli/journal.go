package cli

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"aka/router/deststate"
	"aka/router/journal"
	"aka/router/strictyaml"
	"aka/router/terminal"
)

func newJournal() *cobra.Command {
	command := &cobra.Command{
		Use:   "journal",
		Short: "Check a journal, or save the readable part of it",
		Long: `Check a journal, or save the readable part of it. The journal is the folder of the config's journal.dir: the accepted calls,
the dead letters, the parked calls, and the progress of each destination. Stop aka first: these commands read its files.`,
		Example: `  aka journal check ./data
  aka journal salvage ./data ./data-salvaged`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	output := &choice{value: "table", words: []string{"table", "json"}}
	command.AddCommand(newJournalCheck(output), newJournalSalvage(output))
	for _, below := range command.Commands() {
		below.Flags().VarP(output, "output", "o", "how to show it: table or json")
	}
	return command
}

var errNotSound = errors.New(`the journal is damaged; "aka journal salvage" makes a new one of what can be read`)

func newJournalCheck(output *choice) *cobra.Command {
	return &cobra.Command{
		Use:   "check DIR",
		Short: "Read every file of a journal and list its contents",
		Long: `Check reads every file of the journal in DIR, with its checksums, and changes nothing. The exit code is 1 if the
journal is damaged: calls are missing or unreadable. A write that a power cut left unfinished is no damage.`,
		Example: `  aka journal check ./data
  aka journal check ./data --output json | jq .sound`,
		Args: folders("the folder of a journal"),
		RunE: func(command *cobra.Command, dirs []string) error {
			report, err := journal.Check(dirs[0])
			if err != nil {
				return err
			}
			if err := output.write(command.OutOrStdout(), report, func(shown *bytes.Buffer) { (&journalText{shown}).report(report) }); err != nil {
				return err
			}
			if !report.Sound {
				return errNotSound
			}
			return nil
		},
	}
}

func newJournalSalvage(output *choice) *cobra.Command {
	return &cobra.Command{
		Use:   "salvage DIR NEWDIR",
		Short: "Write the readable part of a journal to a new one",
		Long: `Salvage reads the journal in DIR and writes the readable part to a new one in NEWDIR. NEWDIR must not exist, or must be
empty. It needs as much room as DIR, which does not change. Each destination continues where it was. If its progress is
lost too, salvage reports that, and aka sends delivered calls again. To use the new journal, set the config's journal.dir
to NEWDIR.`,
		Example: `  aka journal salvage ./data ./data-salvaged`,
		Args:    folders("the folder of a journal", "a new folder"),
		RunE: func(command *cobra.Command, dirs []string) error {
			salvaged, err := journal.Salvage(dirs[0], dirs[1])
			if err != nil {
				return err
			}
			return output.write(command.OutOrStdout(), salvaged, func(shown *bytes.Buffer) { (&journalText{shown}).salvaged(salvaged) })
		},
	}
}

// folders is for commands that take exactly these.
func folders(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		for i, name := range names {
			if i >= len(args) || args[i] == "" {
				return wrongUse("expected %s", name)
			}
		}
		if len(args) > len(names) {
			return wrongUse("expected no argument more, such as %q", args[len(names)])
		}
		return nil
	}
}

// journalText shows journals to people.
type journalText struct{ out *bytes.Buffer }

func (t *journalText) report(r *journal.Report) {
	t.line("journal %s", terminal.Plain(r.Dir))
	t.calls(r)
	t.destinations(r)
	t.damages(r)
	for _, problem := range r.Problems {
		t.line("! %s", terminal.Plain(problem))
	}
	if r.Sound {
		t.line("sound")
		return
	}
	t.line("damaged")
}

func (t *journalText) calls(r *journal.Report) {
	table := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "\tCALLS\tFRAMES\tFIRST\tLAST\tMISSING\tUNREADABLE\tFILES\tBYTES\t")
	c := &r.Calls
	_, _ = fmt.Fprintf(table, "log\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t\n", c.Calls, c.Frames, c.First, c.Last, c.Missing, c.Unreadable,
		c.Files, strictyaml.Size(c.Bytes))
	_ = table.Flush()
}

func (t *journalText) destinations(r *journal.Report) {
	if len(r.Destinations) == 0 {
		return
	}
	table := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "DESTINATION\tGOES ON AT\tFRAMES BEHIND\tDEAD LETTERS\tDROPPED\tPARKED\tREMEMBERED\tLEDGER\tUNREADABLE\tSTATE")
	for _, d := range r.Destinations {
		at := strconv.FormatUint(d.Floor, 10)
		if d.Lost {
			at = "lost"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", terminal.Plain(d.Name), at, d.Behind, d.DeadLetters, d.Dropped, d.Parked, d.Remembered, d.Ledger,
			d.Unreadable, stateOf(&d))
	}
	_ = table.Flush()
}

func stateOf(d *journal.DestinationReport) string {
	switch {
	case d.Removed:
		return deststate.Removed.Name()
	case d.Paused:
		return deststate.Paused.Name()
	}
	return "-"
}

// maxDamages is how many damaged pieces are listed.
const maxDamages = 20

func (t *journalText) damages(r *journal.Report) {
	for i, d := range r.Damaged {
		if i == maxDamages {
			t.line("! and %d more", len(r.Damaged)-i)
			break
		}
		what := "damaged"
		if d.Torn {
			what = "unfinished write, never acknowledged"
		}
		t.line("! %s: %d bytes from %d on: %s", terminal.Plain(d.File), d.Bytes, d.Offset, what)
	}
}

func (t *journalText) salvaged(s *journal.Salvaged) {
	t.report(s.From)
	t.line("")
	t.line("salvaged into %s", terminal.Plain(s.To.Dir))
	t.calls(s.To)
	t.destinations(s.To)
	for _, problem := range s.Problems {
		t.line("! %s", terminal.Plain(problem))
	}
	if s.To.Calls.Missing > 0 {
		t.line("! frames lost: %d", s.To.Calls.Missing)
	}
	if s.Lost > 0 {
		t.line("! records lost: %d", s.Lost)
	}
	if s.ProgressLost {
		t.line("! progress is lost: each destination gets every call of the log")
	}
	t.line("set journal.dir to %s to go on with it", terminal.Plain(s.To.Dir))
}

func (t *journalText) line(format string, args ...any) {
	_, _ = fmt.Fprintf(t.out, format+"\n", args...)
}
