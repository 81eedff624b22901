package acme

import (
	"fmt"
	"net/http"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// Judge implements adapter.Responder. Acme answers 409 to a merge that it has made already, which is as good as made
// (https://acme.example/docs/merge). A web page is not Acme's.
func (t *translator) Judge(requests []adapter.Request, answer adapter.Answer) []adapter.Verdict {
	verdict := answer.Verdict()
	switch {
	case answer.Status == http.StatusConflict && !answer.IsPage() && requests[0].URL == t.base+"/people/merge":
		verdict = adapter.Verdict{Class: adapter.Delivered, Note: "merged_before"}
	case verdict.Class != adapter.Delivered:
		verdict.Detail = string(answer.Body)
	}
	return adapter.Verdicts(len(requests), verdict)
}

// Probe implements adapter.Prober. It asks for the account's name (https://acme.example/docs/account).
func (t *translator) Probe() adapter.Probe {
	ask := func(key adapter.Secret) adapter.Request {
		header := map[string]string{"Authorization": "Bearer " + key.Reveal()}
		return adapter.Request{Method: http.MethodGet, URL: t.base + "/account", Header: header}
	}
	control := ask(adapter.NewSecret(adapter.MadeUp))
	return adapter.Probe{Request: ask(t.APIKey), Control: &control, Keys: []string{"api_key"}}
}

// Merges implements adapter.Merger. Two people are one from then on (https://acme.example/docs/merge).
func (t *translator) Merges(call *segment.Call) (adapter.Merge, bool) {
	if call.Type != segment.Alias {
		return adapter.Merge{}, false
	}
	return adapter.Merge{Rule: adapter.MergeJoins, From: call.PreviousID, To: call.UserID}, true
}

// Account implements adapter.Merger.
func (t *translator) Account() string { return fmt.Sprintf("acme %q %q", t.base, t.APIKey.Reveal()) }
