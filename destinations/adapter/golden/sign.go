package golden

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"aka/destinations/adapter"
)

var signID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// problemOfSign returns what is wrong with how a request is to be signed, or "".
func problemOfSign(r adapter.Request) string {
	if r.Sign == nil {
		return ""
	}
	switch {
	case !slices.Contains(adapter.Schemes, r.Sign.Scheme):
		return fmt.Sprintf("%q is no known scheme to sign by", r.Sign.Scheme)
	case !signID.MatchString(r.Sign.ID):
		return fmt.Sprintf("the id %q is to be 1 to 64 of A-Z, a-z, 0-9, _ and -", r.Sign.ID)
	case r.Sign.Scheme == adapter.Unsigned && len(r.Sign.Keys) > 0:
		return "a request is not to be signed, and there is a key"
	case r.Sign.Scheme == adapter.BodySHA1 && (len(r.Sign.Keys) != 1 || !r.Sign.Keys[0].IsSet()):
		return "a body is signed by one key"
	case r.Sign.Scheme == adapter.StandardWebhooks && len(r.Sign.Keys) == 0:
		return "a request is to be signed, and there is no key"
	}
	for _, key := range r.Sign.Keys {
		if _, ok := adapter.SignKey(key); !ok && r.Sign.Scheme == adapter.StandardWebhooks {
			return "a key to sign with is not one: New must refuse it"
		}
	}
	for name := range r.Header {
		if adapter.IsSignHeader(name) {
			return "the header " + name + " is the sender's"
		}
	}
	return ""
}

// signProblem compares what the sender makes of the first request.
func (c *Case) signProblem(requests []adapter.Request) string {
	if c.Signed == nil {
		return ""
	}
	header, _ := adapter.Signed(requests[:1], adapter.Body(requests[:1]), time.Unix(c.SignedAt, 0))
	for name, want := range c.Signed {
		if header[name] != want {
			return fmt.Sprintf("signed, %s:\n got %s\nwant %s", name, header[name], want)
		}
	}
	return ""
}
