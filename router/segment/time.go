package segment

import (
	"bytes"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// maxTimeLength is longer than any time with nine digits of fraction and an offset.
const maxTimeLength = 64

// parseTime reads RFC 3339 with any digits of fraction and any offset, and what SDKs make of it: lower-case letters, a
// space for the T, an offset without its colon, a bare date (midnight, UTC). The time is UTC.
func parseTime(raw jsontext.Value) (t time.Time, ok bool) {
	given := bytes.TrimSpace(unquote(raw))
	if len(given) < len(time.DateOnly) || len(given) > maxTimeLength {
		return time.Time{}, false
	}
	var space [maxTimeLength + len("T00:00:00Z")]byte
	if err := t.UnmarshalText(normalTime(append(space[:0], given...))); err != nil {
		return time.Time{}, false
	}
	return t.UTC(), true
}

// normalTime rewrites the known variations, and leaves it to the parser to refuse the rest.
func normalTime(text []byte) []byte {
	if len(text) == len(time.DateOnly) {
		return append(text, "T00:00:00Z"...)
	}
	for i, c := range text {
		switch {
		case c == 'z':
			text[i] = 'Z'
		case i == len(time.DateOnly) && (c == 't' || c == ' '):
			text[i] = 'T'
		}
	}
	if sign := len(text) - len("+0530"); sign > len(time.DateOnly) && (text[sign] == '+' || text[sign] == '-') {
		minutes := len(text) - 2
		text = append(text, 0)
		copy(text[minutes+1:], text[minutes:])
		text[minutes] = ':'
	}
	return text
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
