package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"aka/router/logging"
)

func newLog() *cobra.Command {
	command := &cobra.Command{
		Use:   "log",
		Short: "Show or change the log of a running aka",
		Args:  cobra.NoArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newLogLevel())
	return command
}

func newLogLevel() *cobra.Command {
	flags := &adminFlags{}
	lasting := ""
	command := &cobra.Command{
		Use:   "level [LEVEL]",
		Short: "Show the level of a running aka's log, or change it",
		Long: `Level shows the lowest level that a running aka logs: debug, info, warn or error. With an argument it changes the level, until
aka stops or for a while. At debug, aka logs each call's end at each destination, and leaves out no line.`,
		Example: `  aka log level
  aka log level debug --for 10m`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return wrongUse("expected one level, not %q", args)
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			client, err := flags.client()
			if err != nil {
				return err
			}
			method, query := http.MethodGet, url.Values{}
			if len(args) == 1 {
				method = http.MethodPut
				query.Set("level", args[0])
			}
			if lasting != "" {
				if len(args) == 0 {
					return wrongUse("--for needs a level")
				}
				query.Set("for", lasting)
			}
			var state logging.State
			if err := client.do(command.Context(), method, "/log/level", query, &state); err != nil {
				return err
			}
			_, err = fmt.Fprintln(command.OutOrStdout(), levelText(state))
			return err
		},
	}
	flags.addTo(command)
	command.Flags().StringVar(&lasting, "for", "", "how long, such as 10m; then the config's level returns")
	return command
}

func levelText(s logging.State) string {
	switch {
	case s.Until != nil:
		return fmt.Sprintf("%s until %s, then %s", s.Level, s.Until.UTC().Format(time.RFC3339), s.Usual)
	case s.Level != s.Usual:
		return fmt.Sprintf("%s; the config says %s", s.Level, s.Usual)
	}
	return s.Level
}
