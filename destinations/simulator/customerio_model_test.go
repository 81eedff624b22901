package simulator

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// plainCIO is a workspace as its rules are written: a list of people that is searched from its start.
type plainCIO struct {
	people     []*plainPerson
	loose      []plainEvent // anonymous events that no person has
	suppressed [][]string   // what was suppressed together
	now        time.Time
	wait       time.Duration
	auto       bool
	inherits   bool
}

type plainPerson struct {
	id, email     string
	since         map[string]time.Time
	plan          string
	events        []plainEvent
	anonymous     map[string]bool
	justAnonymous map[string]time.Time
}

type plainEvent struct {
	name, anonymous string
	at, seen        time.Time
}

func (m *plainCIO) find(name string) *plainPerson {
	for _, p := range m.people {
		if name != "" && (p.id == name || p.email == name) {
			return p
		}
	}
	return nil
}

func isPlainEmail(name string) bool { return strings.Contains(name, "@") }

func (m *plainCIO) isSuppressed(names ...string) bool {
	for _, group := range m.suppressed {
		for _, name := range names {
			if slices.Contains(group, name) {
				return true
			}
		}
	}
	return false
}

func (p *plainPerson) name(name string, now time.Time) {
	if isPlainEmail(name) {
		p.email = name
	} else {
		p.id = name
	}
	p.since[name] = now
}

func (p *plainPerson) lacks(name string) bool {
	return isPlainEmail(name) && p.email == "" || !isPlainEmail(name) && p.id == ""
}

func (m *plainCIO) make(name string) *plainPerson {
	p := &plainPerson{since: map[string]time.Time{}, anonymous: map[string]bool{}, justAnonymous: map[string]time.Time{}}
	p.name(name, m.now)
	m.people = append(m.people, p)
	return p
}

func (m *plainCIO) drop(gone *plainPerson) {
	m.people = slices.DeleteFunc(m.people, func(p *plainPerson) bool { return p == gone })
}

func (m *plainCIO) event(name, event string) {
	if m.isSuppressed(name) {
		return
	}
	p := m.find(name)
	if p == nil {
		p = m.make(name)
	}
	p.events = append(p.events, plainEvent{name: event, at: m.now})
}

func (m *plainCIO) anonymousEvent(anonymous, event string) {
	for _, p := range m.people {
		if joined, ok := p.justAnonymous[anonymous]; ok && m.now.Sub(joined) <= 5*time.Minute {
			p.events = append(p.events, plainEvent{name: event, at: m.now})
			return
		}
	}
	m.loose = append(m.loose, plainEvent{name: event, anonymous: anonymous, at: m.now})
}

// identify has a second name and an anonymous id, or "" for none.
func (m *plainCIO) identify(name, other, anonymous, plan string, spent map[string]bool) {
	if m.isSuppressed(name, other) {
		return
	}
	p, q := m.find(name), m.find(other)
	switch {
	case other == "" || p != nil && p == q:
	case p == nil && q == nil:
		p = m.make(name)
		p.name(other, m.now)
	case p == nil && q.lacks(name):
		q.name(name, m.now)
		p = q
	case p == nil:
		return
	case q == nil && p.lacks(other):
		p.name(other, m.now)
	case q != nil && m.auto && p.lacks(other) && q.lacks(name):
		if slices.Index(m.people, q) < slices.Index(m.people, p) {
			p, q = q, p
		}
		m.absorb(p, q, true)
	default:
		return
	}
	if p == nil {
		p = m.make(name)
	}
	p.plan = plan
	if anonymous == "" || spent[anonymous] && !p.anonymous[anonymous] {
		return
	}
	spent[anonymous], p.anonymous[anonymous], p.justAnonymous[anonymous] = true, true, m.now
	m.loose = slices.DeleteFunc(m.loose, func(e plainEvent) bool {
		if e.anonymous != anonymous {
			return false
		}
		if m.now.Sub(e.at) <= 30*24*time.Hour {
			p.events = append(p.events, plainEvent{name: e.name, at: e.at})
		}
		return true
	})
}

func (m *plainCIO) merge(primary, secondary string) {
	p, s := m.find(primary), m.find(secondary)
	if m.isSuppressed(primary, secondary) || p == nil || s == nil || p == s {
		return
	}
	if m.now.Sub(p.since[primary]) < m.wait || m.now.Sub(s.since[secondary]) < m.wait {
		return
	}
	m.absorb(p, s, m.inherits)
}

func (m *plainCIO) absorb(p, s *plainPerson, names bool) {
	if p.plan == "" {
		p.plan = s.plan
	}
	for _, e := range s.events {
		if m.now.Sub(e.at) > 30*24*time.Hour {
			e.seen = m.now.Add(time.Hour)
		}
		p.events = append(p.events, e)
	}
	for anonymous := range s.anonymous {
		p.anonymous[anonymous], p.justAnonymous[anonymous] = true, s.justAnonymous[anonymous]
	}
	for _, name := range []string{s.id, s.email} {
		if names && name != "" && p.lacks(name) {
			p.name(name, s.since[name])
		}
	}
	m.drop(s)
}

func (m *plainCIO) suppress(name string) {
	if m.isSuppressed(name) {
		return
	}
	group := []string{name}
	if p := m.find(name); p != nil {
		group = []string{p.id, p.email}
		m.drop(p)
	}
	m.suppressed = append(m.suppressed, slices.DeleteFunc(group, func(name string) bool { return name == "" }))
}

func (m *plainCIO) unsuppress(name string) {
	m.suppressed = slices.DeleteFunc(m.suppressed, func(group []string) bool { return slices.Contains(group, name) })
}

func (m *plainCIO) delete(name string) {
	if p := m.find(name); p != nil && !m.isSuppressed(name) {
		m.drop(p)
	}
}

// lines are the people and what waits under anonymous ids, sorted.
func (m *plainCIO) lines(spent map[string]bool) (lines []string) {
	for _, p := range m.people {
		names := slices.DeleteFunc([]string{p.id, p.email}, func(name string) bool { return name == "" })
		for anonymous := range p.anonymous {
			names = append(names, anonymous)
		}
		seen := slices.DeleteFunc(slices.Clone(p.events), func(e plainEvent) bool { return e.seen.After(m.now) })
		lines = append(lines, plainLine(names, seen, p.plan))
	}
	loose := map[string][]plainEvent{}
	for _, e := range m.loose {
		if m.now.Sub(e.at) <= 30*24*time.Hour {
			loose[e.anonymous] = append(loose[e.anonymous], e)
		}
	}
	for anonymous, events := range loose {
		name := anonymous
		if spent[anonymous] {
			name = "late " + anonymous
		}
		lines = append(lines, plainLine([]string{name}, events, ""))
	}
	slices.Sort(lines)
	return lines
}

func plainLine(names []string, events []plainEvent, plan string) string {
	all := []string{}
	for _, e := range events {
		all = append(all, e.name)
	}
	slices.Sort(names)
	slices.Sort(all)
	return fmt.Sprint(names, all, plan)
}

// graphLines are the same of a graph.
func graphLines(graph Graph) (lines []string) {
	for _, p := range graph {
		names := slices.Clone(p.IDs)
		if p.Unjoined != "" {
			names = []string{"late " + p.Unjoined}
		}
		events := []plainEvent{}
		for _, name := range p.Events {
			events = append(events, plainEvent{name: name})
		}
		lines = append(lines, plainLine(names, events, text(p.Properties["plan"])))
	}
	slices.Sort(lines)
	return lines
}

// Any sequence of identifies, events, merges, deletes and suppressions leaves the same people as the plain model, whichever way
// the switches stand that decide on them.
func TestCustomerIOIsLikeThePlainModel(t *testing.T) {
	for seed := range uint64(300) {
		dice := rand.New(rand.NewPCG(seed, 7))
		m := &plainCIO{now: noon, auto: dice.IntN(2) == 0, inherits: dice.IntN(2) == 0, wait: time.Duration(dice.IntN(2)) * time.Minute}
		set := CustomerIO{NoAutoMerge: !m.auto, FindableAfter: m.wait, MergedIdentifiers: "free"}
		if m.inherits {
			set.MergedIdentifiers = "inherited"
		}
		if m.wait == 0 {
			set.FindableAfter = -1
		}
		runPlainModel(t, dice, m, set, fmt.Sprint("seed ", seed))
	}
}

func runPlainModel(t *testing.T, dice *rand.Rand, m *plainCIO, set CustomerIO, name string) {
	t.Helper()
	a, err := newAccount("it", "customerio", "http://x/it", Options{CustomerIO: set, Now: func() time.Time { return m.now }})
	if err != nil {
		t.Fatal(err)
	}
	spent := map[string]bool{}
	trace := ""
	for step := range 60 {
		m.now = m.now.Add([]time.Duration{0, time.Second, 40 * time.Second, 3 * time.Minute, 20 * 24 * time.Hour, 40 * time.Minute}[dice.IntN(6)*dice.IntN(2)])
		item := randomItem(dice, m, spent, fmt.Sprint(step))
		body, _ := json.Marshal(item)
		trace += m.now.Format(time.DateTime) + " " + string(body) + "\n"
		in := cioRequest(http.MethodPost, cioEntityPath, body, m.now)
		a.decode(in)
		if out := a.process(in); out.status != http.StatusOK {
			t.Fatalf("%s: status %d %s\n%s", name, out.status, out.body, trace)
		}
		if got, want := graphLines(a.Graph()), m.lines(spent); !reflect.DeepEqual(got, want) {
			t.Fatalf("%s, %+v:\n%s\ngot  %q\nwant %q", name, set, trace, got, want)
		}
		checkCIOPeople(t, a)
	}
}

// randomItem does something to the model and returns the item that does it to the vendor.
func randomItem(dice *rand.Rand, m *plainCIO, spent map[string]bool, step string) object {
	ids, emails := []string{"a", "b", "c"}, []string{"x@example.com", "y@example.com"}
	who := func() (string, object) {
		if dice.IntN(3) == 0 {
			email := emails[dice.IntN(len(emails))]
			return email, byEmail(email)
		}
		id := ids[dice.IntN(len(ids))]
		return id, byID(id)
	}
	name, ref := who()
	anonymous := fmt.Sprint("anon-", dice.IntN(3))
	switch dice.IntN(12) {
	case 0, 1, 2:
		m.event(name, "e"+step)
		return happened(ref, "e"+step)
	case 3:
		m.anonymousEvent(anonymous, "e"+step)
		return happened(ofAnonymous(anonymous), "e"+step)
	case 4, 5, 6:
		return randomIdentify(dice, m, spent, name, ref, step)
	case 7:
		m.delete(name)
		return person("delete", ref, nil)
	case 8:
		if dice.IntN(3) == 0 {
			m.suppress(name)
			return person("suppress", ref, nil)
		}
		m.unsuppress(name)
		return person("unsuppress", ref, nil)
	}
	other, otherRef := who()
	m.merge(name, other)
	return merged(ref, otherRef)
}

func randomIdentify(dice *rand.Rand, m *plainCIO, spent map[string]bool, name string, ref object, step string) object {
	attributes := object{"plan": "p" + step}
	other, anonymous := "", ""
	if dice.IntN(2) == 0 {
		other = "x@example.com"
		attributes["email"] = "X@Example.com"
		if isPlainEmail(name) {
			delete(attributes, "email")
			other = "a"
			attributes["id"] = other
		}
	}
	if dice.IntN(2) == 0 {
		anonymous = fmt.Sprint("anon-", dice.IntN(3))
		attributes["anonymous_id"] = anonymous
	}
	m.identify(name, other, anonymous, "p"+step, spent)
	return identified(ref, attributes)
}

// checkCIOPeople looks for people who are found and are not there, or are there and not found.
func checkCIOPeople(t *testing.T, a *Account) {
	t.Helper()
	p := a.vendor.(*customerIO).people
	for ref, entry := range p.byRef {
		if p.byCIO[entry.person.cioID] != entry.person || entry.person.identifiers[ref.kind] != ref.value {
			t.Fatalf("%v leads to %+v", ref, entry.person)
		}
	}
	events := 0
	for _, person := range p.byCIO {
		events += len(person.events)
		for kind, value := range person.identifiers {
			if p.byRef[cioRef{kind, value}].person != person {
				t.Fatalf("%s %s does not lead to its person", kind, value)
			}
		}
		for id := range person.anonymous {
			if p.anonymous[id].owner != person {
				t.Fatalf("%s is not its person's", id)
			}
		}
	}
	for id, anonymous := range p.anonymous {
		events += len(anonymous.events)
		if anonymous.owner != nil && !anonymous.owner.anonymous[id] {
			t.Fatalf("%s is of somebody who does not have it", id)
		}
	}
	if events != p.events {
		t.Fatalf("%d events are kept, and %d counted", events, p.events)
	}
}

// FuzzCustomerIO gives the vendor arbitrary bytes, in every position of its switches: it answers, what it holds can be shown, and
// its people stay consistent.
func FuzzCustomerIO(f *testing.F) {
	for _, seed := range []string{
		`{"type":"person","action":"identify","identifiers":{"id":"a"},"timestamp":1767323045,"attributes":{"email":"x@example.com","anonymous_id":"anon-1","n":1e999}}`,
		`{"batch":[{"type":"person","action":"event","identifiers":{"anonymous_id":"anon-1"},"id":"` + aULID + `","name":"E"},null,[1]]}`,
		`{"batch":[{"type":"person","action":"identify","identifiers":{"cio_id":"03000001"},"attributes":{"id":"b","_update":true}},{"type":"person","action":"merge","primary":{"id":"known"},"secondary":{"email":"x@example.com"}}]}`,
		`{"batch":[{"type":"person","action":"suppress","identifiers":{"phone":"+14155552671"}},{"type":"person","action":"merge","primary":{"id":"known"},"secondary":{"id":"known"}}]}`,
		`{"type":"person","action":"add_device","identifiers":{"email":"X@Example.com"},"device":{"token":"t","platform":"ios","last_used":5}}`,
		`{"type":"object","action":"identify","identifiers":{"object_type_id":"1","object_id":"g"},"cio_relationships":[{"identifiers":{"id":"a"}}]}`,
		`{"name":"E","anonymous_id":"anon-1","data":{}}`,
		`{"primary":{"id":"known"},"secondary":{"id":"a"}}`,
		`{"batch":{}}`,
	} {
		for path := range uint8(6) {
			f.Add(path, uint16(path)*911, "a", []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, path uint8, how uint16, id string, body []byte) {
		set := cioSettingsOf(how)
		now := noon
		a, err := newAccount("it", "customerio", "http://x/it", Options{CustomerIO: set, MaxRecords: 8, Now: func() time.Time { return now.Add(time.Hour) }})
		if err != nil {
			t.Fatal(err)
		}
		known, _ := json.Marshal(object{"batch": []any{happened(byID("known"), "E"), happened(byEmail("x@example.com"), "E"), happened(ofAnonymous("anon-1"), "E")}})
		paths := []string{cioEntityPath, cioBatchPath, "/api/v1/events", "/api/v1/merge_customers", cioPersonPath + id, cioPersonPath + id + "/events", id}
		to, method := paths[int(path)%len(paths)], http.MethodPost
		if path%7 == 4 {
			method = http.MethodPut
		}
		for i, in := range []*request{
			cioRequest(http.MethodPost, cioBatchPath, known, now), cioRequest(method, to, body, now), cioRequest(method, to, body, now),
		} {
			in.now = now.Add(time.Duration(i) * 4 * time.Minute)
			a.decode(in)
			out := a.process(in)
			if out.status < 200 || out.status > 499 || !json.Valid(out.body) {
				t.Fatalf("status %d %s", out.status, out.body)
			}
			checkCIOPeople(t, a)
		}
		for _, value := range []any{a.Graph(), a.Records(), a.Refusals()} {
			if _, err := json.Marshal(value); err != nil {
				t.Fatal(err)
			}
		}
		_ = a.Graph().String()
	})
}

// cioRequest is a request with credentials, as the vendor sees it.
func cioRequest(method, path string, body []byte, now time.Time) *request {
	in := fuzzRequest(method, path, "", "application/json", body, false)
	in.now = now
	in.header.Set("Authorization", "Basic c2l0ZTprZXk=")
	return in
}

// cioSettingsOf reads a position of every switch out of a number.
func cioSettingsOf(how uint16) (set CustomerIO) {
	for _, choice := range set.choices() {
		*choice.value = choice.words[int(how)%len(choice.words)]
		how = how/2 + how*7
	}
	set.Phone, set.NoAutoMerge, set.EmailUpdatesByID = how&1 == 0, how&2 == 0, how&4 == 0
	if how&8 == 0 {
		set.FindableAfter = -1
	}
	return set
}
