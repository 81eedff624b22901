package adapter

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Object is a JSON object whose members stand in the order in which they are given.
type Object []Member

// Member is a member of an Object. Its value is what Encode takes.
type Member struct {
	Name  string
	Value any
}

// With returns the object with one more member, as append does.
func (o Object) With(name string, value any) Object { return append(o, Member{name, value}) }

// Encode returns a value as JSON, as json.Marshal does but faster: a map's members stand in the order of their names, so that
// equal values give equal bytes. It takes what a call holds, Objects too; whatever else it meets is left to json.Marshal.
func Encode(value any) ([]byte, error) {
	buffer := encoded.Get().(*[]byte)
	defer encoded.Put(buffer)
	out, err := appendValue((*buffer)[:0], value)
	if cap(out) <= maxKept {
		*buffer = out
	}
	if err != nil {
		return nil, err
	}
	return slices.Clone(out), nil
}

// maxKept is how large a buffer is used again.
const maxKept = 64 << 10

var encoded = sync.Pool{New: func() any { return new([]byte) }}

func appendValue(dst []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case nil:
		return append(dst, "null"...), nil
	case string:
		return appendString(dst, v), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case json.Number:
		if isNumber(string(v)) {
			return append(dst, v...), nil
		}
	case int:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	case Object:
		return appendObject(dst, v)
	case map[string]any:
		return appendMap(dst, v)
	case []any:
		return appendArray(dst, v)
	}
	other, err := json.Marshal(value)
	return append(dst, other...), err
}

func appendObject(dst []byte, object Object) (_ []byte, err error) {
	dst = append(dst, '{')
	for i, m := range object {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendMember(dst, m.Name, m.Value); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

func appendMap(dst []byte, object map[string]any) (_ []byte, err error) {
	if object == nil {
		return append(dst, "null"...), nil
	}
	var few [24]string
	names := few[:0]
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names)
	dst = append(dst, '{')
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendMember(dst, name, object[name]); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

func appendMember(dst []byte, name string, value any) ([]byte, error) {
	dst = append(appendString(dst, name), ':')
	return appendValue(dst, value)
}

func appendArray(dst []byte, array []any) (_ []byte, err error) {
	if array == nil {
		return append(dst, "null"...), nil
	}
	dst = append(dst, '[')
	for i, item := range array {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendValue(dst, item); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

// appendString leaves what is to be escaped, and whatever is not ASCII, to json.Marshal.
func appendString(dst []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(text) // a string always can be
			return append(dst, quoted...)
		}
	}
	dst = append(append(dst, '"'), text...)
	return append(dst, '"')
}

// isNumber reports whether JSON has such a number.
func isNumber(text string) bool {
	text = strings.TrimPrefix(text, "-")
	whole := digits(text)
	if whole == 0 || whole > 1 && text[0] == '0' {
		return false
	}
	text = text[whole:]
	if fraction, ok := strings.CutPrefix(text, "."); ok {
		if digits(fraction) == 0 {
			return false
		}
		text = fraction[digits(fraction):]
	}
	if text == "" {
		return true
	}
	exponent := strings.TrimLeft(text[1:], "+-")
	return (text[0] == 'e' || text[0] == 'E') && len(text)-len(exponent) <= 2 && exponent != "" && digits(exponent) == len(exponent)
}

// digits counts the digits that a text begins with.
func digits(text string) (n int) {
	for n < len(text) && text[n] >= '0' && text[n] <= '9' {
		n++
	}
	return n
}

// AppendEscaped appends a text as url.QueryEscape writes it.
func AppendEscaped[T string | []byte](dst []byte, text T) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(text) {
		switch c := text[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.', c == '~':
			dst = append(dst, c)
		case c == ' ':
			dst = append(dst, '+')
		default:
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}
