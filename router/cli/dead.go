package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"aka/router/admin"
)

// deadFlags are the flags of aka dead. A subcommand has those that mean something to it.
type deadFlags struct {
	adminFlags
	output choice
	all    bool
	limit  uint
	// summary has the list be one of counts.
	summary bool
}

func newDead() *cobra.Command {
	command := &cobra.Command{
		Use:   "dead",
		Short: "List, show, replay or discard the calls that were given up on",
		Long: `A call that a destination can never take, or did not take in time, becomes a dead letter: it is kept, with the reason,
until it is replayed, discarded, older than the config's dead_letters.max_age, or the oldest of more than
dead_letters.max_bytes.

These commands ask a running aka at its admin address.`,
		Example: `  aka dead list --destination vero --since 24h
  aka dead show 17
  aka dead replay 17 18
  aka dead replay --all --destination vero --reason too_old`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	flags := &deadFlags{output: choice{value: "table", words: []string{"table", "json"}}}
	command.AddCommand(newDeadList(flags), newDeadShow(flags), newDeadReplay(flags), newDeadDiscard(flags))
	for _, below := range command.Commands() {
		flags.addTo(below)
		below.Flags().VarP(&flags.output, "output", "o", "how to show it: table or json")
	}
	return command
}

// usualList is how many dead letters are listed unless told otherwise.
const usualList = 100

func newDeadList(flags *deadFlags) *cobra.Command {
	command := &cobra.Command{
		Use:   "list",
		Short: "List dead letters, the first to die first",
		Long: `List shows dead letters by their ids, which is the order in which they died. Those that --destination, --reason, --type and
--source leave out cost next to nothing; all others are read, some ten thousand per second.`,
		Example: `  aka dead list
  aka dead list --summary
  aka dead list --destination vero --reason refused --since 24h
  aka dead list --id jen@email.com
  aka dead list --limit 0 --output json | jq '.dead_letters[].detail'`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			client, err := flags.client()
			if err != nil {
				return err
			}
			query := flags.query(command.Flags())
			if flags.summary {
				return flags.summarize(command, client, query)
			}
			pages := flags.pages(command.OutOrStdout())
			next, err := client.list(command.Context(), query, int(flags.limit), pages.page)
			if err != nil {
				return err
			}
			return pages.end(next)
		},
	}
	flags.addFilters(command, usualList, "dead letters to list, 0 for all")
	command.Flags().BoolVar(&flags.summary, "summary", false, "only how many there are, by destination and reason")
	for _, name := range []string{"id", "message-id", "status", "since", "before", "after", "until", "limit"} {
		command.MarkFlagsMutuallyExclusive("summary", name)
	}
	return command
}

func (f *deadFlags) summarize(command *cobra.Command, client *adminClient, query url.Values) error {
	var summary admin.DeadSummary
	if err := client.do(command.Context(), http.MethodGet, "/dead-letters/summary", query, &summary); err != nil {
		return err
	}
	return f.write(command.OutOrStdout(), summary, func(t *deadText) { t.summary(summary) })
}

func newDeadShow(flags *deadFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "show ID...",
		Short:   "Show dead letters with their calls",
		Example: `  aka dead show 17`,
		Args:    someIDs,
		RunE: func(command *cobra.Command, ids []string) error {
			client, err := flags.client()
			if err != nil {
				return err
			}
			for _, id := range ids {
				letter, err := client.show(command.Context(), id)
				if err != nil {
					return err
				}
				explained := explainLetter(letter)
				if err := flags.write(command.OutOrStdout(), explained, func(t *deadText) { t.letter(explained) }); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func newDeadReplay(flags *deadFlags) *cobra.Command {
	command := &cobra.Command{
		Use:   "replay [ID...]",
		Short: "Send dead letters to their destinations again",
		Long: `Replay puts calls back into the journal, each for its own destination only and with its messageId. They are translated
anew, so that mended settings count. Ids go in the order given; with --all, calls go in the order in which they were once
accepted, and what dies meanwhile is left alone. No more go per second than the config's dead_letters.replay_rate.

A replay that was interrupted is gone on with by running it again.`,
		Example: `  aka dead replay 17 18
  aka dead replay --all --destination vero --since 7d
  aka dead replay --all --rate 5`,
	}
	flags.decide(command, decision{
		done: "replayed",
		one:  func(id string) (method, path string) { return http.MethodPost, "/dead-letters/" + id + "/replay" },
		all:  "/dead-letters/replay",
	})
	command.Flags().String("rate", "", "with --all, dead letters per second, to go slower than dead_letters.replay_rate")
	return command
}

func newDeadDiscard(flags *deadFlags) *cobra.Command {
	command := &cobra.Command{
		Use:   "discard [ID...]",
		Short: "Remove dead letters for good",
		Example: `  aka dead discard 17 18
  aka dead discard --all --reason too_old`,
	}
	flags.decide(command, decision{
		done: "discarded",
		one:  func(id string) (method, path string) { return http.MethodDelete, "/dead-letters/" + id },
		all:  "/dead-letters/discard",
	})
	return command
}

// decide makes a command that does something to the dead letters which its arguments name, or which match.
func (f *deadFlags) decide(command *cobra.Command, what decision) {
	command.Args = f.idsOrAll
	command.RunE = func(command *cobra.Command, ids []string) error {
		client, err := f.client()
		if err != nil {
			return err
		}
		done, failed := f.decideNow(command, client, what, ids)
		if failed != nil && done.Count == 0 {
			return failed
		}
		if err := f.write(command.OutOrStdout(), done, func(t *deadText) { t.done(what.done, done) }); err != nil {
			return err
		}
		return failed
	}
	f.addFilters(command, 0, "dead letters at most, 0 for all")
	command.Flags().BoolVar(&f.all, "all", false, "all that match the filters, instead of ids")
}

// decideNow returns what was done before it failed, too.
func (f *deadFlags) decideNow(command *cobra.Command, client *adminClient, what decision, ids []string) (admin.Done, error) {
	if f.all {
		return client.decideAll(command.Context(), what, f.query(command.Flags()), int(f.limit), func(done admin.Done) {
			if f.output.value == "table" {
				_, _ = fmt.Fprintf(command.ErrOrStderr(), "%s %s so far\n", what.done, deadLetters(done.Count))
			}
		})
	}
	return client.decideEach(command.Context(), what, ids)
}

// filters are the flags that choose. They are passed on as they are: the server knows what it has.
var filters = []struct{ name, short, usage string }{
	{"destination", "d", "only those of this destination"},
	{"reason", "r", "only those with this reason"},
	{"type", "", "only calls of this type: alias, identify, track, page, screen or group"},
	{"source", "", "only calls of this source"},
	{"id", "", "only calls with this userId, anonymousId or previousId"},
	{"message-id", "", "only calls with this messageId"},
	{"status", "", "only those whose last answer had this status; 0 is no answer"},
	{"since", "", "only those last tried since then: 24h, 7d or 2026-01-02T15:04:05Z"},
	{"before", "", "only those last tried before then: 24h, 7d or 2026-01-02T15:04:05Z"},
	{"after", "", "only those with a higher id"},
	{"until", "", "only those with this id or a lower one"},
}

func (f *deadFlags) addFilters(command *cobra.Command, limit uint, limitUsage string) {
	for _, filter := range filters {
		command.Flags().StringP(filter.name, filter.short, "", filter.usage)
	}
	command.Flags().UintVar(&f.limit, "limit", limit, limitUsage)
}

// query passes on what was given, even if it is empty: a script's empty variable must not mean everything.
func (f *deadFlags) query(flags *pflag.FlagSet) url.Values {
	query := url.Values{}
	flags.Visit(func(flag *pflag.Flag) {
		if isFilter(flag.Name) || flag.Name == "rate" {
			query.Set(strings.ReplaceAll(flag.Name, "-", "_"), flag.Value.String())
		}
	})
	return query
}

func isFilter(name string) bool {
	return slices.ContainsFunc(filters, func(f struct{ name, short, usage string }) bool { return f.name == name })
}

// idsOrAll wants ids, or --all and perhaps filters.
func (f *deadFlags) idsOrAll(command *cobra.Command, args []string) error {
	chosen := f.all || len(f.query(command.Flags())) > 0 || command.Flags().Changed("limit")
	switch {
	case len(args) > 0 && chosen:
		return wrongUse("expected ids, or --all and filters, not both")
	case len(args) == 0 && !f.all:
		return wrongUse("expected ids, or --all for all that match the filters")
	case len(args) == 0:
		return nil
	}
	return someIDs(command, args)
}

func someIDs(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return wrongUse("expected the id of a dead letter; aka dead list shows them")
	}
	for _, arg := range args {
		if _, err := strconv.ParseUint(arg, 10, 63); err != nil {
			return wrongUse("expected the id of a dead letter, a number, not %q", arg)
		}
	}
	return nil
}

// decision is what is done to dead letters, one by one or all that match.
type decision struct {
	done string
	one  func(id string) (method, path string)
	all  string
}

// decideEach stops at the first that fails.
func (c *adminClient) decideEach(ctx context.Context, what decision, ids []string) (done admin.Done, err error) {
	done.Success = true
	for _, id := range ids {
		method, path := what.one(id)
		if err := c.do(ctx, method, path, nil, &admin.Done{}); err != nil {
			return done, deadLetterError(id, err)
		}
		done.Count++
	}
	return done, nil
}

// decideAll asks until all is done: one request does only so much. What it came to before an error counts too.
func (c *adminClient) decideAll(ctx context.Context, what decision, query url.Values, limit int, soFar func(admin.Done)) (done admin.Done, err error) {
	done.Success = true
	for {
		size := admin.MaxBulk
		if limit > 0 {
			size = min(size, limit-done.Count)
		}
		query.Set("limit", strconv.Itoa(size))
		var part admin.Done
		err := c.do(ctx, http.MethodPost, what.all, query, &part)
		if refused := asRefusal(err); refused != nil {
			done.Count += refused.Count
		}
		if err != nil {
			return done, err
		}
		done.Count += part.Count
		done.Skipped, done.More, done.Until = part.Skipped, part.More, part.Until
		if !done.More || limit > 0 && done.Count >= limit {
			return done, nil
		}
		query.Set("until", strconv.FormatUint(done.Until, 10))
		soFar(done)
	}
}
