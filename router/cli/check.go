package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"aka/router/config"
	"aka/router/explain"
	"aka/router/terminal"
)

// configFiles are tried in this order when no config is named. The example runs as it is.
var configFiles = []string{"config.yaml", "config.example.yaml"}

func newCheck() *cobra.Command {
	var path string
	var probe, cases bool
	output := &choice{value: "text", words: []string{"text", "json"}}
	command := &cobra.Command{
		Use:   "check",
		Short: "Check the config and show every value that it has, or try its credentials",
		Long: `Check reads the config and its secrets as serve would. It lists every mistake with its file and line.
If there is none, it prints the config in effect: with every default, and with secrets masked. On the standard error it
prints the rules of merges in effect, and at last OK with the number of destinations and sources. For a destination of type
http it says which members a sample of each call leaves out, and which sample is rejected.

With --probe it asks the vendors whether they accept the credentials. The requests change nothing, and no call is sent. A
result is one of:

  accepted     the vendor accepts these credentials, and refuses made-up ones
  refused      the vendor refuses these credentials
  reachable    the vendor answers, but does not say whether they are right
  unreachable  the vendor does not answer
  not_probed   there is no probe for this destination

The exit code is 1 if credentials are refused, or a destination cannot be reached.

With --cases it runs the golden cases that the config names in destinations.NAME.cases, without a network and without secrets.
The exit code is 1 if one fails.`,
		Example: `  aka check --config /etc/aka/config.yaml
  aka check --cases
  aka check --probe
  aka check --probe --output json | jq '.[] | select(.finding == "refused")'`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			if !probe && command.Flags().Changed("output") {
				return wrongUse("--output is for --probe: the config is shown as YAML")
			}
			if probe && cases {
				return wrongUse("--probe and --cases are two checks: run one at a time")
			}
			var notes []string
			options := config.LoadOptions{}
			if cases {
				options.MissingSecret = missingSecret
			}
			config, err := loadConfig(path, options)
			switch {
			case err != nil:
				return err
			case cases:
				return runCases(command.OutOrStdout(), config)
			case probe:
				err = showProbes(command.OutOrStdout(), output, explain.Probe(config))
			default:
				err = showConfig(command, config)
				notes = sampleLines(config)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(command.ErrOrStderr(), strings.Join(slices.Concat(notes, uncheckedAliases(config), []string{okLine(config)}, dryLines(config)), "\n"))
			return err
		},
	}
	addConfigFlag(command, &path)
	command.Flags().BoolVar(&probe, "probe", false, "ask the vendors whether they accept the credentials")
	command.Flags().BoolVar(&cases, "cases", false, "run the golden cases that the config names")
	command.Flags().VarP(output, "output", "o", "output format of --probe: text or json")
	return command
}

// showConfig prints the config in effect, and its rules of merges on the standard error.
func showConfig(command *cobra.Command, config *config.Config) error {
	if _, err := command.OutOrStdout().Write(config.Effective()); err != nil {
		return err
	}
	_, err := fmt.Fprintln(command.ErrOrStderr(), strings.Join(mergeLines(config), "\n"))
	return err
}

// okLine goes to the standard error, for what is on the standard output is YAML or JSON.
func okLine(config *config.Config) string {
	return fmt.Sprintf("OK: %s, %s", counted(len(config.Destinations), "destination"), counted(len(config.Sources), "source"))
}

// mergeLines returns the rules of merges in effect: one line for all destinations that have the same.
func mergeLines(config *config.Config) (lines []string) {
	names := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(config.Destinations)) {
		d := config.Destinations[name]
		rules := d.MergeOptions.Rules.String()
		if !*d.RememberMerges {
			rules += "; remember_merges is off, so only the rules direction and blocked_ids can fire"
		}
		if names[rules] == nil {
			lines = append(lines, rules)
		}
		names[rules] = append(names[rules], name)
	}
	for i, rules := range lines {
		lines[i] = fmt.Sprintf("merges at %s: %s", strings.Join(names[rules], ", "), rules)
	}
	return lines
}

// dryLines names the destinations to which nothing is sent.
func dryLines(config *config.Config) (lines []string) {
	for _, name := range slices.Sorted(maps.Keys(config.Destinations)) {
		switch d := config.Destinations[name]; {
		case d.Mode != "dry":
		case d.FromStart:
			lines = append(lines, fmt.Sprintf("%s is dry: nothing is sent; its calls wait until it is live", name))
		default:
			lines = append(lines, fmt.Sprintf("%s is dry: nothing is sent, and its calls are not kept for it", name))
		}
	}
	return lines
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// showProbes fails when a destination's did.
func showProbes(out io.Writer, output *choice, all []explain.Probed) error {
	if err := output.write(out, all, func(shown *bytes.Buffer) { writeProbes(shown, all) }); err != nil {
		return err
	}
	failed := 0
	for _, found := range all {
		if found.Failed() {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("nothing can be delivered to %d of %d destinations", failed, len(all))
	}
	return nil
}

// writeProbes writes a destination's name and finding on a line, and what there is to know of it below.
func writeProbes(shown *bytes.Buffer, all []explain.Probed) {
	widest := 0
	for _, found := range all {
		widest = max(widest, len(found.Destination))
	}
	for _, found := range all {
		fmt.Fprintf(shown, "%-*s  %s\n    %s.\n", widest, found.Destination, found.Finding, found.Meaning)
		if found.Request == "" {
			continue
		}
		fmt.Fprintf(shown, "    asked: %s\n", terminal.Plain(found.Request))
		if found.Status != 0 {
			fmt.Fprintf(shown, "    answered: %d", found.Status)
			if found.ControlStatus != 0 {
				fmt.Fprintf(shown, ", and %d to credentials that are made up", found.ControlStatus)
			}
			shown.WriteString("\n")
		}
		if found.Said != "" {
			fmt.Fprintf(shown, "    said: %s\n", terminal.Plain(found.Said))
		}
	}
}

// addConfigFlag gives a command its --config; loadConfig says what it means.
func addConfigFlag(command *cobra.Command, path *string) {
	usage := fmt.Sprintf("config file (default %s, else %s)", configFiles[0], configFiles[1])
	command.Flags().StringVarP(path, "config", "c", "", usage)
	_ = command.MarkFlagFilename("config", "yaml")
}

// missingSecret is used for the secrets of a config that is read and not run.
const missingSecret = "missing-secret"

// loadConfig reads the named file, else the first of the default ones that is there.
func loadConfig(named string, options config.LoadOptions) (*config.Config, error) {
	path, err := configPath(named)
	if err != nil {
		return nil, err
	}
	return config.Load(path, options)
}

func configPath(named string) (string, error) {
	if named != "" {
		return named, nil
	}
	for _, path := range configFiles {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return path, nil
		}
	}
	return "", fmt.Errorf(`no %[1]s and no %[2]s in this folder: name a file with --config, copy aka's %[2]s to %[1]s, or try "aka demo", which needs none`,
		configFiles[0], configFiles[1])
}
