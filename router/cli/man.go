package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newMan() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages into a folder",
		Long: `Man writes a manual page of section 1 for aka, and one for each of its commands, into DIR: aka.1, aka-serve.1 and so on. It
makes DIR if it is missing. If SOURCE_DATE_EPOCH is set, the pages carry that date, so that packages are reproducible.`,
		Example: `  aka man /usr/local/share/man/man1
  aka man ./man && man ./man/aka-init.1`,
		Args: folders("the folder to write to"),
		RunE: func(_ *cobra.Command, dirs []string) error {
			if err := os.MkdirAll(dirs[0], 0o755); err != nil {
				return err
			}
			date, err := manDate()
			if err != nil {
				return err
			}
			root := newRoot()
			root.InitDefaultCompletionCmd()
			return writePages(root, dirs[0], date)
		},
	}
}

func manDate() (string, error) {
	now := time.Now()
	if epoch := os.Getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil {
			return "", fmt.Errorf("SOURCE_DATE_EPOCH: expected seconds, not %q", epoch)
		}
		now = time.Unix(seconds, 0)
	}
	return now.UTC().Format(time.DateOnly), nil
}

func writePages(command *cobra.Command, folder, date string) error {
	file := filepath.Join(folder, pageName(command)+".1")
	if err := os.WriteFile(file, manPage(command, date), 0o644); err != nil {
		return err
	}
	for _, below := range command.Commands() {
		if !below.IsAvailableCommand() {
			continue
		}
		if err := writePages(below, folder, date); err != nil {
			return err
		}
	}
	return nil
}

func pageName(command *cobra.Command) string {
	return strings.ReplaceAll(command.CommandPath(), " ", "-")
}

// manPage returns a command's page, in the macros of man(7).
func manPage(command *cobra.Command, date string) []byte {
	command.InitDefaultHelpFlag()
	page := &roff{}
	page.line(".TH", strings.ToUpper(pageName(command)), "1", date, "aka "+buildVersion(), "aka")
	page.line(".SH NAME")
	page.text(pageName(command) + " - " + command.Short)
	page.line(".SH SYNOPSIS")
	page.line(".B", command.UseLine())
	page.line(".SH DESCRIPTION")
	page.text(command.Long)
	page.flags("OPTIONS", command.NonInheritedFlags())
	page.flags("OPTIONS OF ALL COMMANDS", command.InheritedFlags())
	page.examples(command.Example)
	page.line(".SH EXIT STATUS")
	page.text("0 when it is done, 1 when it failed, 2 when it was used wrongly.")
	page.seeAlso(command)
	return []byte(page.out.String())
}

// roff is a page as it is written.
type roff struct{ out strings.Builder }

var (
	roffEscapes = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`)
	roffQuotes  = strings.NewReplacer(`\`, `\e`, "-", `\-`, `"`, `\(dq`)
)

// line writes a macro and its arguments.
func (r *roff) line(macro string, arguments ...string) {
	r.out.WriteString(macro)
	for _, argument := range arguments {
		r.out.WriteString(` "` + roffQuotes.Replace(argument) + `"`)
	}
	r.out.WriteString("\n")
}

// text writes paragraphs. Lines that are indented stay as they are.
func (r *roff) text(text string) {
	indented := false
	for line := range strings.SplitSeq(text, "\n") {
		if now := strings.HasPrefix(line, " "); now != indented && line != "" {
			r.line(map[bool]string{true: ".nf", false: ".fi"}[now])
			indented = now
		}
		switch {
		case line == "":
			r.line(".PP")
		case strings.HasPrefix(line, "."):
			r.out.WriteString(`\&` + roffEscapes.Replace(line) + "\n")
		default:
			r.out.WriteString(roffEscapes.Replace(line) + "\n")
		}
	}
	if indented {
		r.line(".fi")
	}
}

func (r *roff) flags(title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	r.line(".SH", title)
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Hidden {
			return
		}
		value, usage := pflag.UnquoteUsage(flag)
		name := "--" + flag.Name
		if flag.Shorthand != "" {
			name = "-" + flag.Shorthand + ", " + name
		}
		r.line(".TP")
		r.line(".B", strings.TrimSpace(name+" "+value))
		r.text(usage)
	})
}

func (r *roff) examples(text string) {
	if text == "" {
		return
	}
	r.line(".SH EXAMPLES")
	r.text(text)
}

func (r *roff) seeAlso(command *cobra.Command) {
	var pages []string
	if command.HasParent() {
		pages = append(pages, pageName(command.Parent()))
	}
	for _, below := range command.Commands() {
		if below.IsAvailableCommand() {
			pages = append(pages, pageName(below))
		}
	}
	if len(pages) == 0 {
		return
	}
	r.line(".SH SEE ALSO")
	for i, page := range pages {
		comma := ","
		if i == len(pages)-1 {
			comma = ""
		}
		r.line(".BR", page, "(1)"+comma)
	}
}
