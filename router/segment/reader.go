package segment

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// SDKs do send duplicate names and invalid UTF-8: the last name wins, and a bad byte is read as U+FFFD, though never in an
// id.
var readerOptions = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

var (
	errUnexpected = errors.New("unexpected JSON")
	errFollowed   = errors.New("something follows the JSON")
)

// reader reads one piece of JSON. Its first error stays, and ends every loop.
type reader struct {
	decoder jsontext.Decoder
	buffer  bytes.Buffer
	source  []byte
	err     error

	calls  []rawCall // of the batch that was read
	hasAll bool      // whether they are all that are in it
}

var readers = sync.Pool{New: func() any { return new(reader) }}

// keptSource is the largest source that a reader may keep until its next one.
const keptSource = 2 << 10

// newReader takes a reader from the pool; release gives it back.
func newReader(source []byte) *reader {
	r := readers.Get().(*reader)
	r.reset(source)
	return r
}

func (r *reader) release() {
	if len(r.source) > keptSource {
		r.reset(nil)
	}
	r.dropCalls()
	readers.Put(r)
}

func (r *reader) reset(source []byte) {
	r.source, r.err = source, nil
	r.buffer = *bytes.NewBuffer(source)
	r.decoder.Reset(&r.buffer, readerOptions...)
}

// offset is the position in the source after what was read last.
func (r *reader) offset() int { return int(r.decoder.InputOffset()) }

// peek returns the kind of what comes next, without reading it.
func (r *reader) peek() jsontext.Kind {
	if r.err != nil {
		return jsontext.KindInvalid
	}
	return r.decoder.PeekKind()
}

// value reads the next value. It is a part of the source.
func (r *reader) value() jsontext.Value {
	if r.err != nil {
		return nil
	}
	value, err := r.decoder.ReadValue()
	if err != nil {
		r.err = err
		return nil
	}
	end := r.offset()
	return r.source[end-len(value) : end : end]
}

// token reads the next token, which must be of the kind.
func (r *reader) token(kind jsontext.Kind) {
	if r.err != nil {
		return
	}
	token, err := r.decoder.ReadToken()
	if err == nil && token.Kind() != kind {
		err = errUnexpected
	}
	r.err = err
}

// member reads the next member of an object. The name is unescaped.
func (r *reader) member() (name []byte, value jsontext.Value) {
	return unquote(r.value()), r.value()
}

// more reports whether an object or array goes on.
func (r *reader) more(end jsontext.Kind) bool {
	kind := r.peek()
	return r.err == nil && kind != end && kind != jsontext.KindInvalid
}

// end makes it an error when anything is left.
func (r *reader) end() {
	if r.err != nil {
		return
	}
	if len(r.rest()) > 0 {
		r.err = errFollowed
	}
}

// rest is what stands after what was read last, without the spaces before it.
func (r *reader) rest() []byte { return bytes.TrimLeft(r.source[r.offset():], " \t\r\n") }

// invalid says where the source is no JSON. The bytes are counted from 0, and a byte order mark is not counted.
func (r *reader) invalid() *Error {
	syntax := &jsontext.SyntacticError{ByteOffset: int64(r.offset())}
	switch {
	case len(bytes.TrimSpace(r.source)) == 0:
		return errInvalidJSON("empty")
	case r.err == errFollowed:
		return errInvalidJSON(fmt.Sprintf("something follows the JSON at byte %d", len(r.source)-len(r.rest())))
	}
	// An error of any other kind leaves the position after what was read last.
	errors.As(r.err, &syntax)
	return errInvalidJSON(fmt.Sprintf("not JSON at byte %d", syntax.ByteOffset))
}

// unquote returns what a JSON string says, as a part of raw where it can be; nil for anything but a string.
func unquote(raw jsontext.Value) []byte {
	text, _ := unquoteExactly(raw)
	return text
}

// unquoteExactly is unquote that reports whether the string could say it: bytes that are no UTF-8, and halves of surrogate
// pairs, are replaced.
func unquoteExactly(raw jsontext.Value) (text []byte, exact bool) {
	if raw.Kind() != jsontext.KindString {
		return nil, true
	}
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return inner, true
	}
	// The error only says that something was replaced.
	text, err := jsontext.AppendUnquote(make([]byte, 0, len(inner)), raw)
	return text, err == nil
}

// text returns what a JSON string says; "" for anything but a string.
func text(raw jsontext.Value) string { return string(unquote(raw)) }

// tooDeep reports whether JSON nests deeper than limit.
func tooDeep(raw []byte, limit int) bool {
	// Most calls have fewer brackets than levels are allowed, and counting them is much faster than following them.
	if bytes.Count(raw, []byte{'{'})+bytes.Count(raw, []byte{'['}) <= limit {
		return false
	}
	depth, inString := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
