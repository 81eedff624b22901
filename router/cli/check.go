package cli

import (
	"errors"
	"fmt"
	"io/fs"
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
			config, err := loadConfig(path, router.LoadOptions{})
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

// addConfigFlag gives a command its --config; loadConfig says what it means.
func addConfigFlag(command *cobra.Command, path *string) {
	usage := fmt.Sprintf("config file (default %s, else %s)", configFiles[0], configFiles[1])
	command.Flags().StringVarP(path, "config", "c", "", usage)
	_ = command.MarkFlagFilename("config", "yaml")
}

// missingSecret stands for the secrets of a config that is read and not run.
const missingSecret = "missing-secret"

// loadConfig reads the named file, else the first of the default ones that is there.
func loadConfig(named string, options router.LoadOptions) (*router.Config, error) {
	path, err := configPath(named)
	if err != nil {
		return nil, err
	}
	return router.Load(path, options)
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
