package simulator

import (
	"regexp"
	"slices"
	"strings"
)

// verb is one of the three events that ask for ids to become one.
type verb struct {
	name     string // $identify, $create_alias or $merge
	old, new string // $anon_id and $identified_id, distinct_id and alias, or the pair of $distinct_ids as given
}

func isVerb(event string) bool {
	return slices.Contains([]string{"$identify", "$create_alias", "$merge"}, event)
}

// repeatedVerb is the result of a verb whose effect holds already.
const repeatedVerb = "repeated"

// idMerge is a project's identity mode.
type idMerge interface {
	// distinctID returns who an event is of, or "".
	distinctID(properties map[string]any) string
	// link makes two ids of an ordinary event one, where the mode does that. It returns why it did not, or "".
	link(properties map[string]any) (reason string)
	// home returns the id that an event of this distinct_id is stored under; profileHome that for its properties.
	home(distinctID string) string
	profileHome(distinctID string) string
	// apply does what a verb asks. It returns "", repeatedVerb, or why the verb is thrown away.
	apply(verb) (reason string)
}

func newIDMerge(mode string, g *graph) idMerge {
	switch mode {
	case "legacy":
		g.strands = true
		return &legacyIDs{graph: g}
	case "original":
		return &originalIDs{graph: g, aliases: map[string]string{}, assigned: map[string]string{}}
	}
	g.leavesProperties = true
	return &simplifiedIDs{graph: g}
}

// legacyIDs is ID management before March 2020: an alias is a lookup from the new id to the old one, made once per alias,
// for what arrives from then on. What arrived under the new id before always stays apart.
type legacyIDs struct{ graph *graph }

func (l *legacyIDs) distinctID(properties map[string]any) string { return plainDistinctID(properties) }

func (l *legacyIDs) link(map[string]any) string { return "" }

func (l *legacyIDs) home(distinctID string) string { return l.graph.resolve(distinctID) }

func (l *legacyIDs) profileHome(distinctID string) string { return l.graph.resolve(distinctID) }

func (l *legacyIDs) apply(v verb) string {
	if v.name != "$create_alias" {
		return "no_effect_in_legacy"
	}
	_, used := l.graph.points[v.new]
	switch {
	case used && l.graph.resolve(v.new) == l.graph.resolve(v.old):
		return repeatedVerb
	case used:
		return "errAliasAlreadyExists"
	case l.graph.resolve(v.old) == v.new: // a lookup that ends at itself; Mixpanel's pages do not speak of it
		return "errSameIDs"
	}
	l.graph.point(v.new, v.old)
	return ""
}

func plainDistinctID(properties map[string]any) string {
	return cut255(text(properties["distinct_id"]))
}

// maxCluster is the number of ids at which a merge of the original mode is refused.
const maxCluster = 500

// originalIDs is the ID Merge of March 2020: three verbs that make clusters of ids, also of what arrived before.
// https://docs.mixpanel.com/reference/identity-merge and its neighbours say when each is refused, in no answer.
type originalIDs struct {
	graph    *graph
	aliases  map[string]string // an alias value to the distinct_id that it was given for
	assigned map[string]string // an anonymous id to the user that it was identified as
}

func (o *originalIDs) distinctID(properties map[string]any) string {
	return plainDistinctID(properties)
}

func (o *originalIDs) link(map[string]any) string { return "" }

func (o *originalIDs) home(distinctID string) string { return distinctID }

func (o *originalIDs) profileHome(distinctID string) string { return distinctID }

func (o *originalIDs) apply(v verb) string {
	if reason := o.refusal(v); reason != "" {
		return reason
	}
	joined := o.graph.resolve(v.old) == o.graph.resolve(v.new)
	if !joined && o.graph.size(v.old)+o.graph.size(v.new) >= maxCluster {
		return "errManyIDs"
	}
	if v.name == "$merge" && joined && o.graph.has(v.old) {
		return repeatedVerb
	}
	switch v.name {
	case "$identify":
		o.assigned[v.old] = v.new
	case "$create_alias":
		o.aliases[v.new] = v.old
	}
	o.graph.union(v.old, v.new)
	return ""
}

var uuidV4 = regexp.MustCompile(`^(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$`)

// refusal is what each verb alone is refused for; $merge for nothing.
func (o *originalIDs) refusal(v verb) string {
	switch v.name {
	case "$identify":
		user, assigned := o.assigned[v.old]
		switch {
		case v.old == v.new:
			return "errSameIDs"
		case !uuidV4.MatchString(v.old):
			return "errAnonDistinctIdNonGUIDForm"
		case assigned && user == v.new:
			return repeatedVerb
		case assigned:
			return "errAnonDistinctIdAssignedAlready"
		}
	case "$create_alias":
		old, used := o.aliases[v.new]
		switch {
		case used && old == v.old:
			return repeatedVerb
		case used:
			return "errAliasAlreadyExists"
		}
	}
	return ""
}

// simplifiedIDs is the ID Merge of March 2023: the verbs do nothing, and an ordinary event with both $device_id and
// $user_id makes the device the user's, with the events that it had before but not with its properties.
type simplifiedIDs struct{ graph *graph }

const devicePrefix = "$device:"

// distinctID is the user, else the device. An event with only a distinct_id is a device's when that says so, else a user's.
func (s *simplifiedIDs) distinctID(properties map[string]any) string {
	user, device := deviceAndUser(properties)
	switch {
	case user != "":
		return user
	case device != "":
		return devicePrefix + device
	}
	return plainDistinctID(properties)
}

func deviceAndUser(properties map[string]any) (user, device string) {
	return cut255(text(properties["$user_id"])), cut255(text(properties["$device_id"]))
}

// link makes the device the user's when the two are seen together for the first time. A device that is another user's
// stays that; Mixpanel notes it on the event.
func (s *simplifiedIDs) link(properties map[string]any) string {
	user, device := deviceAndUser(properties)
	if user == "" || device == "" || strings.HasPrefix(user, devicePrefix) {
		return ""
	}
	device = devicePrefix + device
	owner, linked := s.graph.points[device]
	switch {
	case linked && owner != user:
		return "device_linked_to_another_user"
	case !linked:
		s.graph.point(device, user)
	}
	return ""
}

func (s *simplifiedIDs) home(distinctID string) string { return distinctID }

func (s *simplifiedIDs) profileHome(distinctID string) string { return s.graph.resolve(distinctID) }

func (s *simplifiedIDs) apply(verb) string { return "ignored_by_simplified_id_merge" }
