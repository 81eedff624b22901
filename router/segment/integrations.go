package segment

import "slices"

// Decision is what a call's `integrations` say about one destination.
type Decision struct {
	// Enabled reports whether the destination gets the call.
	Enabled bool
	// Options are those given for the destination: nil when it was only switched, empty for an array.
	Options map[string]any
	// Diagnostics are codes for values that are no switch and for names that almost match.
	Diagnostics []string
}

// Route reads a message's Routing for the destination with these names. Case and spaces count unless lenient.
//
// A boolean switches; an object or an array switches on; anything else is as if absent. Where two of the names disagree,
// false wins. Without any of the names All counts, and without All the destination gets the call. Routing that is not a
// JSON object is as if absent.
func Route(routing []byte, names []string, lenient bool) Decision {
	if len(routing) == 0 {
		return Decision{Enabled: true}
	}
	d := newDecoder(routing)
	defer d.release()
	own := newSwitch(names, lenient)
	all := newSwitch(allNames, lenient)
	d.enter('{')
	for first := true; d.more('}', first); first = false {
		name, value := d.name(), d.raw()
		own.read(name, value)
		all.read(name, value)
	}
	if d.end(); d.failed {
		return Decision{Enabled: true, Diagnostics: []string{diagnosticInvalidIntegrations}}
	}
	own.settle()
	all.settle()
	decision := Decision{Diagnostics: own.diagnostics}
	for _, code := range all.diagnostics {
		decision.Diagnostics = addOnce(decision.Diagnostics, code)
	}
	switch {
	case own.off:
	case own.on:
		decision.Enabled, decision.Options = true, own.options
	default:
		decision.Enabled = !all.off
	}
	return decision
}

// allNames switch every destination that is not named itself.
var allNames = []string{"All", "all"}

// nameSwitch gathers what is said under one destination's names.
type nameSwitch struct {
	names       []string
	lenient     bool
	few         [fewNames]string // the last value under each name, as JSON
	many        []string         // the same, where there are more names
	on, off     bool
	options     map[string]any
	diagnostics []string
}

// fewNames is how many names a destination usually has.
const fewNames = 6

func newSwitch(names []string, lenient bool) nameSwitch {
	s := nameSwitch{names: names, lenient: lenient}
	if len(names) > fewNames {
		s.many = make([]string, len(names))
	}
	return s
}

func (s *nameSwitch) values() []string {
	if s.many != nil {
		return s.many
	}
	return s.few[:len(s.names)]
}

// read notes a member of the integrations object.
func (s *nameSwitch) read(name, value string) {
	near := false
	for i, own := range s.names {
		if name == own {
			s.values()[i] = value
			return
		}
		near = near || nearly(name, own)
	}
	if !near {
		return
	}
	s.diagnostics = addOnce(s.diagnostics, diagnosticNearMiss)
	if s.lenient {
		s.apply(value)
	}
}

// settle applies what was noted. The first name's options win, so it is applied last.
func (s *nameSwitch) settle() {
	for _, value := range slices.Backward(s.values()) {
		s.apply(value)
	}
}

func (s *nameSwitch) apply(value string) {
	if value == "" {
		return
	}
	switch value[0] {
	case 't':
		s.on = true
	case 'f':
		s.off = true
	case '{':
		s.on, s.options = true, object([]byte(value))
	case '[':
		s.on = true
		if s.options == nil {
			s.options = map[string]any{}
		}
	default:
		s.diagnostics = addOnce(s.diagnostics, diagnosticNotASwitch)
	}
}

// nearly reports whether two names are the same but for ASCII case and spaces.
func nearly(a, b string) bool {
	i, j := 0, 0
	for {
		for i < len(a) && a[i] == ' ' {
			i++
		}
		for j < len(b) && b[j] == ' ' {
			j++
		}
		if i == len(a) || j == len(b) {
			return i == len(a) && j == len(b)
		}
		if lower(a[i]) != lower(b[j]) {
			return false
		}
		i++
		j++
	}
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func addOnce(list []string, word string) []string {
	if slices.Contains(list, word) {
		return list
	}
	return append(list, word)
}
