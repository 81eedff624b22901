package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"aka/router/config"
	"aka/router/preflight"
)

// preflightFlags are the flags of aka preflight.
type preflightFlags struct {
	config, source string
	output         choice
	asIs, journal  bool
	cases          int
}

func newPreflight() *cobra.Command {
	flags := preflightFlags{output: choice{value: "text", words: []string{"text", "json"}}}
	command := &cobra.Command{
		Use:   "preflight [FILE...|-]",
		Short: "Show who would be wrongly one person, before anything is sent",
		Long: `Preflight reads an export of calls and runs it through the config: the order, the merge rules, the translators and
simulated vendors. It reports how many people each vendor would know, who would be wrongly one person, and by which calls.
It sends nothing and writes no journal. Secrets may be missing from the environment.

A file holds one call, one batch or one RudderStack dump per line, as Segment's archives do, or is one batch. It may be
compressed with gzip or zstd. Calls are sorted by receivedAt, else by timestamp. The exit code is 0 if the calls are clean,
3 if there are findings, 2 if more than 1 % of the calls cannot be read, and 1 for other failures.`,
		Example: `  aka preflight calls.ndjson.gz
  aka preflight --output json archive/*.gz | jq '.findings[].kind'
  aka preflight --journal`,
		Args: func(_ *cobra.Command, args []string) error {
			if flags.journal && len(args) > 0 {
				return wrongUse("--journal takes no file, such as %q", args[0])
			}
			return nil
		},
		RunE: func(command *cobra.Command, files []string) error {
			return untilSignalled(command.Context(), func(ctx context.Context) error {
				return runPreflight(ctx, command, flags, files)
			})
		},
	}
	addConfigFlag(command, &flags.config)
	command.Flags().StringVarP(&flags.source, "source", "s", "", "source of calls without a known write key (default: the only one)")
	command.Flags().VarP(&flags.output, "output", "o", "how to show it: text or json")
	command.Flags().BoolVar(&flags.asIs, "as-is", false, "keep the order of the files and lines")
	command.Flags().BoolVar(&flags.journal, "journal", false, "read the calls in the config's journal, also while aka runs")
	command.Flags().IntVar(&flags.cases, "cases", 20, "how many cases to show of each finding")
	return command
}

func runPreflight(ctx context.Context, command *cobra.Command, flags preflightFlags, files []string) error {
	c, err := loadConfig(flags.config, config.LoadOptions{MissingSecret: missingSecret, Simulate: preflight.Endpoint})
	if err != nil {
		return err
	}
	if _, ok := c.Sources[flags.source]; !ok && flags.source != "" {
		return fmt.Errorf("no source is named %q", flags.source)
	}
	inputs := inputsOf(command.InOrStdin(), files)
	if flags.journal {
		inputs = []preflight.Input{preflight.Journal(c.Journal.Dir)}
	}
	defer spendMemory()()
	shown := newProgress(command.ErrOrStderr())
	report, err := preflight.Run(ctx, c, inputs, preflight.Options{
		Source: flags.source, AsIs: flags.asIs || flags.journal, Cases: flags.cases, Progress: shown.show,
		Folder: func() (string, error) { return scratchFolder("aka-preflight") },
	})
	shown.end()
	if err != nil {
		return err
	}
	if err := flags.output.write(command.OutOrStdout(), report, report.WriteText); err != nil {
		return err
	}
	switch {
	case report.Unusable():
		return exitCode{exitUnusable, "preflight: " + report.Problem()}
	case !report.Clean:
		return exitCode{exitFindings, ""}
	}
	return nil
}

// spendMemory has garbage collected less often, as long as the process takes little memory, and returns what ends that. The
// environment decides first.
func spendMemory() (end func()) {
	const percent, enough = 400, 320 << 20
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	oldPercent, oldLimit := debug.SetGCPercent(percent), debug.SetMemoryLimit(enough)
	return func() {
		debug.SetGCPercent(oldPercent)
		debug.SetMemoryLimit(oldLimit)
	}
}

// inputsOf are the files, or the standard input for none and for -.
func inputsOf(in io.Reader, files []string) (inputs []preflight.Input) {
	if len(files) == 0 {
		files = []string{"-"}
	}
	for _, file := range files {
		open := func() (io.ReadCloser, error) { return os.Open(file) }
		if file == "-" {
			open = func() (io.ReadCloser, error) { return io.NopCloser(in), nil }
		}
		inputs = append(inputs, preflight.Input{Name: file, Open: open})
	}
	return inputs
}

// progress shows how far a preflight is, on a terminal only.
type progress struct {
	out   io.Writer
	shown bool
}

func newProgress(out io.Writer) *progress {
	file, ok := out.(*os.File)
	if !ok {
		return &progress{}
	}
	if info, err := file.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return &progress{}
	}
	return &progress{out: out}
}

func (p *progress) show(now preflight.Progress) {
	if p.out == nil {
		return
	}
	var line bytes.Buffer
	if now.Stage == "read" {
		fmt.Fprintf(&line, "\r\x1b[Kreading: %d calls", now.Calls)
	} else {
		fmt.Fprintf(&line, "\r\x1b[Krunning: %d of %d calls", now.Calls, now.All)
	}
	_, _ = p.out.Write(line.Bytes())
	p.shown = true
}

// end takes the line away.
func (p *progress) end() {
	if p.shown {
		_, _ = io.WriteString(p.out, "\r\x1b[K")
	}
}
