package mixpanel

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

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
var specials = []struct {
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

// personProperties returns what an identify says of a person: its traits in Mixpanel's names, and below them what its
// context says.
func personProperties(call *segment.Call) map[string]any {
	properties := profileContext(call.Context())
	traits := adapter.PersonTraits(call)
	addPlace(properties, adapter.Field(call.Context(), "location"))
	addPlace(properties, traits["address"])
	maps.Copy(properties, profileTraits(traits))
	if name := fullName(properties); name != "" && properties["$name"] == nil {
		properties["$name"] = name
	}
	return properties
}

// profileTraits gives traits the names that Mixpanel knows. One that is there under two spellings keeps the second.
func profileTraits(traits map[string]any) map[string]any {
	properties := make(map[string]any, len(traits)+1)
	copyRenaming(properties, traits, reservedOnProfiles, "trait_")
	for _, special := range specials {
		if _, given := traits[special.property]; given {
			continue
		}
		for _, trait := range special.traits {
			if value, ok := traits[trait]; ok {
				delete(properties, trait)
				properties[special.property] = value
				break
			}
		}
	}
	if created, ok := properties["$created"]; ok {
		properties["$created"] = profileTime(created)
	}
	return properties
}

// profileName returns the name that profileTraits gives a trait.
func profileName(trait string) string {
	for _, special := range specials {
		if slices.Contains(special.traits, trait) {
			return special.property
		}
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

// secondsEnd is where numbers are no Unix seconds any more, but milliseconds: seconds get there in the year 5138.
const secondsEnd = 100_000_000_000

// profileTime writes a time as Mixpanel does. What is no time stays as it is.
func profileTime(value any) any {
	switch v := value.(type) {
	case string:
		for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
			if parsed, err := time.Parse(layout, strings.TrimSpace(v)); err == nil {
				return parsed.UTC().Format(timeFormat)
			}
		}
	case json.Number:
		unix, err := v.Int64()
		switch {
		case err != nil || unix < 0:
		case unix < secondsEnd:
			return time.Unix(unix, 0).UTC().Format(timeFormat)
		case unix < 1000*secondsEnd:
			return time.UnixMilli(unix).UTC().Format(timeFormat)
		}
	}
	return value
}

// operate notes the operation of traits that are not simply set.
func (t *translator) operate(traits []string, o operation) {
	for _, trait := range traits {
		t.operations[profileName(trait)] = o
	}
}

// profile updates the profile of the call's person, each property by its own operation.
func (t *translator) profile(s *sending, call *segment.Call, properties map[string]any) {
	byOperation := map[operation]map[string]any{}
	for name, value := range properties {
		o := t.operationOf(name)
		if o == union {
			value = listOf(value)
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

// listOf makes a list of a single value: $union takes nothing else.
func listOf(value any) any {
	switch value.(type) {
	case []any, []string:
		return value
	}
	return []any{value}
}

// devices adds the call's device to those that get push messages. A person may have several, so the list only grows.
func (t *translator) devices(s *sending, call *segment.Call) {
	if token, list := deviceToken(call.Context()); token != "" {
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
	amount, ok := amountOf(call.Properties["revenue"])
	if !ok && call.Event == "Order Completed" {
		amount, ok = amountOf(call.Properties["total"])
	}
	if !ok {
		return
	}
	transaction := map[string]any{"$time": call.Timestamp.UTC().Format(timeFormat), "$amount": amount}
	t.update(s, call, appendTo, map[string]any{"$transactions": transaction})
}

var plainAmount = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)

// amountOf reads a sum of money: a number, or a text such as "$19.99".
func amountOf(value any) (json.Number, bool) {
	if number, ok := value.(json.Number); ok {
		return number, true
	}
	text := strings.TrimPrefix(adapter.Text(value), "$")
	return json.Number(text), plainAmount.MatchString(text)
}
