package webhook

import (
	"net/http"

	"aka/destinations/adapter"
)

// Judge implements adapter.Responder. A 2xx is a success whatever the body. 410 asks to stop, which must not lose the calls
// that wait.
func (t *translator) Judge(requests []adapter.Request, answer adapter.Answer) []adapter.Verdict {
	verdict := adapter.StatusVerdict(answer.Status)
	switch {
	case answer.Status == http.StatusGone:
		verdict = adapter.Verdict{Class: adapter.Operator, Note: string(adapter.Gone)}
	case verdict.Class == adapter.Never && t.On4xx == On4xxRetry:
		verdict.Class = adapter.Later
	case verdict.Class == adapter.Never:
		verdict.Class = adapter.Isolate // alone, it is Never
	}
	if verdict.Class != adapter.Delivered {
		verdict.Detail = string(answer.Body)
	}
	return adapter.Verdicts(len(requests), verdict)
}
