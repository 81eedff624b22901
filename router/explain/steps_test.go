package explain

import (
	"strings"
	"testing"
	"time"

	"aka/destinations/adapter"
	"aka/router/config"
	"aka/router/segment"
)

// searching is an adapter whose calls begin with a search, and merge after it.
type searching struct{ mute }

const searchKey = "s3cret-token-of-some-length"

func (searching) Translate(call *segment.Call) adapter.Outcome {
	return adapter.Send(adapter.Request{Method: "GET", URL: "https://vendor.test/people?key=" + searchKey, Asks: true, Wait: time.Second})
}

func (searching) Next(*segment.Call, []adapter.Answered) adapter.Outcome { return adapter.Outcome{} }

func (searching) Merges(call *segment.Call) (adapter.Merge, bool) {
	return adapter.Merge{Rule: adapter.MergeJoins, From: call.AnonymousID, To: call.UserID}, true
}

func (searching) Account() string { return "searching" }

// The first request is shown, masked, and that others depend on its answer; a rule leaves the merge out of those to come.
func TestStepsAreExplainedByTheirFirst(t *testing.T) {
	c := load(t, `
sources: { website: { write_key: dev } }
destinations: { vero: { settings: { auth_token: token-2 } } }
merges: { blocked_ids: ["phone-*"] }
`, config.LoadOptions{})
	d := c.Destinations["vero"]
	d.Adapter, d.Masker = searching{}, adapter.NewMasker([]adapter.Secret{adapter.NewSecret(searchKey)})
	explained, err := Body(c, []byte(`{"type":"identify","userId":"jane","anonymousId":"phone-1","traits":{"plan":"pro"}}`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := explained.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	at := explained.Calls[0].Destinations[0]
	if len(at.Requests) != 1 || !at.Requests[0].Asks || at.Outcome != OutcomeSend || !strings.Contains(at.Note, "leaves out the request that merges") {
		t.Errorf("%+v", at)
	}
	if !strings.Contains(text.String(), "what comes next depends on the answer") || strings.Contains(text.String(), searchKey) || at.Requests[0].Wait != "1s" {
		t.Errorf("%s", text.String())
	}
}
