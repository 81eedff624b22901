package simulator

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// What https://docs.customer.io/journeys/anonymous-events and /journeys/merge-people say of times.
const (
	cioAnonymousKept = 30 * 24 * time.Hour // how long an anonymous event is kept
	cioJoinWindow    = 5 * time.Minute     // how long after an identify its anonymous events still join
	cioOldMoves      = time.Hour           // until a merge has moved the older events
)

// cioRef is an identifier: its kind, such as "email", and its value.
type cioRef struct{ kind, value string }

// String is the value as version 1 writes it in a path.
func (r cioRef) String() string {
	if r.kind == "cio_id" {
		return "cio_" + r.value
	}
	return r.value
}

// cioIdentifiers are the kinds that a person can be given, in the order in which they are tried.
var cioIdentifiers = []string{"id", "email", "phone"}

// cioEvent is one event of somebody.
type cioEvent struct {
	name string
	at   time.Time // its own time
	from time.Time // when it is seen, where a merge is still moving it
}

// cioPerson is one profile.
type cioPerson struct {
	cioID       string
	born        int // the order in which people were made
	since       time.Time
	identifiers map[string]string
	attributes  map[string]any
	updated     map[string]time.Time // an attribute's last update
	events      []cioEvent
	anonymous   map[string]bool
}

// cioEntry is a person found by an identifier, and since when.
type cioEntry struct {
	person *cioPerson
	since  time.Time
}

// cioAnonymous is an anonymous id: its owner, and the events under it that are no person's yet.
type cioAnonymous struct {
	taken  bool       // a person has it or had it
	owner  *cioPerson // nil before an identify, and after the person was deleted
	joined time.Time  // the last identify with it
	events []cioEvent
}

// cioPeople is everybody in a workspace. The cio_ids count up: that of the first person of an account is 03000001.
type cioPeople struct {
	set        CustomerIO
	state      *accountState
	max        int
	made       int // people ever
	events     int // kept
	byCIO      map[string]*cioPerson
	byRef      map[cioRef]cioEntry
	anonymous  map[string]*cioAnonymous
	suppressed map[cioRef][]cioRef // an identifier to those suppressed with it
}

func newCIOPeople(set CustomerIO, b *accountState, max int) *cioPeople {
	return &cioPeople{
		set: set, state: b, max: max,
		byCIO:      map[string]*cioPerson{},
		byRef:      map[cioRef]cioEntry{},
		anonymous:  map[string]*cioAnonymous{},
		suppressed: map[cioRef][]cioRef{},
	}
}

// isFull reports whether there is no room for more people.
func (p *cioPeople) isFull() bool {
	return max(len(p.byCIO), len(p.anonymous), len(p.suppressed)) >= p.max
}

// person returns who has the identifier, or nil.
func (p *cioPeople) person(ref cioRef) *cioPerson {
	if ref.kind == "cio_id" {
		return p.byCIO[ref.value]
	}
	return p.byRef[ref].person
}

// mergeable returns who has the identifier and whether a merge finds the person by it yet.
func (p *cioPeople) mergeable(ref cioRef, now time.Time) (person *cioPerson, found bool) {
	person, since := p.person(ref), p.byRef[ref].since
	if person == nil {
		return nil, false
	}
	if ref.kind == "cio_id" {
		since = person.since
	}
	return person, p.set.FindableAfter < 0 || !now.Before(since.Add(p.set.FindableAfter))
}

func (p *cioPeople) isSuppressed(refs ...cioRef) bool {
	return slices.ContainsFunc(refs, func(ref cioRef) bool { return p.suppressed[ref] != nil })
}

// makePerson returns a new person, or nil when the simulator is full.
func (p *cioPeople) makePerson(now time.Time) *cioPerson {
	if p.isFull() {
		p.state.graph.cut++
		return nil
	}
	p.made++
	person := &cioPerson{
		cioID: cioIDOf(p.made), born: p.made, since: now,
		identifiers: map[string]string{}, attributes: map[string]any{}, updated: map[string]time.Time{}, anonymous: map[string]bool{},
	}
	p.byCIO[person.cioID] = person
	return person
}

// give makes the person found by the identifier, instead of by one of that kind that it had.
func (p *cioPeople) give(person *cioPerson, ref cioRef, since time.Time) {
	if old, ok := person.identifiers[ref.kind]; ok {
		delete(p.byRef, cioRef{ref.kind, old})
	}
	person.identifiers[ref.kind] = ref.value
	p.byRef[ref] = cioEntry{person, since}
}

// remove deletes the person. Its identifiers are free then. Its anonymous ids are not: the pages call them not reusable.
func (p *cioPeople) remove(person *cioPerson) {
	for kind, value := range person.identifiers {
		delete(p.byRef, cioRef{kind, value})
	}
	for id := range person.anonymous {
		p.anonymous[id].owner = nil
	}
	p.events -= len(person.events)
	delete(p.byCIO, person.cioID)
}

// keep adds an event to those of a person or an anonymous id, when there is room.
func (p *cioPeople) keep(events *[]cioEvent, event cioEvent) {
	if p.events >= p.max {
		p.state.graph.cut++
		return
	}
	p.events++
	*events = append(*events, event)
}

// graph returns the people for comparing.
func (p *cioPeople) graph(now time.Time) Graph {
	all := Graph{}
	for _, person := range p.byCIO {
		all = append(all, person.shown(now))
	}
	var apart Graph
	for _, id := range slices.Sorted(maps.Keys(p.anonymous)) {
		anonymous := p.anonymous[id]
		events := newGathered()
		events.addCIO(slices.DeleteFunc(slices.Clone(anonymous.events), func(e cioEvent) bool { return isStale(e, now) }), now)
		switch shown := events.person(); {
		case len(shown.Events) == 0:
		case anonymous.taken:
			shown.Unjoined = id
			apart = append(apart, shown)
		default:
			shown.IDs = []string{id}
			all = append(all, shown)
		}
	}
	slices.SortFunc(all, func(a, b Person) int { return strings.Compare(a.IDs[0], b.IDs[0]) })
	return append(all, apart...)
}

// isStale reports whether an anonymous event is too old to be kept.
func isStale(e cioEvent, now time.Time) bool { return now.Sub(e.at) > cioAnonymousKept }

// addCIO counts the events that are seen by now.
func (w *gathered) addCIO(events []cioEvent, now time.Time) {
	for _, event := range events {
		if !event.from.After(now) {
			w.events[event.name]++
		}
	}
}

// shown is the person in a graph. The cio_id is not among the ids.
func (c *cioPerson) shown(now time.Time) Person {
	whole := newGathered()
	whole.ids = slices.AppendSeq(slices.Collect(maps.Values(c.identifiers)), maps.Keys(c.anonymous))
	slices.Sort(whole.ids)
	whole.ids = slices.Compact(whole.ids)
	whole.addCIO(c.events, now)
	maps.Copy(whole.properties, c.attributes)
	return whole.person()
}
