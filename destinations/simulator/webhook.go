package simulator

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Webhook is how a receiver of webhooks is set. The zero value takes any signature, and none.
type Webhook struct {
	// Secrets are the keys whose signatures are taken: several while one is rotated. Without any, no signature is looked at.
	Secrets []string
	// Signature is "standard", for Standard Webhooks, or "sha1", for X-Signature. "" is the first.
	Signature string
}

func checkWebhook(options Options) error {
	set := options.Webhook
	switch set.Signature {
	case "sha1":
		return nil
	case "", "standard":
	default:
		return fmt.Errorf("signature %q is not one of standard, sha1", set.Signature)
	}
	for _, secret := range set.Secrets {
		if _, err := standardKey(secret); err != nil {
			return errors.New("a secret is not whsec_ and base64")
		}
	}
	return nil
}

func standardKey(secret string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
}

const (
	// tolerance is how far the time of a try may be from the receiver's clock
	// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#verifying-webhook-authenticity).
	tolerance = 5 * time.Minute
	// webhookMemory is how long a receiver remembers messageIds.
	webhookMemory = 7 * 24 * time.Hour
)

// webhookReceiver is a program that takes webhooks as the specification wants it: it looks at the signature before the body, and takes
// each messageId once. The specification does not say which status a bad signature gets: here it is 401. The people are those of a
// receiver that joins the ids of an alias.
type webhookReceiver struct {
	set   Webhook
	calls *segmentUpstream
	state *accountState
}

func newWebhook(b *accountState, options Options) vendor {
	b.seen.span = webhookMemory
	return &webhookReceiver{set: options.Webhook, state: b, calls: &segmentUpstream{state: b, set: Segment{}.withDefaults()}}
}

// decode reads a call, an array of them, or the specification's payloads. It leaves the body as it was signed: not compressed.
func (w *webhookReceiver) decode(in *request) ([]item, error) {
	if in.isGzip() {
		if err := in.gunzip(); err != nil {
			return nil, err
		}
	}
	value, err := decodeJSON(in.body)
	if err != nil {
		return nil, err
	}
	values, isArray := value.([]any)
	if !isArray {
		values = []any{value}
	}
	items := make([]item, len(values))
	for i, value := range values {
		call, ok := value.(map[string]any)
		if !ok {
			return nil, errors.New("not an object")
		}
		if data, wrapped := call["data"].(map[string]any); wrapped {
			call = data
		}
		items[i].value = call
	}
	return items, nil
}

func (w *webhookReceiver) handle(in *request) answer {
	switch in.method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
	default:
		return textAnswer(http.StatusMethodNotAllowed, "Method Not Allowed")
	}
	if problem := w.verify(in); problem != "" {
		return textAnswer(http.StatusUnauthorized, problem)
	}
	if in.malformed != nil {
		return textAnswer(http.StatusBadRequest, "Bad Request")
	}
	if w.calls.hasFailed(in) {
		return textAnswer(http.StatusUnprocessableEntity, "Unprocessable Entity")
	}
	for _, one := range in.items {
		call := one.value.(map[string]any)
		switch r := w.calls.record(in, call); {
		case r.Key != "" && w.state.isDuplicate(r):
		case isNameless(one):
			w.state.ingest(r)
		default:
			w.calls.keep(r, call)
		}
	}
	return answer{status: http.StatusNoContent}
}

// verify returns what is wrong with the request's signature, or "".
func (w *webhookReceiver) verify(in *request) string {
	switch {
	case len(w.set.Secrets) == 0:
		return ""
	case w.set.Signature == "sha1":
		return w.verifyBody(in)
	}
	return w.verifyStandard(in)
}

func (w *webhookReceiver) verifyBody(in *request) string {
	for _, secret := range w.set.Secrets {
		mac := hmac.New(sha1.New, []byte(secret))
		mac.Write(in.body)
		if hmac.Equal([]byte(hex.EncodeToString(mac.Sum(nil))), []byte(in.header.Get("X-Signature"))) {
			return ""
		}
	}
	return "no matching signature"
}

func (w *webhookReceiver) verifyStandard(in *request) string {
	id, at := in.header.Get("Webhook-Id"), in.header.Get("Webhook-Timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	switch {
	case id == "" || strings.Contains(id, "."): // a dot could be the border between id and time
		return "bad webhook-id"
	case err != nil || in.now.Sub(time.Unix(seconds, 0)).Abs() > tolerance:
		return "bad webhook-timestamp"
	}
	for _, secret := range w.set.Secrets {
		key, _ := standardKey(secret)
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + at + "."))
		mac.Write(in.body)
		want := []byte("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		for signature := range strings.FieldsSeq(in.header.Get("Webhook-Signature")) {
			if hmac.Equal(want, []byte(signature)) {
				return ""
			}
		}
	}
	return "no matching signature"
}
