// Package webhook sends calls to a program of the operator's, as they came and signed by Standard Webhooks
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md), one by one or in arrays. Nothing in a
// call decides on a request's URL, method or headers.
package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// Vendor is the webhook in the table of destinations. Its names are those of the webhooks of Segment and RudderStack.
var Vendor = adapter.Vendor{
	Names:   []string{"Webhook", "Webhooks", "Webhooks (Actions)", "Extensible Webhook", "webhook", "WebHook", "WEBHOOK"},
	Order:   adapter.OrderStrict, // the receiver may act when a call arrives
	AnyBody: true,
	New:     New,
	Stable:  true,
}

type translator struct {
	Config
	address string
	header  map[string]string
	batch   *adapter.Batch
}

var (
	_ adapter.Merger    = (*translator)(nil)
	_ adapter.Addressed = (*translator)(nil)
)

func newTranslator(config Config, address string) *translator {
	header := map[string]string{"Content-Type": "application/json"}
	for name, value := range config.Headers {
		header[name] = value.Reveal()
	}
	if authorization := config.URL.Authorization(); authorization != "" {
		header["Authorization"] = authorization
	}
	if config.Gzip {
		header["Content-Encoding"] = "gzip"
	}
	t := &translator{Config: config, address: address, header: header}
	if config.Batch > 0 {
		t.batch = &adapter.Batch{Key: "call", MaxItems: config.Batch, MaxBytes: config.BatchBytes}
	}
	return t
}

// Address implements adapter.Addressed.
func (t *translator) Address() (key, address string) {
	if t.Endpoint != "" {
		return "", ""
	}
	return "url", t.address
}

// Translate implements adapter.Adapter.
func (t *translator) Translate(call *segment.Call) adapter.Outcome {
	if len(t.Types) > 0 && !slices.Contains(t.Types, call.Type.String()) {
		return adapter.Drop(adapter.NothingToSend)
	}
	return adapter.Send(adapter.Request{
		Method: t.Method, URL: t.address, Header: t.header, Body: t.body(call), Batch: t.batch, Sign: t.sign(call.MessageID),
	})
}

// body is the call as it came, alone or in the specification's payload.
func (t *translator) body(call *segment.Call) []byte {
	dst := make([]byte, 0, len(call.JSON())+512)
	if t.Format != FormatStandard {
		return adapter.ValidText(appendCall(dst, call))
	}
	dst = adapter.AppendText(append(dst, `{"type":`...), call.Type.String())
	dst = adapter.AppendForwardedTime(append(dst, `,"timestamp":"`...), call)
	dst = appendCall(append(dst, `","data":`...), call)
	return adapter.ValidText(append(dst, '}'))
}

// appendCall appends the call as it came. Where it has passed other akas is left out of its context.
func appendCall(dst []byte, call *segment.Call) []byte {
	dst = adapter.AppendForwarded(dst, call, call.MessageID)
	for name, value := range adapter.ForwardedMembers(call) {
		switch name {
		case "integrations": // those of the call's batch count, too
			continue
		case "context":
			value = withoutAka(value)
		}
		dst = adapter.AppendRaw(dst, name, value)
	}
	if len(call.Routing) > 0 {
		dst = adapter.AppendRaw(dst, "integrations", string(call.Routing))
	}
	return append(dst, '}')
}

// withoutAka returns the context without its member aka. One that has none stays as it is.
func withoutAka(context string) string {
	var kept []byte
	found := false
	for name, value := range segment.Members(context) {
		if name == "aka" {
			found = true
			continue
		}
		kept = adapter.AppendRaw(kept, name, value)
	}
	switch {
	case !found:
		return context
	case len(kept) == 0:
		return "{}"
	}
	kept[0] = '{'
	return string(append(kept, '}'))
}

var schemes = map[Signature]adapter.Scheme{
	SignatureStandard: adapter.StandardWebhooks, SignatureSHA1: adapter.BodySHA1, SignatureNone: adapter.Unsigned,
}

func (t *translator) sign(messageID string) *adapter.Sign {
	return &adapter.Sign{Scheme: schemes[t.Signature], ID: webhookID(messageID), Keys: t.Secrets}
}

// plainID is what a webhook-id may be. Without a dot in it, a sender cannot move the border between the id and the time in what is
// signed.
var plainID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// webhookID is the messageId, or made of it where that is no webhook-id. It is equal on every try.
func webhookID(messageID string) string {
	if plainID.MatchString(messageID) {
		return messageID
	}
	sum := sha256.Sum256([]byte(messageID))
	return "m_" + hex.EncodeToString(sum[:16])
}
