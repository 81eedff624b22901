package segment

import (
	"iter"
	"slices"
)

// Members yields the members of a JSON object in their order: the name, decoded, and the value as it stands. A name may come twice:
// the last one counts. It yields nothing of what is no object, and ends where something is no JSON.
func Members[T string | []byte](object T) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		d := newDecoder(nil)
		defer d.release()
		if d.text = string(object); d.peek() != '{' {
			return
		}
		d.enter('{')
		for first := true; d.more('}', first); first = false {
			name, value := d.name(), d.raw()
			if d.failed || !yield(name, value) {
				return
			}
		}
	}
}

// Items yields the items of a JSON array as Members yields the values of an object.
func Items(array string) iter.Seq[string] {
	return func(yield func(value string) bool) {
		d := newDecoder(nil)
		defer d.release()
		if d.text = array; d.peek() != '[' {
			return
		}
		d.enter('[')
		for first := true; d.more(']', first); first = false {
			if value := d.raw(); d.failed || !yield(value) {
				return
			}
		}
	}
}

// Text returns what a JSON string says; ok is false for any other value.
func Text(value string) (text string, ok bool) {
	d := newDecoder(nil)
	defer d.release()
	if d.text = value; d.peek() != '"' {
		return "", false
	}
	text = d.string()
	d.end()
	return text, !d.failed
}

// Names are those of one destination in a call's `integrations`.
type Names struct {
	List []string
	// Lenient forgives case and spaces.
	Lenient bool
}

// Has reports whether a name is one of them.
func (n Names) Has(name string) bool {
	return slices.Contains(n.List, name) || n.Lenient && slices.ContainsFunc(n.List, func(own string) bool { return nearly(name, own) })
}
