package adapter

import (
	"encoding/json"
	"maps"
	"strings"

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
// RudderStack's SDKs put all of them. The map is the caller's own; the values in it are the call's.
func PersonTraits(call *segment.Call) map[string]any {
	traits := map[string]any{}
	if inner, ok := call.Context()["traits"].(map[string]any); ok {
		maps.Copy(traits, inner)
	}
	maps.Copy(traits, call.Traits)
	return traits
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
