package customerio

import (
	"fmt"
	"strings"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// Merges implements adapter.Merger (https://docs.customer.io/journeys/merge-people). A merge deletes the person of the previousId, whose id
// is free until a call under it makes somebody new. The userId may take in any number of others. An anonymous id has one person, the first.
// An identify that joins one too is remembered only as a use of its userId: that a freed id is in use again matters more.
func (t *translator) Merges(call *segment.Call) (adapter.Merge, bool) {
	switch {
	case call.Type == segment.Alias && isOfDevice(call):
		return adapter.Merge{Rule: adapter.MergeGivesFrom, From: call.AnonymousID, To: t.personBy(call.UserID).name()}, true
	case call.Type == segment.Alias:
		return adapter.Merge{Rule: adapter.MergeAbsorbs, From: t.personBy(call.PreviousID).name(), To: t.personBy(call.UserID).name()}, true
	case t.PeopleEvents && call.Type == segment.Track && peopleActions[strings.TrimSpace(call.Event)] != nil:
		return adapter.Merge{}, false // it makes no person
	case call.UserID != "":
		return adapter.Merge{Rule: adapter.MergeUses, To: t.personBy(call.UserID).name()}, true
	case call.Type == segment.Identify:
		email := person{"email", t.emailOf(adapter.PersonTraits(call))}
		return adapter.Merge{Rule: adapter.MergeUses, To: email.name()}, true
	}
	return adapter.Merge{}, false
}

// Account implements adapter.Merger. The site ID names the workspace's key pair, not the workspace: keys are rotated, so it is left out.
// Who points a destination at another workspace gives it another name.
func (t *translator) Account() string {
	return fmt.Sprintf("customerio %q %q", t.base, t.Identifiers)
}
