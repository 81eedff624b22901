package segment

import (
	"bytes"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

func (p *parser) header(c *rawCall) (Header, *Error) {
	h := Header{ReceivedAt: p.ReceivedAt, FromDevice: p.Device}
	if problem := p.readType(&h, c); problem != nil {
		return h, problem
	}
	message, problem := p.messageID(c)
	if problem != nil {
		return h, problem
	}
	ids, problem := readIDs(&h, c)
	if problem != nil {
		return h, problem
	}
	stamp := p.stamp(c)
	if h.Type == Alias {
		stamp.put(&ids, &h)
	}
	ids.message = message
	ids.put(&h)
	if h.Type == Track && len(bytes.TrimSpace(unquote(c.event))) == 0 {
		return h, errMissingEvent
	}
	p.readTimes(&h, c)
	if stamp.micros != 0 {
		h.DeviceMicros, h.Clock = stamp.micros, stamp.micros
	}
	if c.misspelled != 0 {
		p.warnOfMisspelled(&h, c)
	}
	return h, nil
}

// readType lets the path decide where there is one: Customer.io's own sample of an alias says "type": "identify".
func (p *parser) readType(h *Header, c *rawCall) *Error {
	said := c.kind
	if isBlank(said) {
		said = c.action
	}
	known := false
	h.Type, known = ParseType(string(unquote(said)))
	switch {
	case p.Type != 0:
		if h.Type != p.Type && !isBlank(c.kind) {
			p.warn(warningTypeMismatch)
		}
		h.Type = p.Type
	case !known:
		return errInvalidType
	}
	return nil
}

func readIDs(h *Header, c *rawCall) (found ids, problem *Error) {
	read := func(raw jsontext.Value, code, field string) []byte {
		id, wrong := id(raw)
		if wrong != "" && problem == nil {
			problem = errInvalidID(code, field, wrong)
		}
		return id
	}
	found.user = read(c.userID, codeInvalidUserID, "userId")
	found.anonymous = read(c.anonymousID, codeInvalidAnonymousID, "anonymousId")
	found.group = read(c.groupID, codeInvalidGroupID, "groupId")
	if h.Type == Alias {
		if len(found.user) == 0 {
			found.user = read(c.to, codeInvalidUserID, "to")
		}
		found.previous = read(c.previousID, codeInvalidPreviousID, "previousId")
		if len(found.previous) == 0 {
			found.previous = read(c.from, codeInvalidPreviousID, "from")
		}
		if len(found.previous) == 0 {
			found.previous = found.anonymous
			h.PreviousIDDefaulted = len(found.anonymous) > 0
		}
	}
	if problem == nil && len(found.user)+len(found.anonymous)+len(found.previous) == 0 {
		problem = errMissingUserID
		if c.misspelled&(userID|anonymousID|previousID) != 0 {
			problem = errMisspelledID
		}
	}
	return found, problem
}

// warnOfMisspelled warns of each id that a call lacks, and has under a key in another spelling.
func (p *parser) warnOfMisspelled(h *Header, c *rawCall) {
	lacks := [...]bool{
		h.UserID == "", h.AnonymousID == "", h.Type == Alias && (h.PreviousID == "" || h.PreviousIDDefaulted), h.GroupID == "", isBlank(c.messageID),
	}
	for i, key := range idKeys {
		if c.misspelled&(1<<i) != 0 && lacks[i] {
			p.result.Warnings = append(p.result.Warnings, Warning{p.index, warningMisspelledID, key + sayMisspelled})
		}
	}
}

func (p *parser) messageID(c *rawCall) ([]byte, *Error) {
	id, wrong := id(c.messageID)
	switch {
	case wrong != "":
		return nil, errInvalidID(codeInvalidMessageID, "messageId", wrong)
	case len(id) > p.Limits.MessageIDLength:
		return nil, errMessageIDTooLong(p.Limits.MessageIDLength)
	case len(id) == 0:
		return []byte(newMessageID()), nil
	}
	return id, nil
}

func (p *parser) readTimes(h *Header, c *rawCall) {
	original := c.originalTimestamp
	if isBlank(original) {
		original = c.timestamp
	}
	sent := p.time(c.sentAt, "sentAt")
	if sent.IsZero() {
		sent = p.sentAt
	}
	received := p.received(c)
	happened := p.time(original, "timestamp")
	if !happened.IsZero() {
		h.DeviceMicros = happened.UnixMicro()
		h.Clock = p.clock(happened, sent)
		if p.Import && !sent.IsZero() && received.Sub(sent).Abs() > plausibleSkew {
			p.warn(warningLargeClockSkew)
		}
	}
	h.Timestamp = correctSkew(happened, sent, received)
	if p.Export {
		h.ReceivedAt = received
	}
}

// received returns when a call was received first: now, or where it is imported, as it says itself.
func (p *parser) received(c *rawCall) time.Time {
	if !p.Import {
		return p.ReceivedAt
	}
	before := p.time(c.receivedAt, "receivedAt")
	if before.Unix() < 0 || before.After(p.ReceivedAt) {
		return p.ReceivedAt
	}
	return before
}

// time reads the time in a field; zero is none.
func (p *parser) time(raw jsontext.Value, field string) time.Time {
	if isBlank(raw) {
		return time.Time{}
	}
	t, ok := parseTime(raw)
	if !ok {
		p.result.Warnings = append(p.result.Warnings, Warning{p.index, warningUnreadableTimestamp, field + sayUnreadable})
	}
	return t
}

// isBlank reports whether a value is absent, null or "": SDKs mean the same by all three.
func isBlank(raw jsontext.Value) bool {
	kind := raw.Kind()
	return kind == jsontext.KindInvalid || kind == jsontext.KindNull || kind == jsontext.KindString && len(raw) == len(`""`)
}
