package webhook

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// Signature is how a request is signed.
type Signature string

// The signatures.
const (
	SignatureStandard Signature = "standard"
	SignatureSHA1     Signature = "sha1"
	SignatureNone     Signature = "none"
)

// Format is what a body holds.
type Format string

// The formats.
const (
	FormatCall     Format = "call"
	FormatStandard Format = "standard"
)

// On4xx is what becomes of a call that the receiver refuses without a reason.
type On4xx string

// What becomes of it.
const (
	On4xxRetry On4xx = "retry"
	On4xxDead  On4xx = "dead"
)

// maxBatch is the largest batch that Segment's webhooks send, too.
const maxBatch = 4000

// Config is the `settings` section of a webhook. The default of endpoint is the url; with an endpoint, the calls go there instead.
// The default of settle is 0s.
type Config struct {
	adapter.Common `yaml:",inline"`
	// URL is where the calls go. Required. It begins with https, unless allow_http is true. aka sends a user and a password in it as
	// Basic credentials, and never shows them.
	URL adapter.URL `yaml:"url" example:"https://hooks.example.com/aka"`
	// AllowHTTP allows a url without TLS. Default false.
	AllowHTTP bool `yaml:"allow_http"`
	// Secrets are the keys that sign each request. Required, unless signature is none. A key is whsec_ and the base64 of 24 to 64 random
	// bytes. To rotate it, write the new key before the old one: both sign, and the receiver accepts either. The
	// signature sha1 has one key, which is any text.
	Secrets []adapter.Secret `yaml:"secrets"`
	// Signature says how a request is signed: standard (Standard Webhooks), sha1 (X-Signature, as Segment's webhooks have it) or none.
	// Default standard.
	Signature Signature `yaml:"signature"`
	// Headers are more headers for each request. Their values are secrets.
	Headers map[string]adapter.Secret `yaml:"headers"`
	// Method is the HTTP method: POST, PUT or PATCH. Default POST.
	Method string `yaml:"method" words:"POST PUT PATCH"`
	// Format says what a body is: with call, the call; with standard, an object of its `type`, its `timestamp`, and the call as `data`.
	// Default call.
	Format Format `yaml:"format"`
	// Batch is how many calls go in one request, as a JSON array. 0 sends them one by one, without an array. 0 to 4000. Default 0.
	Batch int `yaml:"batch"`
	// BatchBytes is how large the body of a batch gets, before compression. At least 1. Default 500000.
	BatchBytes int `yaml:"batch_bytes"`
	// Types are the types of calls to send. The others are dropped. Default: all six.
	Types []string `yaml:"types"`
	// On4xx says what aka does after a 4xx that names no reason: retry, until retry.max_age; or dead, for a dead letter at once. With
	// dead, a refused batch is sent again in halves. Default retry.
	On4xx On4xx `yaml:"on_4xx"`
	// Gzip makes aka compress bodies. The signature is over the plain body. Default false.
	Gzip bool `yaml:"gzip"`
	// AliasJoins makes aka take the ids of an alias for one person. Set it if the receiver joins them. Then the rules of `merges` apply,
	// and aka remembers what it delivered. Default false.
	AliasJoins bool `yaml:"alias_joins"`
}

// New builds the adapter. Its error lists every mistake in the settings.
func New(settings adapter.Settings) (adapter.Adapter, error) {
	config := &Config{
		Signature: SignatureStandard, Method: "POST", Format: FormatCall, BatchBytes: 500_000, On4xx: On4xxRetry,
	}
	decoded := settings.Decode(config)
	address, err := config.BaseURL(config.URL.Address())
	if err := errors.Join(decoded, config.check(), err); err != nil {
		return nil, err
	}
	return newTranslator(*config, address), nil
}

func (c *Config) check() error {
	problems := []error{
		adapter.OneOf("signature", string(c.Signature), string(SignatureStandard), string(SignatureSHA1), string(SignatureNone)),
		adapter.OneOf("method", c.Method, "POST", "PUT", "PATCH"),
		adapter.OneOf("format", string(c.Format), string(FormatCall), string(FormatStandard)),
		adapter.OneOf("on_4xx", string(c.On4xx), string(On4xxRetry), string(On4xxDead)),
		c.checkSecrets(),
	}
	switch {
	case !c.URL.IsSet():
		problems = append(problems, adapter.Required("url"))
	case !c.URL.IsSecure() && !c.AllowHTTP:
		problems = append(problems, adapter.Invalid("url", "must be https; allow_http: true allows http"))
	}
	if c.Batch < 0 || c.Batch > maxBatch {
		problems = append(problems, adapter.Invalid("batch", "0 to %d, not %d", maxBatch, c.Batch))
	}
	if c.BatchBytes < 1 {
		problems = append(problems, adapter.Invalid("batch_bytes", "1 or more, not %d", c.BatchBytes))
	}
	for _, word := range c.Types {
		problems = append(problems, adapter.OneOf("types", word, typeWords()...))
	}
	return errors.Join(append(problems, c.checkHeaders()...)...)
}

func (c *Config) checkSecrets() error {
	isSet := len(c.Secrets) > 0 && !slices.ContainsFunc(c.Secrets, func(s adapter.Secret) bool { return !s.IsSet() })
	switch {
	case c.Signature == SignatureNone && len(c.Secrets) > 0:
		return adapter.Invalid("secrets", "are not used with signature: none")
	case c.Signature == SignatureNone:
		return nil
	case !isSet:
		return adapter.Invalid("secrets", "are required, or signature: none")
	case c.Signature == SignatureSHA1 && len(c.Secrets) > 1:
		return adapter.Invalid("secrets", "one only with signature: sha1, whose header holds one signature")
	case c.Signature == SignatureSHA1:
		return nil
	}
	for _, secret := range c.Secrets {
		if strings.HasPrefix(secret.Reveal(), "whsk_") || strings.HasPrefix(secret.Reveal(), "whpk_") {
			return adapter.Invalid("secrets", "whsk_ and whpk_ are keys of v1a (ed25519), which aka does not sign with; use whsec_")
		}
		if _, ok := adapter.SignKey(secret); !ok {
			return adapter.Invalid("secrets", "must be whsec_ and the base64 of 24 to 64 bytes")
		}
	}
	return nil
}

// headerName is a token of HTTP.
var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// senders are the headers that say where a request goes, how long it is and how it is packed.
var senders = []string{"host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection", "trailer"}

func (c *Config) checkHeaders() (problems []error) {
	known := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		lower := strings.ToLower(name)
		switch {
		case !headerName.MatchString(name):
			problems = append(problems, adapter.Invalid("headers", "%q is not the name of a header", name))
		case slices.Contains(senders, lower), adapter.IsSignHeader(name):
			problems = append(problems, adapter.Invalid("headers", "%s is the sender's", name))
		case known[lower]:
			problems = append(problems, adapter.Invalid("headers", "%s is given twice", name))
		case lower == "authorization" && c.URL.Authorization() != "":
			problems = append(problems, adapter.Invalid("headers", "%s is that of the user in url", name))
		case strings.ContainsAny(c.Headers[name].Reveal(), "\r\n\x00"):
			problems = append(problems, adapter.Invalid("headers", "%s holds a line break or NUL", name))
		}
		known[lower] = true
	}
	return problems
}

// typeWords are the types of calls, as in a call's JSON.
func typeWords() []string {
	words := make([]string, len(segment.Types))
	for i, kind := range segment.Types {
		words[i] = kind.String()
	}
	return words
}
