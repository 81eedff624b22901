package golden

import (
	"strings"
	"testing"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// verifier is an adapter that says of a story what a test says.
type verifier struct {
	adapter.Common
	change func(*adapter.Verification)
}

func (v *verifier) Translate(*segment.Call) adapter.Outcome { return adapter.Outcome{} }

func (v *verifier) Probe() adapter.Probe {
	return adapter.Probe{Request: adapter.Request{Method: "GET", URL: "https://track.acme.test/region"}}
}

func (v *verifier) Verify(story adapter.Story) adapter.Verification {
	good := adapter.Verification{Story: story, Setup: "version 2", Keys: []string{"app_key"}, Look: []string{"People: " + story.New}, Checks: []adapter.Check{{
		Expected: "a person",
		Request:  adapter.Request{Method: "GET", URL: "https://api.acme.test/people/" + story.New, Header: map[string]string{"Authorization": "s3cret-key"}},
		Read:     func(a adapter.Answer) (bool, string) { return strings.Contains(string(a.Body), "person"), "" },
	}}}
	if v.change != nil {
		v.change(&good)
	}
	return good
}

func TestWhatAVerifierMustNotSay(t *testing.T) {
	secrets := []adapter.Secret{adapter.NewSecret("s3cret-key")}
	calls := 0
	for what, c := range map[string]struct {
		change func(*adapter.Verification)
		want   string
	}{
		"nothing wrong":     {nil, ""},
		"e-mails":           {func(v *adapter.Verification) { v.Story = v.Story.WithEmails() }, ""},
		"unread":            {func(v *adapter.Verification) { v.Checks, v.Unread = nil, "no API" }, ""},
		"another story":     {func(v *adapter.Verification) { v.Story.Old = "jane@example.com" }, "the story is"},
		"no setup":          {func(v *adapter.Verification) { v.Setup = "" }, "must say something"},
		"nothing to look":   {func(v *adapter.Verification) { v.Look = nil }, "must say something"},
		"no reason":         {func(v *adapter.Verification) { v.Checks = nil }, "Unread must say"},
		"a reason too many": {func(v *adapter.Verification) { v.Unread = "no API" }, "Unread must say"},
		"no keys":           {func(v *adapter.Verification) { v.Keys = nil }, "Keys must name"},
		"a secret in a text": {func(v *adapter.Verification) { v.Look = []string{"see ?key=s3cret-key"} },
			"a secret stands in what is shown"},
		"a secret in a URL": {func(v *adapter.Verification) { v.Checks[0].Request.URL += "?key=s3cret-key" }, "a secret stands in what is shown"},
		"plain HTTP":        {func(v *adapter.Verification) { v.Checks[0].Request.URL = "http://api.acme.test/people" }, "not an absolute https URL"},
		"somebody else":     {func(v *adapter.Verification) { v.Checks[0].Request.URL = "https://api.other.test/people" }, "does not ask a host of the vendor"},
		"a mark":            {func(v *adapter.Verification) { v.Checks[0].Request.Merges = true }, "no batch, wait"},
		"too easily content": {func(v *adapter.Verification) {
			v.Checks[0].Read = func(adapter.Answer) (bool, string) { return true, "" }
		}, "it is content with"},
		"another one a time": {func(v *adapter.Verification) { calls++; v.Setup = strings.Repeat("x", calls) }, "not repeatable"},
		"another read a time": {func(v *adapter.Verification) {
			v.Checks[0].Read = func(adapter.Answer) (bool, string) { calls++; return false, strings.Repeat("x", calls) }
		}, "Read is not repeatable"},
	} {
		if problem := verifyProblem(&verifier{change: c.change}, secrets); (problem == "") != (c.want == "") || !strings.Contains(problem, c.want) {
			t.Errorf("%s: %q, want %q", what, problem, c.want)
		}
	}
}
