package segment

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// plausibleSkew is how far the clock of what imports calls may be from aka's without a warning. That of a phone may be
// further: some stamp sentAt when they store a batch, and send it days later.
const plausibleSkew = 24 * time.Hour

// maxTimeLength is longer than any time with nine digits of fraction and an offset.
const maxTimeLength = 64

// The years that a number may mean, as Unix seconds. In other years a number would be a count of something else.
const (
	firstUnix = 946_684_800   // 2000-01-01
	endUnix   = 4_102_444_800 // 2100-01-01
)

// ParseTime reads a time as SDKs and apps write it. It takes RFC 3339 with any digits of fraction and any offset, and these
// variations: lower-case letters, a space for the T, a comma before the fraction, no seconds, a colon before the zone (some
// Swift formatters), an offset such as +0200 or +02, UTC or GMT for Z, no zone (UTC), and a bare date (midnight, UTC). It
// takes no numbers: TimeOf does. The time is UTC.
func ParseTime(text string) (t time.Time, ok bool) {
	if text = strings.TrimSpace(text); len(text) > maxTimeLength {
		return time.Time{}, false
	}
	var space [maxTimeLength]byte
	return parseText(append(space[:0], text...))
}

// TimeOf reads a time from a decoded JSON value: a text as ParseTime does, or a Unix time as a number or as its digits. The
// unit of a number is seconds, milliseconds, microseconds or nanoseconds: the one that puts it into the years 2000 to 2099.
// In other years it is no time.
func TimeOf(value any) (t time.Time, ok bool) {
	switch v := value.(type) {
	case json.Number:
		return parseUnix(v.String())
	case string:
		if text := strings.TrimSpace(v); isNumber(text) {
			return parseUnix(text)
		}
		return ParseTime(v)
	}
	return time.Time{}, false
}

// parseTime is TimeOf for undecoded JSON.
func parseTime(raw jsontext.Value) (t time.Time, ok bool) {
	if raw.Kind() == jsontext.KindNumber {
		return parseUnix(string(raw))
	}
	given := bytes.TrimSpace(unquote(raw))
	switch {
	case len(given) > maxTimeLength:
		return time.Time{}, false
	case isNumber(given):
		return parseUnix(string(given))
	}
	return parseText(given)
}

// isNumber reports whether a text is digits, with a point among them or without.
func isNumber[T string | []byte](text T) bool {
	for i := range len(text) {
		if (text[i] < '0' || text[i] > '9') && text[i] != '.' {
			return false
		}
	}
	return len(text) > 0 && text[0] != '.' && text[len(text)-1] != '.'
}

// parseUnix reads a JSON number as a Unix time.
func parseUnix(number string) (t time.Time, ok bool) {
	plain, ok := plainDecimal(number)
	if !ok {
		return time.Time{}, false
	}
	digits, fraction, _ := strings.Cut(plain, ".")
	whole, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	for unit := time.Second; unit > 0; unit /= 1000 {
		perSecond := int64(time.Second / unit)
		if seconds := whole / perSecond; seconds >= firstUnix && seconds < endUnix {
			part, _ := strconv.ParseFloat("0."+fraction+"0", 64)
			nanoseconds := whole%perSecond*int64(unit) + int64(part*float64(unit))
			return time.Unix(seconds, nanoseconds).UTC(), true
		}
	}
	return time.Time{}, false
}

func parseText(given []byte) (t time.Time, ok bool) {
	if len(given) < len(time.DateOnly) || len(given) > maxTimeLength || given[4] != '-' || given[7] != '-' {
		return time.Time{}, false
	}
	var space [2 * maxTimeLength]byte
	if err := t.UnmarshalText(appendRFC3339(space[:0], given)); err != nil {
		return time.Time{}, false
	}
	return t.UTC(), true
}

// appendRFC3339 rewrites the variations that ParseTime knows. It leaves it to the parser to refuse the rest.
func appendRFC3339(dst, given []byte) []byte {
	date, rest := given[:len(time.DateOnly)], given[len(time.DateOnly):]
	dst = append(dst, date...)
	if len(rest) == 0 {
		return append(dst, "T00:00:00Z"...)
	}
	if c := rest[0]; c == 'T' || c == 't' || c == ' ' {
		dst = append(dst, 'T')
	}
	clock, zone := splitZone(rest[1:])
	dst = append(dst, clock...)
	if len(clock) == len("00:00") {
		dst = append(dst, ":00"...)
	}
	for i := range dst {
		if dst[i] == ',' {
			dst[i] = '.'
		}
	}
	return appendZone(dst, zone)
}

// splitZone cuts a clock's time from its zone, and removes what stands between them.
func splitZone(text []byte) (clock, zone []byte) {
	end := 0
	for end < len(text) && (text[end] >= '0' && text[end] <= '9' || bytes.IndexByte([]byte(":.,"), text[end]) >= 0) {
		end++
	}
	return bytes.TrimSuffix(text[:end], []byte{':'}), bytes.TrimLeft(text[end:], " ")
}

// appendZone writes a zone as Z or as +00:00.
func appendZone(dst, zone []byte) []byte {
	if len(zone) == 0 || bytes.EqualFold(zone, []byte{'Z'}) || bytes.EqualFold(zone, []byte("UTC")) || bytes.EqualFold(zone, []byte("GMT")) {
		return append(dst, 'Z')
	}
	switch len(zone) {
	case len("+02"):
		return append(append(dst, zone...), ":00"...)
	case len("+0200"):
		return append(append(append(dst, zone[:3]...), ':'), zone[3:]...)
	}
	return append(dst, zone...)
}

// correctSkew says when a call happened, by aka's clock: as long before it was received as, by the sender's clock, it
// happened before it was sent. Without a time of sending the sender's clock is trusted. The answer is never after
// receivedAt; one before 1970 cannot be right and falls back to the sender's own time, then to receivedAt.
func correctSkew(original, sent, received time.Time) time.Time {
	if original.IsZero() {
		return received
	}
	if !sent.IsZero() {
		if corrected := received.Add(-sent.Sub(original)); corrected.Unix() >= 0 {
			return earlier(corrected, received)
		}
	}
	if original.Unix() < 0 {
		return received
	}
	return earlier(original, received)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
