package ingress

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"aka/router/segment"
)

const (
	headerWriteKey = "X-Write-Key"
	queryWriteKey  = "writeKey"
	// maxCredential bounds the text that is searched for a write key.
	maxCredential = 1 << 10
)

// source is who sends with one write key.
type source struct {
	name     string
	origins  []string
	ip       segment.IPPolicy
	limiter  *limiter
	counters *sourceCounters
}

// allows tells whether a page of this origin may send. Only browsers name one.
func (s *source) allows(origin []byte) bool {
	return len(origin) == 0 || len(s.origins) == 0 ||
		slices.ContainsFunc(s.origins, func(allowed string) bool { return strings.EqualFold(allowed, string(origin)) })
}

// keyring finds a source by the digest of its write key: how long that takes tells nothing about how near a guess was.
type keyring map[[sha256.Size]byte]*source

func newKeyring(sources map[string]Source, m *metrics) (keyring, error) {
	keys := keyring{}
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		config := sources[name]
		if !config.WriteKey.IsSet() {
			return nil, fmt.Errorf("sources.%s.write_key: required", name)
		}
		digest := sha256.Sum256([]byte(config.WriteKey.Reveal()))
		if other := keys[digest]; other != nil {
			return nil, fmt.Errorf("sources.%s.write_key: the same as that of sources.%s", name, other.name)
		}
		keys[digest] = &source{
			name: name, origins: config.AllowedOrigins, ip: config.IP, limiter: newLimiter(config.Rate), counters: m.forSource(name),
		}
	}
	return keys, nil
}

// find returns the source of a write key, alone or as Basic credentials and Jitsu have it: with a colon, and perhaps a
// password that counts for nothing. It is nil for an unknown one.
func (k keyring) find(credential []byte) *source {
	if len(credential) == 0 || len(credential) > maxCredential {
		return nil
	}
	credential = bytes.TrimSuffix(credential, []byte{':'})
	if found := k[sha256.Sum256(credential)]; found != nil {
		return found
	}
	if key, _, hasPassword := bytes.Cut(credential, []byte{':'}); hasPassword {
		return k[sha256.Sum256(key)]
	}
	return nil
}

// admit tells whether a write key is that of a source, and what that does with addresses.
func (k keyring) admit(writeKey string) (policy segment.IPPolicy, admitted bool) {
	from := k.find([]byte(writeKey))
	if from == nil {
		return "", false
	}
	return from.ip, true
}

// credentialOf returns what the request outside its body says of the write key; nil when it says nothing. It may use the
// buffer.
func credentialOf(ctx *fasthttp.RequestCtx, buffer []byte) []byte {
	if key := bytes.TrimSpace(ctx.Request.Header.Peek(headerWriteKey)); len(key) > 0 {
		return key
	}
	if user := basicUser(ctx.Request.Header.Peek(fasthttp.HeaderAuthorization), buffer); user != nil {
		return user
	}
	if len(ctx.URI().QueryString()) == 0 {
		return nil
	}
	if key := ctx.QueryArgs().Peek(queryWriteKey); len(key) > 0 {
		return key
	}
	return nil
}

// basicUser returns the decoded Basic credentials; nil when the header is of another scheme or names nobody.
func basicUser(authorization, buffer []byte) []byte {
	scheme, encoded, _ := bytes.Cut(bytes.TrimSpace(authorization), []byte{' '})
	if !bytes.EqualFold(scheme, []byte("basic")) || len(encoded) > maxCredential {
		return nil
	}
	encoded = bytes.TrimRight(bytes.TrimSpace(encoded), "=")
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		decoded, err := encoding.AppendDecode(buffer[:0], encoded)
		if err == nil && len(decoded) > 0 && decoded[0] != ':' {
			return decoded
		}
	}
	return nil
}
