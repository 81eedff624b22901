package adapter

import (
	"slices"
	"strings"
	"testing"
)

func TestEveryReasonIsExplained(t *testing.T) {
	all := slices.Concat(DropReasons, DeadReasons, RetryReasons)
	for _, reason := range all {
		why := reason.Explain()
		if why == "" || strings.HasSuffix(why, ".") || strings.ContainsAny(why, "\r\n") {
			t.Errorf("%s: got %q, want one sentence without a full stop", reason, why)
		}
	}
	if len(explanations) != len(all) {
		t.Errorf("%d explanations for %d reasons", len(explanations), len(all))
	}
	if got := Reason("whim").Explain(); got != "" {
		t.Errorf("got %q for a word that is no reason", got)
	}
}
