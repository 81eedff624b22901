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

// deadFlags are the flags of aka dead, and of aka dropped. A subcommand has those that mean something to it.
type deadFlags struct {
	kind keptKind
	adminFlags
	output choice
	all    bool
	limit  uint
	// summary has the list be one of counts.
	summary bool
}

func newDead() *cobra.Command {
	return newKept(deadKind, &cobra.Command{
		Use:   "dead",
		Short: "List, show, replay or discard dead letters",
		Long: `List, show, replay or discard dead letters of a running aka, at its admin address.

A call becomes a dead letter if a destination refuses it for good, or did not accept it in time. aka stores it with the
reason. It stays until you replay or discard it, or until it reaches the config's dead_letters.max_age or max_bytes.`,
		Example: `  aka dead list --destination vero --since 24h
  aka dead show 17
  aka dead replay 17 18
  aka dead replay --all --destination vero --reason too_old`,
	})
}

// newKept completes a command whose subcommands are about one kind of kept calls.
func newKept(kind keptKind, command *cobra.Command) *cobra.Command {
	command.Args = cobra.NoArgs
	command.RunE = func(command *cobra.Command, _ []string) error { return command.Help() }
	flags := &deadFlags{kind: kind, output: choice{value: "table", words: []string{"table", "json"}}}
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
		Short: "List " + flags.kind.many + ", oldest first",
		Long: `List shows ` + flags.kind.many + ` in the order of their ids, which is the order in which they were stored. The filters --destination, --reason,
--type and --source are fast. Other filters read all that are stored, about ten thousand per second.`,
		Example: flags.kind.examples(`  aka dead list
  aka dead list --summary
  aka dead list --destination vero --reason refused --since 24h
  aka dead list --id jen@email.com
  aka dead list --limit 0 --output json | jq '.dead_letters[].detail'`),
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
			next, err := client.list(command.Context(), flags.kind, query, int(flags.limit), pages.page)
			if err != nil {
				return err
			}
			return pages.end(next)
		},
	}
	flags.addFilters(command, usualList, flags.kind.many+" to list, 0 for all")
	command.Flags().BoolVar(&flags.summary, "summary", false, "only how many there are, by destination and reason")
	for _, name := range []string{"id", "message-id", "status", "since", "before", "after", "until", "limit"} {
		command.MarkFlagsMutuallyExclusive("summary", name)
	}
	return command
}

func (f *deadFlags) summarize(command *cobra.Command, client *adminClient, query url.Values) error {
	summary, shown, err := client.summary(command.Context(), f.kind, query)
	if err != nil {
		return err
	}
	return f.write(command.OutOrStdout(), shown, func(t *deadText) { t.summary(summary) })
}

func newDeadShow(flags *deadFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "show ID...",
		Short:   "Show " + flags.kind.many + " with their calls",
		Example: flags.kind.examples(`  aka dead show 17`),
		Args:    flags.someIDs,
		RunE: func(command *cobra.Command, ids []string) error {
			client, err := flags.client()
			if err != nil {
				return err
			}
			for _, id := range ids {
				deadLetter, err := client.show(command.Context(), flags.kind, id)
				if err != nil {
					return err
				}
				explained := explainDeadLetter(deadLetter)
				if err := flags.write(command.OutOrStdout(), explained, func(t *deadText) { t.deadLetter(explained) }); err != nil {
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
		Short: "Send " + flags.kind.many + " to their destinations again",
		Long: `Replay puts calls back into the journal, each for its own destination only, with the same messageId. aka translates them
again, so corrected settings count. Ids are replayed in the order given. With --all, calls are replayed in the order in which
aka accepted them. Calls that are stored meanwhile stay. The config's dead_letters.replay_rate limits the calls per second.

To continue an interrupted replay, run it again.`,
		Example: flags.kind.examples(`  aka dead replay 17 18
  aka dead replay --all --destination vero --since 7d
  aka dead replay --all --rate 5`),
	}
	flags.decide(command, decision{
		done: "replayed",
		one:  func(id string) (method, path string) { return http.MethodPost, flags.kind.path + "/" + id + "/replay" },
		all:  flags.kind.path + "/replay",
	})
	command.Flags().String("rate", "", "with --all, "+flags.kind.many+" per second, to go slower than dead_letters.replay_rate")
	return command
}

func newDeadDiscard(flags *deadFlags) *cobra.Command {
	command := &cobra.Command{
		Use:   "discard [ID...]",
		Short: "Remove " + flags.kind.many + " for good",
		Example: flags.kind.examples(`  aka dead discard 17 18
  aka dead discard --all --reason too_old`),
	}
	flags.decide(command, decision{
		done: "discarded",
		one:  func(id string) (method, path string) { return http.MethodDelete, flags.kind.path + "/" + id },
		all:  flags.kind.path + "/discard",
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
	f.addFilters(command, 0, f.kind.many+" at most, 0 for all")
	command.Flags().BoolVar(&f.all, "all", false, "all that match the filters, instead of ids")
}

// decideNow returns what was done before it failed, too.
func (f *deadFlags) decideNow(command *cobra.Command, client *adminClient, what decision, ids []string) (admin.Done, error) {
	if f.all {
		return client.decideAll(command.Context(), what, f.query(command.Flags()), int(f.limit), func(done admin.Done) {
			if f.output.value == "table" {
				_, _ = fmt.Fprintf(command.ErrOrStderr(), "%s %s so far\n", what.done, f.kind.count(done.Count))
			}
		})
	}
	return client.decideEach(command.Context(), f.kind, what, ids)
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
	return f.someIDs(command, args)
}

func (f *deadFlags) someIDs(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return wrongUse("expected the id of a %s; aka %s list shows them", f.kind.one, f.kind.command)
	}
	for _, arg := range args {
		if _, err := strconv.ParseUint(arg, 10, 63); err != nil {
			return wrongUse("expected the id of a %s, a number, not %q", f.kind.one, arg)
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
func (c *adminClient) decideEach(ctx context.Context, kind keptKind, what decision, ids []string) (done admin.Done, err error) {
	done.Success = true
	for _, id := range ids {
		method, path := what.one(id)
		if err := c.do(ctx, method, path, nil, &admin.Done{}); err != nil {
			return done, kind.failed(id, err)
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
