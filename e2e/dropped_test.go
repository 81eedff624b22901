package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"aka/e2e/harness"
)

// An id is blocked by mistake. What was dropped for that is found, also after a crash, and sent once the setting is corrected.
func TestCallsDroppedByAWrongSettingAreReplayedInOrder(t *testing.T) {
	wrong := "api_key: s3cret-key, blocked_ids: [jen@email.com, jen2@email.com]"
	w := newWorld(t, harness.Setup{Destinations: []harness.Destination{{Name: "kissmetrics", Vendor: "kissmetrics", Settings: wrong}}})
	w.Start()
	w.send("/v1/alias", `{"messageId":"m1","previousId":"jen@email.com","userId":"jen2@email.com"}`)
	w.send("/v1/alias", `{"messageId":"m2","previousId":"jen2@email.com","userId":"507"}`)
	w.send("/v1/alias", `{"messageId":"m3","previousId":"joe@email.com","userId":"508"}`)
	w.UntilAllEnded()
	w.Kill()
	w.Start()
	w.UntilAllEnded()
	account := w.Account("kissmetrics")
	expectSteps(t, account, [][]string{{"alias joe@email.com 508"}})
	if got := droppedCalls(t, w); got != "m1 blocked_id, m2 blocked_id, " {
		t.Errorf("kept: %s", got)
	}
	summary := aka(t, "", "dropped", "list", "--summary", "--admin", w.Process.Admin)
	if !strings.Contains(summary, "kissmetrics") || !strings.Contains(summary, "blocked_id") {
		t.Errorf("the summary is\n%s", summary)
	}

	replayAll := func() string {
		out := aka(t, "", "dropped", "replay", "--all", "--destination", "kissmetrics", "--reason", "blocked_id", "--admin", w.Process.Admin)
		w.UntilAllEnded()
		return strings.TrimSpace(out)
	}
	if out := replayAll(); out != "replayed 2 dropped calls" {
		t.Errorf("with the wrong setting: %s", out)
	}
	if got := droppedCalls(t, w); got != "m1 blocked_id, m2 blocked_id, " {
		t.Errorf("dropped again, and kept: %s", got)
	}
	w.Destination("kissmetrics").Settings = "api_key: s3cret-key"
	w.Configure()
	aka(t, "", "reload", "--admin", w.Process.Admin)
	replayAll()
	expectSteps(t, account, [][]string{{"alias joe@email.com 508"}, {"alias jen@email.com jen2@email.com"}, {"alias jen2@email.com 507"}})
	if got := droppedCalls(t, w); got != "" {
		t.Errorf("after the replay there are %s", got)
	}
	w.Stop()
}

// droppedCalls lists the dropped calls that are kept, in order.
func droppedCalls(t *testing.T, w *world) (all string) {
	t.Helper()
	var list struct {
		Calls []struct {
			MessageID string `json:"message_id"`
			Reason    string
		} `json:"dropped_calls"`
	}
	text := aka(t, "", "dropped", "list", "--output", "json", "--admin", w.Process.Admin)
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatalf("the list is not JSON: %v\n%s", err, text)
	}
	for _, call := range list.Calls {
		all += call.MessageID + " " + call.Reason + ", "
	}
	return all
}
