package ingress

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

// maxQueryFields is how many fields a call in the query may have.
const maxQueryFields = 256

var refusedPixel = &refusal{fasthttp.StatusBadRequest, "invalid_pixel",
	fmt.Sprintf("query: expected data as base64 of JSON, or at most %d fields, nested no deeper than a call may be", maxQueryFields)}

var (
	contentTypeGIF = []byte("image/gif")
	// transparent is a GIF of 1 by 1 pixels.
	transparent = []byte("GIF89a" + "\x01\x00\x01\x00\x80\x00\x00" + // its size, and that two colours follow
		"\x00\x00\x00\xff\xff\xff" +
		"\x21\xf9\x04\x01\x00\x00\x00\x00" + // the first one is transparent
		"\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00" +
		"\x02\x02\x44\x01\x00" + "\x3b")
)

// pixel takes a call from where there are only images, such as a mail. It always answers with one: no client reads anything
// else. What is refused is counted like any other call. Of the image's reader nothing is made up: userAgent and the page are
// those that the call names, as neither Segment nor RudderStack documents that they come from the headers.
func (s *Server) pixel(ctx *fasthttp.RequestCtx, e endpoint) {
	if ctx.IsGet() {
		w := s.begin()
		defer w.end()
		s.ingest(ctx, e, w)
	}
	cacheFor(ctx, cacheNothing)
	embeddable(ctx)
	ctx.SetContentTypeBytes(contentTypeGIF)
	ctx.SetBody(transparent)
}

// callInQuery returns the call that the query is, as JSON.
func callInQuery(query *fasthttp.Args, depth int) ([]byte, *refusal) {
	if data := query.Peek("data"); len(data) > 0 {
		return callInData(data)
	}
	if query.Len() > maxQueryFields {
		return nil, refusedPixel
	}
	call := queryObject{}
	for name, value := range query.All() {
		if bytes.Count(name, []byte{'.'}) >= depth {
			return nil, refusedPixel
		}
		if string(name) != queryWriteKey {
			call.set(string(name), value)
		}
	}
	return call.appendTo(nil), nil
}

// callInData decodes base64 in either alphabet, padded or not, or takes JSON as it is.
func callInData(data []byte) ([]byte, *refusal) {
	if data[0] == '{' {
		return data, nil
	}
	data = bytes.TrimRight(bytes.Map(standardBase64, data), "=")
	call, err := base64.RawStdEncoding.AppendDecode(nil, data)
	if err != nil {
		return nil, refusedPixel
	}
	return call, nil
}

// standardBase64 turns the characters of the alphabet for URLs into the standard one's. A + is read as a space in a query.
func standardBase64(r rune) rune {
	switch r {
	case '-', ' ':
		return '+'
	case '_':
		return '/'
	}
	return r
}

// queryObject is a JSON object whose values are objects, or texts as []byte.
type queryObject map[string]any

// set sets the member that the dots in the name lead to. Of two that are in each other's way the last one counts.
func (o queryObject) set(name string, value []byte) {
	for {
		first, rest, isNested := strings.Cut(name, ".")
		if !isNested {
			o[first] = value
			return
		}
		inner, isObject := o[first].(queryObject)
		if !isObject {
			inner = queryObject{}
			o[first] = inner
		}
		o, name = inner, rest
	}
}

func (o queryObject) appendTo(dst []byte) []byte {
	separator := byte('{')
	for _, name := range slices.Sorted(maps.Keys(o)) {
		dst = append(dst, separator)
		dst = append(appendText(dst, []byte(name)), ':')
		switch value := o[name].(type) {
		case queryObject:
			dst = value.appendTo(dst)
		case []byte:
			dst = appendText(dst, value)
		}
		separator = ','
	}
	if separator == '{' {
		dst = append(dst, separator)
	}
	return append(dst, '}')
}

// appendText appends a JSON string. Bytes that are not UTF-8 stay: the parser judges them, and repairs no id.
func appendText(dst, text []byte) []byte {
	dst = append(dst, '"')
	for _, c := range text {
		switch {
		case c < ' ':
			dst = fmt.Appendf(dst, `\u%04x`, c)
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
