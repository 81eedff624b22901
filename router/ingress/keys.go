package ingress

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

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
	repairs  bool          // the aliases whose previousId an SDK has overwritten
	reorder  time.Duration // how long a device's calls are held
	limiter  *limiter
	counters *sourceCounters
}

// allows reports whether a page of this origin may send. Only browsers name one.
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
			name: name, origins: config.AllowedOrigins, ip: config.IP, repairs: config.RepairsAliases(), reorder: config.reorderWindow(), limiter: newLimiter(config.Rate), counters: m.forSource(name),
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

// admit reports whether a write key is that of a source, and what that does with addresses.
func (k keyring) admit(writeKey string) (policy segment.IPPolicy, admitted bool) {
	from := k.find([]byte(writeKey))
	if from == nil {
		return "", false
	}
	return from.ip, true
}

// sourceOf finds the source by what the request says outside its body: the first of X-Write-Key, Basic credentials and the query
// that names one. The others may be a site's or a proxy's own. credential is what names the source, or else the first of them,
// nil for none. It may use the buffer.
func (k keyring) sourceOf(ctx *fasthttp.RequestCtx, buffer []byte) (from *source, credential []byte) {
	is := func(said []byte) bool {
		if len(said) == 0 {
			return false
		}
		if from = k.find(said); from != nil || credential == nil {
			credential = said
		}
		return from != nil
	}
	if is(bytes.TrimSpace(ctx.Request.Header.Peek(headerWriteKey))) ||
		is(basicUser(ctx.Request.Header.Peek(fasthttp.HeaderAuthorization), buffer)) || len(ctx.URI().QueryString()) == 0 {
		return from, credential
	}
	is(ctx.QueryArgs().Peek(queryWriteKey))
	return from, credential
}

// basicUser returns the decoded Basic credentials; nil when the header is of another scheme or has no user.
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
