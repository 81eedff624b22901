package segment

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// sourceOf finds the source of a batch's next call, and takes over what that does with addresses. other is the call's write key
// where that is another source than the body's.
func (p *parser) sourceOf(c *rawCall) (other string, problem *Error) {
	p.IPPolicy = p.ownPolicy
	key := ownKey(c.writeKey)
	switch {
	case p.index == 0 && !p.admitted && len(p.bodyKey) > 0:
		p.refused = !p.admits(string(p.bodyKey))
	case p.index == 0 && len(p.bodyKey) == 0 && len(key) == 0:
		p.admits("")
	}
	switch {
	case len(key) > 0 && !bytes.Equal(key, p.bodyKey):
		return p.otherSource(string(key))
	case p.refused:
		return "", errUnknownKey
	case p.admitted:
		return "", nil
	}
	return "", errMissingKey
}

// otherSource is that of a write key that only one call has. Where there was no source so far, it becomes the body's.
func (p *parser) otherSource(key string) (other string, problem *Error) {
	if p.Admit == nil && p.admitted {
		return "", nil
	}
	if p.result.WriteKey == "" && !p.admitted {
		p.result.WriteKey = key
	}
	policy, admitted := p.ownPolicy, true
	if p.Admit != nil {
		policy, admitted = p.Admit(key)
	}
	switch {
	case !admitted:
		return "", errUnknownKey
	case p.admitted:
		p.IPPolicy = policy
		return key, nil
	}
	p.admitted, p.ownPolicy, p.IPPolicy = true, policy, policy
	p.result.WriteKey, p.bodyKey = key, []byte(key)
	return "", nil
}

// masked is how Jitsu's SDK ends a write key in a call. The whole key is in the request's headers.
var masked = []byte(":***")

// ownKey returns the write key that a call has of its own, nil for none.
func ownKey(raw jsontext.Value) []byte {
	key := unquote(raw)
	if bytes.HasSuffix(key, masked) {
		return nil
	}
	return key
}
