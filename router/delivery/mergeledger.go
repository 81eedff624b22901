package delivery

import (
	"slices"
	"time"

	"aka/destinations/adapter"
	"aka/router/journal"
	"aka/router/journal/ledger"
	"aka/router/mergerules"
	"aka/router/merges"
	"aka/router/segment"
)

// mergeLedger notes what becomes of each call that merges. The next save of progress writes the entries: a call's end and its
// entry are on disk together, or not at all. A crash before that repeats the call, and so its entry.
type mergeLedger struct {
	// on is whether the vendor merges ids.
	on         bool
	checkpoint *checkpoint
	// dry marks every entry as one of a dry run.
	dry bool
	// digest is by what an id is known.
	digest func(id string) [16]byte
	// pending are the entries that the next save writes, oldest first, about as many as the last took.
	pending []journal.LedgerEntry
	last    int
}

// maxPendingEntries bounds how many entries wait to be written. Beyond that the oldest are lost, as on a disk that stays full: the
// ledger must not stop a destination.
const maxPendingEntries = journal.MaxLedgerEntries

func newMergeLedger(p *Pipeline) mergeLedger {
	_, on := p.config.Destination.Merger()
	return mergeLedger{on: on, dry: p.config.Destination.Dry, checkpoint: &p.checkpoint, digest: merges.Digester(p.config.Memory.Key)}
}

// vendorReasons are the reasons to drop an alias that follow from the vendor's own rules.
var vendorReasons = map[adapter.Reason]bool{adapter.AlreadyMerged: true, adapter.AliasTaken: true, adapter.WouldCycle: true, adapter.ClusterFull: true}

// ended notes how a call has ended, where it merges, or would have. It is asked before the end is in the progress.
func (l *mergeLedger) ended(j *job, outcome, reason string) {
	if !l.on {
		return
	}
	isAlias := j.entry.Type == segment.Alias
	switch {
	case outcome == outcomeDelivered && (isAlias || j.merged):
		e := journal.LedgerEntry{Verdict: ledger.Sent}
		if j.names != nil {
			e.FromIDs, e.ToIDs, e.IDs = uint32(j.names.fromIDs), uint32(j.names.toIDs), uint32(j.names.ids)
			if j.names.observed != "" {
				e.Verdict, e.Rule, e.By = ledger.Observed, j.names.observed, ledger.ByRule
			}
		}
		l.note(j, e)
	case outcome == outcomeDropped && isAlias && (vendorReasons[adapter.Reason(reason)] || slices.Contains(adapter.AnswerReasons, adapter.Reason(reason))):
		l.note(j, journal.LedgerEntry{Verdict: ledger.Dropped, By: ledger.ByVendor, Reason: reason})
	case outcome == outcomeDead && isAlias:
		l.note(j, journal.LedgerEntry{Verdict: ledger.Refused, By: ledger.ByVendor, Reason: reason})
	}
}

// fired notes that a rule has fired.
func (l *mergeLedger) fired(j *job, verdict ledger.Verdict, by ledger.Decider, f *mergerules.Finding) {
	e := journal.LedgerEntry{Verdict: verdict, By: by, Rule: string(f.Rule), FromIDs: uint32(f.From.IDs), ToIDs: uint32(f.To.IDs)}
	switch verdict {
	case ledger.Dropped:
		e.Reason = string(f.Reason)
	case ledger.Refused:
		e.Reason = string(adapter.MergeRefused)
	}
	l.note(j, e)
}

// note adds an entry about a call. What the entry leaves out of the call is filled in: its time, source, ids and place.
func (l *mergeLedger) note(j *job, e journal.LedgerEntry) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e.Source, e.MessageID, e.Type, e.Position = j.entry.Source, j.entry.MessageID, j.entry.Type, j.pos
	e.Dry = l.dry
	if e.Status == 0 && e.Verdict != ledger.Dropped {
		e.Status = j.status
	}
	if e.Verdict == ledger.Dropped || e.Verdict == ledger.Refused {
		e.MayBeSent = j.isPossiblyDelivered()
	}
	if from, to := endsOf(j.entry); e.From == (journal.Digest{}) && e.To == (journal.Digest{}) {
		e.From, e.To = l.digest(from), l.digest(to)
	}
	l.add(ledger.Bounded(e))
}

// endsOf returns the id that a call merges, and the one that it merges it into.
func endsOf(e *journal.Entry) (from, to string) {
	if e.Type == segment.Alias {
		return e.PreviousID, e.UserID
	}
	return e.AnonymousID, e.UserID
}

func (l *mergeLedger) add(e journal.LedgerEntry) {
	if len(l.pending) >= maxPendingEntries {
		l.pending = l.pending[1:]
		l.checkpoint.metrics.ledgerLost.Inc()
	}
	if l.pending == nil {
		l.pending = make([]journal.LedgerEntry, 0, l.last)
	}
	l.pending = append(l.pending, e)
	l.checkpoint.unsaved = true
}

// saved forgets the entries that a save has taken over.
func (l *mergeLedger) saved() { l.pending, l.last = nil, len(l.pending) }

// maxCarriedEntries bounds the entries of saves that failed, which the next save writes.
const maxCarriedEntries = 2 * maxPendingEntries

// carry adds the entries of a save to those of the failed ones before it, and returns how many are lost for want of room.
func carry(before, entries []journal.LedgerEntry) (all []journal.LedgerEntry, lost int) {
	if len(before) == 0 {
		return entries[max(len(entries)-maxCarriedEntries, 0):], max(len(entries)-maxCarriedEntries, 0)
	}
	all = append(before, entries...)
	lost = max(len(all)-maxCarriedEntries, 0)
	return all[lost:], lost
}
