// Package mixpanel translates calls to Mixpanel's ingestion and identity APIs, in each of the three ways in which a Mixpanel
// project may merge identities. A merge cannot be undone, and Mixpanel answers success to one that its mode ignores: what the
// mode cannot express is never sent.
package mixpanel

import (
	"errors"
	"fmt"
	"strings"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// Vendor is Mixpanel in the table of destinations. Its calls carry their own time, so only identity needs an order. Mixpanel
// has no options for a single call: an object in `integrations` says yes and nothing else.
var Vendor = adapter.Vendor{
	Names:  []string{"Mixpanel", "Mixpanel (Legacy)", "Mixpanel (Actions)", "Actions Mixpanel"},
	Order:  adapter.OrderIdentity,
	New:    New,
	Stable: true,
}

type translator struct {
	Config
	guard adapter.Guard

	commands, events, profiles, groups endpoint
	// query is where profiles are read.
	query string

	// operations are the profile operations of the traits that are not simply set.
	operations map[string]operation
	// counted and added are IncrementEvents and IncrementProperties.
	counted, added map[string]bool
}

func newTranslator(config Config, base string) *translator {
	t := &translator{
		Config:     config,
		guard:      adapter.NewGuard(config.BlockedIDs),
		operations: map[string]operation{},
		counted:    setOf(config.IncrementEvents),
		added:      setOf(config.IncrementProperties),
		query:      config.queryURL(base),
	}
	t.connect(base)
	t.operate(config.SetOnce, setOnce)
	t.operate(config.Union, union)
	t.operate(config.Append, appendTo)
	return t
}

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

// Translate implements adapter.Adapter.
func (t *translator) Translate(call *segment.Call) adapter.Outcome {
	if reason := t.checkDevice(t.personOf(call).deviceID); reason != "" {
		return adapter.Drop(reason)
	}
	switch call.Type {
	case segment.Alias:
		return t.alias(call)
	case segment.Identify:
		return t.identify(call)
	case segment.Track:
		return t.track(call)
	case segment.Page, segment.Screen:
		return t.page(call)
	case segment.Group:
		return t.group(call)
	}
	return adapter.Reject(errors.New("type: not one that Mixpanel takes"))
}

// alias tells Mixpanel that userId is a new name of previousId, as far as the project's mode allows.
func (t *translator) alias(call *segment.Call) adapter.Outcome {
	switch t.IDMerge {
	case Simplified:
		return t.aliasSimplified(call)
	case Original:
		return t.aliasOriginal(call)
	}
	return t.send(t.commands, t.createAlias(call))
}

func (t *translator) aliasOriginal(call *segment.Call) adapter.Outcome {
	switch t.commandFor(call) {
	case mergeEvent:
		return t.send(t.events, t.mergePair(call.PreviousID, call.UserID))
	case identifyEvent:
		if !isUUIDv4(call.PreviousID) {
			return adapter.Drop(adapter.PreviousIDNotUUID)
		}
		return t.send(t.commands, t.identifyAnonymous(call.UserID, call.PreviousID))
	}
	return t.send(t.commands, t.createAlias(call))
}

// commandFor picks the command of the original mode. $identify is the safest: it gives an anonymous id to one user only, so
// that two people on one device stay two. A UUIDv4 may be a userId too: only one that the call itself calls anonymous is
// known to be.
func (t *translator) commandFor(call *segment.Call) string {
	switch {
	case t.AliasStrategy == AliasMerge:
		return mergeEvent
	case t.AliasStrategy == AliasIdentify:
		return identifyEvent
	case t.AliasStrategy == AliasAuto && isUUIDv4(call.PreviousID) && adapter.IsOwnDevice(call, call.PreviousID):
		return identifyEvent
	}
	return createAliasEvent
}

// aliasSimplified links a device to its user by an event with both. Two users cannot be merged in this mode: an old userId
// sent as a device would become a new one.
func (t *translator) aliasSimplified(call *segment.Call) adapter.Outcome {
	device, prefixed := strings.CutPrefix(call.PreviousID, devicePrefix)
	isDevice := prefixed || adapter.IsOwnDevice(call, call.PreviousID)
	toDevice := strings.HasPrefix(call.UserID, devicePrefix) || adapter.IsOwnDevice(call, call.UserID) || adapter.IsSameDevice(device, call.UserID)
	if t.LinkOnAlias == "" || !isDevice || device == "" || toDevice {
		return adapter.Drop(adapter.AliasUnsupported)
	}
	if reason := t.checkDevice(device); reason != "" {
		return adapter.Drop(reason)
	}
	return t.send(t.events, t.linkEvent(call, t.LinkOnAlias, person{userID: call.UserID, deviceID: device, distinctID: call.UserID}))
}

// identify links the call's two ids where the mode has a way that never merges strangers, and updates the profile.
func (t *translator) identify(call *segment.Call) adapter.Outcome {
	var s sending
	t.link(&s, call)
	if !t.People {
		return s.outcome(adapter.PeopleOff)
	}
	properties, derived := t.personProperties(call)
	t.profile(&s, call, properties, derived)
	t.devices(&s, call)
	return s.outcome(adapter.NothingToSend)
}

// link goes before the profile, so that what the profile says finds one person.
func (t *translator) link(s *sending, call *segment.Call) {
	switch who := t.personOf(call); {
	case t.identifies(who):
		s.add(t.commands, t.identifyAnonymous(who.userID, who.deviceID))
	case t.linksOnIdentify(who):
		s.add(t.events, t.linkEvent(call, t.LinkOnIdentify, who))
	}
}

// identifies reports whether an identify of these ids sends $identify.
func (t *translator) identifies(who person) bool {
	return t.IDMerge == Original && who.userID != "" && !adapter.IsSameDevice(who.deviceID, who.userID) && isUUIDv4(who.deviceID)
}

// linksOnIdentify reports whether an identify of these ids sends the event that links them.
func (t *translator) linksOnIdentify(who person) bool {
	return t.IDMerge == Simplified && t.LinkOnIdentify != "" && who.userID != "" && who.deviceID != ""
}

var errCommand = errors.New("event: $identify, $create_alias and $merge are Mixpanel's identity commands; send an alias or identify call")

// track sends the event, then what it adds to the user's profile. An identity command in an event's clothes is refused:
// a sender who knows a write key could merge any two people.
func (t *translator) track(call *segment.Call) adapter.Outcome {
	name := strings.TrimSpace(call.Event)
	if isCommand(name) {
		return adapter.Reject(errCommand)
	}
	var s sending
	s.add(t.events, t.event(call, name, call.Properties))
	t.increments(&s, call, name)
	t.revenue(&s, call)
	return s.outcome(adapter.NothingToSend)
}

// page sends pages and screens as events. One name for all of them, with the page among the properties, is what Mixpanel
// advises.
func (t *translator) page(call *segment.Call) adapter.Outcome {
	if !t.PageEvents.Takes(call) {
		return adapter.Drop(adapter.PageEventsOff)
	}
	name := pageEvent(call, t.PageEvents)
	var s sending
	s.add(t.events, t.event(call, name, adapter.PageProperties(call)))
	t.increments(&s, call, name)
	return s.outcome(adapter.NothingToSend)
}

func pageEvent(call *segment.Call, which adapter.PageEvents) string {
	kind, name, category := adapter.PageKind(call), adapter.PageName(call), adapter.PageCategory(call)
	switch {
	case which == adapter.PagesAll:
		return "Loaded a " + kind
	case which == adapter.PagesNamed:
		return "Viewed " + name + " " + kind
	case name == "":
		return "Viewed " + category + " " + kind
	}
	return "Viewed " + category + " " + name + " " + kind
}

// group puts the person into the groups that the call names, then describes them.
func (t *translator) group(call *segment.Call) adapter.Outcome {
	if len(t.GroupKeys) == 0 {
		return adapter.Drop(adapter.GroupsOff)
	}
	memberships := t.memberships(call)
	if len(memberships) == 0 {
		return adapter.Drop(adapter.GroupKeyMissing)
	}
	for _, m := range memberships {
		if len(m.ids) > maxGroups {
			return adapter.Reject(fmt.Errorf("traits.%s: more than %d groups", m.key, maxGroups))
		}
		if reason := t.checkGroups(m.ids); reason != "" {
			return adapter.Drop(reason)
		}
	}
	var s sending
	if t.People {
		t.profile(&s, call, propertiesOf(memberships), nil)
	}
	t.describe(&s, call, memberships)
	return s.outcome(adapter.NothingToSend)
}
