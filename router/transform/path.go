package transform

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"aka/router/spelling"
)

// path leads to a member of a call: the names of members, from the top.
type path []string

// roots are the members of a call that a transform edits.
var roots = []string{"properties", "traits", "context", "event", "name", "category"}

// fixed are the members that no transform edits, and why.
var fixed = whys{
	"the order of calls, the memory of merges and the journal go by the ids and the type of a call": {
		"userId", "anonymousId", "previousId", "groupId", "type", "messageId", "from", "to", "action",
	},
	"the order of calls and the journal go by it":           {"timestamp", "originalTimestamp", "sentAt", "receivedAt"},
	"it has decided already where the call goes":            {"integrations", "_metadata", "writeKey"},
	"a forwarded call notes there which akas it has passed": {"context.aka"},
}

// whys are paths by why they are fixed.
type whys map[string][]string

// of returns why a path is fixed, or "".
func (w whys) of(p path) string {
	for why, texts := range w {
		for _, text := range texts {
			if p.isBelow(strings.Split(text, ".")) {
				return why
			}
		}
	}
	return ""
}

var (
	pathForm = regexp.MustCompile(`^[^.\[\]"?*]+(?:\.[^.\[\]"?*]+|\["[^"]+"\])*$`)
	pathName = regexp.MustCompile(`\["([^"]+)"\]|[^.\[\]"]+`)
)

// parsePath reads a path such as properties.card or properties["a.b"].c. The error says what is wrong with it.
func parsePath(text string) (p path, err error) {
	if !pathForm.MatchString(text) {
		return nil, fmt.Errorf(`expected a path such as properties.card or properties["a.b"], not %q`, text)
	}
	for _, name := range pathName.FindAllStringSubmatch(text, -1) {
		if name[1] == "" && strings.TrimSpace(name[0]) != name[0] {
			return nil, fmt.Errorf("expected no space around a name, as in %q", text)
		}
		p = append(p, cmp.Or(name[1], name[0]))
	}
	if why := fixed.of(p); why != "" {
		return nil, fmt.Errorf("%s cannot be edited: %s", p, why)
	}
	switch {
	case !slices.Contains(roots, p[0]):
		return nil, fmt.Errorf("expected a path below properties, traits or context, or event, name or category, not %q%s", text, spelling.Hint(p[0], roots))
	case len(p) > 1 && !p.isObject():
		return nil, fmt.Errorf("%s is a text: it has no members", p[0])
	}
	return p, nil
}

// isObject reports whether the path begins with an object of the call.
func (p path) isObject() bool { return p[0] == "properties" || p[0] == "traits" || p[0] == "context" }

// isBelow reports whether the path is another one, or leads on from it.
func (p path) isBelow(other path) bool {
	return len(p) >= len(other) && slices.Equal(p[:len(other)], other)
}

// String returns the path as a config writes it.
func (p path) String() string {
	text := p[0]
	for _, name := range p[1:] {
		if strings.ContainsAny(name, ".[") {
			text += `["` + name + `"]`
		} else {
			text += "." + name
		}
	}
	return text
}

// inContext returns where the same trait of an identify may stand too. ok is false for what is no trait.
func (p path) inContext() (other path, ok bool) {
	if p[0] != "traits" {
		return nil, false
	}
	return append(path{"context"}, p...), true
}

// eachParent calls do with each object that has, or may have, the member that a path leads to. A list on the way means each of its
// items. Where something else is on the way, there is no such object.
func (p path) eachParent(value any, do func(parent map[string]any, name string)) {
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			p.eachParent(item, do)
		}
	case map[string]any:
		if len(p) == 1 {
			do(v, p[0])
			return
		}
		if inner, has := v[p[0]]; has {
			p[1:].eachParent(inner, do)
		}
	}
}
