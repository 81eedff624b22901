package mixpanel

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// timeFormat is how Mixpanel writes times in profiles, in UTC.
const timeFormat = "2006-01-02T15:04:05"

// operation is what an update does to a profile. Mixpanel documents one operation an update, so each goes as its own.
type operation string

const (
	set      operation = "$set"
	setOnce  operation = "$set_once"
	union    operation = "$union"
	add      operation = "$add"
	appendTo operation = "$append"
)

// operations is their order: what is set first may be added to after.
var operations = []operation{set, setOnce, union, appendTo}

// reservedOnProfiles are properties that Mixpanel sets itself, or takes for something else.
var reservedOnProfiles = map[string]bool{
	"token": true, "$token": true, "distinct_id": true, "$distinct_id": true,
	"$last_seen": true, "$mp_first_event_time": true,
}

// specials are Mixpanel's names for Segment's traits, each with the spellings of the trait, the best first.
var specials = [...]struct {
	property string
	traits   []string
}{
	{"$created", []string{"createdAt", "created_at", "created"}},
	{"$email", []string{"email"}},
	{"$phone", []string{"phone"}},
	{"$username", []string{"username"}},
	{"$avatar", []string{"avatar"}},
	{"$first_name", []string{"firstName", "first_name", "firstname"}},
	{"$last_name", []string{"lastName", "last_name", "lastname"}},
	{"$name", []string{"name"}},
}

// specialOf is the place in specials of a trait, by its spelling.
var specialOf = func() map[string]int {
	all := map[string]int{}
	for i, special := range specials {
		all[adapter.Spelling(special.property)] = i
	}
	return all
}()

// personProperties returns what an identify says of a person: its traits in Mixpanel's names, and below them what its
// context says. derived are the operations of those properties that are made of others.
func (t *translator) personProperties(call *segment.Call) (properties map[string]any, derived map[string]operation) {
	properties, derived = profileContext(call.Context()), map[string]operation{}
	traits := adapter.PersonTraits(call)
	addPlace(properties, adapter.Field(call.Context(), "location"))
	address := map[string]any{}
	addPlace(address, traits["address"])
	for name, value := range address {
		properties[name], derived[name] = value, t.operationOf("address")
	}
	own := profileTraits(traits)
	for name, value := range own {
		properties[name] = value
		delete(derived, name)
	}
	if name := fullName(properties); name != "" && properties["$name"] == nil {
		properties["$name"], derived["$name"] = name, t.operationOfParts(properties, "$first_name", "$last_name")
	}
	return properties, derived
}

// operationOfParts returns how a property is set that is made of others: once, where one of them is, else as the first of them.
func (t *translator) operationOfParts(properties map[string]any, parts ...string) operation {
	first := operation("")
	for _, part := range parts {
		if properties[part] == nil {
			continue
		}
		o := t.operationOf(part)
		if o == setOnce {
			return setOnce
		}
		first = cmp.Or(first, o)
	}
	return cmp.Or(first, set)
}

// profileTraits gives traits the names that Mixpanel knows. Of one that is there under two spellings, the best with a value gets
// the name, and the others keep theirs.
func profileTraits(traits map[string]any) map[string]any {
	properties := make(map[string]any, len(traits)+1)
	copyRenaming(properties, traits, reservedOnProfiles, "trait_")
	var best [len(specials)]string
	for name := range traits {
		if i, is := specialOf[adapter.Spelling(name)]; is && (best[i] == "" || isBetter(traits, i, name, best[i])) {
			best[i] = name
		}
	}
	for i, name := range best {
		if property := specials[i].property; name != "" && name != property {
			delete(properties, name)
			properties[property] = traits[name]
		}
	}
	if created, ok := properties["$created"]; ok {
		properties["$created"] = profileTime(created)
	}
	return properties
}

// isBetter reports whether one spelling of a special trait is to be taken before another.
func isBetter(traits map[string]any, special int, name, other string) bool {
	if has, otherHas := traits[name] != nil, traits[other] != nil; has != otherHas {
		return has
	}
	return cmp.Or(cmp.Compare(rankOf(special, name), rankOf(special, other)), cmp.Compare(name, other)) < 0
}

// rankOf is the place of a spelling: Mixpanel's own name first, then those of specials in their order, then any other.
func rankOf(special int, name string) int {
	s := specials[special]
	if name == s.property {
		return -1
	}
	if i := slices.Index(s.traits, name); i >= 0 {
		return i
	}
	return len(s.traits)
}

// profileName returns the name that profileTraits gives a trait.
func profileName(trait string) string {
	if i, is := specialOf[adapter.Spelling(trait)]; is {
		return specials[i].property
	}
	return trait
}

func fullName(properties map[string]any) string {
	return strings.TrimSpace(adapter.Text(properties["$first_name"]) + " " + adapter.Text(properties["$last_name"]))
}

// addPlace reads an address or a location. Mixpanel knows countries by their two letters only.
func addPlace(into map[string]any, value any) {
	place, _ := value.(map[string]any)
	if city := adapter.Text(place["city"]); city != "" {
		into["$city"] = city
	}
	for _, field := range []string{"region", "state"} {
		if region := adapter.Text(place[field]); region != "" {
			into["$region"] = region
		}
	}
	if country := adapter.Text(place["country"]); len(country) == 2 {
		into["$country_code"] = strings.ToUpper(country)
	}
}

// profileTime writes a time as Mixpanel does. What is no time stays as it is.
func profileTime(value any) any {
	if t, ok := segment.TimeOf(value); ok {
		return t.Format(timeFormat)
	}
	return value
}

// operate notes the operation of traits that are not simply set.
func (t *translator) operate(traits []string, o operation) {
	for _, trait := range traits {
		t.operations[profileName(trait)] = o
	}
}

// profile updates the profile of the call's person, each property by its own operation: that of the settings, else of derived,
// else set. A null is added to no list.
func (t *translator) profile(s *sending, call *segment.Call, properties map[string]any, derived map[string]operation) {
	byOperation := map[operation]map[string]any{}
	for name, value := range properties {
		o, configured := t.operations[name]
		if !configured {
			o = cmp.Or(derived[name], set)
		}
		if o == union {
			value = listOf(value)
		}
		if value == nil && (o == union || o == appendTo) {
			continue
		}
		if byOperation[o] == nil {
			byOperation[o] = map[string]any{}
		}
		byOperation[o][name] = value
	}
	for _, o := range operations {
		t.update(s, call, o, byOperation[o])
	}
}

func (t *translator) operationOf(property string) operation {
	if o, ok := t.operations[property]; ok {
		return o
	}
	return set
}

// listOf makes a list of a value, without nulls: $union takes nothing else. It is nil where nothing is left.
func listOf(value any) any {
	switch value.(type) {
	case nil, []string:
		return value
	}
	list, ok := value.([]any)
	if !ok {
		return []any{value}
	}
	list = slices.DeleteFunc(slices.Clone(list), func(item any) bool { return item == nil })
	if len(list) == 0 {
		return nil
	}
	return list
}

// devices adds the call's device to those that get push messages. A person may have several, so the list only grows.
func (t *translator) devices(s *sending, call *segment.Call) {
	if token, list := deviceToken(call.Context()); token != "" && !t.guard.Blocks(token) {
		t.update(s, call, union, map[string]any{list: []string{token}})
	}
}

// update changes the profile of the call's person by one operation. A call that says it is inactive, such as a server's,
// leaves alone when the person was last seen.
func (t *translator) update(s *sending, call *segment.Call, o operation, values map[string]any) {
	who := t.personOf(call)
	if who.distinctID == "" || len(values) == 0 {
		return
	}
	update := map[string]any{
		"$token":       t.Token.Reveal(),
		"$distinct_id": who.distinctID,
		"$ip":          ipOf(call.Context()),
		"$time":        call.Timestamp.UnixMilli(),
		string(o):      values,
	}
	if call.Context()["active"] == false {
		update["$ignore_time"] = true
	}
	s.add(t.profiles, update)
}

// increments counts the event and adds up its properties. Only users are counted: a device's profile is not carried over when
// its user becomes known. Mixpanel has no key for a repeated update: after an answer that was lost, it counts twice.
func (t *translator) increments(s *sending, call *segment.Call, event string) {
	if !t.People || t.personOf(call).userID == "" {
		return
	}
	sums := map[string]any{}
	for name, value := range call.Properties {
		if number, ok := value.(json.Number); ok && t.added[name] {
			sums[name] = number
		}
	}
	if t.counted[event] {
		sums[event] = 1
	}
	t.update(s, call, add, sums)
	if t.counted[event] {
		t.update(s, call, set, map[string]any{"Last " + event: call.Timestamp.UTC().Format(timeFormat)})
	}
}

// revenue adds a transaction to the user's profile.
func (t *translator) revenue(s *sending, call *segment.Call) {
	if !t.People || t.personOf(call).userID == "" {
		return
	}
	amount, ok := adapter.Revenue(call.Event, call.Properties)
	if !ok {
		return
	}
	transaction := map[string]any{"$time": call.Timestamp.UTC().Format(timeFormat), "$amount": amount}
	t.update(s, call, appendTo, map[string]any{"$transactions": transaction})
}
