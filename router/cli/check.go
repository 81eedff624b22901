package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"aka/router/config"
	"aka/router/explain"
	"aka/router/terminal"
)

// configFiles are tried in this order when no config is named. The example runs as it is.
var configFiles = []string{"config.yaml", "config.example.yaml"}

func newCheck() *cobra.Command {
	var path string
	var probe bool
	output := &choice{value: "text", words: []string{"text", "json"}}
	command := &cobra.Command{
		Use:   "check",
		Short: "Check the config and show every value that it has, or try its credentials",
		Long: `Check reads the config as serve would, secrets too, and lists every mistake with its file and line.
A config without mistakes is shown as it is in effect: every default filled in, secrets masked. The last line, on the standard
error, is OK and the number of destinations and sources.

With --probe it asks the vendors instead whether they take the credentials, by requests that change nothing there: no call is sent.
What it finds is one of: accepted (those that are made up were refused, and these were not), refused, reachable (the vendor
does not tell), unreachable, or not_probed. The exit code is 1 when a destination's credentials are refused or it cannot be reached.`,
		Example: `  aka check --config /etc/aka/config.yaml
  aka check --probe
  aka check --probe --output json | jq '.[] | select(.finding == "refused")'`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			if !probe && command.Flags().Changed("output") {
				return wrongUse("--output is for --probe: the config is shown as YAML")
			}
			config, err := loadConfig(path, config.LoadOptions{})
			switch {
			case err != nil:
				return err
			case probe:
				err = showProbes(command.OutOrStdout(), output, explain.Probe(config))
			default:
				_, err = command.OutOrStdout().Write(config.Effective())
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(command.ErrOrStderr(), okLine(config))
			return err
		},
	}
	addConfigFlag(command, &path)
	command.Flags().BoolVar(&probe, "probe", false, "ask the vendors whether they take the credentials")
	command.Flags().VarP(output, "output", "o", "how to show what --probe finds: text or json")
	return command
}

// okLine goes to the standard error, for what is on the standard output is YAML or JSON.
func okLine(config *config.Config) string {
	return fmt.Sprintf("OK: %s, %s", counted(len(config.Destinations), "destination"), counted(len(config.Sources), "source"))
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

// missingSecret stands for the secrets of a config that is read and not run.
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
