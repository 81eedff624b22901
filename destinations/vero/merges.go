package vero

import (
	"fmt"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// Merges implements adapter.Merger. A rename leaves no profile under the old id until a call under it makes somebody new
// (https://help.getvero.com/api-reference/users/alias). To rename back is no mistake as long as the old id is free.
// A userId that came without another anonymousId may be a device's.
func (t *translator) Merges(call *segment.Call) (adapter.Merge, bool) {
	switch {
	case call.Type == segment.Alias:
		return adapter.Merge{Rule: adapter.MergeRenames, From: call.PreviousID, To: call.UserID}, true
	case subscriptionPath(call) != "":
		return adapter.Merge{}, false // it makes no person
	}
	if call.AnonymousID == "" || adapter.IsOwnDevice(call, call.UserID) {
		return adapter.Merge{Rule: adapter.MergeUsesDevice, To: call.UserID}, true
	}
	return adapter.Merge{Rule: adapter.MergeUses, To: call.UserID}, true
}

// Account implements adapter.Merger. It leaves out the token, which is rotated: it names no project. Who points a destination at
// another project of Vero gives it another name.
func (t *translator) Account() string { return fmt.Sprintf("vero %q", t.base) }
