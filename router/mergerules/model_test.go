package mergerules

import (
	"slices"
	"time"

	"aka/destinations/adapter"
)

// model is a small People that learns as the memory does.
type model struct {
	rule  adapter.MergeRule // what an alias does at the vendor
	of    map[string]*group
	about map[string]*about
}

type group struct {
	ids   map[string]bool
	joins []time.Time
}

type about struct {
	isUser, isDevice   bool
	userSince, first   time.Time
	userSource, source string
}

func newModel(rule adapter.MergeRule) *model {
	return &model{rule: rule, of: map[string]*group{}, about: map[string]*about{}}
}

func (m *model) group(id string) *group {
	if m.of[id] == nil {
		m.of[id] = &group{ids: map[string]bool{id: true}}
	}
	return m.of[id]
}

func (m *model) note(id, source string, at time.Time) *about {
	if m.about[id] == nil {
		m.about[id] = &about{first: at, source: source}
	}
	return m.about[id]
}

// identified notes that an id was named as a user.
func (m *model) identified(id, source string, at time.Time) {
	if a := m.note(id, source, at); !a.isUser {
		a.isUser, a.userSince, a.userSource = true, at, source
	}
}

// seenWithUser notes that an id was an anonymousId beside a userId.
func (m *model) seenWithUser(device, source string, at time.Time) {
	m.note(device, source, at).isDevice = true
}

// merged notes that a merge was delivered.
func (m *model) merged(from, to, source string, at time.Time) {
	m.note(from, source, at)
	m.note(to, source, at)
	if m.rule == adapter.MergeRenames {
		m.rename(from, to)
		return
	}
	a, b := m.group(from), m.group(to)
	if a == b {
		return
	}
	for id := range b.ids {
		a.ids[id] = true
		m.of[id] = a
	}
	a.joins = append(append(a.joins, b.joins...), at)
	slices.SortFunc(a.joins, func(x, y time.Time) int { return y.Compare(x) })
}

// rename leaves nothing under the old id.
func (m *model) rename(from, to string) {
	person := m.group(from)
	delete(person.ids, from)
	person.ids[to] = true
	delete(m.of, from)
	m.of[to] = person
	if old := m.about[from]; old.isUser && !m.about[to].isUser {
		m.about[to].isUser, m.about[to].userSince, m.about[to].userSource = true, old.userSince, old.userSource
	}
	m.about[from] = &about{}
}

func (m *model) IsSame(a, b string) bool { return a == b || m.of[a] != nil && m.of[a] == m.of[b] }

func (m *model) Person(id string) Person {
	g := m.group(id)
	p := Person{IDs: len(g.ids), Joins: g.joins}
	if own := m.about[id]; own != nil {
		p.IsUser, p.IsDevice, p.FirstSeen, p.Source = own.isUser, own.isDevice, own.first, own.source
	}
	for member := range g.ids {
		a := m.about[member]
		if a != nil && a.isUser && (!p.HasUser || a.userSince.Before(p.UserSince)) {
			p.HasUser, p.UserSince, p.UserSource = true, a.userSince, a.userSource
		}
	}
	return p
}

// set is a Devices of what is in it.
type set map[string]bool

func (s set) Seen(id string) (seen, sure bool) { return s[id], true }

// guess is a Devices that is not sure of anything.
type guess map[string]bool

func (g guess) Seen(id string) (seen, sure bool) { return g[id], false }

// world plays calls through the rules, and learns of those that are sent.
type world struct {
	*model
	rules   Rules
	kinds   *Kinds
	devices set
	now     time.Time
	source  string
}

func newWorld(rule adapter.MergeRule) *world {
	return &world{
		model: newModel(rule), rules: DefaultOptions.Rules, devices: set{}, source: "website",
		now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

// later lets time pass.
func (w *world) later(by time.Duration) *world {
	w.now = w.now.Add(by)
	return w
}

// visit is a call of a device without a user.
func (w *world) visit(device string) *world {
	w.devices[device] = true
	return w
}

// identify is delivered, and merges nothing.
func (w *world) identify(user, device string) *world {
	if w.kinds.CountsAsUser(w.source, user, device) {
		w.identified(user, w.source, w.now)
	}
	if device != "" && device != user {
		w.devices[device] = true
		w.seenWithUser(device, w.source, w.now)
	}
	return w
}

// alias is judged, and delivered unless a rule drops or holds it.
func (w *world) alias(from, to string) []Finding {
	return w.aliasOf(from, to, "")
}

func (w *world) aliasOf(from, to, device string) []Finding {
	m := Merge{Alias: true, From: from, To: to, AnonymousID: device, FromName: from, ToName: to, Source: w.source, At: w.now}
	found := w.rules.Judge(m, w.kinds, w, w.devices)
	if f, ok := Decide(found); ok && f.Verdict != Observe {
		return found
	}
	w.merged(from, to, w.source, w.now)
	if w.kinds.CountsAsUser(w.source, to, device) {
		w.identified(to, w.source, w.now)
	}
	return found
}
