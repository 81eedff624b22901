package router

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"aka/destinations/simulator"
	"aka/router/delivery"
	"aka/router/journal"
	"aka/router/journal/ledger"
	"aka/router/mergerules"
	"aka/router/quarantine"
	"aka/router/segment"
)

// Whatever goes wrong on the way, and whatever operators decide, no vendor joins what a merge rule drops or holds, and each
// accepted call ends in exactly one counted outcome.
//
// The verdicts are the defaults at first, and a reload makes drops of holds and holds of drops. Only the numbers are smaller, so that a
// short story reaches them.
func TestNoVendorJoinsWhatTheMergeRulesForbid(t *testing.T) {
	seed := *firstSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	fired := map[string]int{}
	joins, decisions, replays := 0, 0, 0
	for i := range *stories {
		t.Run(fmt.Sprintf("seed=%d", seed+uint64(i)), func(t *testing.T) {
			m := newModel(t, seed+uint64(i))
			m.rules = newModelRules(m.dice)
			m.runByRules()
			for verdict, n := range m.rules.fired {
				fired[verdict] += n
			}
			joins, decisions = joins+m.rules.joins, decisions+m.rules.decisions
			for _, n := range m.rules.replays {
				replays += n
			}
		})
	}
	t.Logf("rules that fired: %v; %d joins were checked, operators decided %d times, and replayed %d calls", fired, joins, decisions, replays)
	for _, verdict := range []string{"blocked_ids drop", "direction drop", "device_of_another_user drop", "known_users hold", "max_ids hold"} {
		if fired[verdict] == 0 {
			t.Errorf("no story has a %s", verdict)
		}
	}
	if joins == 0 || decisions == 0 || replays == 0 {
		t.Error("the stories are too tame")
	}
}

// modelRules are the merge rules of a story, and what its operators decided. A nil one allows every merge.
type modelRules struct {
	grace           time.Duration
	maxIDs          int
	aliasOnIdentify bool
	tokens          int // of Vero, so far
	// verdicts are those of rules that a reload has changed, as in the config.
	verdicts string
	// imported are pairs that were merged before the story, at the destinations in importing.
	imported [][2]string
	// isApproved and isRefused are what was decided, by callAt. A decision covers the rules that it names.
	isApproved map[callAt][]string
	isRefused  map[callAt]bool
	// isSent are the merges that were delivered, by the ledger, each with the rule that only noted it.
	isSent map[callAt]string
	// status is the vendor's last answer to them.
	status map[callAt]int
	// order is that in which they were delivered.
	order []callAt
	// history is what the ledger has of a call.
	history map[callAt]string
	// replays are how many calls were replayed at a destination.
	replays map[string]int
	// blockedLater begins the ids that a reload has blocked at blockedAt, "" for none.
	blockedLater string
	blockedAt    time.Time
	// inAdvance is the destination where max_ids is approved in advance, "" for none.
	inAdvance string

	// mayBeSent are the merges of which the ledger says that they are not sent and may be at the vendor all the same.
	mayBeSent        map[callAt]bool
	fired            map[string]int
	joins, decisions int
}

// callAt is a call at a destination.
type callAt struct{ destination, messageID string }

func newModelRules(dice *rand.Rand) *modelRules {
	return &modelRules{
		grace: []time.Duration{0, 10 * time.Minute}[dice.IntN(2)], maxIDs: 4 + dice.IntN(5), aliasOnIdentify: dice.IntN(2) == 0,
		isApproved: map[callAt][]string{}, isRefused: map[callAt]bool{}, isSent: map[callAt]string{}, status: map[callAt]int{}, history: map[callAt]string{}, mayBeSent: map[callAt]bool{}, replays: map[string]int{}, fired: map[string]int{},
	}
}

// noteLedger takes in an entry of the ledger.
func (r *modelRules) noteLedger(e *journal.LedgerEntry) bool {
	at := callAt{e.Destination, e.MessageID}
	r.mayBeSent[at] = r.mayBeSent[at] || e.MayBeSent
	r.history[at] += fmt.Sprintf(" [%s %s by %s: %d and %d are %d]", e.Verdict, e.Rule, e.By, e.FromIDs, e.ToIDs, e.IDs)
	if e.Verdict == ledger.Sent || e.Verdict == ledger.Observed {
		r.isSent[callAt{e.Destination, e.MessageID}] = e.Rule
		r.status[callAt{e.Destination, e.MessageID}] = e.Status
		r.order = append(r.order, callAt{e.Destination, e.MessageID})
	}
	return true
}

// section is the `merges` section of the config.
func (r *modelRules) section() string {
	if r == nil {
		return "merges: { known_users: allow, device_of_another_user: allow, direction: allow, max_ids_verdict: allow }\n"
	}
	later := ""
	if r.blockedLater != "" {
		later = fmt.Sprintf(", %q", r.blockedLater+"*")
	}
	return fmt.Sprintf("merges: { new_user_grace: %s, max_ids: %d, blocked_ids: [%q, %q%s]%s }\n", r.grace, r.maxIDs, blockedFamilies, blockedUsers, later, r.verdicts)
}

// What no story may merge: the e-mails of some households, and the users of one.
const blockedFamilies, blockedUsers = "family-h1?@*", "user-h7-*"

func isBlocked(id string) bool {
	return strings.HasPrefix(id, "family-h1") && strings.Index(id, "@") == len("family-h1?") || strings.HasPrefix(id, "user-h7-")
}

// importing are the destinations that get imports: an alias joins ids there.
var importing = []string{"kissmetrics", "legacy", "original"}

// importMerges imports what was merged before the story: somebody of a household had another id.
func (m *model) importMerges(pairs [][2]string) {
	m.rules.imported = pairs
	for _, name := range importing {
		left := pairs
		n, err := heldAliases{m.router}.ImportMerges(m.ctx, name, func() (from, to string, ok bool, err error) {
			if len(left) == 0 {
				return "", "", false, nil
			}
			pair := left[0]
			left = left[1:]
			return pair[0], pair[1], true, nil
		})
		if err != nil || n != len(pairs) {
			m.t.Errorf("%s: imported %d of %d, %v", name, n, len(pairs), err)
		}
	}
}

// changeVerdicts reloads with other verdicts, which forbid the same.
func (m *model) changeVerdicts() {
	verdict := func() string { return []string{"hold", "drop"}[m.dice.IntN(2)] }
	m.rules.verdicts = fmt.Sprintf(", known_users: %s, device_of_another_user: %s, direction: %s, max_ids_verdict: %s", verdict(), verdict(), verdict(), verdict())
	m.loadConfig(m.faulty, m.tempo())
	if _, err := m.router.Reload(); err != nil {
		m.t.Error(err)
	}
}

// blockLater reloads with the users of one more household blocked: no alias of theirs goes out from then on, whatever it waits for.
func (m *model) blockLater() {
	if m.rules.blockedLater == "" {
		m.rules.blockedLater = fmt.Sprintf("user-h%d-", m.dice.IntN(7))
	}
	m.loadConfig(m.faulty, m.tempo())
	if _, err := m.router.Reload(); err != nil {
		m.t.Error(err)
	}
	if m.rules.blockedAt.IsZero() {
		m.rules.blockedAt = time.Now()
	}
}

// replay replays one in so many of the dead letters and of the dropped calls that are kept, in the order in which they were accepted.
// What was decided about them before does not count any more.
func (m *model) replay(oneIn int) {
	for _, kept := range []struct {
		each func(context.Context, journal.DeadFilter, uint64, func(*journal.DeadLetter) bool) error
		do   func(context.Context, uint64) error
	}{
		{m.router.journal.DeadLetters, m.router.journal.Replay}, {m.router.journal.DroppedCalls, m.router.journal.ReplayDropped},
	} {
		var chosen []*journal.DeadLetter
		err := kept.each(m.ctx, journal.DeadFilter{}, 0, func(d *journal.DeadLetter) bool {
			if m.dice.IntN(oneIn) == 0 {
				chosen = append(chosen, &journal.DeadLetter{ID: d.ID, Destination: d.Destination, Position: d.Accepted(), Entry: d.Entry})
			}
			return true
		})
		if err != nil {
			m.t.Error(err)
		}
		slices.SortFunc(chosen, func(a, b *journal.DeadLetter) int { return a.Position.Compare(b.Position) })
		for _, d := range chosen {
			at := callAt{d.Destination, d.Entry.MessageID}
			delete(m.rules.isApproved, at)
			delete(m.rules.isRefused, at)
			if err := kept.do(m.ctx, d.ID); err != nil {
				m.t.Error(err)
				continue
			}
			m.rules.replays[d.Destination]++
		}
	}
}

// settings are those of a destination.
func (r *modelRules) settings(d modelDestination) string {
	switch {
	case r == nil:
		return d.settings
	case d.vendor == "kissmetrics":
		return fmt.Sprintf("%s, alias_on_identify: %t", d.settings, r.aliasOnIdentify)
	case d.vendor == "vero":
		return fmt.Sprintf("%s%d", d.settings, r.tokens)
	}
	return d.settings
}

// writeKey is the source's that a call comes from.
func (r *modelRules) writeKey(dice *rand.Rand) string {
	if r != nil && dice.IntN(2) == 0 {
		return "other"
	}
	return "key"
}

func (m *model) runByRules() {
	tempo := m.tempo()
	config := m.loadConfig(m.faulty, tempo)
	m.start(config)
	m.listen = m.router.Addr()
	config.Listen = m.listen
	m.breakVendors()
	if m.dice.IntN(4) == 0 {
		m.approveInAdvance()
	}
	m.tell()
	m.waitUntilAllEnded()
	m.replay(2)
	m.waitUntilAllEnded()
	m.stop()
	m.checkOutcomes()
	entries, dead := m.readJournal()
	for _, d := range modelDestinations {
		o := newMergeOracle(m, d, entries, dead)
		o.check()
	}
}

// approveInAdvance has an operator approve a rule at a destination for as long as the story takes.
func (m *model) approveInAdvance() {
	m.rules.inAdvance = modelDestinations[m.dice.IntN(len(modelDestinations))].name
	a := journal.AutoDecision{Destination: m.rules.inAdvance, Verdict: ledger.Approved, Rule: string(mergerules.MaxIDs), Until: time.Now().Add(time.Hour)}
	if _, err := (heldAliases{m.router}).AddAutoDecision(m.ctx, a); err != nil {
		m.t.Error(err)
	}
}

// operate has operators decide about one in so many of the held aliases.
func (m *model) operate(oneIn int) {
	held, _, err := heldAliases{m.router}.Held(m.ctx, quarantine.Filter{}, 1000)
	if err != nil {
		m.t.Error(err)
		return
	}
	for _, h := range held {
		if m.dice.IntN(oneIn) == 0 {
			m.decide(h)
		}
	}
}

func (m *model) decide(h quarantine.Held) {
	at, filter := callAt{h.Destination, h.MessageID}, quarantine.Filter{Destination: h.Destination, IDs: []uint64{h.ID}}
	do, approve := heldAliases{m.router}.RefuseHeld, m.dice.IntN(2) == 0
	if approve {
		do = heldAliases{m.router}.ApproveHeld
	}
	n, err := do(m.ctx, filter)
	switch {
	case errors.Is(err, delivery.ErrNotReadBack): // it is tried again later
		return
	case err != nil:
		m.t.Error(err)
		return
	case n.Count == 0: // it has been decided about
		return
	case approve:
		m.rules.isApproved[at] = append(m.rules.isApproved[at], h.Rule)
	default:
		m.rules.isRefused[at] = true
	}
	m.rules.decisions += n.Count
}

// rotateToken gives Vero another token, which changes nothing of what is remembered.
func (m *model) rotateToken() {
	m.rules.tokens++
	m.loadConfig(m.faulty, m.tempo())
	if _, err := m.router.Reload(); err != nil {
		m.t.Error(err)
	}
}

// mergeOracle plays the merges that a vendor has taken, in the order of the journal, and knows for certain some of what the rules
// knew then: what was accepted before an alias of the same ids has ended before it.
type mergeOracle struct {
	m       *model
	d       modelDestination
	entries []journal.Entry
	dead    map[deadLetterKey]string

	taken   map[string][]time.Time // when the vendor took its merges, by what
	devices map[string]int         // where ids were an anonymousId first
	place   int                    // of the call that is being looked at
	named   map[string]bool        // ids that were a userId
	// namers are the sources that named an id as a userId in an identify or an alias. It may count as a user, whatever it looks like.
	namers  map[string][]string
	users   map[string]userFact
	people  map[string]*modelPerson
	renamed map[string]string
}

// userFact is when an id was first named as a user.
type userFact struct {
	at     time.Time
	source string
	place  int // in the journal
}

// modelPerson is a person at a vendor. users are those of its ids that were users when they joined.
type modelPerson struct {
	ids   map[string]bool
	users map[string]userFact
	// wasTried: one of his merges was tried before. Others were judged while it waited on disk for its next try.
	wasTried bool
}

func newMergeOracle(m *model, d modelDestination, entries []journal.Entry, dead map[deadLetterKey]string) *mergeOracle {
	o := &mergeOracle{
		m: m, d: d, entries: entries, dead: dead, taken: map[string][]time.Time{}, devices: map[string]int{}, named: map[string]bool{}, namers: map[string][]string{},
		users: map[string]userFact{}, people: map[string]*modelPerson{}, renamed: map[string]string{},
	}
	for _, r := range m.faulty.Account(d.name).Records() {
		if isMerge(r) {
			pair := o.key(r.IDs[0], r.IDs[1])
			o.taken[pair] = append(o.taken[pair], r.At)
		}
	}
	return o
}

// isMerge reports whether a vendor's record may have made one person of two.
func isMerge(r simulator.Record) bool {
	switch r.Kind {
	case "alias", "identify", "create_alias", "merge", "reidentify":
		return true
	case "event":
		return r.Event == "Linked" && len(r.IDs) > 1
	}
	return false
}

// key names a merge, where it frees an id not the one back. A vendor's record of it does not say which call has asked for it: that is
// known by the ledger.
func (o *mergeOracle) key(a, b string) string {
	if a > b && !o.d.renames() {
		a, b = b, a
	}
	return fmt.Sprintf("%q %q", a, b)
}

// check plays the vendor's merges in the order of the ledger: an alias that was held came later than its place in the journal.
func (o *mergeOracle) check() {
	o.m.t.Helper()
	if slices.Contains(importing, o.d.name) {
		for _, pair := range o.m.rules.imported {
			o.join(o.personOf(pair[0]), o.personOf(pair[1]))
		}
	}
	places := map[string]int{} // a replayed call has the last one
	for i := range o.entries {
		if e := &o.entries[i]; e.Target == "" || e.Target == o.d.name {
			places[e.MessageID] = i
		}
	}
	for i := range o.entries {
		e := &o.entries[i]
		o.learnDevice(i, e)
		if places[e.MessageID] != i {
			continue
		}
		_, isDead := o.dead[deadLetterKey{o.d.name, e.MessageID}]
		_, isSent := o.m.rules.isSent[callAt{o.d.name, e.MessageID}]
		o.learnUser(i, e, isSent, isDead)
	}
	for _, at := range o.m.rules.order {
		if at.destination != o.d.name {
			continue
		}
		o.place = places[at.messageID]
		e := &o.entries[o.place]
		from, to := from(e), e.UserID
		if o.m.rules.isRefused[at] {
			o.m.t.Errorf("%s: %s was sent, and refused by an operator", o.d.name, e.MessageID)
		}
		switch taken := o.taken[o.key(from, to)]; {
		case o.givesDevice(e, from): // by an attribute, which its records do not name a merge
			o.merge(e, from, to, time.Time{})
		case len(taken) > 0:
			o.taken[o.key(from, to)] = taken[1:]
			o.merge(e, from, to, taken[0])
		case o.d.vendor == "customerio":
			// It answered 200 and did nothing, because it did not know the person: to aka the two are one all the same.
			o.merge(e, from, to, time.Time{})
		case o.d.vendor == "vero" && o.m.rules.status[at] == http.StatusNotFound:
			// An answer was lost, and to the repeat Vero said that it has no user of that id: the rename had happened, or the id was free.
			// It is free now either way, and no user is known there any more.
			o.rename(o.side(from, e), o.side(to, e))
		}
	}
	unsure := o.mayBeSent()
	for pair, taken := range o.taken {
		if len(taken) > 0 && !unsure[pair] && o.d.vendor != "vero" { // which takes a repeat for another one
			o.m.t.Errorf("%s: merged %s, which is not in the ledger", o.d.name, pair)
		}
	}
}

// mayBeSent returns the merges of which the ledger says that they may be at the vendor although they are not sent.
func (o *mergeOracle) mayBeSent() map[string]bool {
	pairs := map[string]bool{}
	for i := range o.entries {
		e := &o.entries[i]
		if o.m.rules.mayBeSent[callAt{o.d.name, e.MessageID}] {
			pairs[o.key(from(e), e.UserID)] = true
		}
	}
	return pairs
}

// from is the id that a call merges.
func from(e *journal.Entry) string {
	if e.Type == segment.Alias && e.PreviousID != "" {
		return e.PreviousID
	}
	return e.AnonymousID
}

// learnDevice takes in where an id was a device's.
func (o *mergeOracle) learnDevice(place int, e *journal.Entry) {
	if e.AnonymousID != "" && e.AnonymousID != e.UserID && e.AnonymousID != e.PreviousID {
		if _, known := o.devices[e.AnonymousID]; !known {
			o.devices[e.AnonymousID] = place
		}
	}
}

// learnUser takes in what a call says of its userId, once it is known how it has ended.
func (o *mergeOracle) learnUser(place int, e *journal.Entry, isTaken, isDead bool) {
	if e.UserID == "" || e.Type != segment.Identify && e.Type != segment.Alias {
		return
	}
	o.namers[e.UserID] = append(o.namers[e.UserID], e.Source)
	if e.Type == segment.Identify || isTaken {
		o.named[e.UserID] = true
	}
	isUser := e.Type == segment.Identify && !isDead || isTaken
	// An e-mail or a device by itself is no user, whatever names it.
	isUser = isUser && strings.HasPrefix(e.UserID, "user-") && !strings.Contains(e.UserID, "@")
	if _, known := o.users[e.UserID]; isUser && !known && e.UserID != e.AnonymousID {
		o.users[e.UserID] = userFact{e.ReceivedAt, e.Source, place}
	}
}

func (o *mergeOracle) personOf(id string) *modelPerson {
	p := o.people[id]
	if p == nil {
		p = &modelPerson{ids: map[string]bool{id: true}, users: map[string]userFact{}}
		o.people[id] = p
	}
	if fact, ok := o.users[id]; ok && fact.place < o.place { // what was said of this very id came before
		p.users[id] = fact
	}
	return p
}

// side is one side of a merge.
type side struct {
	id     string
	person *modelPerson
	// isDevice and isUser are for certain.
	isDevice, isUser bool
}

func (o *mergeOracle) side(id string, e *journal.Entry) side {
	isDevice := !strings.Contains(id, "@") && !o.named[id] && (id == e.AnonymousID || o.isSeen(id))
	_, mayBeDevice := o.devices[id]
	return side{id, o.personOf(id), isDevice, !strings.Contains(id, "@") && !mayBeDevice && id != e.AnonymousID}
}

// isSeen reports whether an id was an anonymousId before.
func (o *mergeOracle) isSeen(id string) bool {
	first, seen := o.devices[id]
	return seen && first < o.place
}

// merge checks a merge that the vendor has taken, and plays it.
func (o *mergeOracle) merge(e *journal.Entry, from, to string, taken time.Time) {
	a, b := o.side(from, e), o.side(to, e)
	if a.person == b.person {
		if a.id != b.id && o.d.renames() && !o.givesDevice(e, from) {
			o.rename(a, b) // the old id is free all the same
		}
		return
	}
	if o.became(from, to) || o.became(to, from) { // no rule asks about that
		if o.d.renames() {
			o.rename(a, b) // and back
		}
		return
	}
	o.m.rules.joins++
	if e.Type == segment.Alias || o.d.vendor == "kissmetrics" {
		o.checkRules(e, a, b, taken)
	}
	if o.d.renames() && !o.givesDevice(e, from) {
		o.rename(a, b)
		return
	}
	a.person.wasTried = a.person.wasTried || b.person.wasTried || o.wasTried(a.id, b.id, taken)
	o.join(a.person, b.person)
}

// givesDevice reports whether a vendor that frees the old id of an alias only joins the call's own device to a person.
func (o *mergeOracle) givesDevice(e *journal.Entry, from string) bool {
	return o.d.vendor == "customerio" && from == e.AnonymousID
}

func (o *mergeOracle) checkRules(e *journal.Entry, a, b side, taken time.Time) {
	o.m.t.Helper()
	broken := func(rule mergerules.Rule, because string) {
		at := callAt{o.d.name, e.MessageID}
		isAdvance := rule == mergerules.MaxIDs && o.d.name == o.m.rules.inAdvance
		isGuess := o.m.rules.isSent[at] == string(rule) // the devices seen were not loaded yet
		isRepeat := rule != mergerules.BlockedIDs && o.wasTried(a.id, b.id, taken)
		if !isAdvance && !isGuess && !isRepeat && !slices.Contains(o.m.rules.isApproved[at], string(rule)) {
			o.m.t.Errorf("%s: the %s call %s broke %s: %s\n%s %+v\n%s %+v\nledger:%s", o.d.name, e.Type, e.MessageID, rule, because, a.id, *a.person, b.id, *b.person, o.m.rules.history[at])
		}
	}
	if isBlocked(a.id) || isBlocked(b.id) {
		broken(mergerules.BlockedIDs, "an id is blocked")
	}
	if r := o.m.rules; r.isBlockedLater(a.id, taken) || r.isBlockedLater(b.id, taken) {
		broken(mergerules.BlockedIDs, "a reload has blocked an id before")
	}
	if _, mayBeDevice := o.devices[a.id]; b.isDevice && !mayBeDevice && a.id != e.AnonymousID {
		broken(mergerules.Direction, "a device is the id that stays")
	}
	if isGivenBeside(a, b) || isGivenBeside(b, a) {
		broken(mergerules.DeviceOfAnotherUser, "the device has a user")
	}
	if len(a.person.users) > 0 && len(b.person.users) > 0 && !o.mayBeNew(a, e) && !o.mayBeNew(b, e) {
		broken(mergerules.KnownUsers, "both are known")
	}
	if n := len(a.person.ids) + len(b.person.ids); n > o.m.rules.maxIDs && !o.d.renames() && !a.person.wasTried && !b.person.wasTried {
		broken(mergerules.MaxIDs, fmt.Sprintf("the person has %d ids", n))
	}
}

// wasTried reports whether the vendor got a merge before it took it. Such an alias is tried to the end, whatever has become of its people
// since.
func (o *mergeOracle) wasTried(from, to string, taken time.Time) bool {
	for _, x := range o.m.faulty.Account(o.d.name).Exchanges() {
		if !x.At.Before(taken) {
			continue
		}
		for _, record := range x.Records {
			text, err := json.Marshal(record)
			if err != nil {
				o.m.t.Error(err)
			}
			if strings.Contains(string(text), from) && strings.Contains(string(text), to) {
				return true
			}
		}
	}
	return false
}

func (r *modelRules) isBlockedLater(id string, taken time.Time) bool {
	return r.blockedLater != "" && strings.HasPrefix(id, r.blockedLater) && taken.After(r.blockedAt)
}

func isGivenBeside(device, other side) bool {
	return device.isDevice && len(device.person.ids) > 1 && len(device.person.users) > 0 && (len(other.person.users) > 0 || other.isUser)
}

// mayBeNew reports whether new_user_grace may have excused a side. All of a story happens within it.
func (o *mergeOracle) mayBeNew(s side, e *journal.Entry) bool {
	if o.m.rules.grace == 0 {
		return false
	}
	for id := range s.person.ids {
		if slices.Contains(o.namers[id], e.Source) {
			return true
		}
	}
	for id, fact := range s.person.users { // which may have another name now
		if fact.source == e.Source || slices.Contains(o.namers[id], e.Source) {
			return true
		}
	}
	return false
}

func (o *mergeOracle) join(a, b *modelPerson) {
	for id := range b.ids {
		a.ids[id], o.people[id] = true, a
	}
	for id, fact := range b.users {
		a.users[id] = fact
	}
}

// rename moves a person to another name.
func (o *mergeOracle) rename(a, b side) {
	for id, fact := range a.person.users {
		b.person.users[id] = fact
	}
	for id := range a.person.ids {
		if id != a.id {
			b.person.ids[id], o.people[id] = true, b.person
		}
	}
	delete(b.person.ids, a.id)
	delete(o.people, a.id)
	delete(o.users, a.id)
	delete(o.renamed, b.id) // somebody lives there again
	o.renamed[a.id] = b.id
}

func (o *mergeOracle) became(id, other string) bool {
	for range len(o.renamed) + 1 {
		if id = o.renamed[id]; id == other {
			return true
		}
	}
	return false
}
