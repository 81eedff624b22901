package cli

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"aka/destinations/adapter"
	"aka/router/config"
	"aka/router/logging"
	"aka/router/segment"
)

// complete has the shell complete what is known: the words of choices, the names that the config has, reasons, levels. An
// argument is known by what it is called in the command's usage.
func complete(command *cobra.Command) {
	usage := strings.Fields(command.Use)
	switch argument := strings.Trim(usage[len(usage)-1], "[]."); {
	case command.ValidArgsFunction != nil:
	case argument == "NAME":
		command.ValidArgsFunction = destinationNames
	case argument == "LEVEL":
		command.ValidArgsFunction = cobra.FixedCompletions(logging.Levels, cobra.ShellCompDirectiveNoFileComp)
	}
	command.Flags().VisitAll(func(flag *pflag.Flag) {
		if words := wordsOf(flag); words != nil {
			_ = command.RegisterFlagCompletionFunc(flag.Name, words)
		}
	})
	for _, below := range command.Commands() {
		complete(below)
	}
}

func wordsOf(flag *pflag.Flag) cobra.CompletionFunc {
	if choice, ok := flag.Value.(*choice); ok {
		return cobra.FixedCompletions(choice.words, cobra.ShellCompDirectiveNoFileComp)
	}
	switch flag.Name {
	case "destination":
		return destinationNames
	case "source":
		return named(func(c *config.Config) []string { return slices.Sorted(maps.Keys(c.Sources)) })
	case "reason":
		return cobra.FixedCompletions(texts(adapter.DeadReasons), cobra.ShellCompDirectiveNoFileComp)
	case "type":
		var words []string
		for _, t := range segment.Types {
			words = append(words, t.String())
		}
		return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
	}
	return nil
}

func texts[T ~string](words []T) []string {
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = string(w)
	}
	return all
}

var destinationNames = named(func(c *config.Config) []string { return slices.Sorted(maps.Keys(c.Destinations)) })

// named completes the names that the config has: the one of --config, where that was typed before.
func named(names func(*config.Config) []string) cobra.CompletionFunc {
	return func(command *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		path := ""
		if flag := command.Flag("config"); flag != nil {
			path = flag.Value.String()
		}
		config, err := loadConfig(path, config.LoadOptions{MissingSecret: missingSecret})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(config), cobra.ShellCompDirectiveNoFileComp
	}
}
