package cli

import (
	"github.com/spf13/cobra"

	"aka/router/reference"
)

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the config, for editors",
		Long: `Schema prints the JSON Schema (draft 7) of this aka's config. Editors with a YAML language server use it to complete keys and
words, show their meanings, and underline mistakes. Name it in the config's first line:

  # yaml-language-server: $schema=config.schema.json`,
		Example: `  aka schema > config.schema.json`,
		Args:    noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			_, err := command.OutOrStdout().Write(reference.New().Schema())
			return err
		},
	}
}
