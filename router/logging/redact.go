package logging

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// messageIDKey is the one field whose value a sender chose.
const messageIDKey = "message_id"

// redact returns the fields without what senders chose.
func redact(fields []zapcore.Field) []zapcore.Field {
	for i, f := range fields {
		if f.Key == messageIDKey {
			masked := append([]zapcore.Field{}, fields...)
			masked[i] = zap.String(messageIDKey, MessageID(f.String))
			return masked
		}
	}
	return fields
}

// random is what libraries make of random numbers and digests. It names no person.
var random = regexp.MustCompile(`(?i)(?:^|[^0-9a-z])([0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12})$`)

// MessageID returns what the log shows of a messageId: the random number at its end, such as a UUID, or else the first bytes
// of its SHA-256. Some senders make it of their customers' addresses or numbers.
func MessageID(id string) string {
	if match := random.FindStringSubmatch(id); match != nil {
		if match[1] == id {
			return id
		}
		return "…" + match[1]
	}
	sum := sha256.Sum256([]byte(id))
	return "sha256:" + hex.EncodeToString(sum[:8])
}
