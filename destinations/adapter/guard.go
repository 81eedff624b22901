package adapter

import (
	"strings"

	"aka/router/segment"
)

// MaxIDLength is the longest id, in bytes, that goes to any vendor. Mixpanel cuts strings at 255 bytes, and two people
// cut to the same prefix would become one.
const MaxIDLength = 255

// blockedIDs stand for nobody. Whoever is merged with one of them is merged with strangers, and no vendor can undo it.
// The list is Mixpanel's (https://docs.mixpanel.com/docs/tracking-methods/id-management), with "missing" from
// Kissmetrics' page on squished identities.
var blockedIDs = map[string]bool{
	"00000000-0000-0000-0000-000000000000": true,
	"anon":                                 true, "anonymous": true, "nil": true, "none": true, "null": true, "n/a": true, "na": true,
	"undefined": true, "unknown": true, "<nil>": true, "0": true, "-1": true, "true": true, "false": true,
	"[]": true, "{}": true, "missing": true,
}

// Guard is the check of ids that every call passes before any adapter sees it: no merge by accident.
type Guard struct{ blocked map[string]bool }

// NewGuard blocks the given ids beside those that are blocked everywhere. Case and surrounding space do not count.
func NewGuard(blocked []string) Guard {
	g := Guard{blocked: map[string]bool{}}
	for _, id := range blocked {
		g.blocked[strings.ToLower(strings.TrimSpace(id))] = true
	}
	return g
}

// Check returns why the call must not go to any vendor, or "" when it may. For an alias the order of the reasons is
// fixed: missing_user_id, missing_previous_id, same_ids, blocked_id, id_too_long.
func (g Guard) Check(h *segment.Header) Reason {
	if h.Type == segment.Alias {
		switch {
		case h.UserID == "":
			return MissingUserID
		case h.PreviousID == "":
			return MissingPreviousID
		case h.UserID == h.PreviousID:
			return SameIDs
		}
	}
	ids := [...]string{h.UserID, h.PreviousID, h.AnonymousID}
	for _, id := range ids {
		if g.isBlocked(id) {
			return BlockedID
		}
	}
	for _, id := range ids {
		if len(id) > MaxIDLength {
			return IDTooLong
		}
	}
	return ""
}

func (g Guard) isBlocked(id string) bool {
	if id == "" || len(id) > MaxIDLength {
		return false
	}
	id = strings.ToLower(id)
	return blockedIDs[id] || g.blocked[id]
}

// Translate is the adapter's Translate behind the guard. It is the only way to an adapter.
func (g Guard) Translate(a Adapter, call *segment.Call) Outcome {
	if reason := g.Check(&call.Header); reason != "" {
		return Drop(reason)
	}
	return a.Translate(call)
}
