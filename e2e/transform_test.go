package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"aka/destinations/simulator"
	"aka/e2e/harness"
)

const (
	card = "4111111111111111"
	// hashed is the SHA-256 of jen@email.com.
	hashed = "d65468278f041ae4743ebe8980636e294ad4f0d1711ac63cadd399bef2a35552"
)

// edits hashes the e-mail and drops the card, also where a call says them in its context.
const edits = `transform: [
	{ drop: [properties.card] },
	{ when: traits.email != nil, set: { traits.email: '=sha256(lower(trim(traits.email)))' } },
	{ when: 'context.traits?.email != nil', set: { context.traits.email: '=sha256(lower(trim(context.traits.email)))' } },
],`

// One destination has a filter and a transform, one that forwards calls whole has a transform, and the third gets the calls as they came.
// Then the filter changes while calls wait, and what it left out by mistake is replayed.
func TestFilterAndTransformAreOfOneDestination(t *testing.T) {
	wrong := strings.ReplaceAll(`filter: 'type != "alias" and properties.plan != "internal"', `+edits, "\n\t", " ")
	right := strings.ReplaceAll(`filter: 'event != "Secret" and properties.plan != "internal"', `+edits, "\n\t", " ")
	w := newWorld(t, harness.Setup{
		More: "dropped: { reasons: [filtered_by_destination] }",
		Destinations: []harness.Destination{
			{Name: "plain", Vendor: "kissmetrics", Settings: "api_key: s3cret-key"},
			{Name: "upstream", Vendor: "segment", Settings: "write_key: s3cret-write, gzip: false", More: strings.ReplaceAll(edits, "\n\t", " ")},
			{Name: "vero", Vendor: "vero", Settings: "auth_token: s3cret-token", More: wrong},
		},
	})
	w.Start()
	w.send("/v1/identify", `{"messageId":"m1","userId":"jen","traits":{"email":" Jen@Email.com ","plan":"pro"}}`)
	w.send("/v1/track", `{"messageId":"m2","userId":"jen","event":"Paid","properties":{"card":"`+card+`","total":5},"context":{"traits":{"email":"jen@email.com"}}}`)
	w.send("/v1/track", `{"messageId":"m3","userId":"jen","event":"Tried","properties":{"plan":"internal"}}`)
	w.send("/v1/alias", `{"messageId":"m4","previousId":"jen","userId":"507"}`)
	w.UntilAllEnded()
	expectSteps(t, w.Account("vero"), [][]string{{"profile jen"}, {"event jen Paid"}})
	expectOutcome(w, 1, "vero", "track", "dropped", "filtered_by_destination")
	expectOutcome(w, 1, "vero", "alias", "dropped", "filtered_by_destination")
	if got := droppedCalls(t, w); got != "m3 filtered_by_destination, m4 filtered_by_destination, " {
		t.Errorf("kept: %s", got)
	}
	for name, has := range map[string]map[string]bool{
		"plain":    {card: true, "Email.com": true, hashed: false},
		"upstream": {card: false, "mail.com": false, hashed: true, `"total":5`: true},
		"vero":     {card: false, "mail.com": false, hashed: true, `"total":5`: true},
	} {
		sent := everythingSent(t, w.Account(name))
		for text, want := range has {
			if strings.Contains(sent, text) != want {
				t.Errorf("%s got %s: %v\n%s", name, text, !want, sent)
			}
		}
	}

	aka(t, "", "destination", "pause", "vero", "--admin", w.Process.Admin)
	w.send("/v1/track", `{"messageId":"m5","userId":"jen","event":"Secret"}`) // waits, and meets the new filter
	w.send("/v1/track", `{"messageId":"m6","userId":"jen","event":"Seen"}`)
	w.Destination("vero").More = right
	w.Configure()
	aka(t, "", "reload", "--admin", w.Process.Admin)
	aka(t, "", "destination", "resume", "vero", "--admin", w.Process.Admin)
	w.UntilAllEnded()
	if out := aka(t, "", "dropped", "replay", "--all", "--destination", "vero", "--reason", "filtered_by_destination", "--admin", w.Process.Admin); strings.TrimSpace(out) != "replayed 3 dropped calls" {
		t.Errorf("the replay said %s", out)
	}
	w.UntilAllEnded()
	expectSteps(t, w.Account("vero"), [][]string{{"profile jen"}, {"event jen Paid"}, {"event jen Seen"}, {"reidentify jen 507"}})
	if got := droppedCalls(t, w); got != "m3 filtered_by_destination, m5 filtered_by_destination, " {
		t.Errorf("filtered anew: %s", got)
	}
	if log := w.Process.Log.String(); !strings.Contains(log, "filter or transform changed") {
		t.Errorf("the log does not say that the filter has changed:\n%s", log)
	}
	w.Stop()
}

// everythingSent is all that a vendor got, as one text.
func everythingSent(t *testing.T, a *simulator.Account) string {
	t.Helper()
	text, err := json.Marshal(a.Exchanges())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What is wrong with a filter is said with its place, beside the other mistakes.
func TestCheckSaysWhereAFilterIsWrong(t *testing.T) {
	w := newWorld(t, harness.Setup{Destinations: []harness.Destination{
		{Name: "vero", Vendor: "vero", Settings: "auth_token: s3cret-token", More: `mode: wet, filter: 'userID != ""', transform: [{ drop: [userId] }],`},
	}})
	_, err := harness.Command(t.Context(), binary, "", "check", "--config", w.Config)
	if err == nil {
		t.Fatal("the config is taken")
	}
	for _, want := range []string{"config.yaml:8:", `destinations.vero.filter: unknown name "userID"; did you mean userId?`, "destinations.vero.mode: unknown mode", "userId cannot be edited: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it does not say %s:\n%v", want, err)
		}
	}
}

// A step that fails sends nothing. The dead letter says which step, and nothing of the call; once the config is corrected it is replayed.
func TestACallWhoseTransformFailsIsReplayedOnceItIsCorrected(t *testing.T) {
	step := func(path string) string {
		return `transform: [{ set: { "` + path + `": '=sha256(email(traits.email))' } }],`
	}
	w := newWorld(t, harness.Setup{Destinations: []harness.Destination{
		{Name: "vero", Vendor: "vero", Settings: "auth_token: s3cret-token", More: step("traits.email")},
	}})
	w.Start()
	w.send("/v1/identify", `{"messageId":"m1","userId":"jen","traits":{"email":"jen at email.com","plan":"pro"}}`)
	w.UntilAllEnded()
	expectOutcome(w, 1, "vero", "identify", "dead", "rejected")
	list := aka(t, "", "dead", "list", "--output", "json", "--admin", w.Process.Admin)
	if !strings.Contains(list, "transform[0].set: traits.email: has no value for this call") {
		t.Errorf("the list is\n%s", list)
	}
	if log := w.Process.Log.String(); strings.Contains(log, "jen at") {
		t.Errorf("the log has the e-mail:\n%s", log)
	}
	w.Destination("vero").More = step("traits.email?")
	w.Configure()
	aka(t, "", "reload", "--admin", w.Process.Admin)
	aka(t, "", "dead", "replay", "--all", "--admin", w.Process.Admin)
	w.UntilAllEnded()
	expectSteps(t, w.Account("vero"), [][]string{{"profile jen"}})
	if sent := everythingSent(t, w.Account("vero")); strings.Contains(sent, "jen at") || !strings.Contains(sent, `"plan":"pro"`) {
		t.Errorf("it was sent %s", sent)
	}
	w.Stop()
}
