package preflight

import (
	"context"
	"slices"
	"strings"
	"time"

	"aka/destinations/adapter"
	"aka/destinations/simulator"
	"aka/router/config"
	"aka/router/journal"
	"aka/router/mergerules"
	"aka/router/merges"
	"aka/router/segment"
)

// maxIDs bounds the ids of one part at one simulated vendor.
const maxIDs = 1 << 30

// destination is a configured destination with a simulated vendor of its own.
type destination struct {
	*config.Destination
	part    *part
	account *simulator.Account
	clock   clock
	memory  *merges.Memory // nil where nothing is remembered
	store   facts
	learned int // calls since the memory was stored
	// strict are the rules with every verdict at drop, so that all fire that could.
	strict mergerules.Rules
	report DestinationReport
	// people is who an id is at the vendor, by the number of the id; 0 is an id that the vendor does not know.
	people []uint32
	groups [][]uint32 // the ids of each person, from 1
}

func newDestination(p *part, d *config.Destination, key []byte) (*destination, error) {
	made := &destination{Destination: d, part: p, report: newDestinationReport(d)}
	var mode struct {
		IDMerge string `yaml:"id_merge"`
		Flavor  string `yaml:"flavor"`
	}
	if err := d.Settings.Decode(&mode); err != nil {
		return nil, err
	}
	account, err := simulator.NewOffline(config.LiveName(d.Name), d.Type, simulator.Options{
		IDMerge: mode.IDMerge, Segment: simulator.Segment{Flavor: mode.Flavor}, CustomerIO: simulator.CustomerIO{FindableAfter: -1},
		Now: func() time.Time { return made.clock.now }, MaxRecords: maxIDs, PeopleOnly: true,
	})
	if err != nil {
		return nil, err
	}
	made.account = account
	made.strict = d.MergeOptions.Rules
	made.strict.Direction, made.strict.DeviceOfAnotherUser = mergerules.Drop, mergerules.Drop
	made.strict.KnownUsers, made.strict.MaxIDsVerdict = mergerules.Drop, mergerules.Drop
	merger, merging := d.Merger()
	if !merging || !d.Destination.RememberMerges {
		return made, nil
	}
	made.store = facts{}
	made.memory, err = merges.Open(context.Background(), made.store, merges.Options{Key: key, Account: d.Type + " " + merger.Account()})
	return made, err
}

// turn is a call whose turn it is at a destination.
type turn struct {
	*destination
	entry *journal.Entry
	call  *segment.Call
	at    place

	outcome adapter.Outcome
	merge   *adapter.Merge // what the call merges or uses; nil is nothing
	names   bool           // the merge has two ids
	end     end
	fired   []mergerules.Finding // of the strict rules
	// requests are those that were sent.
	requests int
}

// run goes the way that delivery goes.
func (t *turn) run() {
	t.clock.arrive(t.entry.ReceivedAt)
	allowed := t.part.config.Sources[t.entry.Source].Destinations
	decision, reason, err := t.Filter(allowed, &t.entry.Message)
	if reason == "" && t.at.isReversed() {
		reason = adapter.ReversedInBrowser
	}
	if reason != "" {
		t.drop(reason)
		return
	}
	if decision.Options != nil {
		own := *t.call
		own.Options = decision.Options
		t.call = &own
	}
	if err == nil {
		t.call, reason, err = t.Prepare(t.call)
	}
	switch {
	case err != nil:
		t.die(adapter.Rejected)
		return
	case reason != "":
		t.drop(reason)
		return
	}
	t.outcome = t.Translate(t.call)
	switch {
	case t.outcome.Rejected != nil:
		t.die(adapter.Rejected)
		return
	case t.outcome.Dropped != "":
		t.drop(t.outcome.Dropped)
		return
	}
	t.findMerge()
	if reason := t.refusal(); reason != "" {
		t.drop(reason)
		return
	}
	if t.names && !t.passes() {
		return
	}
	t.send()
}

// findMerge asks the adapter what the call merges.
func (t *turn) findMerge() {
	merge, ok := t.Merges(t.call)
	if !ok {
		return
	}
	t.merge = &merge
	t.names = !merge.Rule.IsUse() && merge.From != "" && merge.To != ""
}

// refusal is why the memory of merges lets the call not go, or "".
func (t *turn) refusal() adapter.Reason {
	if t.memory == nil {
		return ""
	}
	if t.merge != nil && t.entry.Type == segment.Alias {
		if reason := t.memory.Refuses(t.merge); reason != "" {
			return reason
		}
	}
	if c := t.outcome.Condition; c != nil && !t.memory.IsUsed(c.UsedID) {
		return c.Else
	}
	return ""
}

// passes asks the rules of merges, and reports whether the call goes on.
func (t *turn) passes() bool {
	t.judge()
	finding, fires := mergerules.Decide(t.configured(""))
	if !fires || finding.Verdict == mergerules.Observe {
		return true
	}
	if t.entry.Type != segment.Alias {
		return t.leaveOut(finding.Reason)
	}
	if finding.Verdict == mergerules.Hold {
		t.report.Held++
		if t.MergeOptions.Quarantine.Then == mergerules.Approve {
			return true
		}
		t.drop(adapter.MergeExpired)
		t.end.kind = held
		return false
	}
	t.drop(finding.Reason)
	return false
}

// judge finds the rules that fire, whatever their verdicts.
func (t *turn) judge() {
	from := t.entry.PreviousID
	if t.entry.Type != segment.Alias {
		from = t.entry.AnonymousID
	}
	var people mergerules.People
	if t.memory != nil {
		people = t.memory
	}
	t.fired = t.strict.Judge(mergerules.Merge{
		Alias: t.entry.Type == segment.Alias, From: from, To: t.entry.UserID, AnonymousID: t.entry.AnonymousID,
		FromName: t.merge.From, ToName: t.merge.To, Source: t.entry.Source, At: t.entry.ReceivedAt,
	}, t.part.kinds, people, t.part.devices)
	for _, f := range t.fired {
		if f.Verdict == mergerules.Drop {
			t.end.fired |= ruleBit(f.Rule)
		}
	}
}

// configured returns the findings with the verdicts of the config, but that of one rule.
func (t *turn) configured(but mergerules.Rule) (findings []mergerules.Finding) {
	for _, f := range t.fired {
		if f.Rule == but {
			continue
		}
		if verdict := t.verdict(f.Rule); f.Verdict == mergerules.Drop || verdict == mergerules.Allow {
			f.Verdict = verdict
		}
		if f.Verdict != mergerules.Allow {
			findings = append(findings, f)
		}
	}
	return findings
}

// verdict is that of a rule by the config.
func (d *destination) verdict(rule mergerules.Rule) mergerules.Verdict {
	switch rule {
	case mergerules.Direction:
		return d.MergeOptions.Direction
	case mergerules.DeviceOfAnotherUser:
		return d.MergeOptions.DeviceOfAnotherUser
	case mergerules.KnownUsers:
		return d.MergeOptions.KnownUsers
	case mergerules.MaxIDs:
		return d.MergeOptions.MaxIDsVerdict
	}
	return mergerules.Drop
}

// leaveOut takes the request that merges out of a call that is no alias.
func (t *turn) leaveOut(reason adapter.Reason) bool {
	without := t.outcome.WithoutMerges(reason)
	stepped := t.outcome.Asks() && !t.merge.FirstUserOnly
	if !stepped && len(without.Requests) == len(t.outcome.Requests) {
		return true // the vendor gives the device to its first user
	}
	t.end.kind, t.end.reason = unmerged, reason
	t.outcome, t.merge, t.names = without, nil, false
	if without.Dropped != "" {
		t.drop(without.Dropped)
		return false
	}
	return true
}

// drop ends the call. An identify of which the vendor takes nothing names a user all the same.
func (t *turn) drop(reason adapter.Reason) {
	t.end.kind, t.end.reason = dropped, reason
	if t.entry.Type == segment.Identify && (reason == adapter.NothingToSend || reason == adapter.PeopleOff || mergerules.IsReason(reason)) {
		t.learnIDs()
	}
}

// die ends the call as a dead letter.
func (t *turn) die(reason adapter.Reason) {
	t.end.kind, t.end.reason = dead, reason
	if t.entry.Type == segment.Identify {
		t.learnIDs()
	}
}

// tries is how often a request is tried that is to be tried again. At a simulated vendor that is for time to pass.
const tries = 8

// send hands the requests to the simulated vendor, one after the other.
func (t *turn) send() {
	requests := t.outcome.Requests
	var answered []adapter.Answered
	for i := 0; i < len(requests); i++ {
		answer, verdict := t.exchange(&requests[i])
		switch verdict.Class {
		case adapter.Delivered:
		case adapter.Dropped:
			reason := adapter.Reason(verdict.Note)
			if !slices.Contains(adapter.DropReasons, reason) {
				reason = adapter.Declined
			}
			t.drop(reason)
			return
		default:
			t.die(adapter.Refused)
			return
		}
		if i == len(requests)-1 && requests[i].Asks {
			answered = append(answered, adapter.Answered{Request: requests[i], Answer: answer})
			next := t.Next(t.call, requests, answered)
			if t.end.kind == unmerged {
				next = next.WithoutMerges(t.end.reason)
			}
			switch {
			case next.Rejected != nil:
				t.die(adapter.Rejected)
				return
			case next.Dropped != "":
				t.drop(next.Dropped)
				return
			}
			requests = slices.Concat(requests, next.Requests)
		}
		if i < len(requests)-1 {
			t.clock.wait(requests[i].Wait)
		}
	}
	t.learn()
	if t.entry.Type == segment.Alias {
		t.clock.wait(t.Settle)
	}
}

// exchange sends one request until there is a verdict on it.
func (t *turn) exchange(r *adapter.Request) (answer adapter.Answer, verdict adapter.Verdict) {
	one := []adapter.Request{*r}
	header := r.Header
	if strings.EqualFold(header["Content-Encoding"], "gzip") { // the sender would compress it
		header = map[string]string{}
		for name, value := range r.Header {
			if name != "Content-Encoding" {
				header[name] = value
			}
		}
	}
	body := adapter.BodyAt(one, t.clock.now)
	for range tries {
		t.requests++
		taken := t.account.Take(r.Method, r.URL, header, body)
		if taken.Refusal != "" && t.entry.Type == segment.Alias {
			t.report.SilentRefusals[taken.Refusal]++
			t.end.silent = taken.Refusal
		}
		answer = adapter.Answer{Status: taken.Status, ContentType: taken.ContentType, Body: taken.Body}
		verdict = adapter.Alone(t.Judge(one, answer))[0]
		if verdict.Class != adapter.Later {
			break
		}
		t.clock.wait(time.Minute)
	}
	return answer, verdict
}

// learn takes into the memory what a delivered call says.
func (t *turn) learn() {
	if t.memory == nil {
		return
	}
	if t.merge != nil {
		t.memory.Add(t.merge, t.entry.ReceivedAt, t.entry.Source)
	}
	t.learnIDs()
}

// learnIDs takes in who is a user, and what is a device.
func (t *turn) learnIDs() {
	e := t.entry
	if t.memory == nil || e.UserID == "" || e.UserID == e.AnonymousID {
		return
	}
	if (e.Type == segment.Identify || e.Type == segment.Alias) && t.part.kinds.CountsAsUser(e.Source, e.UserID, e.AnonymousID) {
		t.memory.Identified(e.UserID, e.ReceivedAt, e.Source)
	}
	if e.AnonymousID != "" {
		t.memory.SeenWithUser(e.AnonymousID, e.ReceivedAt)
	}
	if t.learned++; t.learned >= memoryEvery {
		t.learned = 0
		t.storeMemory()
	}
}

// storeMemory moves the changes of the memory to its store.
func (d *destination) storeMemory() {
	changes := d.memory.Changes()
	for _, fact := range changes.Facts {
		if fact.Value == nil {
			delete(d.store, string(fact.Key))
			continue
		}
		d.store[string(fact.Key)] = fact.Value
	}
	d.memory.Saved(changes)
}

// count counts what became of a call.
func (d *destination) count(t *turn) {
	r := &d.report
	r.Requests += t.requests
	switch t.end.kind {
	case sent, unmerged:
		r.Delivered++
		if t.names && t.end.silent == "" {
			r.Merges++
			if t.merge.Rule.FreesFrom() {
				r.freed++
			}
		}
	case dead:
		r.Dead++
	default:
		r.Dropped++
	}
	if t.end.reason != "" {
		r.Reasons[t.end.reason]++
		if t.entry.Type == segment.Alias {
			r.Aliases[t.end.reason]++
		}
	}
	d.countRules(t)
}

// countRules counts what each rule would do under each verdict, the other rules being as they are.
func (d *destination) countRules(t *turn) {
	for _, f := range t.fired {
		cost := d.report.rule(f.Rule)
		cost.Fires++
		if f.Verdict != mergerules.Drop {
			cost.Guessed++
			continue
		}
		others, fires := mergerules.Decide(t.configured(f.Rule))
		switch {
		case fires && others.Verdict != mergerules.Observe:
			cost.DecidedByOthers++
		case t.entry.Type == segment.Alias:
			cost.Aliases++
		default:
			cost.Others++
		}
	}
}

// finish takes the people from the simulated vendor.
func (d *destination) finish() {
	stats := d.account.Stats()
	if bills[d.Type] {
		d.report.BilledEvents = new(int)
		*d.report.BilledEvents = stats.Events
	}
	d.groups = [][]uint32{nil}
	people := d.account.Graph()
	if d.part.people != nil {
		d.part.people(d.Name, people)
	}
	for _, person := range people {
		if len(person.IDs) == 0 {
			continue
		}
		ids := make([]uint32, 0, len(person.IDs))
		for _, id := range person.IDs {
			d.report.IDs++
			ids = append(ids, d.part.number(strings.TrimPrefix(id, devicePrefix)))
		}
		d.report.People++
		d.groups = append(d.groups, ids)
	}
	d.people = make([]uint32, 0, len(d.part.words))
	for number, ids := range d.groups {
		for _, id := range ids {
			for int(id) >= len(d.people) {
				d.people = append(d.people, 0)
			}
			if d.people[id] == 0 {
				d.people[id] = uint32(number)
			}
		}
	}
}

// devicePrefix is what Mixpanel writes before an anonymous id.
const devicePrefix = "$device:"

// bills are the vendors whose price depends on the number of events.
var bills = map[string]bool{"mixpanel": true}

// person is who an id is at the vendor, 0 where it knows none.
func (d *destination) person(id uint32) uint32 {
	if int(id) >= len(d.people) {
		return 0
	}
	return d.people[id]
}
