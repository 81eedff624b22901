package mixpanel

import (
	"fmt"
	"strings"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// maxCluster is the number of ids at which Mixpanel refuses to merge, in the original mode
// (https://docs.mixpanel.com/reference/identity-merge).
const maxCluster = 500

// Merges implements adapter.Merger, by what each mode makes of what is sent, and refuses with the answer of a success
// (https://docs.mixpanel.com/reference/identity-api):
//
//   - legacy: $create_alias makes the userId a name of the previousId. A name is given once.
//   - original: $create_alias gives the userId once, $identify the anonymous id, $merge nothing; none of them makes a person
//     of 500 ids or more. An identify that sends $identify counts as well.
//   - simplified: the event that links a device to its user. A device stays its first user's, so that the same link again
//     is only billed. Other events with both ids link them too, and are not counted: the link after them is no more than that.
//
// So Mixpanel itself keeps a device from a second user, wherever a call that is no alias merges.
func (t *translator) Merges(call *segment.Call) (adapter.Merge, bool) {
	switch {
	case call.Type == segment.Alias:
		return t.aliasMerges(call), true
	case call.Type != segment.Identify:
		return adapter.Merge{}, false
	}
	who := t.personOf(call)
	switch {
	case t.identifies(who):
		return identifyMerges(who.deviceID, who.userID), true
	case t.linksOnIdentify(who):
		return linkMerges(who.deviceID, who.userID), true
	}
	return adapter.Merge{}, false
}

func (t *translator) aliasMerges(call *segment.Call) adapter.Merge {
	switch t.IDMerge {
	case Legacy:
		return adapter.Merge{Rule: adapter.MergeNames, From: call.PreviousID, To: call.UserID}
	case Simplified:
		return linkMerges(strings.TrimPrefix(call.PreviousID, devicePrefix), call.UserID)
	}
	switch t.commandFor(call) {
	case identifyEvent:
		return identifyMerges(call.PreviousID, call.UserID)
	case mergeEvent:
		return adapter.Merge{Rule: adapter.MergeJoins, From: call.PreviousID, To: call.UserID, Limit: maxCluster}
	}
	return adapter.Merge{Rule: adapter.MergeGivesTo, From: call.PreviousID, To: call.UserID, Limit: maxCluster}
}

func identifyMerges(anonymousID, userID string) adapter.Merge {
	return adapter.Merge{Rule: adapter.MergeGivesFrom, From: anonymousID, To: userID, Limit: maxCluster, FirstUserOnly: true}
}

func linkMerges(device, userID string) adapter.Merge {
	return adapter.Merge{Rule: adapter.MergeLinks, From: devicePrefix + device, To: userID, FirstUserOnly: true}
}

// Account implements adapter.Merger. The token names the project: pages carry it, and it is not rotated. The API secret and the
// service account are.
func (t *translator) Account() string {
	return fmt.Sprintf("mixpanel %q %q %q", t.commands.url, t.Token.Reveal(), t.IDMerge)
}
