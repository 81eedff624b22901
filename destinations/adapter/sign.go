package adapter

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"strconv"
	"strings"
	"time"
)

// Sign says how a request is signed. The sender signs each try anew, with the time of that try, so that a receiver that refuses old
// signatures takes a retry. Neither the keys nor a signature are shown anywhere.
type Sign struct {
	Scheme Scheme
	// ID is the message's id, equal on every try: 1 to 64 of A-Z, a-z, 0-9, _ and -. The id of several requests in one exchange is made
	// of theirs.
	ID string
	// Keys are the receiver's keys, as Scheme reads them. StandardWebhooks has one signature for each: two while a key is rotated, the
	// new one first.
	Keys []Secret
}

// Scheme is a way to sign a request. What it signs is the body before it is compressed, of a batch all of it.
type Scheme string

// The schemes.
const (
	// StandardWebhooks is HMAC-SHA256 over id, time and body, in the headers webhook-id, webhook-timestamp and webhook-signature
	// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md). SignKey reads its keys.
	StandardWebhooks Scheme = "standard_webhooks"
	// BodySHA1 is HMAC-SHA1 over the body, in hex, in the header X-Signature, as Segment's webhooks have it. It has one key, which is a
	// text, and sends no id.
	BodySHA1 Scheme = "body_sha1"
	// Unsigned has no key: it sends the id alone, in the header webhook-id.
	Unsigned Scheme = "unsigned"
)

// Schemes lists them all.
var Schemes = []Scheme{StandardWebhooks, BodySHA1, Unsigned}

// The headers of a signed request.
const (
	signID        = "webhook-id"
	signTime      = "webhook-timestamp"
	signSignature = "webhook-signature"
	signBody      = "X-Signature"
)

// IsSignHeader reports whether a header, in any case, is one that the sender writes when it signs.
func IsSignHeader(name string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, "webhook-") || name == strings.ToLower(signBody)
}

// SignKey reads a key of StandardWebhooks: base64 of 24 to 64 bytes, with whsec_ before it or not. What stands in for a missing key
// is one, too.
func SignKey(key Secret) (bytes []byte, ok bool) {
	if key.IsStandIn() {
		return []byte(key.Reveal()), true
	}
	bytes, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(key.Reveal(), "whsec_"))
	return bytes, err == nil && len(bytes) >= 24 && len(bytes) <= 64
}

// Signed returns the header of the exchange that carries the requests, and signs it where the first says how. Its signatures are
// secrets: what is shown of the answer must not hold them.
func Signed(requests []Request, body []byte, now time.Time) (header map[string]string, signatures []Secret) {
	first := requests[0]
	if first.Sign == nil {
		return first.Header, nil
	}
	switch first.Sign.Scheme {
	case Unsigned:
		header = map[string]string{signID: exchangeID(requests)}
	case BodySHA1:
		header, signatures = signedBody(first.Sign.Keys, body)
	default:
		header, signatures = signedStandard(exchangeID(requests), first.Sign.Keys, body, now)
	}
	maps.Copy(header, first.Header)
	return header, signatures
}

func signedStandard(id string, keys []Secret, body []byte, now time.Time) (header map[string]string, signatures []Secret) {
	at := strconv.FormatInt(now.Unix(), 10)
	var all []string
	for _, key := range keys {
		bytes, ok := SignKey(key)
		if !ok { // New has refused it
			continue
		}
		mac := hmac.New(sha256.New, bytes)
		mac.Write([]byte(id + "." + at + "."))
		mac.Write(body)
		signature := base64.StdEncoding.EncodeToString(mac.Sum(nil))
		all, signatures = append(all, "v1,"+signature), append(signatures, NewSecret(signature))
	}
	return map[string]string{signID: id, signTime: at, signSignature: strings.Join(all, " ")}, signatures
}

func signedBody(keys []Secret, body []byte) (header map[string]string, signatures []Secret) {
	mac := hmac.New(sha1.New, []byte(keys[0].Reveal()))
	mac.Write(body)
	signature := hex.EncodeToString(mac.Sum(nil))
	return map[string]string{signBody: signature}, []Secret{NewSecret(signature)}
}

// exchangeID returns the id of one request, or one that is made of those of several.
func exchangeID(requests []Request) string {
	if len(requests) == 1 {
		return requests[0].Sign.ID
	}
	hash := sha256.New()
	for i, r := range requests {
		if i > 0 {
			hash.Write([]byte("\n"))
		}
		if r.Sign != nil {
			hash.Write([]byte(r.Sign.ID))
		}
	}
	return "b_" + hex.EncodeToString(hash.Sum(nil)[:16])
}
