package simulator

import (
	"fmt"
	"slices"
	"time"
)

// Why an item did nothing, or not all that it asked for. Where the vendor's activity log has a word, it is that.
const (
	cioSuppressed        = "suppressed"
	cioUnknownCIOID      = "unknown_cio_id"
	cioUnknownPerson     = "unknown_person"
	cioUpdateOfUnknown   = "update_of_unknown_person"
	cioUpdateFailure     = "attribute_update_failure"
	cioNoPrimary         = "merge_without_primary"
	cioNoSecondary       = "merge_without_secondary"
	cioTooEarly          = "merge_too_early"
	cioWithItself        = "merge_with_itself"
	cioAnonymousTaken    = "anonymous_id_taken"
	cioTooManyAttributes = "over_300_attributes"
	cioFull              = "simulator_full"
)

func cioIDOf(n int) string { return fmt.Sprintf("%08d", 3_000_000+n) }

// find is for an item that makes no person.
func (p *cioPeople) find(call *cioCall) (string, *cioProblem) {
	switch {
	case p.isSuppressed(call.who):
		return cioSuppressed, nil
	case p.person(call.who) == nil:
		return cioUnknownPerson, nil
	}
	return "", nil
}

// touch makes the person where there is none.
func (p *cioPeople) touch(call *cioCall) (string, *cioProblem) {
	_, reason := p.ensure(call.who, call.At)
	return reason, nil
}

// ensure returns the person with the identifier. It makes an unknown person, except by a cio_id.
func (p *cioPeople) ensure(ref cioRef, now time.Time) (*cioPerson, string) {
	if p.isSuppressed(ref) {
		return nil, cioSuppressed
	}
	if person := p.person(ref); person != nil {
		return person, ""
	}
	if ref.kind == "cio_id" {
		return nil, cioUnknownCIOID
	}
	person := p.makePerson(now)
	if person == nil {
		return nil, cioFull
	}
	p.give(person, ref, now)
	return person, ""
}

// credit takes an event, a page or a screen.
func (p *cioPeople) credit(call *cioCall) (string, *cioProblem) {
	event := cioEvent{name: call.Event, at: call.Time}
	if call.who.kind == "anonymous_id" {
		return p.creditAnonymous(call.who.value, event, call.At), nil
	}
	person, reason := p.ensure(call.who, call.At)
	if reason == "" {
		p.keep(&person.events, event)
	}
	return reason, nil
}

// creditAnonymous keeps the event until an identify joins it. Shortly after an identify it is that person's at once.
func (p *cioPeople) creditAnonymous(id string, event cioEvent, now time.Time) string {
	anonymous := p.anonymousID(id)
	switch {
	case anonymous == nil:
		return cioFull
	case anonymous.owner != nil && now.Sub(anonymous.joined) <= cioJoinWindow:
		p.keep(&anonymous.owner.events, event)
		return ""
	}
	p.forgetStale(anonymous, now)
	p.keep(&anonymous.events, event)
	return ""
}

// anonymousID returns what is known of the id, or nil when the simulator is full.
func (p *cioPeople) anonymousID(id string) *cioAnonymous {
	if known := p.anonymous[id]; known != nil {
		return known
	}
	if p.isFull() {
		p.state.graph.cut++
		return nil
	}
	p.anonymous[id] = &cioAnonymous{}
	return p.anonymous[id]
}

func (p *cioPeople) forgetStale(anonymous *cioAnonymous, now time.Time) {
	before := len(anonymous.events)
	anonymous.events = slices.DeleteFunc(anonymous.events, func(e cioEvent) bool { return isStale(e, now) })
	p.events -= before - len(anonymous.events)
}

// relate makes the people that an object is related to.
func (p *cioPeople) relate(call *cioCall) (string, *cioProblem) {
	makes := call.action == "identify" || call.action == "add_relationships"
	for _, ref := range call.related {
		if makes && p.set.RelatedPeople == "made" {
			_, _ = p.ensure(ref, call.At) // somebody suppressed is left out
		}
	}
	return "", nil
}

// identify makes or updates a person. Another identifier among the attributes is the person's, too, or leads to it.
func (p *cioPeople) identify(call *cioCall) (string, *cioProblem) {
	claims := p.claims(call)
	if p.isSuppressed(append(slices.Clone(claims), call.who)...) {
		return cioSuppressed, nil
	}
	person, good, failed := p.settle(call, claims)
	switch {
	case person == nil && call.who.kind == "cio_id":
		return cioUnknownCIOID, nil
	case failed && p.set.Conflict == "nothing":
		return cioUpdateFailure, nil
	case person == nil && call.attributes["_update"] == true:
		return cioUpdateOfUnknown, nil
	case person == nil:
		if person = p.makePerson(call.At); person == nil {
			return cioFull, nil
		}
	}
	if failed {
		p.state.refuse(call.Record, cioUpdateFailure)
	}
	person = p.giveAll(person, call.who, good, call.At)
	p.update(person, call)
	p.join(person, call)
	return "", nil
}

// claims are the identifiers among the attributes.
func (p *cioPeople) claims(call *cioCall) (claims []cioRef) {
	for _, kind := range cioIdentifiers {
		value := text(call.attributes[kind])
		if value != "" && p.set.allows(kind) {
			claims = append(claims, p.set.ref(kind, value))
		}
	}
	return claims
}

// settle returns the person of an identify, the claims that hold, and whether others fail. The person is nil if there is none yet.
// It changes nothing.
func (p *cioPeople) settle(call *cioCall, claims []cioRef) (person *cioPerson, good []cioRef, failed bool) {
	person = p.person(call.who)
	for _, claim := range claims {
		other := p.person(claim)
		if person == nil && other != nil && other.identifiers[call.who.kind] == "" && call.who.kind != "cio_id" {
			person = other // who gets the identifier of the call
		}
	}
	for _, claim := range claims {
		if p.holds(person, call.who, claim) {
			good = append(good, claim)
		} else {
			failed = true
		}
	}
	return person, good, failed
}

// holds reports whether the person can have the identifier that an identify by another claims for it.
func (p *cioPeople) holds(person *cioPerson, by, claim cioRef) bool {
	other := p.person(claim)
	switch {
	case claim == by || person != nil && person == other:
		return true
	case claim.kind == by.kind:
		return false // only by the cio_id can an identifier be changed
	case other != nil:
		return person != nil && p.autoMerges(person, other, by, claim)
	case person == nil || person.identifiers[claim.kind] == "" || by.kind == "cio_id":
		return true
	}
	return by.kind == "id" && claim.kind == "email" && p.set.EmailUpdatesByID
}

// autoMerges reports whether an identify merges the two people whose identifiers it names.
func (p *cioPeople) autoMerges(person, other *cioPerson, by, claim cioRef) bool {
	pair := by.kind == "id" && claim.kind == "email" || by.kind == "email" && claim.kind == "id"
	return pair && !p.set.NoAutoMerge && person.identifiers[claim.kind] == "" && other.identifiers[by.kind] == ""
}

// giveAll gives the person the identifiers of an identify. It returns the person who has them then: an older one, if the two were
// merged.
func (p *cioPeople) giveAll(person *cioPerson, by cioRef, claims []cioRef, now time.Time) *cioPerson {
	for _, ref := range append([]cioRef{by}, claims...) {
		other := p.person(ref)
		switch {
		case other == person || ref.kind == "cio_id":
		case other == nil:
			p.give(person, ref, now)
		case other.born < person.born:
			p.absorb(other, person, true, now)
			person = other
		default:
			p.absorb(person, other, true, now)
		}
	}
	return person
}

// cioReserved are attributes that are kept elsewhere, or are none.
var cioReserved = []string{"cio_id", "anonymous_id", "_update", "_timestamp", "cio_relationships"}

// update sets the attributes. One that was updated at a later time keeps its value.
func (p *cioPeople) update(person *cioPerson, call *cioCall) {
	full := false
	for name, value := range call.attributes {
		_, known := person.attributes[name]
		switch {
		case slices.Contains(cioReserved, name), p.set.allows(name):
		case call.Time.Before(person.updated[name]):
		case !known && len(person.attributes) >= cioMaxAttributes:
			full = true
		default:
			person.attributes[name], person.updated[name] = value, call.Time
		}
	}
	if full {
		p.state.refuse(call.Record, cioTooManyAttributes)
	}
}

// join takes in the events under the anonymous id of an identify.
func (p *cioPeople) join(person *cioPerson, call *cioCall) {
	id := text(call.attributes["anonymous_id"])
	if id == "" || p.set.NoAnonymousMerge {
		return
	}
	anonymous := p.anonymousID(id)
	switch {
	case anonymous == nil:
		return
	case anonymous.taken && anonymous.owner != person && p.set.TakenAnonymousID == "kept":
		p.state.refuse(call.Record, cioAnonymousTaken)
		return
	}
	rejoins := anonymous.taken && p.set.Rejoin == "never"
	if anonymous.owner != nil {
		delete(anonymous.owner.anonymous, id)
	}
	anonymous.taken, anonymous.owner, anonymous.joined = true, person, call.At
	person.anonymous[id] = true
	p.forgetStale(anonymous, call.At)
	if !rejoins {
		person.events = append(person.events, anonymous.events...)
		anonymous.events = nil
	}
}

// merge makes the secondary part of the primary, and deletes it. Without both it does nothing.
func (p *cioPeople) merge(call *cioCall) (string, *cioProblem) {
	primary, primaryFound := p.mergeable(call.primary, call.At)
	secondary, secondaryFound := p.mergeable(call.secondary, call.At)
	switch {
	case p.isSuppressed(call.primary, call.secondary):
		return cioSuppressed, nil
	case primary == nil:
		return cioNoPrimary, nil
	case secondary == nil:
		return cioNoSecondary, nil
	case !primaryFound || !secondaryFound:
		return cioTooEarly, nil
	case primary == secondary:
		return p.selfMerge(primary)
	}
	p.absorb(primary, secondary, p.set.MergedIdentifiers == "inherited", call.At)
	return "", nil
}

func (p *cioPeople) selfMerge(person *cioPerson) (string, *cioProblem) {
	switch p.set.SelfMerge {
	case "refused":
		return "", cioInvalid("secondary", "the same person as the primary")
	case "deleted":
		p.remove(person)
		return "", nil
	}
	return cioWithItself, nil
}

// absorb gives the primary what it lacks of the secondary, and the events; the secondary is deleted.
func (p *cioPeople) absorb(primary, secondary *cioPerson, identifiers bool, now time.Time) {
	for name, value := range secondary.attributes {
		if own := primary.attributes[name]; own != nil && own != "" {
			continue
		}
		primary.attributes[name], primary.updated[name] = value, secondary.updated[name]
	}
	for _, event := range secondary.events {
		if now.Sub(event.at) > time.Duration(p.set.RecentDays)*24*time.Hour {
			event.from = now.Add(cioOldMoves)
		}
		primary.events = append(primary.events, event)
	}
	secondary.events = nil
	for id := range secondary.anonymous {
		primary.anonymous[id], p.anonymous[id].owner = true, primary
	}
	secondary.anonymous = nil
	for kind, value := range secondary.identifiers {
		ref := cioRef{kind, value}
		if since := p.byRef[ref].since; identifiers && primary.identifiers[kind] == "" {
			delete(secondary.identifiers, kind)
			p.give(primary, ref, since)
		}
	}
	p.remove(secondary)
}

// delete removes a person. Whatever comes under its identifiers is a new person's.
func (p *cioPeople) delete(call *cioCall) (string, *cioProblem) {
	if reason, problem := p.find(call); reason != "" {
		return reason, problem
	}
	p.remove(p.person(call.who))
	return "", nil
}

// suppress deletes the person, if there is one. Later items with its identifiers are ignored.
func (p *cioPeople) suppress(call *cioCall) (string, *cioProblem) {
	if p.isSuppressed(call.who) {
		return cioSuppressed, nil
	}
	if p.isFull() {
		p.state.graph.cut++
		return cioFull, nil
	}
	refs := []cioRef{call.who}
	if person := p.person(call.who); person != nil {
		refs = []cioRef{{"cio_id", person.cioID}}
		for kind, value := range person.identifiers {
			refs = append(refs, cioRef{kind, value})
		}
		p.remove(person)
	}
	for _, ref := range refs {
		p.suppressed[ref] = refs
	}
	return "", nil
}

// unsuppress frees an identifier and those that were suppressed with it. The person does not come back.
func (p *cioPeople) unsuppress(call *cioCall) (string, *cioProblem) {
	if !p.isSuppressed(call.who) {
		return cioUnknownPerson, nil
	}
	for _, ref := range p.suppressed[call.who] {
		delete(p.suppressed, ref)
	}
	return "", nil
}
