package mixpanel

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"math"

	"aka/destinations/adapter"
)

// reply is what Mixpanel answers: JSON, or a bare 1 or 0.
type reply struct {
	Status any    `json:"status"`
	Error  string `json:"error"`
	// Failed are the records that it refused. The others were taken, whatever the status.
	Failed []failure `json:"failed_records"`
}

type failure struct {
	Index   any    `json:"index"`
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Judge implements adapter.Responder. An answer says more than its status does: a 400 may name the few records that it is
// about, and a 200 may be a refusal. A success is one by Mixpanel's own word in it, whatever its Content-Type.
func (t *translator) Judge(requests []adapter.Request, answer adapter.Answer) []adapter.Verdict {
	said, err := read(answer.Body)
	verdict := adapter.StatusVerdict(answer.Status)
	switch {
	case verdict.Class != adapter.Delivered && verdict.Class != adapter.Never:
	case len(said.Failed) > 0:
		return said.perRecord(len(requests), t.isEvent(requests[0]))
	case said.refuses():
		verdict.Class = refusal(answer.Status)
	case verdict.Class == adapter.Delivered && (said.accepts() || t.isImported(requests[0], answer)):
		return adapter.Verdicts(len(requests), verdict)
	case errors.Is(err, io.ErrUnexpectedEOF):
		verdict.Class = unfinished(len(requests), answer.TooLong, verdict.Class)
	case verdict.Class == adapter.Delivered && answer.IsEmpty() && !answer.IsPage():
		verdict.Class = adapter.Later // an answer that did not come in time, too
	case verdict.Class == adapter.Delivered:
		verdict = answer.Foreign()
	default:
		verdict.Class = refusal(answer.Status)
	}
	verdict.Detail = cmp.Or(verdict.Detail, said.detail(answer.Body))
	return adapter.Verdicts(len(requests), verdict)
}

// refusal is the class of an answer that refuses a request and names no record: nothing of it was taken. One that is about the
// account or the endpoint is about each record alike.
func refusal(status int) adapter.Class {
	if adapter.IsAccountStatus(status) {
		return adapter.Never
	}
	return adapter.Isolate
}

// isImported reports whether a 2xx is one of /import, which says by itself that everything was taken. Elsewhere only the body
// does.
func (t *translator) isImported(request adapter.Request, answer adapter.Answer) bool {
	return t.isEvent(request) && !answer.IsPage() && (answer.IsEmpty() || answer.IsObject())
}

// isEvent reports whether a request holds events, which Mixpanel takes once by their $insert_id.
func (t *translator) isEvent(request adapter.Request) bool { return request.URL == t.events.url }

// unfinished is the class of an answer that ends in the middle. Of one that is too long, half the batch gets half. Otherwise the
// rest of it may come the next time. Only the refusal of a single record needs no more words.
func unfinished(requests int, tooLong bool, class adapter.Class) adapter.Class {
	switch {
	case requests > 1 && tooLong:
		return adapter.Split
	case requests == 1 && class == adapter.Never:
		return adapter.Never
	}
	return adapter.Later
}

// read decodes an answer as far as it can be. The error is io.ErrUnexpectedEOF when the answer was cut off.
func read(body []byte) (said reply, err error) {
	switch text := string(bytes.TrimSpace(body)); text {
	case "0", "1":
		return reply{Status: text}, nil
	}
	if json.Unmarshal(body, &said) == nil {
		return said, nil
	}
	said = reply{}
	err = json.NewDecoder(bytes.NewReader(body)).Decode(&said)
	return said, err
}

// detail is Mixpanel's own message, or else all that it said.
func (r reply) detail(body []byte) string {
	if r.Error != "" {
		return r.Error
	}
	return string(bytes.TrimSpace(body))
}

// refuses reports whether nothing was taken.
func (r reply) refuses() bool {
	switch r.Status {
	case 0.0, "0", false, "error":
		return true
	}
	return r.Status == nil && r.Error != ""
}

// accepts reports whether the answer is one of Mixpanel's at all, and no refusal.
func (r reply) accepts() bool { return r.Status != nil && !r.refuses() }

// perRecord refuses the records that the answer names. One that it does not name well may be any. Events then go again in
// halves: Mixpanel knows those that it has taken by their $insert_id. Profile updates have no key, and an increment would count
// twice: all are refused, which keeps them.
func (r reply) perRecord(n int, isEvent bool) []adapter.Verdict {
	verdicts := adapter.Verdicts(n, adapter.Verdict{Class: adapter.Delivered})
	for _, f := range r.Failed {
		index, ok := f.Index.(float64)
		if !ok || index != math.Trunc(index) || index < 0 || index >= float64(n) {
			verdict := f.verdict()
			if isEvent {
				verdict.Class = adapter.Isolate
			}
			return adapter.Verdicts(n, verdict)
		}
		verdicts[int(index)] = f.verdict()
	}
	return verdicts
}

func (f failure) verdict() adapter.Verdict {
	text := f.Message
	if f.Field != "" {
		text = f.Field + ": " + text
	}
	return adapter.Verdict{Class: adapter.Never, Detail: text}
}
