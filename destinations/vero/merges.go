package vero

import (
	"fmt"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// Merges implements adapter.Merger. A rename leaves nobody under the old id until a call under it makes somebody new
// (https://help.getvero.com/api-reference/users/alias). To rename back is no mistake as long as the old id is free.
func (t *translator) Merges(call *segment.Call) (adapter.Merge, bool) {
	if call.Type == segment.Alias {
		return adapter.Merge{Rule: adapter.MergeRenames, From: call.PreviousID, To: call.UserID}, true
	}
	return adapter.Merge{Rule: adapter.MergeUses, To: call.UserID}, true
}

// Account implements adapter.Merger.
func (t *translator) Account() string { return fmt.Sprintf("vero %q %q", t.base, t.AuthToken.Reveal()) }
