package segment

import "bytes"

// notNumbers are what careless encoders, Python's among them, write for numbers that JSON does not have.
var notNumbers = [][]byte{[]byte("NaN"), []byte("Infinity"), []byte("-Infinity")}

// repair rewrites a body that is not JSON for a reason that costs little. A bare NaN, Infinity or -Infinity becomes null. Between
// the items of an array, NULs become spaces, and a hole becomes null; a comma at the end is left out, and one that is missing
// between two objects is put there: some phones write such batches when they are stopped meanwhile. Strings stay as they are.
// codes are those of the warnings, none where nothing was found.
func repair(source []byte) (repaired []byte, codes []string) {
	r := repairer{source: source, out: make([]byte, 0, len(source)+len(source)/8)}
	for r.at < len(source) {
		r.next()
	}
	if r.numbers {
		codes = append(codes, warningNotANumber)
	}
	if r.holes {
		codes = append(codes, warningDamagedBody)
	}
	return r.out, codes
}

// repairer goes over a body once.
type repairer struct {
	source, out    []byte
	at             int
	open           []byte // the brackets that are open
	last           byte   // what stands before, without spaces: a bracket, a comma, a colon, a quote, or 0 for anything else
	comma          int    // where the last comma stands in out
	filled         bool   // that comma ends a hole
	numbers, holes bool
}

// next takes over the source's next byte, string or word.
func (r *repairer) next() {
	c := r.source[r.at]
	switch c {
	case ' ', '\t', '\r', '\n':
		r.copy(1)
		return
	case 0:
		if r.inArray() {
			r.put(" ")
			return
		}
		r.copy(1)
	case '"':
		r.copy(stringLength(r.source[r.at:]))
	case ',':
		if r.inArray() && (r.last == ',' || r.last == '[') {
			r.hole()
			break
		}
		r.filled, r.comma = false, len(r.out)
		r.copy(1)
	case '[', '{':
		if c == '{' && r.last == '}' && r.inArray() {
			r.out, r.holes = append(r.out, ','), true
		}
		r.open = append(r.open, c)
		r.copy(1)
	case ']', '}':
		if r.last == ',' && r.inArray() {
			r.out[r.comma], r.holes = ' ', true
		}
		r.open = r.open[:max(len(r.open)-1, 0)]
		r.copy(1)
	case ':':
		r.copy(1)
	default:
		r.word()
		c = 0
	}
	r.last = c
}

// word takes over a byte that belongs to a word or number, or the whole of what is no number.
func (r *repairer) word() {
	for _, word := range notNumbers {
		if bytes.HasPrefix(r.source[r.at:], word) {
			r.out, r.numbers = append(r.out, "null"...), true
			r.at += len(word)
			return
		}
	}
	r.copy(1)
}

// hole takes over a comma that has nothing before it. A null stands there then. Several in a row are one hole.
func (r *repairer) hole() {
	if r.filled && r.last == ',' {
		r.put(" ")
		return
	}
	r.out, r.holes, r.filled = append(r.out, "null"...), true, true
	r.comma = len(r.out)
	r.copy(1)
}

func (r *repairer) inArray() bool { return len(r.open) > 0 && r.open[len(r.open)-1] == '[' }

func (r *repairer) copy(n int) {
	r.out = append(r.out, r.source[r.at:r.at+n]...)
	r.at += n
}

// put puts a text into the place of a byte.
func (r *repairer) put(text string) {
	r.out, r.holes = append(r.out, text...), true
	r.at++
}

// stringLength returns how long a string is with its quotes, or all that is left where it does not end.
func stringLength(source []byte) int {
	for i := 1; i < len(source); i++ {
		switch source[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(source)
}
