package webhook

import (
	"fmt"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// Merges implements adapter.Merger. What the receiver makes of an alias is its own matter, unless alias_joins says it.
func (t *translator) Merges(call *segment.Call) (adapter.Merge, bool) {
	switch {
	case !t.AliasJoins:
		return adapter.Merge{}, false
	case call.Type == segment.Alias:
		return adapter.Merge{Rule: adapter.MergeJoins, From: call.PreviousID, To: call.UserID}, true
	case call.UserID != "":
		return adapter.Merge{Rule: adapter.MergeUses, To: call.UserID}, true
	}
	return adapter.Merge{}, false
}

// Account implements adapter.Merger.
func (t *translator) Account() string { return fmt.Sprintf("webhook %q", t.address) }
