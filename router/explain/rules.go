package explain

import (
	"fmt"

	"aka/destinations/adapter"
	"aka/router/config"
	"aka/router/mergerules"
	"aka/router/segment"
)

// Rule is a rule of `merges` that fires for what the call alone says.
type Rule struct {
	Rule    mergerules.Rule    `json:"rule"`
	Verdict mergerules.Verdict `json:"verdict"`
}

// judge asks the rules of `merges` that need no memory, and returns the outcome as they leave it.
func (e *Destination) judge(d *config.Destination, call *segment.Call, outcome adapter.Outcome, source string, kinds *mergerules.Kinds) adapter.Outcome {
	merge, ok := d.Merges(call)
	if !ok || len(outcome.Requests) == 0 || merge.Rule.IsUse() || merge.From == "" || merge.To == "" {
		return outcome
	}
	asked := mergerules.Merge{
		Alias: call.Type == segment.Alias, From: call.PreviousID, To: call.UserID, AnonymousID: call.AnonymousID,
		FromName: merge.From, ToName: merge.To, Source: source,
	}
	if !asked.Alias {
		asked.From = call.AnonymousID
	}
	findings := d.MergeOptions.Judge(asked, kinds, nil, nil)
	for _, f := range findings {
		e.Rules = append(e.Rules, Rule{f.Rule, f.Verdict})
	}
	decisive, fires := mergerules.Decide(findings)
	switch {
	case !fires:
	case decisive.Verdict == mergerules.Observe:
		e.Note = fmt.Sprintf(noteObserved, decisive.Rule)
	case !asked.Alias:
		without := outcome.WithoutMerges(decisive.Reason)
		if len(without.Requests) < len(outcome.Requests) || outcome.Asks() && !merge.FirstUserOnly {
			e.Note = fmt.Sprintf(noteLeftOut, decisive.Rule)
		}
		return without
	case decisive.Verdict == mergerules.Hold:
		e.Note = fmt.Sprintf(noteHeld, decisive.Rule)
	default:
		if decisive.Rule == mergerules.Direction && d.Destination.RememberMerges {
			e.Note = noteDirection
		}
		return adapter.Drop(decisive.Reason)
	}
	return outcome
}

// What the notes say of a rule that fires.
const (
	noteObserved  = "the rule %s fires and only counts it"
	noteLeftOut   = "the rule %s leaves out the request that merges two ids"
	noteHeld      = "the rule %s holds it until an operator decides"
	noteDirection = "by the call alone: where the destination's memory knows the previousId as a device too, direction does not fire"
)
