package mixpanel

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/google/uuid"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// maxInsertID is the longest $insert_id that Mixpanel takes.
const maxInsertID = 36

// insertIDs is the namespace of the $insert_ids that are made of a messageId.
var insertIDs = uuid.MustParse("6d1c9ee5-0f6e-4c0c-9f0e-52b4d6b6a5a1")

// anyID guards ids of Mixpanel's own that the settings do not block.
var anyID = adapter.NewGuard(nil)

// reservedOnEvents are property names that would change what an event is, or who did it, or hide it
// (https://docs.mixpanel.com/docs/data-structure/property-reference/reserved-properties). $ignore is not among them: a sender who
// sends it wants Mixpanel to drop the event.
var reservedOnEvents = map[string]bool{
	"distinct_id": true, "$distinct_id": true, "$user_id": true, "$device_id": true,
	"$anon_id": true, "$identified_id": true, "$distinct_ids": true,
	"token": true, "time": true, "$time": true, "$insert_id": true, "$event_name": true,
	"ip": true, "$ip": true, "bucket": true, "$bucket": true,
}

// usualProperties is how many properties most events have beside their own.
const usualProperties = 16

// event builds one event. Its own properties win over what the call's context says, and nothing in either can override who
// and when. Mixpanel itself cuts strings at 255 bytes and refuses what nests too deep or holds too much; it says so, and the
// event is kept as a dead letter.
func (t *translator) event(call *segment.Call, name string, own map[string]any) adapter.Object {
	properties := make(map[string]any, len(own)+usualProperties)
	addEventContext(properties, call.Context())
	if t.TraitsOnTrack {
		traits, _ := call.Context()["traits"].(map[string]any)
		copyRenaming(properties, traits, reservedOnEvents, "trait_")
	}
	copyRenaming(properties, own, reservedOnEvents, "property_")
	t.addGroups(properties, call)
	t.addIdentity(properties, call, name, t.personOf(call))
	return record(name, properties)
}

// linkEvent is an event with nothing but both ids of a person, which is how the simplified mode learns of them.
func (t *translator) linkEvent(call *segment.Call, name string, who person) adapter.Object {
	properties := map[string]any{}
	t.addIdentity(properties, call, name, who)
	return record(name, properties)
}

// addIdentity sets the properties that make an event who did it, when, and unlike any other. The distinct_id is there even
// when it is "", which is no address: without one, Mixpanel would make a person of aka's address.
func (t *translator) addIdentity(properties map[string]any, call *segment.Call, name string, who person) {
	properties["distinct_id"] = who.distinctID
	properties["time"] = call.Timestamp.UnixMilli()
	properties["$insert_id"] = insertID(call.MessageID, name)
	properties["ip"] = ipOf(call.Context())
	if who.userID != "" {
		properties["$user_id"] = who.userID
	}
	if who.deviceID != "" {
		properties["$device_id"] = who.deviceID
	}
}

// insertID returns what Mixpanel knows a repeated event by. SDKs' messageIds are often longer than it takes.
func insertID(messageID, event string) string {
	if isInsertID(messageID) {
		return messageID
	}
	return uuid.NewSHA1(insertIDs, []byte(messageID+"\n"+event)).String()
}

func isInsertID(id string) bool {
	if id == "" || len(id) > maxInsertID {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c == '-':
		default:
			return false
		}
	}
	// Placeholders are no $insert_id either.
	return anyID.Check(&segment.Header{AnonymousID: id}) == ""
}

// ipOf returns the person's address, or "0" for none. Without it, Mixpanel would place the person where aka runs.
func ipOf(context map[string]any) string {
	ip := adapter.Text(context["ip"])
	if _, err := netip.ParseAddr(ip); err != nil {
		return "0"
	}
	return ip
}

// copyRenaming copies properties. Those with a reserved name keep their value under another, unless that is taken.
func copyRenaming(into, from map[string]any, reserved map[string]bool, prefix string) {
	for name, value := range from {
		if reserved[name] {
			name = prefix + name
			if _, taken := from[name]; taken {
				continue
			}
		}
		into[name] = value
	}
}

// addGroups makes the event one of the group's too: a group sees only the events that carry its key
// (https://docs.mixpanel.com/docs/data-structure/group-analytics/group-analytics-implementation).
func (t *translator) addGroups(properties map[string]any, call *segment.Call) {
	group := cmp.Or(t.groupOr(call.GroupID), t.groupOr(adapter.Text(call.Context()["groupId"])))
	own := properties["$group_id"]
	switch {
	case group != "" && own == nil:
		properties["$group_id"] = group
	case own != nil && t.guard.Blocks(adapter.Text(own)):
		delete(properties, "$group_id")
	}
	for _, key := range t.GroupKeys {
		t.leaveOutBlocked(properties, key)
	}
	for _, m := range t.membershipsIn(properties, group) {
		properties[m.key] = m.ids
	}
}

// groupOr returns a group's id, or "" for one that must not be sent.
func (t *translator) groupOr(id string) string {
	if t.checkGroups([]string{id}) != "" {
		return ""
	}
	return id
}

// leaveOutBlocked takes the groups out of an event's property that must not be sent. The event itself goes.
func (t *translator) leaveOutBlocked(properties map[string]any, key string) {
	ids := groupIDs(properties[key])
	kept := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return t.groupOr(id) == "" })
	switch {
	case len(kept) == len(ids):
	case len(kept) == 0:
		delete(properties, key)
	default:
		list := make([]any, len(kept))
		for i, id := range kept {
			list[i] = id
		}
		properties[key] = list
	}
}
