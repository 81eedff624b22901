package kissmetrics

import (
	"fmt"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// Merges implements adapter.Merger. Two identities are one from then on, whichever comes first, and nothing is refused
// (https://support.kissmetrics.io/docs/identities). An identify merges as an alias does where it sends one.
func (t *translator) Merges(call *segment.Call) (adapter.Merge, bool) {
	switch {
	case call.Type == segment.Alias:
		return adapter.Merge{Rule: adapter.MergeJoins, From: call.PreviousID, To: call.UserID}, true
	case call.Type == segment.Identify && t.aliasesOn(call):
		return adapter.Merge{Rule: adapter.MergeJoins, From: call.AnonymousID, To: call.UserID}, true
	}
	return adapter.Merge{}, false
}

// Account implements adapter.Merger. The key names the product: pages carry it, and it is not rotated.
func (t *translator) Account() string {
	return fmt.Sprintf("kissmetrics %q %q", t.base, t.APIKey.Reveal())
}
