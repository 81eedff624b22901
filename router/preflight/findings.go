package preflight

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"aka/destinations/adapter"
	"aka/router/journal"
	"aka/router/mergerules"
	"aka/router/segment"
)

// Kind is a kind of finding.
type Kind string

// The kinds of findings.
const (
	SharedID         Kind = "shared_id"
	TooManyIDs       Kind = "too_many_ids"
	KnownUsers       Kind = "known_users"
	DeviceOfTwoUsers Kind = "device_of_two_users"
	Placeholder      Kind = "placeholder"
	SwappedAlias     Kind = "swapped_alias"
	OverwrittenAlias Kind = "overwritten_alias"
	ReversedAlias    Kind = "reversed_alias"
	AliasRefused     Kind = "alias_refused"
	VendorsDiffer    Kind = "vendors_differ"
)

// Kinds are all kinds, in the order of a report.
var Kinds = []Kind{
	SharedID, TooManyIDs, KnownUsers, DeviceOfTwoUsers, Placeholder, SwappedAlias, OverwrittenAlias, ReversedAlias, AliasRefused, VendorsDiffer,
}

var whats = map[Kind]string{
	SharedID:         "an id that aliases join with 20 other ids or more: it looks like an id that many people share",
	TooManyIDs:       "a person who has more ids than max_ids, or would have without that rule",
	KnownUsers:       "an alias of two users who are both known",
	DeviceOfTwoUsers: "a device of two users, such as a shared browser",
	Placeholder:      "calls with a placeholder instead of an id: aka drops them",
	SwappedAlias:     "an alias with its two ids swapped: a device would be the id that a user keeps",
	OverwrittenAlias: "an alias whose previousId the browser's SDK has overwritten with its userId",
	ReversedAlias:    "an alias whose two ids the browser's SDK has swapped",
	AliasRefused:     "an alias that aka or the vendor refuses for what it says",
	VendorsDiffer:    "a person at one vendor who is two at another, of ids that both have",
}

// What says in a few words what the kind means.
func (k Kind) What() string { return whats[k] }

const (
	// sharedPartners is of how many other ids aliases must join an id, so that it looks like an id of many people.
	sharedPartners = 20
	// keptPartners bounds those that are counted.
	keptPartners = 1000
	shownIDs     = 10
	shownCalls   = 8
)

// ruleBit is the place of a rule in end.fired.
func ruleBit(rule mergerules.Rule) uint8 { return 1 << slices.Index(mergerules.All, rule) }

// addCase notes a case with the ids and the call that shows it.
func (p *part) addCase(kind Kind, key string, l *link, ids ...uint32) *Case {
	list := p.result.cases[kind]
	if list == nil {
		list = &caseList{}
		p.result.cases[kind] = list
	}
	c, isNew := list.add(key)
	if c == nil {
		return nil
	}
	for _, id := range ids {
		if id != 0 && !slices.Contains(c.ids, id) && len(c.ids) < keptPartners {
			c.ids = append(c.ids, id)
		}
	}
	if isNew || l.call.Type == segment.Alias.String() { // what becomes of an alias says most
		c.ends = l.ends
	}
	if len(c.Calls) < shownCalls {
		c.Calls = append(c.Calls, l.call)
	}
	return c
}

// findInCall finds what one call shows by itself, or by a rule that fires for it.
func (p *part) findInCall(e *journal.Entry, l *link) {
	fired := uint8(0)
	for _, end := range l.ends {
		fired |= end.fired
	}
	for _, id := range [...]string{e.UserID, e.AnonymousID, e.PreviousID} {
		if placeholders.Blocks(id) && isPlaceholder(l.ends) {
			p.addCase(Placeholder, id, l, p.number(id))
		}
	}
	if e.Type != segment.Alias {
		return
	}
	from, to := p.number(e.PreviousID), p.number(e.UserID)
	pair := e.PreviousID + "\x00" + e.UserID
	switch {
	case e.IsOverwritten(), e.MayHideNewID() && l.has(adapter.AlreadyMerged):
		p.addCase(OverwrittenAlias, pair+"\x00"+e.AnonymousID, l, p.number(e.AnonymousID), to)
		return
	case l.call.at.isReversed():
		p.addCase(ReversedAlias, pair, l, from, to)
		return
	case fired&ruleBit(mergerules.Direction) != 0:
		p.addCase(SwappedAlias, pair, l, from, to)
		return
	}
	p.noteAlias(from, to, l)
	if fired&ruleBit(mergerules.KnownUsers) != 0 && fired&ruleBit(mergerules.DeviceOfAnotherUser) == 0 {
		p.addCase(KnownUsers, pair, l, from, to)
	}
	if fired&ruleBit(mergerules.MaxIDs) != 0 {
		hub := to
		if len(p.partners[from]) > len(p.partners[to]) {
			hub = from
		}
		p.addCase(TooManyIDs, p.words[hub], l, hub, from, to)
	}
	for _, end := range l.ends {
		reason := string(end.reason)
		if !refusals[end.reason] {
			reason = end.silent
		}
		if reason != "" {
			if c := p.addCase(AliasRefused, pair+"\x00"+reason, l, from, to); c != nil {
				c.Reason = reason
			}
		}
	}
}

// refusals are the reasons for which an alias is refused that are about the alias. Others are about every alias of its kind, or are
// decisions of the config, or change nothing.
var refusals = map[adapter.Reason]bool{
	adapter.IDTooLong: true, adapter.AliasTaken: true, adapter.WouldCycle: true, adapter.ClusterFull: true, adapter.Refused: true,
	adapter.Rejected: true, adapter.Undecodable: true,
}

// placeholders is the guard without a config.
var placeholders = adapter.NewGuard(nil)

func (l *link) has(reason adapter.Reason) bool {
	return slices.ContainsFunc(l.ends, func(e end) bool { return e.reason == reason })
}

// noteAlias notes which ids aliases join, but for those that a config or the guard blocks.
func (p *part) noteAlias(from, to uint32, l *link) {
	if from == 0 || to == 0 || isPlaceholder(l.ends) || p.blocks(from) || p.blocks(to) {
		return
	}
	for _, pair := range [2][2]uint32{{from, to}, {to, from}} {
		if p.partners[pair[0]] == nil {
			p.partners[pair[0]] = map[uint32]struct{}{}
		}
		if others := p.partners[pair[0]]; len(others) < keptPartners {
			others[pair[1]] = struct{}{}
		}
	}
	if _, isDevice := p.devices[p.words[from]]; !isDevice {
		p.same.join([]string{p.words[from], p.words[to]})
	}
}

// blocks reports whether every destination's rules block the id.
func (p *part) blocks(id uint32) bool {
	return !slices.ContainsFunc(p.destinations, func(d *destination) bool { return !d.MergeOptions.BlockedIDs.Match(p.words[id]) })
}

// findDevice finds a device that comes with a second user. Two ids that an alias joined before are one user.
func (p *part) findDevice(e *journal.Entry, l *link, user, anonymous, previous uint32) {
	device := anonymous
	if e.Type == segment.Alias {
		if _, isDevice := p.devices[e.PreviousID]; isDevice || e.PreviousIDDefaulted {
			device = previous
		} else if device == previous {
			device = 0
		}
	}
	if device == 0 || user == 0 || device == user || isPlaceholder(l.ends) || !p.kinds.CountsAsUser(e.Source, e.UserID, e.AnonymousID) {
		return
	}
	if _, isDevice := p.devices[p.words[user]]; isDevice {
		return
	}
	first, known := p.users[device]
	switch {
	case !known:
		p.users[device] = user
	case first != user && p.same.of(p.words[first]) != p.same.of(p.words[user]):
		p.addCase(DeviceOfTwoUsers, p.words[device], l, device, first, user)
	}
}

// findPeople finds what shows only in the end.
func (p *part) findPeople() {
	p.byID = map[uint32][]int{}
	for i := range p.links {
		for _, id := range p.links[i].named() {
			p.byID[id] = append(p.byID[id], i)
		}
	}
	p.findShared()
	p.findLarge()
	p.findDifferences()
	for _, kind := range Kinds {
		list := p.result.cases[kind]
		if list == nil {
			continue
		}
		for key, c := range list.cases {
			if kind == AliasRefused && p.isStranger(c) {
				delete(list.cases, key)
				continue
			}
			p.finishCase(kind, c)
		}
	}
}

// isStranger reports whether a vendor refused an alias only because it has no person under one of the ids, as Vero does with every
// device.
func (p *part) isStranger(c *Case) bool {
	if c.Reason != string(adapter.Refused) {
		return false
	}
	for i, d := range p.destinations {
		if c.ends[i].reason == adapter.Refused && d.person(c.ids[0]) != 0 && d.person(c.ids[1]) != 0 {
			return false
		}
	}
	return true
}

// findShared finds the ids that aliases join with many others. Other findings about such an id say nothing more.
func (p *part) findShared() {
	for id, others := range p.partners {
		if len(others) < sharedPartners {
			continue
		}
		c := p.addCase(SharedID, p.words[id], &p.links[p.byID[id][0]], id)
		if c == nil {
			continue
		}
		c.Calls = nil
		c.MoreIDs = len(others)
		for _, kind := range []Kind{TooManyIDs, KnownUsers, DeviceOfTwoUsers, AliasRefused} {
			if list := p.result.cases[kind]; list != nil {
				for key, c := range list.cases {
					if slices.Contains(c.ids, id) {
						delete(list.cases, key)
					}
				}
			}
		}
	}
}

// findLarge finds the people of too many ids at a vendor.
func (p *part) findLarge() {
	for _, d := range p.destinations {
		for number, ids := range d.groups {
			if len(ids) <= d.MergeOptions.MaxIDs || slices.ContainsFunc(ids, p.isShared) {
				continue
			}
			hub := slices.MaxFunc(ids, func(a, b uint32) int { return cmp.Compare(len(p.byID[a]), len(p.byID[b])) })
			if links := p.byID[hub]; len(links) > 0 && number > 0 {
				p.addCase(TooManyIDs, p.words[hub], &p.links[links[0]], slices.Concat([]uint32{hub}, ids)...)
			}
		}
	}
}

func (p *part) isShared(id uint32) bool { return len(p.partners[id]) >= sharedPartners }

// findDifferences compares the people of each two destinations, by the ids that both have.
func (p *part) findDifferences() {
	p.result.parted = map[[2]int]int{}
	for i, a := range p.destinations {
		for j, b := range p.destinations {
			if i == j {
				continue
			}
			for _, ids := range a.groups {
				if len(ids) > 1 {
					p.compare(ids, i, j, b)
				}
			}
		}
	}
}

// compare finds the call that parted a person of one destination at another.
func (p *part) compare(ids []uint32, i, j int, b *destination) {
	first, parted := uint32(0), false
	var shared []uint32
	for _, id := range ids {
		person := b.person(id)
		if person == 0 {
			continue
		}
		shared = append(shared, id)
		parted = parted || first != 0 && person != first
		first = cmp.Or(first, person)
	}
	if !parted {
		return
	}
	at := -1
	for _, id := range ids {
		for _, n := range p.byID[id] {
			if (at < 0 || n < at) && p.parts(&p.links[n], ids, i, j, b) {
				at = n
			}
		}
	}
	if at < 0 {
		p.result.parted[[2]int{min(i, j), max(i, j)}]++
		return
	}
	l := &p.links[at]
	if slices.ContainsFunc(slices.Concat(l.named(), shared), p.isShared) { // that is the finding
		return
	}
	p.addCase(VendorsDiffer, fmt.Sprint(l.call.File, "\x00", l.call.Line, "\x00", l.call.MessageID), l, shared...)
}

// parts reports whether a call joined ids of the person at the destination i and, for a reason that is about this call, not at j.
func (p *part) parts(l *link, ids []uint32, i, j int, b *destination) bool {
	if l.ends[i].kind != sent || l.ends[j].kind == sent || !isOwn(l.ends[j].reason) {
		return false
	}
	named := slices.DeleteFunc(l.named(), func(id uint32) bool { return !slices.Contains(ids, id) })
	if len(named) < 2 {
		return false
	}
	first := b.person(named[0])
	return first == 0 || slices.ContainsFunc(named, func(id uint32) bool { return b.person(id) != first })
}

// isOwn reports whether a call did not go for a reason that is about this call, and not about every call of its kind at the vendor.
func isOwn(reason adapter.Reason) bool {
	switch reason {
	case adapter.BlockedID, adapter.FilteredByIntegrations, adapter.ReversedInBrowser, adapter.MergeRefused, adapter.MergeExpired:
		return true
	}
	return refusals[reason] || mergerules.IsReason(reason)
}

// finishCase fills in what the report shows of a case.
func (p *part) finishCase(kind Kind, c *Case) {
	for _, id := range c.ids[:min(len(c.ids), shownIDs)] {
		c.IDs = append(c.IDs, p.words[id])
	}
	if kind != SharedID {
		c.MoreIDs = len(c.ids) - len(c.IDs)
	}
	if kind == SharedID || kind == TooManyIDs || kind == DeviceOfTwoUsers || kind == KnownUsers || kind == VendorsDiffer {
		c.Calls = p.chain(kind, c)
	}
	for i, d := range p.destinations {
		if c.ends[i].kind != elsewhere {
			c.At = append(c.At, Ending{d.Name, p.peopleAt(d, c.ids), c.ends[i].kind.String(), c.ends[i].reason})
		}
	}
	c.Fix = p.fix(kind, c)
}

// chain is the calls that join the ids of a case, in order, and the last one that shows it.
func (p *part) chain(kind Kind, c *Case) []Call {
	var found []int
	for _, id := range c.ids {
		for _, n := range p.byID[id] {
			named := slices.DeleteFunc(p.links[n].named(), func(id uint32) bool { return !slices.Contains(c.ids, id) })
			if len(named) > 1 || kind == SharedID || kind == KnownUsers {
				found = append(found, n)
			}
		}
	}
	slices.Sort(found)
	found = slices.Compact(found)
	calls := make([]Call, 0, shownCalls)
	for _, n := range found {
		if len(calls) == shownCalls-1 && len(c.Calls) > 0 {
			break
		}
		if len(calls) < shownCalls {
			calls = append(calls, p.links[n].call)
		}
	}
	if len(c.Calls) > 0 {
		if last := c.Calls[len(c.Calls)-1]; !slices.ContainsFunc(calls, func(c Call) bool { return c.at == last.at && c.MessageID == last.MessageID }) {
			calls = append(calls, last)
		}
	}
	c.Times = max(c.Times, len(found))
	return calls
}

// peopleAt says whether ids are one person at a destination.
func (p *part) peopleAt(d *destination, ids []uint32) string {
	first, several, n := uint32(0), false, 0
	for _, id := range ids {
		if person := d.person(id); person != 0 {
			n++
			several = several || first != 0 && first != person
			first = cmp.Or(first, person)
		}
	}
	switch {
	case n < 2:
		return "unknown"
	case several:
		return "apart"
	}
	return "one"
}

// fix returns the lines of a config that correct a case, none where the config says so already.
func (p *part) fix(kind Kind, c *Case) []string {
	switch kind {
	case SharedID:
		return []string{blockedIDs(c.IDs[0])}
	case TooManyIDs:
		return append(p.dropBy(mergerules.MaxIDs, "max_ids_verdict"), blockedIDs(c.IDs[0])+"   # if many people share the id")
	case KnownUsers:
		return p.dropBy(mergerules.KnownUsers, "known_users")
	case DeviceOfTwoUsers:
		return p.dropBy(mergerules.DeviceOfAnotherUser, "device_of_another_user")
	case SwappedAlias:
		return p.dropBy(mergerules.Direction, "direction")
	case OverwrittenAlias:
		if source := p.config.Sources[c.Calls[0].Source]; !source.RepairsAliases() {
			return []string{"sources: { " + c.Calls[0].Source + ": { repair_alias: true } }"}
		}
	}
	return []string{}
}

// dropBy has a rule drop what it fires for, where a destination does less.
func (p *part) dropBy(rule mergerules.Rule, key string) []string {
	isLess := func(d *destination) bool { return d.verdict(rule) != mergerules.Drop }
	if !slices.ContainsFunc(p.destinations, isLess) {
		return []string{}
	}
	return []string{"merges: { " + key + ": drop }"}
}

func blockedIDs(id string) string {
	return "merges: { blocked_ids: [" + strconv.Quote(pattern(id)) + "] }"
}

// pattern is an id as a pattern that matches it alone.
func pattern(id string) string { return strings.NewReplacer("*", "?").Replace(id) }
