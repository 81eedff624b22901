// Package mergerules decides whether two ids may become one person. It is asked before a call is sent that merges ids at a vendor,
// because few vendors can undo a merge. It does no I/O: what is known of the ids comes from the memory of merges and from the
// filter of devices.
package mergerules

import (
	"slices"
	"time"

	"aka/destinations/adapter"
)

// Verdict is what happens to a call that a rule fires for.
type Verdict string

const (
	// Allow switches the rule off.
	Allow Verdict = "allow"
	// Observe sends the call, counts it and shows it.
	Observe Verdict = "observe"
	// Hold keeps the alias until an operator decides. Of a call that is no alias, only the request that merges is left out.
	Hold Verdict = "hold"
	// Drop does not send the alias. Of a call that is no alias, only the request that merges is left out.
	Drop Verdict = "drop"
)

// Verdicts are all verdicts, the mildest first.
var Verdicts = []Verdict{Allow, Observe, Hold, Drop}

// Rule is the name of a rule, as in the config and in metrics.
type Rule string

// The rules, in the order in which Judge asks them.
const (
	BlockedIDs          Rule = "blocked_ids"
	Direction           Rule = "direction"
	DeviceOfAnotherUser Rule = "device_of_another_user"
	KnownUsers          Rule = "known_users"
	MaxIDs              Rule = "max_ids"
)

// All lists every rule in that order, for metrics that must exist at zero.
var All = []Rule{BlockedIDs, Direction, DeviceOfAnotherUser, KnownUsers, MaxIDs}

// Reason is why a call is dropped by the rule.
func (r Rule) Reason() adapter.Reason {
	switch r {
	case BlockedIDs:
		return adapter.MergeBlockedPattern
	case Direction:
		return adapter.MergeDirection
	case DeviceOfAnotherUser:
		return adapter.MergeDeviceOfAnotherUser
	case KnownUsers:
		return adapter.MergeKnownUsers
	case MaxIDs:
		return adapter.MergeTooManyIDs
	}
	return ""
}

// IsReason reports whether a call is dropped by one of the rules.
func IsReason(reason adapter.Reason) bool {
	return reason != "" && slices.ContainsFunc(All, func(r Rule) bool { return r.Reason() == reason })
}

// Merge is a call that would make two ids one person at a vendor.
type Merge struct {
	// Alias is false for another call that merges, such as an identify with both ids.
	Alias bool
	// From and To are the call's own ids: its previousId, or else its anonymousId, and its userId.
	From, To string
	// AnonymousID is the one of the same call.
	AnonymousID string
	// FromName and ToName are the ids as the vendor gets them: adapter.Merge.From and To.
	FromName, ToName string
	// Source is the name of the call's source, and At is when the call was accepted.
	Source string
	At     time.Time
}

// People is what is known of ids at the destination, by their names there.
type People interface {
	// IsSame reports whether two ids are one person already.
	IsSame(a, b string) bool
	// Person returns what is known of an id and of the person that it belongs to.
	Person(id string) Person
}

// NoPeople is the People of a destination without a memory: no id is known.
type NoPeople struct{}

// IsSame implements People.
func (NoPeople) IsSame(a, b string) bool { return a == b }

// Person implements People.
func (NoPeople) Person(string) Person { return Person{IDs: 1} }

// Devices is what is known of ids that were seen as an anonymousId.
type Devices interface {
	// Seen reports whether an id was seen as a device's anonymousId. The answer is a guess where sure is false.
	Seen(id string) (seen, sure bool)
}

// Finding is a rule that fires.
type Finding struct {
	Rule    Rule
	Verdict Verdict
	// Reason is why the call is dropped, if that is what comes of it.
	Reason adapter.Reason
	// Partial reports whether the memory has forgotten facts that this could rest on.
	Partial bool
	// From and To are what is known of both people.
	From, To Person
}

// Decide returns the finding that counts: the first that drops, else the first that holds, else the first that observes. ok is
// false if there is none. Its From and To are the evidence.
func Decide(findings []Finding) (decisive Finding, ok bool) {
	for _, verdict := range []Verdict{Drop, Hold, Observe} {
		if at := slices.IndexFunc(findings, func(f Finding) bool { return f.Verdict == verdict }); at >= 0 {
			return findings[at], true
		}
	}
	return Finding{}, false
}

// Judge returns the rules that fire for a merge, in the order of All. A rule whose verdict is Allow does not fire. None fires for
// two ids that are one person already, because nothing is merged then. k, p and d may be nil.
func (r *Rules) Judge(m Merge, k *Kinds, p People, d Devices) []Finding {
	if p == nil {
		p = NoPeople{}
	}
	if m.FromName == m.ToName || p.IsSame(m.FromName, m.ToName) {
		return nil
	}
	j := &judge{rules: r, merge: m, kinds: k, devices: d}
	j.from = j.side(m.From, p.Person(m.FromName))
	j.to = j.side(m.To, p.Person(m.ToName))
	j.blockedIDs()
	j.direction()
	j.deviceOfAnotherUser()
	j.knownUsers()
	j.maxIDs()
	return j.findings
}

// CountPeople reports whether a rule that does more than allow rests on what is known of people: their ids and users.
func (r *Rules) CountPeople() bool {
	return slices.ContainsFunc([]Verdict{r.DeviceOfAnotherUser, r.KnownUsers, r.MaxIDsVerdict}, func(v Verdict) bool { return v != Allow && v != "" })
}

// judge is one merge under way through the rules.
type judge struct {
	rules    *Rules
	merge    Merge
	kinds    *Kinds
	devices  Devices
	from, to side
	findings []Finding
}

// side is one of the two people that a merge would join.
type side struct {
	id     string
	kind   Kind
	unsure bool // the kind is a guess
	person Person
	// hasUser is whether the person has a user who is known here, since is when that one was first seen and source where.
	hasUser bool
	since   time.Time
	source  string
}

// side finds out what an id is. An e-mail or a device by itself is no user, whatever named it. One that a user was renamed to has
// that user.
func (j *judge) side(id string, person Person) side {
	s := side{id: id, person: person, hasUser: person.HasUser, since: person.UserSince, source: person.UserSource}
	var explicit bool
	s.kind, explicit, s.unsure = j.kindOf(id, person)
	switch {
	case s.kind != User && person.IDs <= 1 && person.IsUser && !person.TookUser:
		s.hasUser = false
	case !s.hasUser && s.kind == User && explicit && !person.FirstSeen.IsZero():
		s.hasUser, s.since, s.source = true, person.FirstSeen, person.Source
	}
	return s
}

// fire notes that a rule fires. A verdict that rests on a guess only observes.
func (j *judge) fire(rule Rule, verdict Verdict, unsure, partial bool) {
	if verdict == Allow || verdict == "" {
		return
	}
	if unsure {
		verdict = Observe
	}
	j.findings = append(j.findings, Finding{
		Rule: rule, Verdict: verdict, Reason: rule.Reason(), Partial: partial, From: j.from.person, To: j.to.person,
	})
}

func (j *judge) partial() bool { return j.from.person.Partial || j.to.person.Partial }

func (j *judge) blockedIDs() {
	if j.rules.BlockedIDs.Match(j.merge.From) || j.rules.BlockedIDs.Match(j.merge.To) {
		j.fire(BlockedIDs, Drop, false, false)
	}
}

// direction fires for arguments that were swapped: a device would be the id that a user keeps.
func (j *judge) direction() {
	if j.to.kind == Device && j.from.kind != Device {
		j.fire(Direction, j.rules.Direction, j.to.unsure, false)
	}
}

func (j *judge) deviceOfAnotherUser() {
	for _, pair := range [2][2]*side{{&j.from, &j.to}, {&j.to, &j.from}} {
		if device, other := pair[0], pair[1]; device.isGivenBeside(other) {
			j.fire(DeviceOfAnotherUser, j.rules.DeviceOfAnotherUser, device.unsure, j.partial())
			return
		}
	}
}

// isGivenBeside reports whether the side is a device that was given to somebody before, and the other side is somebody else.
// An e-mail is somebody else only where the device has no user: then the device's other ids are an e-mail, or other devices.
func (s *side) isGivenBeside(other *side) bool {
	switch {
	case s.kind != Device:
		return false
	case s.hasUser:
		return other.hasUser || other.kind == User
	}
	return other.kind == Email && !other.hasUser && s.person.IDs > 1
}

// knownUsers fires if both people have a user, and neither is new.
func (j *judge) knownUsers() {
	if j.from.hasUser && j.to.hasUser && !j.isNew(&j.from) && !j.isNew(&j.to) {
		j.fire(KnownUsers, j.rules.KnownUsers, false, j.partial())
	}
}

// isNew reports whether the oldest user of a side was first seen a short time ago, by the call's own source: a sign-up names
// the new id several times. A call that is replayed may be older than that.
func (j *judge) isNew(s *side) bool {
	return !s.since.IsZero() && s.source == j.merge.Source && j.merge.At.Sub(s.since).Abs() < j.rules.NewUserGrace
}

func (j *judge) maxIDs() {
	if j.rules.MaxIDs > 0 && j.idsTogether() > j.rules.MaxIDs {
		j.fire(MaxIDs, j.rules.MaxIDsVerdict, false, j.partial())
	}
}

// idsTogether is how many ids the person would have, without those that the larger of the two people had before the window.
// All ids of the smaller one are new to it.
func (j *judge) idsTogether() int {
	large, small := j.from.person, j.to.person
	if large.IDs < small.IDs {
		large, small = small, large
	}
	return 1 + j.joinedLately(large) + max(small.IDs, 1+j.joinedLately(small))
}

func (j *judge) joinedLately(person Person) int {
	begin := j.merge.At.Add(-j.rules.MaxIDsPer)
	n := 0
	for _, at := range person.Joins {
		if !at.Before(begin) {
			n++
		}
	}
	return n
}
