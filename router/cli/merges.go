package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"aka/router/admin"
	"aka/router/journal/ledger"
	"aka/router/quarantine"
)

// mergeFlags are the flags of aka merges. A subcommand has those that mean something to it.
type mergeFlags struct {
	adminFlags
	output        choice
	held, summary bool
	all           bool
	limit         uint
	until         string
}

func newMerges() *cobra.Command {
	command := &cobra.Command{
		Use:   "merges",
		Short: "List merges, and approve or refuse those that a rule holds",
		Long: `List merges of a running aka, at its admin address, and decide about aliases that a rule of the config's merges section holds.

The ledger has every merge that a destination sent, held, dropped or refused. It names people by digests. To find the merges of
an id, use --id. A held alias waits with the calls of both people until you approve or refuse it, or until
merges.quarantine.verdict_after.`,
		Example: `  aka merges list --held --summary
  aka merges approve --rule known_users --source website
  aka merges list --id jen@email.com
  aka merges export --since 30d > merges.ndjson`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	flags := &mergeFlags{output: choice{value: "table", words: []string{"table", "json"}}}
	command.AddCommand(newMergesList(flags), newMergesShow(flags), newMergesApprove(flags), newMergesRefuse(flags),
		newMergesDecisions(flags), newMergesRevoke(flags), newMergesExport(flags), newMergesImport(flags))
	for _, below := range command.Commands() {
		flags.addTo(below)
		if below.Name() != "export" {
			below.Flags().VarP(&flags.output, "output", "o", "how to show it: table or json")
		}
	}
	return command
}

// mergeFilter is a flag that is passed on as a parameter of the same name. The server knows what it has.
type mergeFilter struct{ name, short, usage string }

var (
	heldFilters = []mergeFilter{
		{"destination", "d", "only those of this destination"},
		{"rule", "r", "only those that this rule decided about"},
		{"source", "", "only calls of this source"},
	}
	ledgerFilters = []mergeFilter{
		{"verdict", "", "only those with this verdict: sent, observed, held, dropped, approved, refused, expired or imported"},
		{"id", "", "only merges of this id"},
		{"since", "", "only those since then: 24h, 7d or 2026-01-02T15:04:05Z"},
		{"until", "", "only those before then: 24h, 7d or 2026-01-02T15:04:05Z"},
	}
	heldBefore = mergeFilter{"before", "", "only aliases held before then: 1h or 2026-01-02T15:04:05Z"}
)

func addMergeFilters(command *cobra.Command, filters ...mergeFilter) {
	for _, f := range filters {
		command.Flags().StringP(f.name, f.short, "", f.usage)
	}
}

// mergeQuery passes on what was given, even if it is empty: a script's empty variable must not mean everything.
func mergeQuery(flags *pflag.FlagSet, filters ...mergeFilter) url.Values {
	query := url.Values{}
	for _, f := range filters {
		if flags.Changed(f.name) {
			query.Set(f.name, flags.Lookup(f.name).Value.String())
		}
	}
	return query
}

func newMergesList(flags *mergeFlags) *cobra.Command {
	command := &cobra.Command{
		Use:   "list",
		Short: "List merges, newest first, or aliases that are held",
		Long: `List shows the ledger of merges, newest first. With --held it shows the aliases that wait for a decision, oldest first. With
--summary it counts those by destination, rule and source.`,
		Example: `  aka merges list
  aka merges list --id jen@email.com
  aka merges list --verdict dropped --since 24h
  aka merges list --held --rule known_users
  aka merges list --summary`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			client, err := flags.client()
			if err != nil {
				return err
			}
			switch {
			case flags.summary:
				return flags.listSummary(command, client)
			case flags.held:
				return flags.listHeld(command, client)
			}
			return flags.listLedger(command, client)
		},
	}
	addMergeFilters(command, append(heldFilters, ledgerFilters...)...)
	command.Flags().BoolVar(&flags.held, "held", false, "the aliases that wait for a decision")
	command.Flags().BoolVar(&flags.summary, "summary", false, "only how many are held, by destination, rule and source")
	command.Flags().UintVar(&flags.limit, "limit", usualList, "how many to list at most")
	for _, f := range ledgerFilters {
		command.MarkFlagsMutuallyExclusive("held", f.name)
		command.MarkFlagsMutuallyExclusive("summary", f.name)
	}
	for _, f := range heldFilters {
		command.MarkFlagsMutuallyExclusive("summary", f.name)
	}
	command.MarkFlagsMutuallyExclusive("summary", "limit")
	return command
}

func (f *mergeFlags) listSummary(command *cobra.Command, client *adminClient) error {
	var summary admin.HeldSummary
	if err := client.do(command.Context(), http.MethodGet, "/merges/held/summary", nil, &summary); err != nil {
		return err
	}
	return f.write(command.OutOrStdout(), summary, func(t *mergeText) { t.summary(&summary) })
}

func (f *mergeFlags) listHeld(command *cobra.Command, client *adminClient) error {
	query := mergeQuery(command.Flags(), heldFilters...)
	query.Set("limit", strconv.FormatUint(uint64(min(max(f.limit, 1), admin.MaxList)), 10))
	var list admin.HeldList
	if err := client.do(command.Context(), http.MethodGet, "/merges/held", query, &list); err != nil {
		return err
	}
	return f.write(command.OutOrStdout(), list, func(t *mergeText) { t.held(&list) })
}

func (f *mergeFlags) listLedger(command *cobra.Command, client *adminClient) error {
	list, err := client.ledger(command.Context(), mergeQuery(command.Flags(), append(heldFilters, ledgerFilters...)...), int(min(f.limit, maxListedMerges)))
	if err != nil {
		return err
	}
	return f.write(command.OutOrStdout(), list, func(t *mergeText) { t.ledger(&list) })
}

// maxListedMerges bounds a list: aka merges export has no bound.
const maxListedMerges = 100_000

// ledger reads as many pages as the limit needs.
func (c *adminClient) ledger(ctx context.Context, query url.Values, limit int) (list admin.Merges, err error) {
	list.Merges = []admin.Merge{}
	for {
		query.Set("limit", strconv.Itoa(min(admin.MaxList, max(limit-len(list.Merges), 1))))
		var page admin.Merges
		if err := c.do(ctx, http.MethodGet, "/merges", query, &page); err != nil {
			return list, err
		}
		list.ID, list.Digest, list.Next = page.ID, page.Digest, page.Next
		list.Merges = append(list.Merges, page.Merges...)
		if page.Next == 0 || len(list.Merges) >= limit {
			return list, nil
		}
		query.Set("before", strconv.FormatUint(page.Next, 10))
	}
}

// firstNumber is about the lowest number of an entry of the ledger: they are microseconds since 1970. Ids of held aliases are
// lower.
const firstNumber = 1_000_000_000_000_000

func newMergesShow(flags *mergeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID...",
		Short: "Show a held alias with the evidence, or an entry of the ledger",
		Example: `  aka merges show 17
  aka merges show 1767322805123456`,
		Args: someNumbers,
		RunE: func(command *cobra.Command, ids []string) error {
			client, err := flags.client()
			if err != nil {
				return err
			}
			for _, id := range ids {
				if err := flags.show(command, client, id); err != nil {
					return fmt.Errorf("%s: %w", id, err)
				}
			}
			return nil
		},
	}
}

func (f *mergeFlags) show(command *cobra.Command, client *adminClient, id string) error {
	if n, err := strconv.ParseUint(id, 10, 63); err == nil && n >= firstNumber {
		var merge admin.Merge
		if err := client.do(command.Context(), http.MethodGet, "/merges/"+id, nil, &merge); err != nil {
			return err
		}
		return f.write(command.OutOrStdout(), merge, func(t *mergeText) { t.merge(&merge) })
	}
	var held quarantine.Held
	if err := client.do(command.Context(), http.MethodGet, "/merges/held/"+id, nil, &held); err != nil {
		return err
	}
	return f.write(command.OutOrStdout(), held, func(t *mergeText) { t.heldAlias(&held) })
}

func someNumbers(command *cobra.Command, args []string) error {
	if len(args) == 0 {
		return wrongUse("expected an id; aka merges list --held shows them")
	}
	for _, arg := range args {
		if _, err := strconv.ParseUint(arg, 10, 63); err != nil {
			return wrongUse("expected an id, a number, not %q", arg)
		}
	}
	return nil
}

func newMergesApprove(flags *mergeFlags) *cobra.Command {
	command := &cobra.Command{
		Use:   "approve [ID...]",
		Short: "Send aliases that are held",
		Long: `Approve sends held aliases, and what waits behind them, in order. The vendor's own limits are asked again. Choose aliases by their
ids, by filters, or with --all.

With --rule and --until it also approves what the rule would hold until then: see aka merges decisions.`,
		Example: `  aka merges approve 17 18
  aka merges approve --rule known_users --source website
  aka merges approve --rule known_users --source website --until 24h`,
	}
	flags.decide(command, "approve", ledger.Approved)
	return command
}

func newMergesRefuse(flags *mergeFlags) *cobra.Command {
	command := &cobra.Command{
		Use:   "refuse [ID...]",
		Short: "Drop aliases that are held",
		Long: `Refuse drops held aliases. The calls behind them are sent, in order: the two people stay two. Choose aliases by their ids, by
filters, or with --all.

With --rule and --until it also refuses what the rule would hold until then: see aka merges decisions. A refusal in advance goes before
an approval in advance.`,
		Example: `  aka merges refuse 17 18
  aka merges refuse --rule known_users --source website
  aka merges refuse --rule known_users --source website --until 24h`,
	}
	flags.decide(command, "refuse", ledger.Refused)
	return command
}

// decide makes a command that decides about the held aliases which its arguments name, or which match.
func (f *mergeFlags) decide(command *cobra.Command, verb string, verdict ledger.Verdict) {
	filters := append(heldFilters[:len(heldFilters):len(heldFilters)], heldBefore)
	command.Args = func(command *cobra.Command, args []string) error {
		query := mergeQuery(command.Flags(), filters...)
		switch {
		case len(args) > 0 && (f.all || len(query) > 0 || command.Flags().Changed("until")):
			return wrongUse("expected ids, or filters, or --all, not both")
		case command.Flags().Changed("until") && !query.Has("rule"):
			return wrongUse("expected --rule beside --until: a decision in advance is about one rule")
		case command.Flags().Changed("until") && query.Has("before"):
			return wrongUse("expected --until or --before, not both")
		case len(args) == 0 && f.all == (len(query) > 0):
			return wrongUse("expected ids, or filters, or --all for all that are held")
		case len(args) > 0:
			return someNumbers(command, args)
		}
		return nil
	}
	command.RunE = func(command *cobra.Command, ids []string) error {
		client, err := f.client()
		if err != nil {
			return err
		}
		query := mergeQuery(command.Flags(), filters...)
		if command.Flags().Changed("until") {
			if err := f.decideAhead(command, client, verdict, query); err != nil {
				return err
			}
		}
		if f.all {
			query.Set("all", "true")
		}
		decided, failed := client.decideHeld(command.Context(), verb, query, ids)
		if failed != nil && decided.Count == 0 {
			return failed
		}
		if err := f.write(command.OutOrStdout(), decided, func(t *mergeText) { t.decided(verdict.String(), &decided) }); err != nil {
			return err
		}
		return failed
	}
	addMergeFilters(command, filters...)
	command.Flags().BoolVar(&f.all, "all", false, "all that are held, instead of ids")
	command.Flags().StringVar(&f.until, "until", "", "with --rule, also "+verb+" in advance until then: 24h, 7d or a time to come")
}

// decideAhead adds an automatic decision.
func (f *mergeFlags) decideAhead(command *cobra.Command, client *adminClient, verdict ledger.Verdict, query url.Values) error {
	ahead := url.Values{"until": {f.until}, "verdict": {verdict.String()}}
	for key, values := range query {
		ahead[key] = values
	}
	var added admin.AutoDecisions
	if err := client.do(command.Context(), http.MethodPost, "/merges/decisions", ahead, &added); err != nil {
		return err
	}
	if f.output.value == "json" {
		return nil // the answer is that of the decision
	}
	return f.write(command.OutOrStdout(), added, func(t *mergeText) { t.decisions(&added) })
}

// decideHeld stops at the first id that fails, and returns what was done before, too.
func (c *adminClient) decideHeld(ctx context.Context, verb string, query url.Values, ids []string) (done admin.Decided, err error) {
	if len(ids) == 0 {
		return c.decideAllHeld(ctx, verb, query)
	}
	done.Success = true
	for _, id := range ids {
		if err := c.do(ctx, http.MethodPost, "/merges/held/"+id+"/"+verb, nil, &admin.Decided{}); err != nil {
			return done, fmt.Errorf("held alias %s: %w", id, err)
		}
		done.Count++
	}
	return done, nil
}

// decideAllHeld asks until none of those is left that were held at first: one request decides about so many only.
func (c *adminClient) decideAllHeld(ctx context.Context, verb string, query url.Values) (done admin.Decided, err error) {
	done.Success = true
	for {
		var part admin.Decided
		err := c.do(ctx, http.MethodPost, "/merges/"+verb, query, &part)
		if refused := asRefusal(err); refused != nil {
			done.Count += refused.Count
		}
		if err != nil {
			return done, err
		}
		done.Count, done.Left = done.Count+part.Count, part.Left
		if part.Before == nil || part.Count == 0 {
			return done, nil
		}
		query.Del("all")
		query.Set("before", part.Before.Format(time.RFC3339Nano))
	}
}

func newMergesDecisions(flags *mergeFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "decisions",
		Short:   "List approvals and refusals that were given in advance",
		Example: `  aka merges decisions`,
		Args:    noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			client, err := flags.client()
			if err != nil {
				return err
			}
			var list admin.AutoDecisions
			if err := client.do(command.Context(), http.MethodGet, "/merges/decisions", nil, &list); err != nil {
				return err
			}
			return flags.write(command.OutOrStdout(), list, func(t *mergeText) { t.decisions(&list) })
		},
	}
}

func newMergesRevoke(flags *mergeFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "revoke DESTINATION NUMBER",
		Short:   "End an approval or a refusal that was given in advance",
		Example: `  aka merges revoke mixpanel 3`,
		Args: func(command *cobra.Command, args []string) error {
			if len(args) != 2 {
				return wrongUse("expected a destination and a number; aka merges decisions shows them")
			}
			return someNumbers(command, args[1:])
		},
		RunE: func(command *cobra.Command, args []string) error {
			client, err := flags.client()
			if err != nil {
				return err
			}
			var done admin.Decided
			if err := client.do(command.Context(), http.MethodDelete, "/merges/decisions/"+url.PathEscape(args[0])+"/"+args[1], nil, &done); err != nil {
				return err
			}
			return flags.write(command.OutOrStdout(), done, func(t *mergeText) { t.line("revoked decision %s of %s", args[1], args[0]) })
		},
	}
}

func newMergesExport(flags *mergeFlags) *cobra.Command {
	command := &cobra.Command{
		Use:   "export",
		Short: "Write the ledger as NDJSON, oldest first",
		Long: `Export writes the entries of the ledger to the standard output, one JSON object a line, oldest first. It fails if the export is
not whole.`,
		Example: `  aka merges export > merges.ndjson
  aka merges export --destination mixpanel --since 30d | jq .verdict`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			client, err := flags.client()
			if err != nil {
				return err
			}
			query := mergeQuery(command.Flags(), append(heldFilters, ledgerFilters...)...)
			return client.copy(command.Context(), "/merges/export", query, command.OutOrStdout())
		},
	}
	addMergeFilters(command, append(heldFilters, ledgerFilters...)...)
	return command
}

func newMergesImport(flags *mergeFlags) *cobra.Command {
	command := &cobra.Command{
		Use:   "import FILE",
		Short: "Take merges from before aka into a destination's memory",
		Long: `Import reads a CSV file of two columns, previousId and userId (or from and to), and takes each pair into the destination's memory
of merges. The first row names the columns. Nothing is sent. Bad rows are left out and listed. - is the standard input.`,
		Example: `  aka merges import --destination mixpanel merged-before.csv`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return wrongUse("expected one file, or - for the standard input")
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			query := mergeQuery(command.Flags(), heldFilters[0])
			if !query.Has("destination") {
				return wrongUse("expected --destination: a memory of merges is one destination's")
			}
			client, err := flags.client()
			if err != nil {
				return err
			}
			file, err := openFile(args[0], command.InOrStdin())
			if err != nil {
				return err
			}
			defer file.Close()
			var done admin.Imported
			err = client.send(command.Context(), http.MethodPost, "/merges/import", query, file, &done)
			if refused := asRefusal(err); refused != nil && refused.Count > 0 {
				return fmt.Errorf("%w (%d pairs were taken before)", err, refused.Count)
			}
			if err != nil {
				return err
			}
			return flags.write(command.OutOrStdout(), done, func(t *mergeText) { t.imported(&done) })
		},
	}
	addMergeFilters(command, mergeFilter{"destination", "d", "the destination whose vendor has merged them"})
	return command
}

func openFile(path string, standard io.Reader) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(standard), nil
	}
	return os.Open(path)
}

// copy sends a request and copies the answer, however long it is. It fails where that is cut short.
func (c *adminClient) copy(ctx context.Context, path string, query url.Values, out io.Writer) error {
	response, err := c.ask(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return c.decode(response, nil)
	}
	into := &watchedWriter{out: out}
	if _, err := io.Copy(into, response.Body); err != nil {
		if into.err != nil {
			return into.err
		}
		return fmt.Errorf("the export is not whole: %w", c.unreachable(err))
	}
	return nil
}

// watchedWriter keeps the error of a write, to tell it from one of a read.
type watchedWriter struct {
	out io.Writer
	err error
}

func (w *watchedWriter) Write(p []byte) (int, error) {
	n, err := w.out.Write(p)
	w.err = errors.Join(w.err, err)
	return n, err
}
