package customerio

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"time"

	"aka/destinations/adapter"
)

const (
	batchPath  = "/api/v2/batch"
	entityPath = "/api/v2/entity"
	regionPath = "/api/v1/accounts/region"
	// maxBatchBytes and maxItemBytes are 500 KB for a batch and 32 KB for an item (https://docs.customer.io/integrations/api/track).
	// Whether a KB has 1000 bytes or 1024 is not said: a batch is held to the smaller, and an item is refused here only beyond the larger.
	maxBatchBytes = 500_000
	maxItemBytes  = 32 << 10
)

// The errors of a call that cannot be sent.
var (
	errNotJSON  = errors.New("call: holds a value that is not JSON")
	errTooLarge = errors.New("call: becomes an item of more than 32 KB")
)

// sending gathers the requests of one call, until one goes wrong.
type sending struct {
	requests []adapter.Request
	err      error
}

// add adds an item that travels in a batch.
func (t *translator) add(s *sending, item adapter.Object) {
	s.add(adapter.Request{Method: http.MethodPost, URL: t.base + batchPath, Header: t.header, Batch: t.batch}, item)
}

// addWithWait adds an item that Customer.io must have taken in before the next one.
func (t *translator) addWithWait(s *sending, item adapter.Object) {
	s.add(adapter.Request{Method: http.MethodPost, URL: t.base + batchPath, Header: t.header, Batch: t.batch, Wait: t.MergeWait}, item)
}

// addMerge adds a merge. It goes alone: no page says in which order the items of a batch are taken.
func (t *translator) addMerge(s *sending, primary, secondary person) {
	s.add(adapter.Request{Method: http.MethodPost, URL: t.base + entityPath, Header: t.header}, adapter.Object{
		{Name: "type", Value: "person"},
		{Name: "action", Value: "merge"},
		{Name: "primary", Value: primary.object()},
		{Name: "secondary", Value: secondary.object()},
	})
}

func (s *sending) add(request adapter.Request, item adapter.Object) {
	if s.err != nil {
		return
	}
	body, err := adapter.Encode(item)
	switch {
	case err != nil:
		s.err = errNotJSON
	case len(body) > maxItemBytes:
		s.err = errTooLarge
	}
	request.Body = body
	s.requests = append(s.requests, request)
}

func (s *sending) outcome() adapter.Outcome {
	if s.err != nil {
		return adapter.Reject(s.err)
	}
	return adapter.Send(s.requests...)
}

// send is the outcome of a call that becomes one item.
func (t *translator) send(item adapter.Object) adapter.Outcome {
	var s sending
	t.add(&s, item)
	return s.outcome()
}

// ulidDigits are those of a ULID (https://github.com/ulid/spec).
const ulidDigits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// ulid is the id by which Customer.io knows a repeated event: the call's time in milliseconds, and 80 bits of its messageId's digest.
// Customer.io takes any other id too, and does not compare it.
func ulid(at time.Time, messageID string) string {
	var id [16]byte
	milliseconds := uint64(at.UnixMilli())
	for i := range 6 {
		id[i] = byte(milliseconds >> (8 * (5 - i)))
	}
	digest := sha256.Sum256([]byte(messageID))
	copy(id[6:], digest[:])
	var text [26]byte
	for i := range text { // five bits each: the first digit has three of them
		text[i] = ulidDigits[bitsAt(&id, 5*i-2)]
	}
	return string(text[:])
}

// bitsAt returns the five bits from a bit on; those before the first are 0.
func bitsAt(id *[16]byte, first int) (value byte) {
	for bit := first; bit < first+5; bit++ {
		value <<= 1
		if bit >= 0 {
			value |= id[bit/8] >> (7 - bit%8) & 1
		}
	}
	return value
}
