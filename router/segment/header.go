package segment

import (
	"bytes"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

func (p *parser) header(c *rawCall) (Header, *Error) {
	h := Header{ReceivedAt: p.ReceivedAt}
	if problem := p.readType(&h, c); problem != nil {
		return h, problem
	}
	if problem := p.readMessageID(&h, c); problem != nil {
		return h, problem
	}
	if problem := readIDs(&h, c); problem != nil {
		return h, problem
	}
	if h.Type == Track && len(bytes.TrimSpace(unquote(c.event))) == 0 {
		return h, errMissingEvent
	}
	h.Timestamp = p.timestamp(c)
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
			p.diagnose(diagnosticTypeMismatch)
		}
		h.Type = p.Type
	case !known:
		return errInvalidType
	}
	return nil
}

func readIDs(h *Header, c *rawCall) (problem *Error) {
	read := func(raw jsontext.Value, code, field string) string {
		id, wrong := id(raw)
		if wrong != "" && problem == nil {
			problem = errInvalidID(code, field, wrong)
		}
		return id
	}
	h.UserID = read(c.userID, codeInvalidUserID, "userId")
	h.AnonymousID = read(c.anonymousID, codeInvalidAnonymousID, "anonymousId")
	h.GroupID = read(c.groupID, codeInvalidGroupID, "groupId")
	if h.Type == Alias {
		if h.UserID == "" {
			h.UserID = read(c.to, codeInvalidUserID, "to")
		}
		h.PreviousID = read(c.previousID, codeInvalidPreviousID, "previousId")
		if h.PreviousID == "" {
			h.PreviousID = read(c.from, codeInvalidPreviousID, "from")
		}
		if h.PreviousID == "" {
			h.PreviousID = h.AnonymousID
			h.PreviousIDDefaulted = h.AnonymousID != ""
		}
	}
	if problem == nil && h.UserID == "" && h.AnonymousID == "" && h.PreviousID == "" {
		problem = errMissingUserID
	}
	return problem
}

func (p *parser) readMessageID(h *Header, c *rawCall) *Error {
	id, wrong := id(c.messageID)
	switch {
	case wrong != "":
		return errInvalidID(codeInvalidMessageID, "messageId", wrong)
	case len(id) > p.Limits.MessageIDLength:
		return errMessageIDTooLong(p.Limits.MessageIDLength)
	case id == "":
		id = newMessageID()
	}
	h.MessageID = id
	return nil
}

func (p *parser) timestamp(c *rawCall) time.Time {
	original := c.originalTimestamp
	if isBlank(original) {
		original = c.timestamp
	}
	sent := p.time(c.sentAt)
	if sent.IsZero() {
		sent = p.sentAt
	}
	return correctSkew(p.time(original), sent, p.ReceivedAt)
}

// time reads a time; zero is none.
func (p *parser) time(raw jsontext.Value) time.Time {
	if isBlank(raw) {
		return time.Time{}
	}
	t, ok := parseTime(raw)
	if !ok {
		p.diagnose(diagnosticInvalidTimestamp)
	}
	return t
}

// isBlank tells whether a value is absent, null or "": SDKs mean the same by all three.
func isBlank(raw jsontext.Value) bool {
	kind := raw.Kind()
	return kind == jsontext.KindInvalid || kind == jsontext.KindNull || kind == jsontext.KindString && len(raw) == len(`""`)
}
