package adapter

import (
	"encoding/json"
	"maps"
	"strings"

	"github.com/google/uuid"

	"aka/router/segment"
)

// Field returns the value at the path of keys below an object, or nil when there is none.
func Field(object map[string]any, path ...string) any {
	var value any = object
	for _, key := range path {
		inner, _ := value.(map[string]any)
		value = inner[key]
	}
	return value
}

// Text returns a string without its surrounding space, or a number's digits; "" for anything else.
func Text(value any) string {
	switch v := value.(type) {
	case string:
		return strings.TrimSpace(v)
	case json.Number:
		return v.String()
	}
	return ""
}

// PersonTraits returns what an identify says of its person: its traits, and below them those of context.traits, where
// RudderStack's SDKs put all of them. A trait of the call hides the same trait of the context, however each is spelled, and a
// null says nothing where a spelling of its trait has a value. The map is the caller's own; the values in it are the call's.
func PersonTraits(call *segment.Call) map[string]any {
	traits := maps.Clone(call.Traits)
	if traits == nil {
		traits = map[string]any{}
	}
	inner, _ := call.Context()["traits"].(map[string]any)
	if len(inner) == 0 && !hasNull(traits) {
		return traits
	}
	said := map[string]bool{} // by the call or the context
	note := func(object map[string]any) {
		for name, value := range object {
			if value != nil {
				said[Spelling(name)] = true
			}
		}
	}
	note(traits)
	for name, value := range inner {
		if !said[Spelling(name)] && (value != nil || traits[name] == nil) {
			traits[name] = value
		}
	}
	note(inner)
	maps.DeleteFunc(traits, func(name string, value any) bool { return value == nil && said[Spelling(name)] })
	return traits
}

func hasNull(object map[string]any) bool {
	for _, value := range object {
		if value == nil {
			return true
		}
	}
	return false
}

// Spelling returns what is the same for all spellings of a trait's name: first_name, firstName and $first_name are one trait, and
// so are created and createdAt.
func Spelling(name string) string {
	name = strings.ToLower(strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ' ' || r == '$' {
			return -1
		}
		return r
	}, name))
	if name == "created" {
		return "createdat"
	}
	return name
}

// Trait returns the key of a trait with a value, however it is spelled: the name itself where that has one. It returns "" when
// there is none.
func Trait(traits map[string]any, name string) string {
	if traits[name] != nil {
		return name
	}
	found, spelling := "", Spelling(name)
	for key, value := range traits {
		if value != nil && Spelling(key) == spelling && (found == "" || key < found) {
			found = key
		}
	}
	return found
}

// IsOwnDevice reports whether an id is the call's own anonymousId, the device's. Of two UUIDs the case does not matter.
func IsOwnDevice(call *segment.Call, id string) bool { return IsSameDevice(call.AnonymousID, id) }

// IsSameDevice reports whether two ids are the same device's. Of two UUIDs the case does not matter. "" is no device's.
func IsSameDevice(one, other string) bool {
	if one == "" || !strings.EqualFold(one, other) {
		return false
	}
	return one == other || uuid.Validate(one) == nil && uuid.Validate(other) == nil
}

// Cut returns at most so many characters of a text.
func Cut(text string, characters int) string {
	if len(text) <= characters {
		return text
	}
	for i := range text {
		if characters == 0 {
			return text[:i]
		}
		characters--
	}
	return text
}
