package segment

import (
	"fmt"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// Merges implements adapter.Merger. What the upstream's own destinations make of an alias is not known. So aka takes it for what it
// asks for: the two ids are one person.
func (t *translator) Merges(call *segment.Call) (adapter.Merge, bool) {
	switch {
	case call.Type == segment.Alias:
		return adapter.Merge{Rule: adapter.MergeJoins, From: call.PreviousID, To: call.UserID}, true
	case call.UserID != "":
		return adapter.Merge{Rule: adapter.MergeUses, To: call.UserID}, true
	}
	return adapter.Merge{}, false
}

// Account implements adapter.Merger. A write key is rotated, so it is left out.
func (t *translator) Account() string { return fmt.Sprintf("segment %q %q", t.base, t.Flavor) }
