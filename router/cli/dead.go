package cli

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"

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

	// destination, reason and since are passed on as they are: the server knows what it has.
	destination, reason, since string
}

func newDead() *cobra.Command {
	command := &cobra.Command{
		Use:   "dead",
		Short: "List, show, replay or discard the calls that were given up on",
		Long: `A call that a destination can never take, or did not take in time, becomes a dead letter: it is kept, with the reason,
until it is replayed, discarded, or older than the config's dead_letters.max_age.

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
		Short: "List dead letters, oldest first",
		Example: `  aka dead list
  aka dead list --destination vero --reason refused --since 24h
  aka dead list --limit 0 --output json | jq '.dead_letters[].detail'`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			client, err := flags.client()
			if err != nil {
				return err
			}
			list, err := client.list(command.Context(), flags.query(command.Flags()), int(flags.limit))
			if err != nil {
				return err
			}
			return flags.write(command.OutOrStdout(), list, func(t *deadText) { t.list(list) })
		},
	}
	flags.addFilters(command, usualList, "dead letters to list, 0 for all")
	return command
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
		Long: `Replay puts calls back into the journal, each for its own destination only. They are translated anew, so that mended
settings count. Ids go in the order given; with --all, calls go in the order in which they were once accepted.`,
		Example: `  aka dead replay 17 18
  aka dead replay --all --destination vero --since 7d`,
	}
	flags.decide(command, decision{
		done: "replayed",
		one:  func(id string) (method, path string) { return http.MethodPost, "/dead-letters/" + id + "/replay" },
		all:  "/dead-letters/replay",
	})
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
	command.Flags().BoolVar(&f.all, "all", false, "all that match the filters, instead of ids")
	f.addFilters(command, 0, "dead letters at most, 0 for all")
}

// decideNow returns what was done before it failed, too.
func (f *deadFlags) decideNow(command *cobra.Command, client *adminClient, what decision, ids []string) (admin.Done, error) {
	if f.all {
		return client.decideAll(command.Context(), what, f.query(command.Flags()), int(f.limit))
	}
	return client.decideEach(command.Context(), what, ids)
}

func (f *deadFlags) addFilters(command *cobra.Command, limit uint, limitUsage string) {
	command.Flags().StringVarP(&f.destination, "destination", "d", "", "only those of this destination")
	command.Flags().StringVarP(&f.reason, "reason", "r", "", "only those with this reason")
	command.Flags().StringVar(&f.since, "since", "", "only those last tried since then: 24h, 7d or 2026-01-02T15:04:05Z")
	command.Flags().UintVar(&f.limit, "limit", limit, limitUsage)
}

// filters are the flags that choose, which the server takes by the same names.
var filters = []string{"destination", "reason", "since"}

// query passes on what was given, even if it is empty: a script's empty variable must not mean everything.
func (f *deadFlags) query(flags *pflag.FlagSet) url.Values {
	query := url.Values{}
	for _, name := range filters {
		if flag := flags.Lookup(name); flag.Changed {
			query.Set(name, flag.Value.String())
		}
	}
	return query
}

// idsOrAll wants ids, or --all and perhaps filters.
func (f *deadFlags) idsOrAll(command *cobra.Command, args []string) error {
	chosen := f.all || command.Flags().Changed("limit") || slices.ContainsFunc(filters, command.Flags().Changed)
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

func (c *adminClient) decideAll(ctx context.Context, what decision, query url.Values, limit int) (done admin.Done, err error) {
	if limit == 0 {
		limit = admin.MaxBulk
	}
	query.Set("limit", strconv.Itoa(limit))
	err = c.do(ctx, http.MethodPost, what.all, query, &done)
	if refused := asRefusal(err); refused != nil {
		done.Count = refused.Count
	}
	return done, err
}
