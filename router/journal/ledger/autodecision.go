package ledger

import "time"

// AutoDecision is an operator's decision in advance: until a time, aliases that a rule would hold are approved at once, or refused.
// The other rules are asked all the same.
type AutoDecision struct {
	// Number names the decision among its destination's; 0 until it is stored.
	Number      uint64 `json:"number"`
	Destination string `json:"destination"`
	// Verdict is Approved or Refused.
	Verdict Verdict `json:"verdict"`
	// Rule is the rule that no longer holds, Source the source whose calls it is for; "" is all sources.
	Rule   string `json:"rule"`
	Source string `json:"source,omitempty"`
	// Until is when it ends, Made when it was given.
	Until time.Time `json:"until"`
	Made  time.Time `json:"made"`
}

// Covers reports whether it decides about what a rule holds of a source at a time.
func (a *AutoDecision) Covers(rule, source string, now time.Time) bool {
	return a.Rule == rule && (a.Source == "" || a.Source == source) && now.Before(a.Until)
}
