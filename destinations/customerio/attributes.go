package customerio

import (
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// The limits of the Track API in bytes (https://docs.customer.io/integrations/api/track). A text that is too long would be a reason to
// refuse the whole item.
const (
	maxAttributeName  = 150
	maxAttributeValue = 1000
	maxEventName      = 100
)

// reservedOnPeople are traits that would change who a person is, or how the call is read. The call's own ids count.
var reservedOnPeople = map[string]bool{
	"id": true, "cio_id": true, "_update": true, "_timestamp": true, "cio_relationships": true,
	"userId": true, "anonymousId": true, "anonymous_id": true,
}

var reservedOnObjects = map[string]bool{
	"object_type_id": true, "objectTypeId": true, "relationshipAttributes": true,
}

// personAttributes returns the attributes that an identify sets. An e-mail that is none would be a reason to refuse the whole
// call, and one beside an e-mail as the identifier would give the person another.
func (t *translator) personAttributes(traits map[string]any, who person) map[string]any {
	attributes := t.attributes(traits, reservedOnPeople)
	value, given := traits["email"]
	switch {
	case !given || t.Identifiers == IdentifyByID:
	case who.kind == "email":
		delete(attributes, "email")
	case t.emailOf(traits) != "":
		attributes["email"] = t.emailOf(traits)
	case value != nil && value != "":
		delete(attributes, "email")
	}
	return attributes
}

// attributes returns traits as Customer.io keeps them, without those that are reserved: what is too long is cut, and times are Unix
// seconds. The map is the caller's own.
func (t *translator) attributes(traits map[string]any, reserved map[string]bool) map[string]any {
	attributes := make(map[string]any, len(traits)+1)
	created := adapter.Trait(traits, "created_at")
	var long []string
	for name, value := range traits {
		switch {
		case reserved[name]:
		case name == created:
			attributes["created_at"] = seconds(value)
		case len(name) > maxAttributeName:
			long = append(long, name)
		case name != "created_at" || created == "":
			attributes[name] = t.attribute(value)
		}
	}
	slices.Sort(long)
	for _, name := range long {
		short := cutBytes(name, maxAttributeName)
		if _, taken := attributes[short]; !taken {
			attributes[short] = t.attribute(traits[name])
		}
	}
	return attributes
}

// attribute returns a value as an attribute has it.
func (t *translator) attribute(value any) any {
	if t.ConvertTimestamps {
		value = convert(value)
	}
	if text, ok := value.(string); ok {
		return cutBytes(text, maxAttributeValue)
	}
	return value
}

// seconds returns a time in Unix seconds. What is no time stays as it is.
func seconds(value any) any {
	if at, ok := segment.TimeOf(value); ok {
		return at.Unix()
	}
	if text, ok := value.(string); ok {
		return cutBytes(text, maxAttributeValue)
	}
	return value
}

// converted returns properties with their times in Unix seconds, where the settings say so.
func (t *translator) converted(properties map[string]any) map[string]any {
	if !t.ConvertTimestamps {
		return properties
	}
	return convertAll(properties)
}

// convertAll returns the same map where no value is a time.
func convertAll(values map[string]any) map[string]any {
	var changed map[string]any
	for name, value := range values {
		if !holdsTime(value) {
			continue
		}
		if changed == nil {
			changed = maps.Clone(values)
		}
		changed[name] = convert(value)
	}
	if changed == nil {
		return values
	}
	return changed
}

// convert makes Unix seconds of a time, and of the times in an object. Lists stay as they are.
func convert(value any) any {
	switch v := value.(type) {
	case string:
		if at, ok := timeIn(v); ok {
			return at.Unix()
		}
	case map[string]any:
		return convertAll(v)
	}
	return value
}

func holdsTime(value any) bool {
	switch v := value.(type) {
	case string:
		_, ok := timeIn(v)
		return ok
	case map[string]any:
		for _, inner := range v {
			if holdsTime(inner) {
				return true
			}
		}
	}
	return false
}

// timeIn reads a date with a time and a zone. A date alone is a birthday more often than a time.
func timeIn(text string) (at time.Time, ok bool) {
	if len(text) < len("2006-01-02T15:04:05Z") || len(text) > len("2006-01-02T15:04:05.000000000+00:00") || text[4] != '-' || text[10] != 'T' {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339, text)
	return at, err == nil
}

// cutBytes returns at most so many bytes of a text, and no part of a character.
func cutBytes(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}
