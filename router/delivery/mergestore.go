package delivery

import (
	"context"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"aka/destinations/adapter"
	"aka/router/journal"
	"aka/router/mergerules"
	"aka/router/merges"
	"aka/router/segment"
)

// mergeStore is what is remembered of delivered calls, where that is on. It is saved with the progress that ends them: a crash
// before that repeats the calls and forgets nothing.
type mergeStore struct {
	p      *Pipeline
	memory *merges.Memory // nil where nothing is remembered
	// leftover is the memory of a destination that remembers nothing any more: it removes what is on disk.
	leftover *merges.Memory

	// writing orders the writes of facts: a later one has all of an earlier one, which must not come after it.
	writing sync.Mutex
	written atomic.Uint64
	// saved and failed are the last changes of which that is known.
	saved, failed atomic.Pointer[merges.Changes]
}

// facts are a destination's records of its memory.
type facts struct {
	destination string
	records     Facts
}

// Fact implements merges.Store.
func (f facts) Fact(ctx context.Context, key []byte) ([]byte, error) {
	return f.records.Fact(ctx, f.destination, key)
}

// EachFact implements merges.Store.
func (f facts) EachFact(ctx context.Context, from []byte, visit func(key, value []byte) bool) error {
	return f.records.EachFact(ctx, f.destination, from, visit)
}

// load opens the memory of earlier runs. Where nothing is to be remembered, it is forgotten: what is delivered meanwhile could make
// it wrong.
func (m *mergeStore) load(ctx context.Context) error {
	destination, options := m.p.config.Destination, m.p.config.Memory
	merger, ok := destination.Merger()
	remembers := destination.RememberMerges && ok
	if len(options.Key) == 0 && !remembers {
		return nil
	}
	options.Account = ""
	if remembers {
		options.Account = destination.Type + " " + merger.Account()
	}
	memory, err := merges.Open(ctx, facts{destination.Name, m.p.config.Journal}, options)
	if err != nil {
		return err
	}
	if !remembers {
		m.leftover = memory
		return nil
	}
	m.memory = memory
	m.p.ledger.digest = memory.Digest
	if memory.BeganAnew() {
		m.p.log.Warn("memory of merges begins anew", zap.String("hint", "the account, its mode or the key has changed; merges from before are not known"))
	}
	m.publish()
	return nil
}

// prepare makes look-ups of new ids cheap.
func (m *mergeStore) prepare(ctx context.Context) {
	if m.memory != nil {
		m.memory.FillFilter(ctx)
	}
}

// refuses returns why an alias is not to be sent: it would change nothing, or the vendor would throw it away without a word. It is
// asked when the alias's turn comes: what was accepted before of its ids has ended. An alias that was tried already is tried to
// the end. A call whose condition does not hold is not sent either.
func (m *mergeStore) refuses(j *job) adapter.Reason {
	if m.memory == nil || j.isTried() {
		return ""
	}
	if j.merge != nil && j.entry.Type == segment.Alias {
		if reason := m.memory.Refuses(j.merge); reason != "" {
			return reason
		}
	}
	if c := j.outcome.Condition; c != nil && !m.memory.IsUsed(c.UsedID) {
		return c.Else
	}
	return ""
}

// isPartial reports whether merges were delivered that are not remembered: there is no memory, or some are forgotten.
func (m *mergeStore) isPartial() bool { return m.memory == nil || m.memory.IsPartial() }

// mergeOf notes what a call merges. The reader calls it.
func (m *mergeStore) mergeOf(j *job, call *segment.Call) {
	merge, ok := m.p.config.Destination.Merges(call)
	if !ok {
		return
	}
	if m.memory != nil {
		j.merge = &merge
	}
	if !merge.Rule.IsUse() && merge.From != "" && merge.To != "" {
		j.names = &mergedNames{from: merge.From, to: merge.To, firstUserOnly: merge.FirstUserOnly}
	}
}

// learn takes into the memory what a delivered call says: what it merges, who is a user, and what is a device.
func (m *mergeStore) learn(j *job) {
	if m.memory == nil {
		return
	}
	if j.merge != nil {
		isNew := m.memory.Add(j.merge, j.entry.ReceivedAt, j.entry.Source)
		j.merged = isNew && !j.merge.Rule.IsUse()
	}
	m.learnIDs(j.entry)
	if j.names != nil {
		j.names.ids = m.memory.Person(j.names.to).IDs
		m.p.metrics.merges.person(j.names.ids)
	}
	m.publish()
}

// seen notes the device that a call comes from. The reader calls it.
func (m *mergeStore) seen(e *journal.Entry) {
	if devices := m.p.config.Devices; devices != nil && e.AnonymousID != "" && e.AnonymousID != e.UserID && e.AnonymousID != e.PreviousID {
		devices.Add(e.AnonymousID)
	}
}

// keepDevices has the devices on disk that were seen so far. It is called before progress is saved: a call that has ended is not read
// again after a crash, and a device that is not known would be joined with a second user.
func (m *mergeStore) keepDevices(ctx context.Context) {
	if devices := m.p.config.Devices; devices != nil {
		devices.Flush(ctx)
	}
}

// learnIDs takes in what a call says of its ids: who is a user, and what is a device.
func (m *mergeStore) learnIDs(e *journal.Entry) {
	if m.memory == nil || e.UserID == "" || e.UserID == e.AnonymousID {
		return
	}
	if (e.Type == segment.Identify || e.Type == segment.Alias) && m.p.config.Kinds.CountsAsUser(e.Source, e.UserID, e.AnonymousID) {
		m.memory.Identified(e.UserID, e.ReceivedAt, e.Source)
	}
	if e.AnonymousID != "" {
		m.memory.SeenWithUser(e.AnonymousID, e.ReceivedAt)
	}
}

// learnDropped takes in what a dropped call says all the same: an identify of which the vendor takes nothing names a user, and so does
// one that was nothing but a merge, and that a rule has left out.
func (m *mergeStore) learnDropped(e *journal.Entry, reason adapter.Reason) {
	if e.Type == segment.Identify && (reason == adapter.NothingToSend || reason == adapter.PeopleOff || mergerules.IsReason(reason)) {
		m.learnIDs(e)
	}
}

// isSavedUpTo reports whether the changes of a number, or later ones, are on disk, or there is nothing to save.
func (m *mergeStore) isSavedUpTo(number uint64) bool {
	return m.written.Load() >= number || m.isSaved() && len(m.p.ledger.pending) == 0
}

// isWritten reports whether the changes of a number are on disk.
func (m *mergeStore) isWritten(number uint64) bool { return m.written.Load() >= number }

// isSaved reports whether all is on disk.
func (m *mergeStore) isSaved() bool {
	m.takeIn()
	memory := m.kept()
	return memory == nil || memory.IsSaved()
}

func (m *mergeStore) kept() *merges.Memory {
	if m.memory != nil {
		return m.memory
	}
	return m.leftover
}

// changes returns what is to be saved; nil where there is no memory.
func (m *mergeStore) changes() *merges.Changes {
	m.takeIn()
	memory := m.kept()
	if memory == nil {
		return nil
	}
	changes := memory.Changes()
	if m.memory != nil {
		m.publish()
	}
	if damaged := memory.Damaged(); damaged > 0 {
		m.p.log.Error("some remembered merges are unreadable", zap.Int("records", damaged), zap.String("hint", "check the disk; such an alias is sent again"))
	}
	return changes
}

// takeIn tells the memory which changes were saved.
func (m *mergeStore) takeIn() {
	if c := m.saved.Swap(nil); c != nil {
		m.kept().Saved(c)
	}
	if c := m.failed.Swap(nil); c != nil {
		m.kept().Failed(c)
	}
}

// write has changes written, together with what else write stores. It is called beside the loop. Changes that a later write had
// already are left out.
func (m *mergeStore) write(c *merges.Changes, write func([]journal.Fact) error) error {
	if c == nil || len(c.Facts) == 0 {
		return write(nil)
	}
	m.writing.Lock()
	defer m.writing.Unlock()
	if c.Number() <= m.written.Load() {
		return write(nil)
	}
	if err := write(c.Facts); err != nil {
		m.failed.Store(c)
		return err
	}
	m.written.Store(c.Number())
	m.saved.Store(c)
	return nil
}

func (m *mergeStore) publish() {
	m.p.metrics.remembered.Set(float64(m.memory.Len()))
	m.p.metrics.forgotten.Add(float64(m.memory.Forgotten()))
}

// MergesOf returns the merges that are remembered of an id: with which ids it is one person. named are ids that others may
// turn out to be. remembers is whether merges are remembered here at all, more that there may be others.
func (p *Pipeline) MergesOf(ctx context.Context, id string, named []string) (found []merges.Remembered, remembers, more bool, err error) {
	var memory *merges.Memory
	err = p.ask(ctx, func() {
		if memory = p.merges.memory; memory != nil {
			found, more = memory.Find(id)
		}
	})
	if err != nil || memory == nil {
		return nil, false, false, err
	}
	memory.NameThem(found, append([]string{id}, named...)...)
	return found, true, more, nil
}
