package segment

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// maxStampedID bounds the ids in a stamp. It is above every limit on ids.
const maxStampedID = 1 << 10

// The time in a stamp is from the first of these years on, and before the second.
var (
	firstStamp = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	endOfStamp = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
)

// stamp is a call's context.aka: what aka.js saw in the page when the code called the SDK. The SDK itself may send other ids, and
// at another time. What is not there, or is not valid, is absent.
type stamp struct {
	to, from  []byte
	anonymous bool  // from is the visitor's anonymous id, because the code named none
	micros    int64 // the page's clock, in microseconds since 1970; 0 is absent
}

// stamp reads the call's stamp. Only pages write one: what a server says in its place does not count.
func (p *parser) stamp(c *rawCall) (s stamp) {
	if !p.Device || c.context.Kind() != jsontext.KindBeginObject {
		return s
	}
	switch raw := lastMember(c.context, "aka"); raw.Kind() {
	case jsontext.KindInvalid, jsontext.KindNull:
	case jsontext.KindBeginObject:
		if !s.read(raw) {
			p.warn(warningInvalidStamp)
		}
	default:
		p.warn(warningInvalidStamp)
	}
	return s
}

// read takes over what is valid, and reports whether everything is.
func (s *stamp) read(object jsontext.Value) (valid bool) {
	r := newReader(object)
	defer r.release()
	var to, from, seq jsontext.Value
	r.token(jsontext.KindBeginObject)
	for r.more(jsontext.KindEndObject) {
		switch name, value := r.member(); string(name) {
		case "to":
			to = value
		case "from":
			from = value
		case "seq":
			seq = value
		case "anon":
			s.anonymous = value.Kind() == jsontext.KindTrue
		}
	}
	var validTo, validFrom, validSeq bool
	s.to, validTo = stampedID(to)
	s.from, validFrom = stampedID(from)
	s.micros, validSeq = stampedTime(seq)
	return validTo && validFrom && validSeq
}

// stampedID reads an id as id does, and none instead of a wrong one.
func stampedID(raw jsontext.Value) (read []byte, valid bool) {
	read, wrong := id(raw)
	if wrong != "" || len(read) > maxStampedID {
		return nil, false
	}
	return read, true
}

func stampedTime(raw jsontext.Value) (micros int64, valid bool) {
	if isBlank(raw) {
		return 0, true
	}
	micros, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || micros < firstStamp || micros >= endOfStamp {
		return 0, false
	}
	return micros, true
}

// put gives an alias the ids that the page's code named.
func (s *stamp) put(i *ids, h *Header) {
	if len(s.to) > 0 {
		i.user, h.UserIDStamped = s.to, true
	}
	if len(s.from) > 0 {
		i.previous, h.PreviousIDDefaulted = s.from, s.anonymous
	}
}
