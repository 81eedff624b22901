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
	"aka/router/deststate"
)

func newReload() *cobra.Command {
	flags := &adminFlags{}
	command := &cobra.Command{
		Use:   "reload",
		Short: "Load the changed config into a running aka",
		Long: `Reload loads the changed config into a running aka, as SIGHUP does, while calls arrive. It lists what changed: destinations,
sources, rates and secrets. If the file has mistakes, nothing changes, and reload lists them. It also lists changed keys that
need a restart: addresses, the journal, limits.`,
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
		Short: "Deliver all calls of a running aka, then stop it",
		Long: `Drain makes a running aka refuse new calls with 503, deliver all that it has, and stop. SDKs send refused calls again later.
Drain shows how many calls wait, and returns when all are delivered. If you interrupt it, aka still drains; --cancel accepts
calls again.

A destination that is paused, down or refuses the credentials keeps aka from stopping. Its calls are safe on disk, and are
delivered after the next start.`,
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
	command.Flags().BoolVar(&cancel, "cancel", false, "accept calls again")
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
		Short: "Show, pause, resume or forget destinations of a running aka",
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
		Short: "Show destinations: state, backlog, lag and last failures",
		Long: `Status shows each destination, and behind those that are configured the ones that are not any more and keep what they had. The
states:

` + stateTable() + `

A failure has the vendor's status and the start of its answer, with secrets masked, or the reason why there was no answer. The
status of one destination lists the last kinds of failure, the newest first. In JSON, "kind" is the class of the answer: later
(aka tries again), never (refused for good), operator (credentials refused), split (too large) or not_the_vendor. Without an
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

// stateTable lists the states of a destination: the name, the value in JSON and metrics, the sentence.
func stateTable() string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, s := range deststate.All() {
		_, _ = fmt.Fprintf(table, "  %s\t%s\t%s\n", s.Name(), s, s.Sentence())
	}
	_ = table.Flush()
	return text.String()
}

// writeStatus shows one destination, and all that is remembered of its failures.
func writeStatus(out io.Writer, s *delivery.Status, now time.Time) {
	writeStatuses(out, []delivery.Status{*s}, now)
	if s.Pace.Limit > 0 {
		_, _ = fmt.Fprintf(out, "\n%s\n", paceText(&s.Pace, now))
	}
	if len(s.Failures) == 0 {
		return
	}
	_, _ = fmt.Fprintln(out, "\nlast failures:")
	for i := range s.Failures {
		_, _ = fmt.Fprintf(out, "  %s\n", lastFailure(&s.Failures[i], now))
	}
}

// paceText says how many requests a destination gets, and why.
func paceText(p *delivery.Pace, now time.Time) string {
	ago := max(now.Sub(p.Changed), 0).Truncate(time.Second)
	text := fmt.Sprintf("in flight: up to %d requests (concurrency: %s); last change %s ago: %s", p.Limit, p.Concurrency, ago, p.Why)
	if p.Latency > 0 {
		text += fmt.Sprintf("; answers at a low load take %s", time.Duration(p.Latency*float64(time.Second)).Round(time.Millisecond))
	}
	if p.LearnedRate > 0 {
		text += fmt.Sprintf("; learned rate: %.1f requests per second", p.LearnedRate)
	}
	if p.QuotaSpent != nil {
		text += fmt.Sprintf("; its quota is spent for %s", max(p.QuotaSpent.Sub(now), 0).Round(time.Second))
	}
	return text
}

func writeStatuses(out io.Writer, all []delivery.Status, now time.Time) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "DESTINATION\tVENDOR\tSTATE\tBACKLOG\tOLDEST\tPARKED\tIN FLIGHT\tLAST FAILURE")
	for i := range all {
		s := &all[i]
		oldest, failure := "-", "-"
		if s.Oldest != nil {
			oldest = max(now.Sub(*s.Oldest), 0).Truncate(time.Second).String()
		}
		if len(s.Failures) > 0 {
			failure = lastFailure(&s.Failures[0], now)
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%d\t%d\t%s\n", s.Name, cmp.Or(s.Vendor, "-"), s.StateName, s.Backlog, oldest, s.Parked+s.Blocking, s.InFlight, failure)
	}
	_ = table.Flush()
	for i := range all {
		if s := &all[i]; s.Dry {
			_, _ = fmt.Fprintf(out, "%s is dry: nothing is sent; since the start %s would have been\n", s.Name, counted(int(wouldSend(s)), "call"))
		}
	}
}

func wouldSend(s *delivery.Status) (calls uint64) {
	for _, o := range s.Outcomes {
		if o.Outcome == "would_send" {
			calls += o.Count
		}
	}
	return calls
}

func newDestinationPause() *cobra.Command {
	return destinationCommand(&cobra.Command{
		Use:   "pause NAME",
		Short: "Stop sending to a destination until you resume it",
		Long: `Pause lets exchanges in flight end, and sends nothing more, also after a restart. Calls wait in the journal, and other
destinations are not affected. A call that waits for longer than delivery.max_backlog_age becomes a dead letter.`,
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
		Short: "Continue sending to a paused destination",
		Long: `Resume ends a pause. With --anyway it also ends the state "refusing", in which the vendor answers 402, 404 or the like to every
call. aka then sends the waiting calls. Refused ones become dead letters, until the vendor accepts a call again.`,
		Example: `  aka destination resume vero
  aka destination resume --anyway vero`,
	}, func(ctx context.Context, client *adminClient, name string) (string, error) {
		if anyway {
			return resumeAnyway(ctx, client, name)
		}
		err := client.do(ctx, http.MethodPost, "/destinations/"+name+"/resume", nil, &admin.Paused{})
		return name + " goes on\n", err
	})
	command.Flags().BoolVar(&anyway, "anyway", false, "send the waiting calls although the vendor refuses every call")
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
		Short: "Delete the waiting calls of a destination that left the config",
		Long: `Forget deletes all waiting calls of a destination that is no longer in the config, and its memory of merges. Its dead letters
stay. Without forget, the calls wait until the destination is in the config again. A destination that you add under that name
later is a new one.`,
		Example: `  aka destination forget vero`,
	}, func(ctx context.Context, client *adminClient, name string) (string, error) {
		var done admin.Forgotten
		err := client.do(ctx, http.MethodDelete, "/destinations/"+name, nil, &done)
		return fmt.Sprintf("%s is forgotten, and the %d calls that waited for it are dropped\n", name, done.Calls), err
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
