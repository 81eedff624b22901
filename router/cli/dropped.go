package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"aka/router/admin"
)

// keptKind is one kind of the calls that aka keeps after they have ended, in the words of the commands and of the server.
type keptKind struct{ command, one, many, path, key string }

var (
	deadKind    = keptKind{"dead", "dead letter", "dead letters", "/dead-letters", "dead_letters"}
	droppedKind = keptKind{"dropped", "dropped call", "dropped calls", "/dropped", "dropped_calls"}
)

func (k keptKind) count(n int) string {
	if n == 1 {
		return "1 " + k.one
	}
	return strconv.Itoa(n) + " " + k.many
}

func (k keptKind) failed(id string, err error) error { return fmt.Errorf("%s %s: %w", k.one, id, err) }

// examples makes examples of aka dead those of the kind.
func (k keptKind) examples(text string) string {
	if k == deadKind {
		return text
	}
	return strings.NewReplacer("aka dead ", "aka "+k.command+" ", "refused", "blocked_id", "too_old", "alias_taken",
		".dead_letters[].detail", "."+k.key+"[].message_id").Replace(text)
}

func newDropped() *cobra.Command {
	return newKept(droppedKind, &cobra.Command{
		Use:   "dropped",
		Short: "List, show, replay or discard dropped calls",
		Long: `List, show, replay or discard the dropped calls that a running aka keeps, at its admin address.

If a setting may have caused a drop, aka keeps the call with the reason: see the config's dropped.reasons. It stays until
you replay or discard it, or until it reaches dropped.max_age or max_bytes. After you corrected the setting and reloaded
the config, replay the calls. A call that is dropped again is kept again.`,
		Example: `  aka dropped list --summary
  aka dropped show 17
  aka dropped replay --all --destination vero --reason blocked_id`,
	})
}

// page asks for one page of a list.
func (c *adminClient) page(ctx context.Context, kind keptKind, query url.Values) (page admin.DeadLetters, err error) {
	if kind == droppedKind {
		var dropped admin.DroppedCalls
		err = c.do(ctx, http.MethodGet, kind.path, query, &dropped)
		return admin.DeadLetters(dropped), err
	}
	err = c.do(ctx, http.MethodGet, kind.path, query, &page)
	return page, err
}

// summary asks for the counts. shown is the answer in the form that the server gave it.
func (c *adminClient) summary(ctx context.Context, kind keptKind, query url.Values) (summary admin.DeadSummary, shown any, err error) {
	if kind == droppedKind {
		var dropped admin.DroppedSummary
		err = c.do(ctx, http.MethodGet, kind.path+"/summary", query, &dropped)
		return admin.DeadSummary(dropped), dropped, err
	}
	err = c.do(ctx, http.MethodGet, kind.path+"/summary", query, &summary)
	return summary, summary, err
}
