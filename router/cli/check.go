package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"aka/router"
)

// configFiles are tried in this order when no config is named. The example runs as it is.
var configFiles = []string{"config.yaml", "config.example.yaml"}

func newCheck() *cobra.Command {
	var path string
	command := &cobra.Command{
		Use:   "check",
		Short: "Check the config and show every value that it has",
		Long: `Check reads the config as serve would, secrets too, and lists every mistake with its file and line.
A config without mistakes is shown as it is in effect: every default filled in, secrets masked.`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			config, err := router.Load(configPath(path), router.LoadOptions{})
			if err != nil {
				return err
			}
			_, err = command.OutOrStdout().Write(config.Effective())
			return err
		},
	}
	addConfigFlag(command, &path)
	return command
}

// addConfigFlag gives a command its --config; configPath says what it means.
func addConfigFlag(command *cobra.Command, path *string) {
	usage := fmt.Sprintf("config file (default %s, else %s)", configFiles[0], configFiles[1])
	command.Flags().StringVarP(path, "config", "c", "", usage)
	_ = command.MarkFlagFilename("config", "yaml")
}

// configPath returns the named file, else the first of the default ones that is there, else the first of all, so that the
// error names it.
func configPath(named string) string {
	if named != "" {
		return named
	}
	for _, path := range configFiles {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return configFiles[0]
}
