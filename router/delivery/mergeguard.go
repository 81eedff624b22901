package delivery

import (
	"context"
	"slices"
	"time"

	"aka/destinations/adapter"
	"aka/router/journal"
	"aka/router/journal/ledger"
	"aka/router/mergerules"
	"aka/router/segment"
)

// mergeGuard asks the merge rules about each call that would make two ids one person at the vendor, when its turn comes: what was
// accepted before of its ids has ended, and is remembered.
type mergeGuard struct {
	p *Pipeline
	// known is what is known of people, where it is not the memory.
	known mergerules.People
	// decisions are what operators have decided in advance.
	decisions []journal.AutoDecision
	underWay  underWay
}

func newMergeGuard(p *Pipeline) mergeGuard { return mergeGuard{p: p, underWay: newUnderWay(p)} }

// load takes up the decisions, and what the run before may have sent.
func (g *mergeGuard) load(ctx context.Context) (err error) {
	if g.decisions, err = g.p.config.Journal.AutoDecisions(ctx, g.p.config.Destination.Name, time.Now()); err != nil {
		return err
	}
	return g.underWay.load(ctx)
}

// ReloadAutoDecisions takes up the automatic decisions as the journal has them.
func (p *Pipeline) ReloadAutoDecisions(ctx context.Context) error {
	decisions, err := p.config.Journal.AutoDecisions(ctx, p.config.Destination.Name, time.Now())
	if err != nil {
		return err
	}
	return p.ask(ctx, func() { p.mergeGuard.decisions = decisions })
}

// people is what is known of them; nil where nothing is remembered: then rules that need no memory fire only.
func (g *mergeGuard) people() mergerules.People {
	switch {
	case g.known != nil:
		return g.known
	case g.p.merges.memory == nil:
		return nil
	}
	return g.p.merges.memory
}

// passes reports whether a call is to be sent. One that is not was held, has ended, or waits. A call that was tried before is tried
// to the end, unless its operator has blocked its ids since: that is looked at when it was read back. So is a merge that was under way
// when the run before ended without order: the vendor may have it. Any other call of which a crash leaves open whether it was tried
// meets the rules again: they rest on what ended before it, and so they say the same as before the crash. Else a crash would let a
// whole backlog pass, and all that is held.
func (g *mergeGuard) passes(j *job, now time.Time) bool {
	if j.hold != nil && j.hold.Refused != "" {
		g.p.order.drop(j, j.hold.Refused, now)
		return false
	}
	if j.names == nil || j.isTried() {
		if j.names != nil && j.readBack && !g.isNotBlocked(j, now) {
			return false
		}
		j.readBack = false
		g.p.quarantine.forget(j)
		return true
	}
	switch {
	case j.merging != nil: // it was judged
	case g.underWay.resumes(j):
		if !g.isNotBlocked(j, now) {
			return false
		}
	case g.underWay.delays(j), !g.keeps(j, now):
		return false
	default:
		g.underWay.begin(j)
	}
	g.p.quarantine.forget(j)
	return g.underWay.isNoted(j, now)
}

// keeps reports whether a call keeps the rules, or is to be sent although it does not.
func (g *mergeGuard) keeps(j *job, now time.Time) bool {
	f, fires := g.judge(j)
	ahead := ledger.Verdict(0)
	if fires && f.Verdict == mergerules.Hold {
		ahead = g.decidedAhead(j, f, now)
	}
	switch {
	case !fires:
	case j.entry.Type != segment.Alias:
		return g.leaveOut(j, f, now)
	case f.Verdict == mergerules.Drop:
		g.drop(j, f, now)
		return false
	case ahead == ledger.Refused:
		g.p.ledger.fired(j, ledger.Refused, ledger.ByAutoRefusal, &f)
		g.p.order.drop(j, adapter.MergeRefused, now)
		return false
	case ahead == ledger.Approved:
		g.p.ledger.fired(j, ledger.Approved, ledger.ByAutoApproval, &f)
	case f.Verdict == mergerules.Hold && !j.parkedInMemory && g.p.checkpoint.mustWait(j):
		// After a crash it meets the rules once more: what they know of its people now must outlive that.
		g.p.transition(j, waitingForSave)
		g.p.checkpoint.await(j, now)
		return false
	case f.Verdict == mergerules.Hold:
		g.p.quarantine.hold(j, f, now)
		return false
	default:
		g.p.metrics.merges.fired(f.Rule, f.Verdict)
		j.names.observed = string(f.Rule)
	}
	return true
}

func (g *mergeGuard) drop(j *job, f mergerules.Finding, now time.Time) {
	g.p.metrics.merges.fired(f.Rule, f.Verdict)
	g.p.ledger.fired(j, ledger.Dropped, ledger.ByRule, &f)
	g.p.order.drop(j, f.Reason, now)
}

// isNotBlocked reports whether a merge that was tried, or that the run before may have sent, is to be sent again: an operator can
// still stop it by its ids. The other rules have let it pass. What they know of its people may be more now, and the vendor may have it.
// Of a call that is no alias they may have left out the merge, and the call was tried without: it was read back with the merge, and
// they leave it out again.
func (g *mergeGuard) isNotBlocked(j *job, now time.Time) bool {
	f, fires := g.judge(j)
	switch {
	case !fires:
	case f.Rule == mergerules.BlockedIDs && j.entry.Type == segment.Alias:
		g.drop(j, f, now)
		return false
	case f.Rule == mergerules.BlockedIDs, j.entry.Type != segment.Alias && !g.underWay.isBegun(j):
		return g.leaveOut(j, f, now)
	case f.Verdict == mergerules.Observe:
		j.names.observed = string(f.Rule)
	}
	return true
}

// judge returns the rule that counts for a call. Rules that its operator has let it break do not fire.
func (g *mergeGuard) judge(j *job) (f mergerules.Finding, fires bool) {
	from, to := rawIDs(j)
	people := g.people()
	findings := g.p.config.Merges.Rules.Judge(mergerules.Merge{
		Alias: j.entry.Type == segment.Alias, From: from, To: to, AnonymousID: j.entry.AnonymousID,
		FromName: j.names.from, ToName: j.names.to, Source: j.entry.Source, At: j.entry.ReceivedAt,
	}, g.p.config.Kinds, people, g.devices())
	if people != nil {
		j.names.fromIDs, j.names.toIDs = people.Person(j.names.from).IDs, people.Person(j.names.to).IDs
	}
	if j.hold != nil {
		findings = slices.DeleteFunc(findings, func(f mergerules.Finding) bool { return slices.Contains(j.hold.Approved, string(f.Rule)) })
	}
	return mergerules.Decide(findings)
}

// devices is what is known of devices; nil where nothing is.
func (g *mergeGuard) devices() mergerules.Devices {
	if g.p.config.Devices == nil {
		return nil
	}
	return g.p.config.Devices
}

// decidedAhead returns what an operator has decided in advance about what a rule would hold: Approved, Refused, or 0. A refusal goes
// before an approval, because a merge cannot be undone.
func (g *mergeGuard) decidedAhead(j *job, f mergerules.Finding, now time.Time) (verdict ledger.Verdict) {
	for i := range g.decisions {
		if one := &g.decisions[i]; one.Covers(string(f.Rule), j.entry.Source, now) && verdict != ledger.Refused {
			verdict = one.Verdict
		}
	}
	return verdict
}

// rawIDs returns a merging call's ids as it names them.
func rawIDs(j *job) (from, to string) {
	if j.entry.Type == segment.Alias {
		return j.entry.PreviousID, j.entry.UserID
	}
	return j.entry.AnonymousID, j.entry.UserID
}

// leaveOut takes the request that merges out of a call that is no alias: no ordinary call is held for what its ids say. Where its
// adapter marks none, the vendor itself gives the device to its first user, and the call goes as it is.
func (g *mergeGuard) leaveOut(j *job, f mergerules.Finding, now time.Time) bool {
	g.p.metrics.merges.fired(f.Rule, f.Verdict)
	if f.Verdict == mergerules.Observe {
		j.names.observed = string(f.Rule)
		return true
	}
	without := j.outcome.WithoutMerges(f.Reason)
	if j.isStepped() && !j.names.firstUserOnly {
		j.leftOut = f.Reason
	} else if len(without.Requests) == len(j.outcome.Requests) {
		return true
	}
	g.p.ledger.fired(j, ledger.Dropped, ledger.ByRule, &f)
	g.underWay.ended(j)
	j.outcome, j.merge, j.names = without, nil, nil
	if without.Dropped != "" {
		g.p.order.drop(j, without.Dropped, now)
		return false
	}
	return true
}
