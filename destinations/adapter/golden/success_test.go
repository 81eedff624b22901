package golden

import (
	"net/http"
	"strings"
	"testing"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// worded is an adapter whose vendor says a success in its own words: 204 to an identify, OK to a track and {} to an alias. Anything else
// with a 2xx is not the vendor's.
type worded struct{ adapter.Common }

var wordeds = adapter.Vendor{Names: []string{"Worded"}, New: func(s adapter.Settings) (adapter.Adapter, error) {
	w := &worded{}
	return w, s.Decode(&w.Common)
}}

func TestSuccessesAreGoldenCases(t *testing.T) { run(t, wordeds, "testdata/success") }

func (w *worded) Translate(call *segment.Call) adapter.Outcome {
	return adapter.Send(adapter.Request{Method: "POST", URL: "https://worded.test/" + call.Type.String()})
}

func (w *worded) Judge(requests []adapter.Request, answer adapter.Answer) []adapter.Verdict {
	verdict := answer.Verdict()
	if verdict.Class == adapter.Delivered && !w.isSuccess(requests[0].URL, answer) {
		verdict = answer.Foreign()
	}
	return adapter.Verdicts(len(requests), verdict)
}

func (w *worded) isSuccess(url string, answer adapter.Answer) bool {
	switch {
	case strings.HasSuffix(url, "/identify"):
		return answer.Status == http.StatusNoContent && answer.IsEmpty()
	case strings.HasSuffix(url, "/track"):
		return strings.TrimSpace(string(answer.Body)) == "OK"
	}
	return answer.IsObject()
}
