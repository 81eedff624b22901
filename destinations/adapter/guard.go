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

// Guard is the check of ids that every call passes before any adapter sees it: no merge by accident. An id is blocked when
//   - it is a placeholder, which many people share, or one that the settings block, whatever its case, its spaces and what it
//     holds of characters that cannot be seen: Unicode's formats, fillers and variation selectors;
//   - nothing of it can be seen;
//   - it holds a control character, NUL among them, or U+FFFD, where somebody's letter was lost before it came here.
//
// Two ids that look the same because they differ only in characters that cannot be seen, or in the spaces around them, are
// the same id to an alias.
type Guard struct{ blocked map[string]bool }

// NewGuard blocks the given ids beside those that are blocked everywhere.
func NewGuard(blocked []string) Guard { return Guard{foldAll(blocked)} }

// Check returns why the call must not go to any vendor, or "" when it may. For an alias the order of the reasons is
// fixed: missing_user_id, missing_previous_id, same_ids, blocked_id, id_too_long. A groupId is checked where the call is about
// the group: other calls go without a groupId that is blocked.
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
	ids := [...]string{h.UserID, h.PreviousID, h.AnonymousID, ""}
	if h.Type == segment.Group {
		ids[3] = h.GroupID
	}
	for _, id := range ids {
		if g.Blocks(id) {
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

// Blocks reports whether a text must not be taken for an id: of a person, a group or a device. It is false for "", and for one
// that is too long.
func (g Guard) Blocks(id string) bool {
	if id == "" || len(id) > MaxIDLength {
		return false
	}
	if isOrdinary(id) {
		return len(g.blocked) > 0 && g.blocked[fold(id)]
	}
	if !isPlain(id) && strings.ContainsFunc(id, isDamage) {
		return true
	}
	folded := fold(id)
	return isPlaceholder(folded) || isObject(visible(id)) || g.blocked[folded]
}

// longestWord is as long as the longest placeholder that is looked up.
const longestWord = 20

// isOrdinary reports whether an id is no placeholder by its characters alone, as most are not: it is longer than those that are
// looked up, has a digit that is not zero, and nothing that a program puts around or between values.
func isOrdinary(id string) bool {
	hasDigit := false
	for i := range len(id) {
		switch c := id[i]; {
		case '1' <= c && c <= '9':
			hasDigit = true
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '0', c == '-', c == '_', c == '.', c == '@':
		default:
			return false
		}
	}
	return hasDigit && len(id) > longestWord
}

// isDamage reports whether a character has no place in any id.
func isDamage(r rune) bool { return r == utf8.RuneError || unicode.IsControl(r) }

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

// isInvisible reports whether a character shows nothing and takes no room: Unicode's default ignorable ones, and the controls.
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

// isPlain reports whether an id is all printable ASCII without a space, as nearly all are.
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
