package adapter

import (
	"bytes"
	"encoding/json"
	"iter"
	"unicode/utf8"

	"aka/router/segment"
)

// AppendForwarded begins a call that goes on as it came: an open object with its type, its ids and its time as they were read.
// ForwardedMembers are the others.
func AppendForwarded(dst []byte, call *segment.Call, messageID string) []byte {
	dst = AppendText(append(dst, `{"type":`...), call.Type.String())
	dst = appendTextMember(dst, "messageId", messageID)
	dst = appendTextMember(dst, "userId", call.UserID)
	dst = appendTextMember(dst, "anonymousId", call.AnonymousID)
	dst = appendTextMember(dst, "previousId", call.PreviousID)
	dst = appendTextMember(dst, "groupId", call.GroupID)
	dst = append(dst, `,"timestamp":"`...)
	dst = AppendForwardedTime(dst, call)
	return append(dst, '"')
}

// AppendForwardedTime appends the call's time in the form of Segment's own SDKs.
func AppendForwardedTime(dst []byte, call *segment.Call) []byte {
	return call.Timestamp.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
}

// ForwardedMembers yields the other members of a call that goes on, as they came. What a clock said is left out: the call's time is
// corrected already, and the next program would do it again. One that is an aka prefers the originalTimestamp.
func ForwardedMembers(call *segment.Call) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for name, value := range segment.Members(call.JSON()) {
			if !isReplaced(name, call.Type) && !yield(name, value) {
				return
			}
		}
	}
}

// isReplaced reports whether AppendForwarded has written the member anew, or it is left out.
func isReplaced(name string, kind segment.Type) bool {
	switch name {
	case "type", "messageId", "userId", "anonymousId", "groupId", "timestamp",
		"originalTimestamp", "sentAt", "receivedAt", "writeKey", "_metadata":
		return true
	case "previousId":
		return kind == segment.Alias
	}
	return false
}

// AppendRaw appends a member with a comma before it. The value is JSON and stays as it is, so that a number keeps its digits.
func AppendRaw(dst []byte, name, value string) []byte {
	return append(append(AppendText(append(dst, ','), name), ':'), value...)
}

// appendTextMember appends a member with a text, if there is one.
func appendTextMember(dst []byte, name, text string) []byte {
	if text == "" {
		return dst
	}
	return AppendText(append(AppendText(append(dst, ','), name), ':'), text)
}

// AppendText appends a JSON string.
func AppendText(dst []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(text) // a string always can be
			return append(dst, quoted...)
		}
	}
	return append(append(append(dst, '"'), text...), '"')
}

// ValidText replaces what is no UTF-8. An SDK may have sent it.
func ValidText(text []byte) []byte {
	if utf8.Valid(text) {
		return text
	}
	return bytes.ToValidUTF8(text, []byte("\uFFFD"))
}
