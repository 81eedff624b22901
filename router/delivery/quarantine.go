package delivery

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/fnv"
	"slices"
	"time"

	"go.uber.org/zap"

	"aka/destinations/adapter"
	"aka/router/blocked"
	"aka/router/journal"
	"aka/router/journal/ledger"
	"aka/router/mergerules"
	"aka/router/quarantine"
)

// maxHeld bounds how many aliases are held: each takes about 1 KB of memory.
const maxHeld = 20_000

// heldAliases holds the aliases that a merge rule wants an operator to look at. Such an alias is stored as a parked call, and
// blocks the calls of both its people, until it is approved or refused. After VerdictAfter it gets the default verdict, and the
// oldest get it at once where too much waits. What it has waited behind other held aliases counts: aliases of one person are held one
// after the other.
type heldAliases struct {
	p       *Pipeline
	options mergerules.QuarantineOptions
	// all are the held aliases by their ids; jobs are those in memory.
	all     map[uint64]*heldAlias
	jobs    list
	pending []*job // to be stored, oldest first
	similar recent
	full    bool // a bound was reached, and that was logged
}

// heldAlias is one of them.
type heldAlias struct {
	pos      journal.Position
	key      journal.ParkedKey
	hold     *hold
	entry    *journal.Entry // without its body
	queue    *blocked.Queue
	job      *job // nil while it is on disk only
	deciding bool
}

// hold is why an alias is held, and what was decided about it. It is stored with the call.
type hold struct {
	Rule string    `json:"rule"`
	At   time.Time `json:"at"`
	// Since is from when VerdictAfter counts: At, less the time that it waited behind other held aliases. Zero is At.
	Since time.Time `json:"since,omitzero"`
	// Queue is when its queue waited for an operator, as far as that was known when this was stored: what waits behind it counts that.
	Queue  []blocked.Span `json:"queue,omitempty"`
	Source string         `json:"source"`
	// From and To are what the rule has seen of the two people.
	From quarantine.Person `json:"from"`
	To   quarantine.Person `json:"to"`
	// Alike is how many aliases from the same source the same rule has held within the hour before.
	Alike uint64 `json:"alike,omitempty"`
	// Partial is true where some of what was delivered is not remembered any more.
	Partial bool `json:"partial,omitempty"`
	// Approved are the rules that it may break; Refused is why it is not sent.
	Approved []string       `json:"approved,omitempty"`
	Refused  adapter.Reason `json:"refused,omitempty"`
}

func newHeldAliases(p *Pipeline) *heldAliases {
	return &heldAliases{p: p, options: p.config.Merges.Quarantine, all: map[uint64]*heldAlias{}, similar: newRecent()}
}

// since is from when VerdictAfter counts.
func (h *hold) since() time.Time {
	if h.Since.IsZero() {
		return h.At
	}
	return h.Since
}

func (h *hold) encode() []byte {
	if h == nil {
		return nil
	}
	data, err := json.Marshal(h)
	if err != nil {
		return nil // it has no value that cannot be marshalled
	}
	return data
}

// decodeHold reads what encode wrote; nil for what it cannot read: the alias meets the rules once more.
func decodeHold(data []byte) *hold {
	if len(data) == 0 {
		return nil
	}
	h := new(hold)
	if json.Unmarshal(data, h) != nil {
		return nil
	}
	return h
}

// idOf names a held alias by its destination and its place in the log: over all destinations, and over a restart. It has 49 bits:
// JSON numbers can have those, and it is below the number of every entry of the ledger, which aka merges show takes, too.
func (q *heldAliases) idOf(pos journal.Position) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte(q.p.config.Destination.Name), pos.Seq), uint64(pos.Index)))
	return h.Sum64() >> 15
}

// count is how many aliases are held, those included that are about to be.
func (q *heldAliases) count() int { return len(q.all) + len(q.pending) }

// hold keeps an alias back.
func (q *heldAliases) hold(j *job, f mergerules.Finding, now time.Time) {
	if at := q.all[q.idOf(j.pos)]; at != nil && j.hold != nil && j.parkedInMemory { // it was read back, and is stored
		q.p.transition(j, storing)
		q.isHeld(j)
		return
	}
	q.p.metrics.merges.fired(f.Rule, f.Verdict)
	q.p.ledger.fired(j, ledger.Held, ledger.ByRule, &f)
	h := &hold{
		Rule: string(f.Rule), At: now, Source: j.entry.Source, From: q.personOf(j.entry.PreviousID, f.From), To: q.personOf(j.entry.UserID, f.To),
		Alike: uint64(q.similar.add(string(f.Rule), j.entry.Source, now)), Partial: f.Partial,
	}
	if j.hold != nil {
		h.Approved = j.hold.Approved
	}
	if j.queue != nil {
		h.Queue = j.queue.HeldSpans(now)
	}
	if !j.parkedAt.IsZero() {
		h.Since = now.Add(-j.queue.HeldSince(j.parkedAt, now))
	}
	j.hold = h
	q.p.transition(j, storing)
	q.pending = append(q.pending, j)
	if len(q.pending) == 1 {
		q.storePending()
	}
}

// storePending stores the aliases that wait for it, as many as there are when its turn comes.
func (q *heldAliases) storePending() {
	var jobs []*job
	q.p.storage.add(&storageJob{
		what: "store held aliases",
		begin: func() func(context.Context) error {
			jobs = q.pending[:min(len(q.pending), journal.MaxParked)]
			records := make([]*journal.Parked, len(jobs))
			for i, j := range jobs {
				q.p.parking.giveKey(j)
				records[i] = q.p.parking.writer.recordOf(j)
			}
			return func(ctx context.Context) error {
				return q.p.config.Journal.Park(ctx, q.p.config.Destination.Name, records)
			}
		},
		done: func() {
			q.pending = q.pending[len(jobs):]
			if len(q.pending) > 0 {
				q.storePending()
			}
			for _, j := range jobs {
				q.stored(j)
			}
			q.decideDue(jobs, time.Now())
		},
	})
}

// stored has an alias that is on disk block the calls behind it. Its frame is free to go.
func (q *heldAliases) stored(j *job) {
	if !j.parkedInMemory {
		q.p.parking.onDisk++
		q.p.checkpoint.end(j.pos)
		q.p.window.remove(j)
		j.parkedInMemory = true
		j.queue.Add(j.rank, false)
		q.p.parkedInMemory.add(j)
	}
	q.p.log.Warn("alias is held", zap.Uint64("id", q.idOf(j.pos)), zap.String("rule", j.hold.Rule), zap.String("source", j.entry.Source),
		zap.String("message_id", j.entry.MessageID), zap.String("hint", "aka merges list --held; then approve or refuse"))
	q.isHeld(j)
}

// isHeld takes an alias in that is on disk.
func (q *heldAliases) isHeld(j *job) {
	q.p.parkedInMemory.remove(j)
	j.empty()
	q.jobs.add(j)
	q.p.transition(j, held)
	q.put(&heldAlias{pos: j.pos, key: j.key, hold: j.hold, entry: j.entry, queue: j.queue, job: j})
	q.p.parking.addBlocking(j)
}

// loaded takes an alias in that an earlier run has held. It is read back with its queue, and meets the rules once more then.
func (q *heldAliases) loaded(queue *blocked.Queue, call *journal.Parked) {
	h := decodeHold(call.Hold)
	if h == nil {
		return
	}
	queue.WasHeld(h.Queue)
	if call.Dead != "" || h.Refused != "" || slices.Contains(h.Approved, h.Rule) {
		return
	}
	entry := call.Entry
	entry.JSON, entry.Routing = nil, nil
	q.put(&heldAlias{pos: call.Position, key: keyOf(call), hold: h, entry: &entry, queue: queue})
}

// put notes that an alias is held, once.
func (q *heldAliases) put(at *heldAlias) {
	id := q.idOf(at.pos)
	if q.all[id] == nil {
		at.queue.Hold(at.hold.At)
	}
	q.all[id] = at
}

// forget notes that an alias is not held any more.
func (q *heldAliases) forget(j *job) {
	if j.hold == nil {
		return
	}
	id := q.idOf(j.pos)
	if at := q.all[id]; at != nil {
		at.queue.Unhold(time.Now())
		delete(q.all, id)
	}
}

// left notes that a held alias has left memory, and stays on disk. It returns false for a call that is not held.
func (q *heldAliases) left(j *job) bool {
	at := q.all[q.idOf(j.pos)]
	if at == nil || at.job != j {
		return false
	}
	at.job = nil
	q.jobs.remove(j)
	return true
}

// tick gives the default verdict to what has waited for too long, and to the oldest where too much waits.
func (q *heldAliases) tick(now time.Time) {
	oldest, since := q.oldest()
	q.p.metrics.merges.holding(len(q.all), oldest, now)
	bound := ""
	if len(q.all) > 0 {
		bound = q.overBound()
	}
	if bound == "" {
		q.full = false
	}
	if len(q.all) == 0 || bound == "" && now.Sub(since) < q.options.VerdictAfter {
		return
	}
	inAge := q.decidable()
	due := 0
	for due < len(inAge) && now.Sub(inAge[due].hold.since()) >= q.options.VerdictAfter {
		due++
	}
	if bound != "" && due == 0 && len(inAge) > 0 {
		due = min(q.tooMany(inAge, bound), len(inAge))
		q.warnFull(bound, due)
	}
	q.decideByDefault(inAge[:due])
}

// decideDue gives the default verdict to those of the jobs that have waited for it behind others. The next of one person is held
// only then, and must not wait for a tick each.
func (q *heldAliases) decideDue(jobs []*job, now time.Time) {
	var due []*heldAlias
	for _, j := range jobs {
		at := q.all[q.idOf(j.pos)]
		if at != nil && at.job == j && !at.deciding && now.Sub(at.hold.since()) >= q.options.VerdictAfter {
			due = append(due, at)
		}
	}
	q.decideByDefault(due)
}

// oldest is since when the oldest alias is held, and the earliest time from which one's VerdictAfter counts.
func (q *heldAliases) oldest() (at, since time.Time) {
	for _, one := range q.all {
		if at.IsZero() || one.hold.At.Before(at) {
			at = one.hold.At
		}
		if from := one.hold.since(); since.IsZero() || from.Before(since) {
			since = from
		}
	}
	return at, since
}

// decidable returns the held aliases that are in memory and about which nothing is being decided, those first whose default
// verdict comes first.
func (q *heldAliases) decidable() []*heldAlias {
	found := make([]*heldAlias, 0, len(q.all))
	for _, at := range q.all {
		if at.job != nil && !at.deciding {
			found = append(found, at)
		}
	}
	slices.SortFunc(found, func(a, b *heldAlias) int { return cmp.Or(a.hold.since().Compare(b.hold.since()), compareHeld(a, b)) })
	return found
}

// The bounds that the log names.
const (
	boundHeld  = "held aliases"
	boundCalls = "max_calls"
	boundBytes = "max_bytes"
	boundIDs   = "blocked ids"
)

// nearlyBlockedIDs is how many ids may be blocked before held aliases are decided about: at maxBlockedIDs the destination stops reading.
const nearlyBlockedIDs = maxBlockedIDs - maxBlockedIDs/20

// overBound returns which bound is reached, "" for none.
func (q *heldAliases) overBound() string {
	behind := q.undecided()
	calls, bytes := behind.size()
	switch {
	case behind.aliases() > maxHeld:
		return boundHeld
	case calls > q.options.MaxCalls:
		return boundCalls
	case int64(bytes) > int64(q.options.MaxBytes):
		return boundBytes
	case q.p.parking.identities.Len() >= nearlyBlockedIDs:
		return boundIDs
	}
	return ""
}

// tooMany returns how many of the held aliases, in this order, are to be decided about so that no more wait than may.
func (q *heldAliases) tooMany(inAge []*heldAlias, bound string) int {
	behind := q.undecided()
	switch bound {
	case boundHeld:
		return behind.aliases() - maxHeld
	case boundIDs: // an alias's ids are free only when the calls behind it have ended: to decide about many at once would be too many
		return 1 + (q.p.parking.identities.Len()-nearlyBlockedIDs)/idsAtOnce
	}
	calls, bytes := behind.size()
	for i, at := range inAge {
		if calls <= q.options.MaxCalls && int64(bytes) <= int64(q.options.MaxBytes) {
			return i
		}
		root := at.queue.Root()
		if behind[root]--; behind[root] == 0 { // what waits behind the last one goes on
			calls, bytes = calls-root.Waiting, bytes-root.Bytes
		}
	}
	return len(inAge)
}

// idsAtOnce is for how many blocked ids too many one more alias is decided about at once.
const idsAtOnce = 64

// heldQueues are queues in which calls wait behind held aliases, with how many of these there are in each.
type heldQueues map[*blocked.Queue]int

// undecided returns the queues of the aliases about which nothing is being decided.
func (q *heldAliases) undecided() heldQueues {
	found := heldQueues{}
	for _, at := range q.all {
		if !at.deciding {
			found[at.queue.Root()]++
		}
	}
	return found
}

func (h heldQueues) aliases() (n int) {
	for _, aliases := range h {
		n += aliases
	}
	return n
}

// size is how many calls wait on disk behind the aliases, and about how much they take there.
func (h heldQueues) size() (calls, bytes int) {
	for root := range h {
		calls, bytes = calls+root.Waiting, bytes+root.Bytes
	}
	return calls, bytes
}

// queues returns the queues in which calls wait behind held aliases.
func (q *heldAliases) queues() map[*blocked.Queue]bool {
	found := make(map[*blocked.Queue]bool, len(q.all))
	for _, at := range q.all {
		found[at.queue.Root()] = true
	}
	return found
}

// followers returns the calls in memory that wait behind blocked identities, where some alias is held.
func (q *heldAliases) followers() map[*job]bool {
	found := map[*job]bool{}
	if q.count() == 0 {
		return found
	}
	all, _, _ := q.p.parking.followers()
	for _, f := range all {
		found[f.job] = true
	}
	return found
}

// followersOf counts the calls in memory that wait, by their queues. They are in no queue yet, or were read back from there.
func (q *heldAliases) followersOf() map[*blocked.Queue]uint64 {
	counts := map[*blocked.Queue]uint64{}
	all, _, _ := q.p.parking.followers()
	for _, f := range all {
		counts[f.queue.Root()]++
	}
	return counts
}

func (q *heldAliases) warnFull(bound string, due int) {
	q.p.metrics.merges.full.Add(float64(due))
	if !q.full {
		calls, _ := q.undecided().size()
		q.p.log.Error("quarantine is full, oldest aliases are decided", zap.String("bound", bound), zap.Int("held", len(q.all)), zap.Int("calls", calls),
			zap.String("hint", "approve or refuse held aliases, see aka merges list --summary"))
	}
	q.full = true
}

func (q *heldAliases) decideByDefault(all []*heldAlias) {
	d := verdictOn{refused: adapter.MergeExpired, by: ledger.ByDefault}
	if q.options.Then == mergerules.Approve {
		d = verdictOn{approve: true, by: ledger.ByDefault}
	}
	q.decide(all, d, nil)
}

// verdictOn is what is decided about held aliases.
type verdictOn struct {
	approve bool
	by      ledger.Decider
	refused adapter.Reason // why, where it is not approved
}

// decide stores a decision, and carries it out then. done, which may be nil, is called with how many were decided about.
func (q *heldAliases) decide(all []*heldAlias, d verdictOn, done func(n int)) {
	if done == nil {
		done = func(int) {}
	}
	if len(all) == 0 {
		done(0)
		return
	}
	now, later := all[:min(len(all), journal.MaxParked)], all[min(len(all), journal.MaxParked):]
	for _, at := range now {
		at.deciding = true
		q.p.transition(at.job, storing)
	}
	for _, at := range later { // nothing else is decided meanwhile
		at.deciding = true
	}
	calls, holds := make([]*journal.Parked, len(now)), make([]hold, len(now))
	q.p.storage.add(&storageJob{
		what: "store a decision",
		begin: func() func(context.Context) error {
			at := time.Now()
			for i := range now {
				holds[i] = now[i].after(d, at)
			}
			return func(ctx context.Context) error { return q.storeDecision(ctx, now, calls, holds, at) }
		},
		done: func() {
			decided := 0
			for i, at := range now {
				if q.decided(at, calls[i], d) {
					decided++
				}
			}
			for _, at := range later {
				at.deciding = false
			}
			q.decide(later, d, func(n int) { done(decided + n) })
		},
	})
}

// after returns the alias's hold as it is after a decision.
func (a *heldAlias) after(d verdictOn, now time.Time) hold {
	h := *a.hold
	h.Queue = a.queue.HeldSpans(now)
	if d.approve {
		h.Approved = append(slices.Clone(h.Approved), h.Rule)
	} else {
		h.Refused = d.refused
	}
	return h
}

// storeDecision reads held aliases and stores what was decided about them at a time. calls is filled with them; one that cannot be
// read is nil.
func (q *heldAliases) storeDecision(ctx context.Context, all []*heldAlias, calls []*journal.Parked, holds []hold, at time.Time) (err error) {
	var changed []*journal.Parked
	for i := range all {
		if calls[i] == nil { // else it was read before a write that failed
			if calls[i], err = q.p.deadLetters.readParked(ctx, all[i].key); err != nil {
				return err
			}
		}
		if calls[i] == nil {
			continue
		}
		// Should another rule hold it, what it has waited so far does not count.
		calls[i].Hold, calls[i].Since = holds[i].encode(), at
		changed = append(changed, calls[i])
	}
	if len(changed) == 0 {
		return nil
	}
	return q.p.config.Journal.Park(ctx, q.p.config.Destination.Name, changed)
}

// decided carries a decision out that is on disk.
func (q *heldAliases) decided(at *heldAlias, call *journal.Parked, d verdictOn) bool {
	j := at.job
	at.deciding = false
	if call == nil { // the journal has logged why
		q.p.transition(j, held)
		return false
	}
	q.left(j)
	q.forget(j)
	q.note(j, at.hold, d)
	q.p.parking.unblame(j)
	j.queue.SetGoing(j.rank, true)
	j.entry, j.detached, j.hold, j.entered, j.parkedAt = &call.Entry, true, decodeHold(call.Hold), time.Now(), call.Since
	q.p.reader.translateAgain(j)
	q.p.parkedInMemory.add(j)
	q.p.transition(j, waitingForIDs)
	q.p.parking.goOn(j, j.entered)
	return true
}

// note notes a decision in the ledger.
func (q *heldAliases) note(j *job, h *hold, d verdictOn) {
	e := journal.LedgerEntry{Verdict: ledger.Approved, By: d.by, Rule: h.Rule, FromIDs: h.From.IDs, ToIDs: h.To.IDs, Reason: string(d.refused)}
	switch {
	case d.by == ledger.ByDefault:
		e.Verdict = ledger.Expired
	case !d.approve:
		e.Verdict = ledger.Refused
	}
	q.p.ledger.note(j, e)
}

// Held returns the held aliases that a filter chooses, the oldest first, up to limit.
func (p *Pipeline) Held(ctx context.Context, f quarantine.Filter, limit int) (found []quarantine.Held, more bool, err error) {
	err = p.ask(ctx, func() {
		chosen := p.quarantine.chosen(f)
		if len(chosen) == 0 {
			return
		}
		inMemory := p.quarantine.followersOf()
		for _, at := range chosen {
			if len(found) == limit {
				more = true
				return
			}
			shown := p.quarantine.show(at)
			shown.Waiting += inMemory[at.queue.Root()]
			found = append(found, shown)
		}
	})
	return found, more, err
}

// HeldSummary counts the held aliases by rule and source.
func (p *Pipeline) HeldSummary(ctx context.Context) (counts []quarantine.Count, err error) {
	err = p.ask(ctx, func() { counts = p.quarantine.summary() })
	return counts, err
}

// ApproveHeld has the held aliases sent that a filter chooses, the oldest first and up to limit, and returns once that is safe on
// disk. Each meets the vendor's own rules once more, and the merge rules but the one that has held it.
func (p *Pipeline) ApproveHeld(ctx context.Context, f quarantine.Filter, limit int) (quarantine.Decided, error) {
	return p.decideHeld(ctx, f, limit, verdictOn{approve: true, by: ledger.ByOperator})
}

// RefuseHeld drops the held aliases that a filter chooses, in the same way. The calls behind them go on.
func (p *Pipeline) RefuseHeld(ctx context.Context, f quarantine.Filter, limit int) (quarantine.Decided, error) {
	return p.decideHeld(ctx, f, limit, verdictOn{refused: adapter.MergeRefused, by: ledger.ByOperator})
}

// ErrNotReadBack means that a held alias is on disk only, as right after a start, or is being decided about.
var ErrNotReadBack = errors.New("these held aliases are being read back or decided about")

func (p *Pipeline) decideHeld(ctx context.Context, f quarantine.Filter, limit int, d verdictOn) (done quarantine.Decided, err error) {
	answers := make(chan int, 1)
	var refused error
	chosen := 0
	err = p.ask(ctx, func() {
		if p.ending {
			refused = ErrStopped
			return
		}
		may := p.quarantine.chosen(f)
		chosen = len(may)
		may = slices.DeleteFunc(may, func(at *heldAlias) bool { return at.job == nil || at.deciding })
		if len(may) == 0 && chosen > 0 && limit > 0 {
			refused = ErrNotReadBack
			return
		}
		p.quarantine.decide(may[:min(len(may), limit)], d, func(n int) { answers <- n })
	})
	if err = errors.Join(err, refused); err != nil {
		return quarantine.Decided{}, err
	}
	select {
	case done.Count = <-answers:
		done.Left = chosen - done.Count
		return done, nil
	case <-p.stopped:
		return quarantine.Decided{}, ErrStopped
	case <-ctx.Done():
		return quarantine.Decided{}, ctx.Err()
	}
}

// chosen returns the held aliases that a filter chooses, the oldest first.
func (q *heldAliases) chosen(f quarantine.Filter) (found []*heldAlias) {
	for _, at := range q.all {
		if shown := q.show(at); f.Matches(&shown) {
			found = append(found, at)
		}
	}
	slices.SortFunc(found, compareHeld)
	return found
}

func compareHeld(a, b *heldAlias) int {
	return cmp.Or(a.hold.At.Compare(b.hold.At), cmp.Compare(a.pos.Seq, b.pos.Seq), cmp.Compare(a.pos.Index, b.pos.Index))
}

// show shows a held alias, with the calls behind it that are on disk only.
func (q *heldAliases) show(at *heldAlias) quarantine.Held {
	return quarantine.Held{
		ID: q.idOf(at.pos), Destination: q.p.config.Destination.Name, Rule: at.hold.Rule, Source: at.hold.Source, Type: at.entry.Type.String(),
		MessageID: at.entry.MessageID, HeldAt: at.hold.At, VerdictAt: at.hold.since().Add(q.options.VerdictAfter), Waiting: uint64(max(at.queue.Root().Waiting, 0)),
		From: at.hold.From, To: at.hold.To, AlikeLastHour: at.hold.Alike, Partial: at.hold.Partial,
	}
}

func (q *heldAliases) summary() []quarantine.Count {
	byKind := map[[2]string]*quarantine.Count{}
	for _, at := range q.all {
		key := [2]string{at.hold.Rule, at.hold.Source}
		c := byKind[key]
		if c == nil {
			c = &quarantine.Count{Destination: q.p.config.Destination.Name, Rule: at.hold.Rule, Source: at.hold.Source, Oldest: at.hold.At}
			byKind[key] = c
		}
		c.Count++
		if at.hold.At.Before(c.Oldest) {
			c.Oldest = at.hold.At
		}
	}
	var counts []quarantine.Count
	for _, c := range byKind {
		counts = append(counts, *c)
	}
	slices.SortFunc(counts, func(a, b quarantine.Count) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Source, b.Source))
	})
	return counts
}

// recent counts what was held within the last hour, by rule and source.
type recent struct {
	counts map[[2]string]*[12]int // five minutes each
	at     int64                  // the five minutes that are counted now
}

func newRecent() recent { return recent{counts: map[[2]string]*[12]int{}} }

// maxRecent bounds how many rules and sources are counted.
const maxRecent = 1000

// add counts one more, and returns how many there were before.
func (r *recent) add(rule, source string, now time.Time) (before int) {
	at := now.Unix() / 300
	for ; r.at < at; r.at++ {
		if at-r.at > 12 {
			r.at = at - 12
		}
		for key, counts := range r.counts {
			counts[(r.at+1)%12] = 0
			if *counts == [12]int{} {
				delete(r.counts, key)
			}
		}
	}
	key := [2]string{rule, source}
	counts := r.counts[key]
	if counts == nil {
		if len(r.counts) >= maxRecent {
			return 0
		}
		counts = new([12]int)
		r.counts[key] = counts
	}
	for _, n := range counts {
		before += n
	}
	counts[at%12]++
	return before
}

// personOf is what is shown of a person.
func (q *heldAliases) personOf(id string, p mergerules.Person) quarantine.Person {
	shown := quarantine.Person{Digest: q.p.ledger.digest(id), IDs: uint32(p.IDs)}
	if p.HasUser {
		shown.UserSince, shown.UserSource = p.UserSince, p.UserSource
	}
	return shown
}
