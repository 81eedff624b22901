package simulator

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// cioStory is a sequence of items, each a second after the one before, and who is one person then.
type cioStory struct {
	set      CustomerIO
	items    []object
	wait     time.Duration // before the graph is looked at
	people   []string
	refusals []string
}

func (s cioStory) run(t *testing.T) *client {
	t.Helper()
	c := openCustomerIO(t, s.set)
	for _, item := range s.items {
		c.clock.Advance(time.Second)
		if item["wait"] != nil {
			c.clock.Advance(item["wait"].(time.Duration))
			continue
		}
		c.takes(item)
	}
	c.clock.Advance(s.wait)
	c.wantPeople(s.people...)
	c.wantRefusals(s.refusals...)
	return c
}

func after(d time.Duration) object { return object{"wait": d} }

func ofAnonymous(id string) object { return object{"anonymous_id": id} }

var cioStories = map[string]cioStory{
	"a merge gives the primary what the secondary did": {
		items:  []object{happened(byID("old"), "A"), happened(byID("jane"), "B"), merged(byID("jane"), byID("old"))},
		people: []string{"jane -> one person, 2 events"},
	},
	"a merge the other way round keeps the other": {
		items:  []object{happened(byID("old"), "A"), happened(byID("jane"), "B"), merged(byID("old"), byID("jane"))},
		people: []string{"old -> one person, 2 events"},
	},
	"a merge without primary does nothing": {
		items:    []object{happened(byID("old"), "A"), merged(byID("jane"), byID("old"))},
		people:   []string{"old -> one person, 1 event"},
		refusals: []string{"merge_without_primary"},
	},
	"a merge before its identify is lost": {
		items:    []object{happened(byID("old"), "A"), merged(byID("jane"), byID("old")), identified(byID("jane"), nil)},
		people:   []string{"jane -> one person, 0 events", "old -> one person, 1 event"},
		refusals: []string{"merge_without_primary"},
	},
	"a merge without secondary does nothing": {
		items:    []object{happened(byID("jane"), "A"), merged(byID("jane"), byID("old"))},
		people:   []string{"jane -> one person, 1 event"},
		refusals: []string{"merge_without_secondary"},
	},
	"a merge of nobody does nothing": {
		items:    []object{merged(byID("jane"), byID("old"))},
		refusals: []string{"merge_without_primary"},
	},
	"a merge by an anonymous id is of nobody": {
		items:    []object{happened(ofAnonymous("a-1"), "A"), identified(byID("jane"), nil), merged(byID("jane"), byID("a-1"))},
		people:   []string{"a-1 -> one person, 1 event", "jane -> one person, 0 events"},
		refusals: []string{"merge_without_secondary"},
	},
	"a merge that is repeated does nothing": {
		items:    []object{happened(byID("old"), "A"), identified(byID("jane"), nil), merged(byID("jane"), byID("old")), merged(byID("jane"), byID("old"))},
		people:   []string{"jane -> one person, 1 event"},
		refusals: []string{"merge_without_secondary"},
	},
	"a merged id is free for a new person": {
		items:  []object{happened(byID("old"), "A"), identified(byID("jane"), nil), merged(byID("jane"), byID("old")), happened(byID("old"), "B")},
		people: []string{"jane -> one person, 1 event", "old -> one person, 1 event"},
	},
	"merges can chain": {
		items: []object{happened(byID("a"), "A"), happened(byID("b"), "B"), happened(byID("c"), "C"),
			merged(byID("b"), byID("a")), merged(byID("c"), byID("b"))},
		people: []string{"c -> one person, 3 events"},
	},
	"a merge by cio_id": {
		items:  []object{happened(byID("a"), "A"), identified(byID("b"), nil), merged(object{"cio_id": "03000002"}, object{"cio_id": "03000001"})},
		people: []string{"b -> one person, 1 event"},
	},
	"the cio_id of somebody merged is nobody's": {
		items: []object{happened(byID("a"), "A"), identified(byID("b"), nil), merged(byID("b"), byID("a")),
			happened(object{"cio_id": "03000001"}, "B"), identified(object{"cio_id": "03000001"}, nil)},
		people:   []string{"b -> one person, 1 event"},
		refusals: []string{"unknown_cio_id", "unknown_cio_id"},
	},
	"an identify by an unknown cio_id is dropped, whatever else it names": {
		items:    []object{identified(byEmail("jen@example.com"), nil), identified(object{"cio_id": "03000009"}, object{"email": "jen@example.com", "id": "jane"})},
		people:   []string{"jen@example.com -> one person, 0 events"},
		refusals: []string{"unknown_cio_id"},
	},
	"ids have case": {
		items:  []object{identified(byID("Jane"), nil), identified(byID("jane"), nil)},
		people: []string{"Jane -> one person, 0 events", "jane -> one person, 0 events"},
	},
	"e-mails have no case": {
		items:  []object{happened(byEmail("Jen@Example.com"), "A"), happened(byEmail("jen@example.COM"), "B")},
		people: []string{"jen@example.com -> one person, 2 events"},
	},
	"events older than 30 days come an hour after a merge": {
		items: []object{happenedAt(byID("old"), "A", noon.Add(-31*24*time.Hour)), happenedAt(byID("old"), "B", noon.Add(-29*24*time.Hour)),
			identified(byID("jane"), nil), merged(byID("jane"), byID("old"))},
		wait:   time.Hour - time.Second,
		people: []string{"jane -> one person, 1 event"},
	},
	"and then they are there": {
		items: []object{happenedAt(byID("old"), "A", noon.Add(-31*24*time.Hour)), happenedAt(byID("old"), "B", noon.Add(-29*24*time.Hour)),
			identified(byID("jane"), nil), merged(byID("jane"), byID("old"))},
		wait:   time.Hour,
		people: []string{"jane -> one person, 2 events"},
	},

	"an identify joins what was anonymous": {
		items:  []object{happened(ofAnonymous("a-1"), "A"), identified(byID("jane"), object{"anonymous_id": "a-1"})},
		people: []string{"a-1 + jane -> one person, 1 event"},
	},
	"and what comes within five minutes": {
		items:  []object{identified(byID("jane"), object{"anonymous_id": "a-1"}), after(5*time.Minute - 2*time.Second), happened(ofAnonymous("a-1"), "A")},
		people: []string{"a-1 + jane -> one person, 1 event"},
	},
	"but not what comes later": {
		items:  []object{identified(byID("jane"), object{"anonymous_id": "a-1"}), after(5*time.Minute - 2*time.Second + 1), happened(ofAnonymous("a-1"), "A")},
		people: []string{"a-1 + jane -> one person, 0 events", "a-1 after its identify -> not joined, 1 event"},
	},
	"an event joins nothing": {
		items:  []object{happened(ofAnonymous("a-1"), "A"), person("event", byID("jane"), object{"name": "B", "attributes": object{"anonymous_id": "a-1"}})},
		people: []string{"a-1 -> one person, 1 event", "jane -> one person, 1 event"},
	},
	"anonymous events are kept 30 days": {
		items:  []object{happened(ofAnonymous("a-1"), "A"), after(30*24*time.Hour + 1), happened(ofAnonymous("a-1"), "B"), identified(byID("jane"), object{"anonymous_id": "a-1"})},
		people: []string{"a-1 + jane -> one person, 1 event"},
	},
	"then they are nobody's": {
		items: []object{happened(ofAnonymous("a-1"), "A")},
		wait:  30*24*time.Hour + 1,
	},
	"a person has several anonymous ids": {
		items: []object{happened(ofAnonymous("a-1"), "A"), happened(ofAnonymous("a-2"), "B"),
			identified(byID("jane"), object{"anonymous_id": "a-1"}), identified(byID("jane"), object{"anonymous_id": "a-2"})},
		people: []string{"a-1 + a-2 + jane -> one person, 2 events"},
	},
	"a merge takes the anonymous ids along": {
		items: []object{happened(ofAnonymous("a-1"), "A"), identified(byID("old"), object{"anonymous_id": "a-1"}), identified(byID("jane"), nil),
			merged(byID("jane"), byID("old")), happened(ofAnonymous("a-1"), "B")},
		people: []string{"a-1 + jane -> one person, 2 events"},
	},
	"an anonymous id is not used again after a delete": {
		items: []object{identified(byID("old"), object{"anonymous_id": "a-1"}), person("delete", byID("old"), nil),
			happened(ofAnonymous("a-1"), "A"), identified(byID("jane"), object{"anonymous_id": "a-1"})},
		people:   []string{"jane -> one person, 0 events", "a-1 after its identify -> not joined, 1 event"},
		refusals: []string{"anonymous_id_taken"},
	},

	"an e-mail's person gets an id": {
		items:  []object{happened(byEmail("jen@example.com"), "A"), identified(byID("jane"), object{"email": "Jen@example.com"}), happened(byID("jane"), "B")},
		people: []string{"jane + jen@example.com -> one person, 2 events"},
	},
	"an id's person gets an e-mail": {
		items:  []object{happened(byID("jane"), "A"), identified(byEmail("jen@example.com"), object{"id": "jane"})},
		people: []string{"jane + jen@example.com -> one person, 1 event"},
	},
	"an e-mail of somebody with another id stays": {
		items: []object{identified(byID("bob"), object{"email": "jen@example.com"}),
			identified(byID("jane"), object{"email": "jen@example.com", "plan": "free"})},
		people:   []string{"bob + jen@example.com -> one person, 0 events"},
		refusals: []string{"attribute_update_failure"},
	},
	"two who lack each other's identifier are merged": {
		items:  []object{happened(byEmail("jen@example.com"), "A"), happened(byID("jane"), "B"), identified(byID("jane"), object{"email": "jen@example.com"})},
		people: []string{"jane + jen@example.com -> one person, 2 events"},
	},
	"two who do not are not": {
		items: []object{identified(byID("bob"), object{"email": "jen@example.com"}), identified(byID("jane"), nil),
			identified(byID("jane"), object{"email": "jen@example.com"})},
		people:   []string{"bob + jen@example.com -> one person, 0 events", "jane -> one person, 0 events"},
		refusals: []string{"attribute_update_failure"},
	},
	"an id is not changed": {
		items:    []object{identified(byEmail("jen@example.com"), object{"id": "jane"}), identified(byEmail("jen@example.com"), object{"id": "bob"})},
		people:   []string{"jane + jen@example.com -> one person, 0 events"},
		refusals: []string{"attribute_update_failure"},
	},
	"nor the one that names the person": {
		items:    []object{identified(byID("jane"), object{"id": "bob"}), identified(byEmail("a@example.com"), object{"email": "b@example.com"})},
		refusals: []string{"attribute_update_failure", "attribute_update_failure"},
	},
	"but by the cio_id": {
		items: []object{identified(byID("jane"), object{"email": "a@example.com"}),
			identified(object{"cio_id": "03000001"}, object{"id": "bob", "email": "b@example.com"})},
		people: []string{"b@example.com + bob -> one person, 0 events"},
	},
	"and not to somebody else's": {
		items: []object{identified(byID("jane"), nil), identified(byID("bob"), nil),
			identified(object{"cio_id": "03000001"}, object{"id": "bob"})},
		people:   []string{"bob -> one person, 0 events", "jane -> one person, 0 events"},
		refusals: []string{"attribute_update_failure"},
	},
	"an update makes nobody": {
		items:    []object{identified(byID("jane"), object{"_update": true}), identified(byID("bob"), nil), identified(byID("bob"), object{"_update": true, "plan": "free"})},
		people:   []string{"bob -> one person, 0 events"},
		refusals: []string{"update_of_unknown_person"},
	},
	"an update can still give an identifier": {
		items:  []object{identified(byEmail("jen@example.com"), nil), identified(byID("jane"), object{"_update": true, "email": "jen@example.com"})},
		people: []string{"jane + jen@example.com -> one person, 0 events"},
	},
	"a merge in a promotion's way is of one person": {
		items:    []object{identified(byEmail("jen@example.com"), nil), identified(byID("jane"), object{"email": "jen@example.com"}), merged(byID("jane"), byEmail("jen@example.com"))},
		people:   []string{"jane + jen@example.com -> one person, 0 events"},
		refusals: []string{"merge_with_itself"},
	},

	"a deleted id makes a new person": {
		items:    []object{happened(byID("jane"), "A"), person("delete", byID("jane"), nil), person("delete", byID("jane"), nil), happened(byID("jane"), "B")},
		people:   []string{"jane -> one person, 1 event"},
		refusals: []string{"unknown_person"},
	},
	"what is suppressed is ignored": {
		items: []object{identified(byID("jane"), object{"email": "jen@example.com"}), identified(byID("bob"), nil), person("suppress", byID("jane"), nil),
			happened(byID("jane"), "A"), identified(byEmail("jen@example.com"), nil), identified(byID("new"), object{"email": "jen@example.com"}),
			merged(byID("bob"), byID("jane")), merged(byID("jane"), byID("bob")), happened(object{"cio_id": "03000001"}, "B"),
			person("delete", byID("jane"), nil), person("suppress", byID("jane"), nil)},
		people:   []string{"bob -> one person, 0 events"},
		refusals: []string{"suppressed", "suppressed", "suppressed", "suppressed", "suppressed", "suppressed", "suppressed", "suppressed"},
	},
	"an event that was ignored is not known when it comes again": {
		items: []object{person("suppress", byID("jane"), nil), person("event", byID("jane"), object{"name": "A", "id": aULID}),
			person("unsuppress", byID("jane"), nil), person("event", byID("jane"), object{"name": "A", "id": aULID})},
		people:   []string{"jane -> one person, 1 event"},
		refusals: []string{"suppressed"},
	},
	"somebody who is not there can be suppressed": {
		items:    []object{person("suppress", byID("jane"), nil), happened(byID("jane"), "A")},
		refusals: []string{"suppressed"},
	},
	"an unsuppress frees both identifiers and brings nothing back": {
		items: []object{happened(byID("jane"), "A"), identified(byID("jane"), object{"email": "jen@example.com"}), person("suppress", byID("jane"), nil),
			person("unsuppress", byEmail("jen@example.com"), nil), happened(byID("jane"), "B"), person("unsuppress", byID("jane"), nil)},
		people:   []string{"jane -> one person, 1 event"},
		refusals: []string{"unknown_person"},
	},
	"a device makes a person, its end does not": {
		items: []object{person("add_device", byID("jane"), object{"device": object{"token": "t", "platform": "ios"}}),
			person("delete_device", byID("bob"), object{"device": object{"token": "t"}})},
		people:   []string{"jane -> one person, 0 events"},
		refusals: []string{"unknown_person"},
	},
	"the end of a relation makes nobody": {
		items: []object{related("delete_relationships", object{"cio_relationships": []any{object{"identifiers": byID("jane")}}})},
	},
}

func TestCustomerIOStories(t *testing.T) {
	for name, story := range cioStories {
		t.Run(name, func(t *testing.T) { story.run(t) })
	}
}

func TestCustomerIOMergeKeepsThePrimarysAttributes(t *testing.T) {
	c := openCustomerIO(t, CustomerIO{})
	c.takes(
		identified(byID("jane"), object{"plan": "paid", "city": "", "team": nil}),
		identified(byEmail("jen@example.com"), object{"plan": "free", "city": "Bern", "team": "red", "age": 7}),
		merged(byID("jane"), byEmail("jen@example.com")),
		person("identify", byID("jane"), object{"timestamp": noon.Add(-time.Hour).Unix(), "attributes": object{"age": 6}}), // late
	)
	c.wantGraph(Graph{{IDs: []string{"jane", "jen@example.com"}, Properties: object{"plan": "paid", "city": "Bern", "team": "red", "age": jsonSeven}}})
}

func TestCustomerIOAutoMergeKeepsTheOlder(t *testing.T) {
	for _, olderByID := range []bool{true, false} {
		c := openCustomerIO(t, CustomerIO{})
		pair := []object{identified(byID("jane"), object{"from": "id", "id_only": 7}), identified(byEmail("jen@example.com"), object{"from": "email"})}
		want, cioID := "id", "03000001"
		if !olderByID {
			pair[0], pair[1] = pair[1], pair[0]
			want = "email"
		}
		c.takes(pair...)
		c.takes(identified(byEmail("jen@example.com"), object{"id": "jane", "plan": "paid"}), happened(object{"cio_id": cioID}, "E"))
		c.wantGraph(Graph{{IDs: []string{"jane", "jen@example.com"}, Events: []string{"E"}, Properties: object{"from": want, "id_only": jsonSeven, "plan": "paid"}}})
	}
}

// jsonSeven is the number as it is decoded.
const jsonSeven = json.Number("7")

// Each switch in each position. A position is its word.
var cioSwitches = map[string]cioStory{
	"identifiers both":  {items: []object{identified(byID("jane"), object{"email": "jen@example.com"}), happened(byEmail("jen@example.com"), "A")}, people: []string{"jane + jen@example.com -> one person, 1 event"}},
	"identifiers id":    {set: CustomerIO{Identifiers: "id"}, items: []object{identified(byID("a"), object{"email": "jen@example.com"}), identified(byID("b"), object{"email": "jen@example.com"})}, people: []string{"a -> one person, 0 events", "b -> one person, 0 events"}},
	"identifiers email": {set: CustomerIO{Identifiers: "email"}, items: []object{identified(byEmail("a@example.com"), object{"id": "7"}), identified(byEmail("b@example.com"), object{"id": "7"})}, people: []string{"a@example.com -> one person, 0 events", "b@example.com -> one person, 0 events"}},
	"phone": {set: CustomerIO{Phone: true},
		items:  []object{happened(object{"phone": "+14155552671"}, "A"), identified(byID("jane"), object{"phone": "+14155552671"})},
		people: []string{"+14155552671 + jane -> one person, 1 event"}},
	"no phone": {items: []object{identified(byID("a"), object{"phone": "+14155552671"}), identified(byID("b"), object{"phone": "+14155552671"})},
		people: []string{"a -> one person, 0 events", "b -> one person, 0 events"}},
	"no auto merge": {set: CustomerIO{NoAutoMerge: true},
		items:    []object{identified(byEmail("jen@example.com"), nil), identified(byID("jane"), nil), identified(byID("jane"), object{"email": "jen@example.com"})},
		people:   []string{"jane -> one person, 0 events", "jen@example.com -> one person, 0 events"},
		refusals: []string{"attribute_update_failure"}},
	"no anonymous merge": {set: CustomerIO{NoAnonymousMerge: true},
		items:  []object{happened(ofAnonymous("a-1"), "A"), identified(byID("jane"), object{"anonymous_id": "a-1"})},
		people: []string{"a-1 -> one person, 1 event", "jane -> one person, 0 events"}},
	"e-mail updates by id": {set: CustomerIO{EmailUpdatesByID: true},
		items:    []object{identified(byID("jane"), object{"email": "a@example.com"}), identified(byID("jane"), object{"email": "b@example.com"}), identified(byEmail("b@example.com"), object{"email": "c@example.com"})},
		people:   []string{"b@example.com + jane -> one person, 0 events"},
		refusals: []string{"attribute_update_failure"}},
	"no e-mail updates by id": {
		items:    []object{identified(byID("jane"), object{"email": "a@example.com"}), identified(byID("jane"), object{"email": "b@example.com"})},
		people:   []string{"a@example.com + jane -> one person, 0 events"},
		refusals: []string{"attribute_update_failure"}},
	"findable after, too early": {set: CustomerIO{FindableAfter: 5 * time.Second},
		items:    []object{happened(byID("old"), "A"), after(time.Hour), identified(byID("jane"), nil), after(3*time.Second - 1), merged(byID("jane"), byID("old"))},
		people:   []string{"jane -> one person, 0 events", "old -> one person, 1 event"},
		refusals: []string{"merge_too_early"}},
	"findable after, in time": {set: CustomerIO{FindableAfter: 5 * time.Second},
		items:  []object{happened(byID("old"), "A"), identified(byID("jane"), nil), after(3 * time.Second), merged(byID("jane"), byID("old"))},
		people: []string{"jane -> one person, 1 event"}},
	"findable after, the secondary too": {set: CustomerIO{FindableAfter: 5 * time.Second},
		items:    []object{identified(byID("jane"), nil), after(time.Hour), happened(byID("old"), "A"), merged(byID("jane"), byID("old"))},
		people:   []string{"jane -> one person, 0 events", "old -> one person, 1 event"},
		refusals: []string{"merge_too_early"}},
	"findable after, by cio_id": {set: CustomerIO{FindableAfter: 5 * time.Second},
		items:    []object{happened(byID("old"), "A"), identified(byID("jane"), nil), merged(object{"cio_id": "03000002"}, byID("old"))},
		people:   []string{"jane -> one person, 0 events", "old -> one person, 1 event"},
		refusals: []string{"merge_too_early"}},
	"findable after, a new identifier": {set: CustomerIO{FindableAfter: 5 * time.Second},
		items: []object{happened(byID("old"), "A"), identified(byEmail("jen@example.com"), nil), after(time.Hour),
			identified(byID("jane"), object{"email": "jen@example.com"}), merged(byID("jane"), byID("old")), merged(byEmail("jen@example.com"), byID("old"))},
		people:   []string{"jane + jen@example.com -> one person, 1 event"},
		refusals: []string{"merge_too_early"}},
	"long_ids cut": {set: CustomerIO{LongIDs: "cut"},
		items:  []object{happened(byID(strings.Repeat("x", 151)), "A"), happened(byID(strings.Repeat("x", 150)+"y"), "B")},
		people: []string{strings.Repeat("x", 150) + " -> one person, 2 events"}},
	"taken_anonymous_id kept": {
		items: []object{happened(ofAnonymous("a-1"), "A"), identified(byID("jane"), object{"anonymous_id": "a-1"}), identified(byID("bob"), object{"anonymous_id": "a-1"}),
			happened(ofAnonymous("a-1"), "B")},
		people:   []string{"a-1 + jane -> one person, 2 events", "bob -> one person, 0 events"},
		refusals: []string{"anonymous_id_taken"}},
	"taken_anonymous_id moved": {set: CustomerIO{TakenAnonymousID: "moved"},
		items: []object{happened(ofAnonymous("a-1"), "A"), identified(byID("jane"), object{"anonymous_id": "a-1"}), identified(byID("bob"), object{"anonymous_id": "a-1"}),
			happened(ofAnonymous("a-1"), "B")},
		people: []string{"a-1 + bob -> one person, 1 event", "jane -> one person, 1 event"}},
	"rejoin again": {
		items: []object{identified(byID("jane"), object{"anonymous_id": "a-1"}), after(time.Hour), happened(ofAnonymous("a-1"), "A"),
			identified(byID("jane"), object{"anonymous_id": "a-1"}), happened(ofAnonymous("a-1"), "B")},
		people: []string{"a-1 + jane -> one person, 2 events"}},
	"rejoin never": {set: CustomerIO{Rejoin: "never"},
		items: []object{identified(byID("jane"), object{"anonymous_id": "a-1"}), after(time.Hour), happened(ofAnonymous("a-1"), "A"),
			identified(byID("jane"), object{"anonymous_id": "a-1"}), happened(ofAnonymous("a-1"), "B")},
		people: []string{"a-1 + jane -> one person, 1 event", "a-1 after its identify -> not joined, 1 event"}},
	"self_merge nothing": {
		items: []object{happened(byID("jane"), "A"), merged(byID("jane"), byID("jane"))}, people: []string{"jane -> one person, 1 event"},
		refusals: []string{"merge_with_itself"}},
	"self_merge deleted": {set: CustomerIO{SelfMerge: "deleted"},
		items: []object{happened(byID("jane"), "A"), merged(byID("jane"), byID("jane"))}},
	"merged_identifiers inherited": {
		items: []object{happened(byEmail("jen@example.com"), "A"), identified(byID("jane"), nil), merged(byID("jane"), byEmail("jen@example.com")),
			happened(byEmail("jen@example.com"), "B")},
		people: []string{"jane + jen@example.com -> one person, 2 events"}},
	"merged_identifiers free": {set: CustomerIO{MergedIdentifiers: "free"},
		items: []object{happened(byEmail("jen@example.com"), "A"), identified(byID("jane"), nil), merged(byID("jane"), byEmail("jen@example.com")),
			happened(byEmail("jen@example.com"), "B")},
		people: []string{"jane -> one person, 1 event", "jen@example.com -> one person, 1 event"}},
	"conflict nothing": {
		items:    []object{identified(byID("bob"), object{"email": "jen@example.com"}), happened(ofAnonymous("a-1"), "A"), identified(byID("jane"), object{"email": "jen@example.com", "anonymous_id": "a-1"})},
		people:   []string{"a-1 -> one person, 1 event", "bob + jen@example.com -> one person, 0 events"},
		refusals: []string{"attribute_update_failure"}},
	"conflict rest": {set: CustomerIO{Conflict: "rest"},
		items:    []object{identified(byID("bob"), object{"email": "jen@example.com"}), happened(ofAnonymous("a-1"), "A"), identified(byID("jane"), object{"email": "jen@example.com", "anonymous_id": "a-1"})},
		people:   []string{"a-1 + jane -> one person, 1 event", "bob + jen@example.com -> one person, 0 events"},
		refusals: []string{"attribute_update_failure"}},
	"anonymous_events taken": {items: []object{happened(ofAnonymous("a-1"), "A")}, people: []string{"a-1 -> one person, 1 event"}},
	"related_people made": {
		items:  []object{related("identify", object{"cio_relationships": []any{object{"identifiers": byID("jane")}}})},
		people: []string{"jane -> one person, 0 events"}},
	"related_people ignored": {set: CustomerIO{RelatedPeople: "ignored"},
		items: []object{related("identify", object{"cio_relationships": []any{object{"identifiers": byID("jane")}}})}},
	"recent days of 29": {set: CustomerIO{RecentDays: 29},
		items:  []object{happenedAt(byID("old"), "A", noon.Add(-29*24*time.Hour)), identified(byID("jane"), nil), merged(byID("jane"), byID("old"))},
		people: []string{"jane -> one person, 0 events"}},
	"recent days of 30": {
		items:  []object{happenedAt(byID("old"), "A", noon.Add(-29*24*time.Hour)), identified(byID("jane"), nil), merged(byID("jane"), byID("old"))},
		people: []string{"jane -> one person, 1 event"}},
}

func TestCustomerIOSwitches(t *testing.T) {
	for name, story := range cioSwitches {
		t.Run(name, func(t *testing.T) { story.run(t) })
	}
}

func TestCustomerIOSwitchesThatAnAnswerShows(t *testing.T) {
	for name, try := range map[string]struct {
		set    CustomerIO
		item   object
		status int
	}{
		"identifiers id":               {CustomerIO{Identifiers: "id"}, identified(byEmail("jen@example.com"), nil), 400},
		"identifiers id, merges":       {CustomerIO{Identifiers: "id"}, merged(byID("a"), byEmail("jen@example.com")), 400},
		"identifiers email":            {CustomerIO{Identifiers: "email"}, identified(byID("a"), nil), 400},
		"identifiers email, objects":   {CustomerIO{Identifiers: "email"}, related("identify", object{"cio_relationships": []any{object{"identifiers": byID("jane")}}}), 400},
		"phone":                        {CustomerIO{Phone: true}, identified(object{"phone": "+14155552671"}, nil), 200},
		"phone in another form":        {CustomerIO{Phone: true}, identified(object{"phone": "004155552671"}, nil), 400},
		"phone in a merge":             {CustomerIO{Phone: true}, merged(byID("known"), object{"phone": "+14155552671"}), 400},
		"long_ids refused":             {CustomerIO{LongIDs: "refused"}, identified(byID(strings.Repeat("x", 151)), nil), 400},
		"long_ids cut":                 {CustomerIO{LongIDs: "cut"}, identified(byID(strings.Repeat("x", 151)), nil), 200},
		"self_merge refused":           {CustomerIO{SelfMerge: "refused"}, merged(byID("known"), byID("known")), 400},
		"self_merge nothing":           {CustomerIO{SelfMerge: "nothing"}, merged(byID("known"), byID("known")), 200},
		"anonymous_events refused":     {CustomerIO{AnonymousEvents: "refused"}, happened(ofAnonymous("a-1"), "A"), 400},
		"anonymous_events taken":       {CustomerIO{AnonymousEvents: "taken"}, happened(ofAnonymous("a-1"), "A"), 200},
		"conflict nothing":             {CustomerIO{Conflict: "nothing"}, identified(byID("known"), object{"id": "other"}), 200},
		"findable after, at the start": {CustomerIO{FindableAfter: time.Hour}, merged(byID("known"), byID("other")), 200},
	} {
		t.Run(name, func(t *testing.T) {
			c := openCustomerIO(t, try.set)
			c.cio("POST", cioEntityPath, identified(byID("known"), nil))
			wantStatus(t, c.cio("POST", cioEntityPath, try.item), try.status)
		})
	}
	c := openCustomerIO(t, CustomerIO{AnonymousEvents: "refused"})
	wantStatus(t, c.cio("POST", "/api/v1/events", object{"name": "A", "anonymous_id": "a-1"}), 200)
}

// By default a merge finds what was made two seconds ago.
func TestCustomerIOFindsPeopleAfterTwoSeconds(t *testing.T) {
	c := openAccount(t, "customerio", Options{})
	c.takes(happened(byID("old"), "A"), identified(byID("jane"), nil), merged(byID("jane"), byID("old")))
	c.clock.Advance(2*time.Second - 1)
	c.takes(merged(byID("jane"), byID("old")))
	c.wantRefusals("merge_too_early", "merge_too_early")
	c.clock.Advance(1)
	c.takes(merged(byID("jane"), byID("old")))
	c.wantPeople("jane -> one person, 1 event")
}

func TestCustomerIOBatchOrder(t *testing.T) {
	batch := object{"batch": []any{identified(byID("jane"), nil), person("event", byID("jane"), nil), merged(byID("jane"), byID("old"))}}
	for order, want := range map[string][]string{
		"":         {"jane -> one person, 1 event"},
		"given":    {"jane -> one person, 1 event"},
		"reversed": {"jane -> one person, 0 events", "old -> one person, 1 event"},
	} {
		c := openCustomerIO(t, CustomerIO{BatchOrder: order})
		c.takes(happened(byID("old"), "A"))
		got := c.cio("POST", cioBatchPath, batch)
		c.wantRefused(got, 207, "required", "name")
		if !strings.Contains(got.body, `"batch_index":1`) {
			t.Errorf("%s: answer %s", order, got.body)
		}
		c.wantPeople(want...)
	}
}

func TestCustomerIOFuture(t *testing.T) {
	ahead := noon.Add(24 * time.Hour)
	for future, want := range map[string]struct {
		time time.Time
		plan string
	}{"": {ahead, "paid"}, "kept": {ahead, "paid"}, "now": {noon, "free"}} {
		c := openCustomerIO(t, CustomerIO{Future: future})
		c.takes(person("identify", byID("jane"), object{"timestamp": ahead.Unix(), "attributes": object{"plan": "paid"}}))
		c.takes(identified(byID("jane"), object{"plan": "free"}))
		if got := c.Records()[0].Time; !got.Equal(want.time) {
			t.Errorf("%s: time %v, want %v", future, got, want.time)
		}
		c.wantGraph(Graph{{IDs: []string{"jane"}, Properties: object{"plan": want.plan}}})
	}
}
