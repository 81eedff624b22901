package segment

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// maxNumberLength bounds the digits that a number such as 1e999999999 may become. It is above every limit on ids.
const maxNumberLength = 512

// What can be wrong with an id.
const (
	wrongKind     = "expected a string or a number"
	wrongEncoding = "not valid UTF-8"
)

// id reads an id: a string trimmed, or a number as its digits. null, "" and absent are all "". wrong says what is wrong with
// it, "" for nothing. An id is never repaired: those of different people could become the same.
func id(raw jsontext.Value) (id []byte, wrong string) {
	switch raw.Kind() {
	case jsontext.KindInvalid, jsontext.KindNull:
		return nil, ""
	case jsontext.KindString:
		text, exact := unquoteExactly(raw)
		if !exact {
			return nil, wrongEncoding
		}
		return bytes.TrimSpace(text), ""
	case jsontext.KindNumber:
		if plain, ok := plainDecimal(string(raw)); ok {
			return []byte(plain), ""
		}
	}
	return nil, wrongKind
}

// ids are a call's, as parts of its JSON where they can be.
type ids struct{ message, user, anonymous, previous, group []byte }

// put gives them to the header, as parts of one string.
func (i *ids) put(h *Header) {
	var buffer [512]byte
	all := append(append(append(append(append(buffer[:0], i.message...), i.user...), i.anonymous...), i.previous...), i.group...)
	rest := string(all)
	cut := func(id []byte) string {
		text := rest[:len(id)]
		rest = rest[len(id):]
		return text
	}
	h.MessageID, h.UserID, h.AnonymousID = cut(i.message), cut(i.user), cut(i.anonymous)
	h.PreviousID, h.GroupID = cut(i.previous), cut(i.group)
}

// idSet is a set of a call's ids, by their place in idKeys.
type idSet uint8

// idKeys are the keys of a call's ids.
var idKeys = [...]string{"userId", "anonymousId", "previousId", "groupId", "messageId"}

// The ids by their place in idKeys.
const (
	userID idSet = 1 << iota
	anonymousID
	previousID
	groupID
	messageID
)

// noteMisspelled notes which id a key is probably meant for that is none: user_id, userid, UserID or user-id.
func (c *rawCall) noteMisspelled(name []byte, value jsontext.Value) {
	if n := len(name); n < len("userid") || n > len("anonymous_id")+1 || name[n-1]|' ' != 'd' || name[n-2]|' ' != 'i' || isBlank(value) {
		return
	}
	for i, key := range idKeys {
		if isSpelling(name, key) {
			c.misspelled |= 1 << i
		}
	}
}

// isSpelling reports whether a name has the letters of a key, but for their case, underscores and hyphens.
func isSpelling(name []byte, key string) bool {
	at := 0
	for _, c := range name {
		switch {
		case c == '_' || c == '-':
		case at == len(key) || c|' ' != key[at]|' ':
			return false
		default:
			at++
		}
	}
	return at == len(key)
}

// plainDecimal writes a JSON number without exponent and without needless zeros: 1.0 and 1 are one id, as they are one
// number to the SDKs' languages. Every digit is kept. ok is false when it would be absurdly long.
func plainDecimal(number string) (plain string, ok bool) {
	if len(number) > maxNumberLength {
		return "", false
	}
	digits, negative := strings.CutPrefix(number, "-")
	mantissa, exponent, _ := strings.Cut(strings.ToLower(digits), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits = strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return "0", true
	}
	// The point stands this many digits from the end.
	places := len(fraction)
	if exponent != "" {
		shift, err := strconv.Atoi(exponent)
		if err != nil || shift > maxNumberLength || shift < -maxNumberLength {
			return "", false
		}
		places -= shift
	}
	plain = placePoint(digits, places)
	if negative {
		plain = "-" + plain
	}
	return plain, len(plain) <= maxNumberLength
}

// placePoint puts the decimal point that many places from the end of the digits.
func placePoint(digits string, places int) string {
	if places <= 0 {
		return digits + strings.Repeat("0", -places)
	}
	if missing := places - len(digits) + 1; missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	point := len(digits) - places
	fraction := strings.TrimRight(digits[point:], "0")
	if fraction == "" {
		return digits[:point]
	}
	return digits[:point] + "." + fraction
}

// newMessageID returns a new UUIDv4. It has to be unique, not secret, so the fast generator will do.
func newMessageID() string {
	var u uuid.UUID
	binary.NativeEndian.PutUint64(u[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(u[8:], rand.Uint64())
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u.String()
}
