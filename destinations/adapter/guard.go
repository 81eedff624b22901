package adapter

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"aka/router/segment"
)

// MaxIDLength is the longest id, in bytes, that goes to any vendor. Mixpanel cuts strings at 255 bytes, and two people
// cut to the same prefix would become one.
const MaxIDLength = 255

// blockedIDs stand for nobody. Whoever is merged with one of them is merged with strangers, and no vendor can undo it.
// The list is Mixpanel's (https://docs.mixpanel.com/docs/tracking-methods/id-management), with "missing" from
// Kissmetrics' page on squished identities, and with what JavaScript, Python, Java, C# and Objective-C write for a value
// that is not there. "guest" is in no vendor's list, and may be somebody's name: the settings can block it.
var blockedIDs = foldAll([]string{
	"anon", "anonymous", "nil", "none", "null", "n/a", "na", "undefined", "unknown", "<nil>", "-1", "true", "false", "[]", "{}",
	"missing",
	"nan", "[object Object]", "[object Undefined]", "[object Null]", "(null)", "<null>", "(none)", "<none>", "<na>",
})

// Guard is the check of ids that every call passes before any adapter sees it: no merge by accident. An id is blocked when
//   - it is one of those that stand for nobody, or that the settings block, whatever its case, its spaces and what it holds
//     of characters that cannot be seen: Unicode's formats, fillers and variation selectors;
//   - it is zero, however that is written: 0, 00, -0, 0.0, the all-zero UUID with or without dashes and braces;
//   - nothing of it can be seen;
//   - it holds a control character, NUL among them, or U+FFFD, where somebody's letter was lost before it came here.
//
// Two ids that look the same because they differ only in characters that cannot be seen, or in the spaces around them, are
// the same id to an alias.
type Guard struct{ blocked map[string]bool }

// NewGuard blocks the given ids beside those that are blocked everywhere.
func NewGuard(blocked []string) Guard { return Guard{foldAll(blocked)} }

// Check returns why the call must not go to any vendor, or "" when it may. For an alias the order of the reasons is
// fixed: missing_user_id, missing_previous_id, same_ids, blocked_id, id_too_long.
func (g Guard) Check(h *segment.Header) Reason {
	if h.Type == segment.Alias {
		switch {
		case h.UserID == "":
			return MissingUserID
		case h.PreviousID == "":
			return MissingPreviousID
		case visible(h.UserID) == visible(h.PreviousID):
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
	if !isPlain(id) && strings.ContainsFunc(id, isDamage) {
		return true
	}
	id = fold(id)
	return id == "" || isZero(id) || blockedIDs[id] || g.blocked[id]
}

// isDamage tells whether a character has no place in any id.
func isDamage(r rune) bool { return r == utf8.RuneError || unicode.IsControl(r) }

// isZero tells whether nothing but zeros is left of an id without what stands around and between them.
func isZero(id string) bool {
	return strings.Contains(id, "0") && strings.Trim(id, "0.,+-{}()") == ""
}

func foldAll(ids []string) map[string]bool {
	folded := map[string]bool{}
	for _, id := range ids {
		folded[fold(id)] = true
	}
	return folded
}

// fold returns what a blocked id is known by, however it is written.
func fold(id string) string {
	id = strings.ToLower(visible(id))
	if isPlain(id) {
		return id
	}
	return without(id, unicode.IsSpace)
}

// visible returns what can be seen of an id.
func visible(id string) string {
	if isPlain(id) {
		return id
	}
	return strings.TrimSpace(without(id, isInvisible))
}

// isInvisible tells whether a character shows nothing and takes no room: Unicode's default ignorable ones, and the controls.
func isInvisible(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

func without(text string, unwanted func(rune) bool) string {
	return strings.Map(func(r rune) rune {
		if unwanted(r) {
			return -1
		}
		return r
	}, text)
}

// isPlain tells whether an id is all printable ASCII without a space, as nearly all are.
func isPlain(id string) bool {
	for i := range len(id) {
		if id[i] <= ' ' || id[i] >= 0x7f {
			return false
		}
	}
	return true
}

// Translate is the adapter's Translate behind the guard. Translate, the function, is the only way to an adapter: it adds the bounds.
func (g Guard) Translate(a Adapter, call *segment.Call) Outcome {
	if reason := g.Check(&call.Header); reason != "" {
		return Drop(reason)
	}
	return a.Translate(call)
}
