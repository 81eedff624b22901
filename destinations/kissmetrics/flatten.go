package kissmetrics

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// Kissmetrics' limits in characters (https://support.kissmetrics.io/docs/technical-notes-on-events-and-properties).
const (
	maxName  = 255
	maxValue = 512
)

// maxFlat bounds, in bytes, what the properties of one call may become: nested names repeat in each name below them.
const maxFlat = 1 << 20

// flattener writes the properties of one call as parameters, which are text: nested names are joined by dots, values of
// arrays by commas, dates become Unix seconds, and null is left out.
type flattener struct {
	left    int // bytes that may still be written; below zero it was too much
	written int // properties
}

func newFlattener() *flattener { return &flattener{left: maxFlat} }

// outcome sends the requests, unless their properties were too large.
func (f *flattener) outcome(requests []adapter.Request) adapter.Outcome {
	if f.left < 0 {
		return adapter.Reject(errors.New("properties: more than 1 MiB once flattened"))
	}
	return adapter.Send(requests...)
}

// object writes every property of an object, its name led by prefix. Where two come to the same name, the first is kept.
func (f *flattener) object(into parameters, prefix string, object map[string]any) {
	for _, key := range keysOf(object) {
		if bare := bareKey(key); bare != "" {
			f.value(into, adapter.Cut(prefix+bare, maxName), object[key])
		}
	}
}

// event writes the properties of an event. The one that the revenue reports read keeps its name, whatever its case: names have
// none at Kissmetrics.
func (f *flattener) event(into parameters, prefix string, properties map[string]any) {
	for _, key := range keysOf(properties) {
		if strings.EqualFold(strings.TrimSpace(bareKey(key)), billingAmount) {
			f.value(into, billingAmount, properties[key])
			properties = maps.Clone(properties)
			delete(properties, key)
		}
	}
	f.object(into, prefix, properties)
}

func (f *flattener) value(into parameters, name string, value any) {
	switch v := value.(type) {
	case nil:
	case map[string]any:
		f.object(into, name+".", v)
	case []any:
		f.known(into, name, joined(v))
	default:
		f.set(into, name, scalar(v))
	}
}

// known writes one property unless it is empty.
func (f *flattener) known(into parameters, name, text string) {
	if text != "" {
		f.set(into, name, text)
	}
}

func (f *flattener) set(into parameters, name, text string) {
	if _, taken := into[name]; taken {
		return
	}
	text = adapter.Cut(text, maxValue)
	if f.left -= len(name) + len(text); f.left >= 0 {
		into[name] = text
		f.written++
	}
}

// joined returns the values of an array with commas between them. An object in an array is shown as JSON: there is no name
// for its properties.
func joined(array []any) string {
	var out strings.Builder
	for _, item := range array {
		if out.Len() > utf8.UTFMax*maxValue {
			break
		}
		text := element(item)
		if text != "" && out.Len() > 0 {
			out.WriteByte(',')
		}
		out.WriteString(text)
	}
	return out.String()
}

func element(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case []any:
		return joined(v)
	case map[string]any:
		// Marshal cannot fail on what was read from JSON.
		encoded, _ := json.Marshal(v)
		return string(encoded)
	}
	return scalar(value)
}

func scalar(value any) string {
	switch v := value.(type) {
	case string:
		return unixSeconds(v)
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return v.String()
	}
	return fmt.Sprint(value)
}

// unixSeconds returns a date as Unix seconds, and any other text as it is. Without a zone a time is UTC.
func unixSeconds(text string) string {
	if date, ok := segment.ParseTime(text); ok {
		return strconv.FormatInt(date.Unix(), 10)
	}
	return text
}

// keysOf returns an object's keys in order. Those that lose underscores come last, so that a key that was sent without any
// keeps its name.
func keysOf(object map[string]any) []string {
	lead := func(key string) int { return len(key) - len(bareKey(key)) }
	return slices.SortedFunc(maps.Keys(object), func(a, b string) int {
		return cmp.Or(cmp.Compare(lead(a), lead(b)), cmp.Compare(a, b))
	})
}

// bareKey returns the key without its leading underscores: _k, _p, _n, _t and _d are Kissmetrics' own. What does not show
// goes too, in case Kissmetrics trims names before it looks at them.
func bareKey(key string) string {
	if key != "" && key[0] > ' ' && key[0] < 0x7f && key[0] != '_' {
		return key // as nearly all are
	}
	return strings.TrimLeftFunc(key, func(r rune) bool { return r == '_' || unicode.IsSpace(r) || !unicode.IsPrint(r) })
}
