package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"aka/router"
	"aka/router/admin"
	"aka/router/delivery"
)

func newReload() *cobra.Command {
	flags := &adminFlags{}
	command := &cobra.Command{
		Use:   "reload",
		Short: "Have a running aka go by its config file as it is now",
		Long: `Reload does what SIGHUP does, and says what that changed: destinations, sources, rates and secrets, while calls come in. A file
that is not a config changes nothing, and its mistakes are listed. What counts only after a restart is named: addresses, the
journal, limits.`,
		Example: `  aka check && aka reload`,
		Args:    noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			client, err := flags.client()
			if err != nil {
				return err
			}
			var done router.Reloaded
			if err := client.do(command.Context(), http.MethodPost, "/reload", nil, &done); err != nil {
				return err
			}
			_, err = fmt.Fprint(command.OutOrStdout(), reloadedText(&done))
			return err
		},
	}
	flags.addTo(command)
	return command
}

func reloadedText(done *router.Reloaded) string {
	var text strings.Builder
	for _, line := range []struct {
		what  string
		names []string
	}{{"added", done.Added}, {"replaced", done.Replaced}, {"removed", done.Removed}, {"needs a restart", done.NeedsRestart}} {
		if len(line.names) > 0 {
			fmt.Fprintf(&text, "%s: %s\n", line.what, strings.Join(line.names, ", "))
		}
	}
	return "reloaded\n" + text.String()
}

func newDrain() *cobra.Command {
	flags := &adminFlags{}
	cancel, leave := false, false
	command := &cobra.Command{
		Use:   "drain",
		Short: "Have a running aka take no more calls, deliver all that it has, and end",
		Long: `Drain has a running aka refuse calls with 503, which SDKs send again later, deliver everything that it has taken, and end. It
says what waits, and returns when all is delivered. To interrupt it ends only the watching; --cancel takes calls again.

A destination that is paused, down, or refuses its credentials keeps the drain from ending. What waits there is safe on disk,
and delivered after the next start.`,
		Example: `  aka drain
  aka drain --no-wait
  aka drain --cancel`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			if cancel && leave {
				return wrongUse("--cancel and --no-wait exclude each other")
			}
			client, err := flags.client()
			if err != nil {
				return err
			}
			method := http.MethodPost
			if cancel {
				method = http.MethodDelete
			}
			var state admin.Draining
			if err := client.do(command.Context(), method, "/drain", nil, &state); err != nil || cancel || leave {
				return err
			}
			return watchDrain(command, client, state)
		},
	}
	flags.addTo(command)
	command.Flags().BoolVar(&cancel, "cancel", false, "take calls again")
	command.Flags().BoolVar(&leave, "no-wait", false, "do not wait until all is delivered")
	return command
}

var errDrainCancelled = errors.New("the drain was cancelled: calls are taken again")

// watchDrain says what waits whenever that changes, until nothing does.
func watchDrain(command *cobra.Command, client *adminClient, state admin.Draining) error {
	said := ""
	for {
		if text := drainingText(&state); text != said {
			said = text
			if _, err := fmt.Fprintln(command.OutOrStdout(), text); err != nil {
				return err
			}
		}
		if !state.Draining {
			return errDrainCancelled
		}
		if state.Done {
			return nil
		}
		state = admin.Draining{}
		if err := client.do(command.Context(), http.MethodGet, "/drain", url.Values{"wait": {"true"}}, &state); err != nil {
			return fmt.Errorf("whether all was delivered is not known: %w", err)
		}
	}
}

func drainingText(state *admin.Draining) string {
	if len(state.Waiting) == 0 {
		return "nothing waits"
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(state.Waiting)) {
		part := fmt.Sprintf("%s %d", name, state.Waiting[name])
		if slices.Contains(state.Paused, name) {
			part += " (paused)"
		}
		parts = append(parts, part)
	}
	return "waiting: " + strings.Join(parts, ", ")
}

func newDestination() *cobra.Command {
	command := &cobra.Command{
		Use:   "destination",
		Short: "See how a running aka's destinations do, pause, resume or forget one",
		Args:  cobra.NoArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newDestinationStatus(), newDestinationPause(), newDestinationResume(), newDestinationForget())
	return command
}

func newDestinationStatus() *cobra.Command {
	flags := &adminFlags{}
	output := choice{value: "table", words: []string{"table", "json"}}
	command := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Show how destinations do: state, backlog, lag, and what failed last",
		Long: `Status shows each destination, and behind those that are configured the ones that are not any more and keep what they had. The
states: closed is well, open counts as down, half_open is being probed, held refuses our credentials, refusing refuses every
call, paused was told to wait, removed is not configured any more.

A failure is shown as the vendor's status and the start of its words, secrets masked, or as the reason why there was no answer. The
status of one destination lists the last kinds of failure, the newest first. In JSON, "kind" says how aka judged the answer: later
(to be tried again), never (refused for good), operator (credentials refused), split (too large) or not_the_vendor; without an
answer it is the kind of error, such as timeout.`,
		Example: `  aka destination status
  aka destination status vero --output json`,
		Args: func(command *cobra.Command, args []string) error {
			if len(args) > 1 {
				return wrongUse("%s takes the name of one destination, or none", command.CommandPath())
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			client, err := flags.client()
			if err != nil {
				return err
			}
			var list admin.DestinationList
			if len(args) == 0 {
				err = client.do(command.Context(), http.MethodGet, "/destinations", nil, &list)
			} else {
				list.Destinations = make([]delivery.Status, 1)
				err = client.do(command.Context(), http.MethodGet, "/destinations/"+url.PathEscape(args[0]), nil, &list.Destinations[0])
			}
			if err != nil {
				return err
			}
			return output.write(command.OutOrStdout(), list, func(shown *bytes.Buffer) {
				if len(args) == 0 {
					writeStatuses(shown, list.Destinations, time.Now())
				} else {
					writeStatus(shown, &list.Destinations[0], time.Now())
				}
			})
		},
	}
	flags.addTo(command)
	command.Flags().VarP(&output, "output", "o", "how to show it: table or json")
	return command
}

// writeStatus shows one destination, and all that is remembered of its failures.
func writeStatus(out io.Writer, s *delivery.Status, now time.Time) {
	writeStatuses(out, []delivery.Status{*s}, now)
	if len(s.Failures) == 0 {
		return
	}
	_, _ = fmt.Fprintln(out, "\nlast failures:")
	for i := range s.Failures {
		_, _ = fmt.Fprintf(out, "  %s\n", lastFailure(&s.Failures[i], now))
	}
}

func writeStatuses(out io.Writer, all []delivery.Status, now time.Time) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "DESTINATION\tVENDOR\tSTATE\tBACKLOG\tOLDEST\tASIDE\tIN FLIGHT\tLAST FAILURE")
	for i := range all {
		s := &all[i]
		state, oldest, failure := s.State, "-", "-"
		if s.Paused {
			state = "paused"
		}
		if s.Oldest != nil {
			oldest = max(now.Sub(*s.Oldest), 0).Truncate(time.Second).String()
		}
		if len(s.Failures) > 0 {
			failure = lastFailure(&s.Failures[0], now)
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%d\t%d\t%s\n", s.Name, cmp.Or(s.Vendor, "-"), state, s.Backlog, oldest, s.Parked+s.Held, s.InFlight, failure)
	}
	_ = table.Flush()
}

func newDestinationPause() *cobra.Command {
	return destinationCommand(&cobra.Command{
		Use:   "pause NAME",
		Short: "Send a destination nothing until it is resumed",
		Long: `Pause lets what is in flight end, and starts nothing more: calls wait in the journal, over restarts too, and other destinations
notice nothing. What waits for longer than delivery.max_backlog_age becomes a dead letter.`,
		Example: `  aka destination pause vero`,
	}, func(ctx context.Context, client *adminClient, name string) (string, error) {
		err := client.do(ctx, http.MethodPost, "/destinations/"+name+"/pause", nil, &admin.Paused{})
		return name + " is paused\n", err
	})
}

func newDestinationResume() *cobra.Command {
	anyway := false
	command := destinationCommand(&cobra.Command{
		Use:   "resume NAME",
		Short: "Go on with a destination that was paused",
		Long: `Resume ends a pause. With --anyway it ends the state "refusing": the vendor answers 402, 404 or the like to every call, and the calls
wait. They are sent, and those that are refused become dead letters, until the vendor takes a call again.`,
		Example: `  aka destination resume vero
  aka destination resume --anyway vero`,
	}, func(ctx context.Context, client *adminClient, name string) (string, error) {
		if anyway {
			return resumeAnyway(ctx, client, name)
		}
		err := client.do(ctx, http.MethodPost, "/destinations/"+name+"/resume", nil, &admin.Paused{})
		return name + " goes on\n", err
	})
	command.Flags().BoolVar(&anyway, "anyway", false, "send the calls that wait although the vendor refuses every call")
	return command
}

func resumeAnyway(ctx context.Context, client *adminClient, name string) (string, error) {
	var resumed admin.Resumed
	if err := client.do(ctx, http.MethodPost, "/destinations/"+name+"/resume?anyway=true", nil, &resumed); err != nil {
		return "", err
	}
	if !resumed.Refusing {
		return name + " does not refuse every call; nothing has changed\n", nil
	}
	return name + " is sent the calls that wait; those that are refused become dead letters\n", nil
}

func newDestinationForget() *cobra.Command {
	return destinationCommand(&cobra.Command{
		Use:   "forget NAME",
		Short: "Let go of what waits for a destination that is not in the config any more",
		Long: `A destination that is taken out of the config keeps what it had waiting, until it is in the config again or is forgotten. Forget
lets go of that for good, and of its memory of merges; its dead letters stay. A destination of that name is a new one then.`,
		Example: `  aka destination forget vero`,
	}, func(ctx context.Context, client *adminClient, name string) (string, error) {
		var done admin.Forgotten
		err := client.do(ctx, http.MethodDelete, "/destinations/"+name, nil, &done)
		return fmt.Sprintf("%s is forgotten, and the %d calls that waited for it are let go\n", name, done.Calls), err
	})
}

// destinationCommand completes a command that does something to one destination and says what.
func destinationCommand(command *cobra.Command, do func(ctx context.Context, client *adminClient, name string) (said string, err error)) *cobra.Command {
	flags := &adminFlags{}
	command.Args = func(command *cobra.Command, args []string) error {
		if len(args) != 1 {
			return wrongUse("%s takes the name of one destination", command.CommandPath())
		}
		return nil
	}
	command.RunE = func(command *cobra.Command, args []string) error {
		client, err := flags.client()
		if err != nil {
			return err
		}
		said, err := do(command.Context(), client, url.PathEscape(args[0]))
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(command.OutOrStdout(), said)
		return err
	}
	flags.addTo(command)
	return command
}
