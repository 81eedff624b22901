package preflight

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"time"

	"aka/destinations/adapter"
	"aka/router/config"
	"aka/router/journal"
	"aka/router/mergerules"
	"aka/router/segment"
)

// part is calls that share ids with no call of another part, on their way through every destination.
type part struct {
	*preflight
	kinds        *mergerules.Kinds
	devices      devices
	destinations []*destination
	seen         map[uint64]struct{} // hashes of messageIds
	result       *partResult

	ids   map[string]uint32 // the ids that calls name
	words []string          // by their numbers
	// links are the calls that name two ids or more: what makes people.
	links  []link
	latest map[linkKey]int // in links
	// partners are the ids that aliases name with each id, as far as they matter.
	partners map[uint32]map[uint32]struct{}
	// users are the first users that came with each device, in identifies and aliases.
	users map[uint32]uint32
	// same knows which ids aliases have joined, but for devices.
	same components
	// byID are the links that name each id, in order.
	byID map[uint32][]int
}

// link is a call that names two ids or more, and what became of it at each destination.
type link struct {
	call Call
	ids  [3]uint32 // 0 is none
	ends []end
}

// end is what became of a call at a destination.
type end struct {
	kind   endKind
	reason adapter.Reason
	// silent is why the vendor threw an alias away while it answered success.
	silent string
	// fired are the rules of merges that fire for certain: see ruleBit.
	fired uint8
}

type endKind uint8

// The ends of a call.
const (
	// elsewhere: the call was not meant for the destination.
	elsewhere endKind = iota
	sent
	dropped
	held
	dead
	// unmerged was sent without the request that merges.
	unmerged
)

func (k endKind) String() string {
	return [...]string{"elsewhere", "delivered", "dropped", "held", "dead", "unmerged"}[k]
}

// devices are the ids that were an anonymousId. It is what a running aka knows by its filter.
type devices map[string]struct{}

// Seen implements mergerules.Devices.
func (d devices) Seen(id string) (seen, sure bool) {
	_, seen = d[id]
	return seen, true
}

func (d devices) see(h *segment.Header) {
	if h.AnonymousID != "" && h.AnonymousID != h.UserID && h.AnonymousID != h.PreviousID {
		d[h.AnonymousID] = struct{}{}
	}
}

func newPart(r *preflight) (*part, error) {
	p := &part{
		preflight: r, kinds: r.config.Kinds(), devices: devices{}, seen: map[uint64]struct{}{},
		result: &partResult{cases: map[Kind]*caseList{}},
		ids:    map[string]uint32{}, words: []string{""}, partners: map[uint32]map[uint32]struct{}{}, users: map[uint32]uint32{}, latest: map[linkKey]int{},
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	for _, d := range destinationsOf(r.config) {
		made, err := newDestination(p, d, key)
		if err != nil {
			return nil, err
		}
		p.destinations = append(p.destinations, made)
	}
	return p, nil
}

// destinationsOf returns the destinations by name, without those that wait until they are live.
func destinationsOf(c *config.Config) (all []*config.Destination) {
	running := c.Running()
	for _, name := range slices.Sorted(maps.Keys(running)) {
		if !running[name].Waits {
			all = append(all, running[name])
		}
	}
	return all
}

// number returns the number of an id, from 1.
func (p *part) number(id string) uint32 {
	if id == "" {
		return 0
	}
	n, ok := p.ids[id]
	if !ok {
		n = uint32(len(p.words))
		p.ids[id] = n
		p.words = append(p.words, id)
	}
	return n
}

// take runs the next call through every destination.
func (p *part) take(at place, e *journal.Entry) error {
	p.result.calls++
	key := hashOf(e.Source + "\x00" + e.MessageID)
	if _, again := p.seen[key]; again {
		p.result.duplicates++
		return nil
	}
	p.seen[key] = struct{}{}
	p.devices.see(&e.Header)
	call, err := e.Decode()
	ends := make([]end, len(p.destinations))
	for i, d := range p.destinations {
		if e.Target != "" && e.Target != d.Name {
			continue
		}
		turn := turn{destination: d, entry: e, call: call, at: at, end: end{kind: sent}}
		if err != nil {
			turn.end = end{kind: dead, reason: adapter.Undecodable}
		} else {
			turn.run()
		}
		d.count(&turn)
		ends[i] = turn.end
	}
	p.note(at, e, ends)
	return nil
}

// note keeps a call that names two ids, and what the log says by itself.
func (p *part) note(at place, e *journal.Entry, ends []end) {
	user, anonymous, previous := p.number(e.UserID), p.number(e.AnonymousID), p.number(e.PreviousID)
	l := link{ids: [3]uint32{previous, anonymous, user}, ends: ends}
	if l.ids[0] == l.ids[1] || l.ids[0] == user {
		l.ids[0] = 0
	}
	if l.ids[1] == user {
		l.ids[1] = 0
	}
	several := len(l.named()) > 1
	if !several && !isPlaceholder(ends) || several && p.isRepeated(e, &l) {
		return
	}
	l.call = p.callOf(at, e)
	p.findInCall(e, &l)
	if (e.Type == segment.Alias || e.Type == segment.Identify) && !at.isReversed() {
		p.findDevice(e, &l, user, anonymous, previous)
	}
	if several {
		p.links = append(p.links, l)
	}
}

// isRepeated reports whether a call says nothing that one before it with the same ids did not say. An alias always counts.
func (p *part) isRepeated(e *journal.Entry, l *link) bool {
	if e.Type == segment.Alias {
		return false
	}
	key := linkKey{l.ids, e.Type == segment.Identify}
	if before, known := p.latest[key]; known && slices.Equal(p.links[before].ends, l.ends) {
		return true
	}
	p.latest[key] = len(p.links)
	return false
}

// linkKey is what calls that link the same ids have in common.
type linkKey struct {
	ids        [3]uint32
	isIdentify bool
}

// named returns the ids of the link.
func (l *link) named() (named []uint32) {
	for _, id := range l.ids {
		if id != 0 {
			named = append(named, id)
		}
	}
	return named
}

// isPlaceholder reports whether the guard stopped the call for one of its ids.
func isPlaceholder(ends []end) bool {
	return slices.ContainsFunc(ends, func(e end) bool { return e.reason == adapter.BlockedID })
}

// callOf is a call as the report shows it.
func (p *part) callOf(at place, e *journal.Entry) Call {
	return Call{
		File: p.preflight.names[at.file()], Line: at.line(), at: at, Type: e.Type.String(), MessageID: e.MessageID, Source: e.Source,
		Time: e.ReceivedAt, UserID: e.UserID, AnonymousID: e.AnonymousID, PreviousID: e.PreviousID,
	}
}

// end finishes the part: who is one person now, and what is wrong with that.
func (p *part) end() *partResult {
	for _, d := range p.destinations {
		d.finish()
		p.result.destinations = append(p.result.destinations, d.report)
	}
	p.findPeople()
	return p.result
}

// facts is a store of what a memory of merges keeps, in memory.
type facts map[string][]byte

// Fact implements merges.Store.
func (f facts) Fact(_ context.Context, key []byte) ([]byte, error) { return f[string(key)], nil }

// EachFact implements merges.Store. A memory looks through all facts only to forget some, and here none is.
func (f facts) EachFact(context.Context, []byte, func(key, value []byte) bool) error { return nil }

// memoryEvery is how many calls a memory of merges learns of before its changes go to the store.
const memoryEvery = 4000

// clock is the time at a simulated vendor: that at which its calls arrive, and what aka waits between them.
type clock struct{ now time.Time }

func (c *clock) arrive(at time.Time) {
	if at.After(c.now) {
		c.now = at
	}
}

func (c *clock) wait(d time.Duration) { c.now = c.now.Add(d) }
