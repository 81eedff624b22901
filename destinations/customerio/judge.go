package customerio

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"

	"aka/destinations/adapter"
)

// reply is what Customer.io answers: {} where it took everything, else what it refused.
type reply struct {
	Errors []problem `json:"errors"`
}

type problem struct {
	// Index is the place in the batch of the item that was refused.
	Index   any    `json:"batch_index"`
	Reason  string `json:"reason"`
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Judge implements adapter.Responder. A 207 names the items that were refused, by their places. A 400 refuses the body as a whole and does
// not say for which item. Everything that is sent is harmless when it comes again, so a 207 that cannot be read is tried again.
func (t *translator) Judge(requests []adapter.Request, answer adapter.Answer) []adapter.Verdict {
	verdict := answer.Verdict()
	said, err := read(answer.Body)
	switch {
	case verdict.Class == adapter.Never && answer.Status == http.StatusBadRequest:
		verdict.Class = adapter.Isolate
	case verdict.Class != adapter.Delivered:
	case !answer.IsEmpty() && !answer.IsObject():
		verdict = answer.Foreign()
	case err == nil && len(said.Errors) > 0:
		return said.perItem(len(requests))
	case answer.Status != http.StatusMultiStatus || err == nil: // a 200 has taken everything, whether its object ends in time or not
	case errors.Is(err, io.ErrUnexpectedEOF) && answer.TooLong && len(requests) > 1:
		verdict.Class = adapter.Split
	default:
		verdict.Class = adapter.Later
	}
	if verdict.Class != adapter.Delivered {
		verdict.Detail = cmp.Or(verdict.Detail, string(answer.Body))
	}
	return adapter.Verdicts(len(requests), verdict)
}

// read decodes an answer. The error is io.ErrUnexpectedEOF when it was cut off.
func read(body []byte) (said reply, err error) {
	err = json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))).Decode(&said)
	return said, err
}

// perItem refuses the items that the answer names. One that it does not name well may be any: all go again in halves.
func (r reply) perItem(n int) []adapter.Verdict {
	verdicts := adapter.Verdicts(n, adapter.Verdict{Class: adapter.Delivered})
	for _, p := range r.Errors {
		verdict := adapter.Verdict{Class: adapter.Never, Detail: p.text()}
		index, ok := p.Index.(float64)
		if !ok || index != math.Trunc(index) || index < 0 || index >= float64(n) {
			verdict.Class = adapter.Isolate
			return adapter.Verdicts(n, verdict)
		}
		verdicts[int(index)] = verdict
	}
	return verdicts
}

func (p problem) text() string {
	text := p.Reason
	for _, more := range []string{p.Field, p.Message} {
		if more != "" {
			text += ": " + more
		}
	}
	return text
}
