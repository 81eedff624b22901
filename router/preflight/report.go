package preflight

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"aka/destinations/adapter"
	"aka/router/config"
	"aka/router/mergerules"
)

// Report is what a preflight has found. Its JSON is stable: fields may be added, and none changes its meaning. docs/preflight.md
// describes it.
type Report struct {
	// Version is that of the JSON.
	Version int `json:"version"`
	// Clean reports whether there is no finding.
	Clean        bool                `json:"clean"`
	Input        InputReport         `json:"input"`
	Destinations []DestinationReport `json:"destinations"`
	// Findings are in the order of Kinds. A kind without a case is left out.
	Findings []Finding `json:"findings"`
	// Parted are the people who come out different at two vendors by the rules of these alone, which is no finding.
	Parted []Parted `json:"parted_by_vendor_rules"`

	names []string
	cases map[Kind]*caseList
}

// DestinationReport is what a destination would get, and what its vendor would make of it.
type DestinationReport struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// PeopleBefore is how many people the vendor would know if no call merged any: one for each id. People is how many it knows in
	// the end, by so many IDs. All three are 0 for a vendor that is not simulated.
	PeopleBefore int `json:"people_before"`
	People       int `json:"people"`
	IDs          int `json:"ids"`
	// Delivered, Dropped and Dead count the calls by their end. Held of the dropped ones would wait for an operator first.
	Delivered int `json:"delivered"`
	Dropped   int `json:"dropped"`
	Dead      int `json:"dead"`
	Held      int `json:"held"`
	// Merges is how many of the delivered calls merge two ids.
	Merges int `json:"merges"`
	// Requests is how many requests the calls become, before they are batched.
	Requests int `json:"requests"`
	// BilledEvents is how many events the vendor would bill; null where it bills by something else.
	BilledEvents *int `json:"billed_events"`
	// Reasons count the calls that were not delivered, and Aliases the aliases among them, by reason.
	Reasons map[adapter.Reason]int `json:"reasons"`
	Aliases map[adapter.Reason]int `json:"aliases_refused"`
	// SilentRefusals count aliases that the vendor throws away while it answers success, by its own word.
	SilentRefusals map[string]int `json:"silent_refusals"`
	// Rules is what each rule of merges would cost, whatever its verdict.
	Rules []RuleCost `json:"rules"`

	freed int // ids that no longer lead to a person
}

// RuleCost is how often a rule fires, and so what each of its verdicts would do. The other rules are as in the config.
type RuleCost struct {
	Rule mergerules.Rule `json:"rule"`
	// Verdict is that of the config.
	Verdict mergerules.Verdict `json:"verdict"`
	// Fires is how many merges it fires for. Guessed of them rest on a guess and are only observed, DecidedByOthers are dropped or
	// held by another rule anyway.
	Fires           int `json:"fires"`
	Guessed         int `json:"guessed"`
	DecidedByOthers int `json:"decided_by_others"`
	// Aliases and Others are the merges that the rule alone decides: aliases, and calls such as identify. allow and observe send
	// them all. hold and drop hold or drop the aliases, and leave the merge out of the others.
	Aliases int `json:"aliases"`
	Others  int `json:"others"`
}

// Finding is one kind of mistake and the people it concerns.
type Finding struct {
	Kind Kind `json:"kind"`
	// What says what the kind means.
	What string `json:"what"`
	// Count is how many cases there are. The first ones are in Cases.
	Count int    `json:"count"`
	Cases []Case `json:"cases"`
}

// Case is one mistake: its ids, the calls that made it, and what corrects it.
type Case struct {
	// IDs are the ids that it is about, the first one first. At most 10.
	IDs []string `json:"ids"`
	// MoreIDs is how many ids there are beside these.
	MoreIDs int `json:"more_ids,omitempty"`
	// Reason is why an alias is refused; "" for other kinds.
	Reason string `json:"reason,omitempty"`
	// Times is how many calls made it, where they are not all among Calls.
	Times int `json:"times"`
	// At is what becomes of it at each destination.
	At []Ending `json:"at"`
	// Calls are those that made it, in order: at most 8.
	Calls []Call `json:"calls"`
	// Fix are lines of a config that correct it. Where it is empty, the config has them, or only the sender can correct it.
	Fix []string `json:"fix"`

	key  string
	ids  []uint32
	ends []end
}

// Ending is what becomes of a case at a destination.
type Ending struct {
	Destination string `json:"destination"`
	// People is one, if the vendor knows the ids as one person in the end, apart if not, and unknown where it has fewer than two of
	// them.
	People string `json:"people"`
	// Outcome of the last call is delivered, dropped, held, dead or unmerged: delivered without its merge.
	Outcome string         `json:"outcome"`
	Reason  adapter.Reason `json:"reason,omitempty"`
}

// Call is a call of the export.
type Call struct {
	File        string    `json:"file"`
	Line        int       `json:"line"`
	Type        string    `json:"type"`
	MessageID   string    `json:"message_id"`
	Source      string    `json:"source"`
	Time        time.Time `json:"time"`
	UserID      string    `json:"user_id,omitempty"`
	AnonymousID string    `json:"anonymous_id,omitempty"`
	PreviousID  string    `json:"previous_id,omitempty"`

	at place
}

// Parted counts people who are different at two destinations.
type Parted struct {
	Destinations [2]string `json:"destinations"`
	People       int       `json:"people"`
}

func newReport(c *config.Config) *Report {
	r := &Report{Version: 1, Destinations: []DestinationReport{}, Findings: []Finding{}, Parted: []Parted{}, cases: map[Kind]*caseList{}}
	for _, d := range destinationsOf(c) {
		r.Destinations = append(r.Destinations, newDestinationReport(d))
	}
	return r
}

func newDestinationReport(d *config.Destination) DestinationReport {
	r := DestinationReport{Name: d.Name, Type: d.Type, Reasons: map[adapter.Reason]int{}, Aliases: map[adapter.Reason]int{}, SilentRefusals: map[string]int{}}
	made := &destination{Destination: d}
	for _, rule := range mergerules.All {
		r.Rules = append(r.Rules, RuleCost{Rule: rule, Verdict: made.verdict(rule)})
	}
	return r
}

// rule is the cost of a rule.
func (d *DestinationReport) rule(rule mergerules.Rule) *RuleCost {
	return &d.Rules[slices.IndexFunc(d.Rules, func(c RuleCost) bool { return c.Rule == rule })]
}

// unusableShare: one unreadable call in so many is too much.
const unusableShare = 100

// Unusable reports whether too much could not be read: over 1 % of the calls, or a file that is damaged.
func (r *Report) Unusable() bool {
	i := &r.Input
	return len(i.Damaged) > 0 || i.Unreadable*unusableShare > i.Calls+i.Unreadable || i.Calls == 0
}

// partResult is what a part adds to the report.
type partResult struct {
	calls, duplicates int
	destinations      []DestinationReport
	cases             map[Kind]*caseList
	parted            map[[2]int]int
}

// add takes in a part.
func (r *Report) add(p *partResult) {
	r.Input.Duplicates += p.duplicates
	for i := range p.destinations {
		r.Destinations[i].add(&p.destinations[i])
	}
	for kind, list := range p.cases {
		own := r.cases[kind]
		if own == nil {
			own = &caseList{}
			r.cases[kind] = own
		}
		own.merge(list)
	}
	for pair, people := range p.parted {
		names := [2]string{r.Destinations[pair[0]].Name, r.Destinations[pair[1]].Name}
		at := slices.IndexFunc(r.Parted, func(p Parted) bool { return p.Destinations == names })
		if at < 0 {
			at = len(r.Parted)
			r.Parted = append(r.Parted, Parted{Destinations: names})
		}
		r.Parted[at].People += people
	}
}

func (d *DestinationReport) add(other *DestinationReport) {
	d.People += other.People
	d.IDs += other.IDs
	d.PeopleBefore += other.IDs + other.freed
	d.Delivered += other.Delivered
	d.Dropped += other.Dropped
	d.Dead += other.Dead
	d.Held += other.Held
	d.Merges += other.Merges
	d.Requests += other.Requests
	if other.BilledEvents != nil {
		if d.BilledEvents == nil {
			d.BilledEvents = new(int)
		}
		*d.BilledEvents += *other.BilledEvents
	}
	addCounts(d.Reasons, other.Reasons)
	addCounts(d.Aliases, other.Aliases)
	addCounts(d.SilentRefusals, other.SilentRefusals)
	for i := range d.Rules {
		own, of := &d.Rules[i], other.Rules[i]
		own.Fires += of.Fires
		own.Guessed += of.Guessed
		own.DecidedByOthers += of.DecidedByOthers
		own.Aliases += of.Aliases
		own.Others += of.Others
	}
}

func addCounts[K comparable](to, from map[K]int) {
	for key, n := range from {
		to[key] += n
	}
}

// finish makes the findings of the cases, and shows so many of each kind.
func (r *Report) finish(shown int) {
	for _, kind := range Kinds {
		list := r.cases[kind]
		if list == nil || list.count() == 0 {
			continue
		}
		r.Findings = append(r.Findings, Finding{Kind: kind, What: kind.What(), Count: list.count(), Cases: list.first(shown)})
	}
	slices.SortFunc(r.Parted, func(a, b Parted) int {
		return cmp.Or(cmp.Compare(a.Destinations[0], b.Destinations[0]), cmp.Compare(a.Destinations[1], b.Destinations[1]))
	})
	r.Clean = len(r.Findings) == 0
}

// keptCases bounds the cases of one kind that are kept of a part, and of all. The others are counted.
const keptCases = 1000

// caseList is the cases of one kind, each once.
type caseList struct {
	cases map[string]*Case
	more  int
}

// add returns the case of a key, which it makes where it is new; nil where there are too many.
func (l *caseList) add(key string) (c *Case, isNew bool) {
	if l.cases == nil {
		l.cases = map[string]*Case{}
	}
	if c := l.cases[key]; c != nil {
		c.Times++
		return c, false
	}
	if len(l.cases) >= keptCases {
		l.more++
		return nil, false
	}
	c = &Case{key: key, Times: 1, At: []Ending{}, Calls: []Call{}, Fix: []string{}}
	l.cases[key] = c
	return c, true
}

// merge takes in the cases of a part. A case that both have is one.
func (l *caseList) merge(other *caseList) {
	l.more += other.more
	for _, key := range slices.Sorted(maps.Keys(other.cases)) {
		theirs := other.cases[key]
		own, isNew := l.add(key)
		switch {
		case own == nil:
		case isNew:
			*own = *theirs
		default:
			own.Times += theirs.Times - 1
		}
	}
}

func (l *caseList) count() int { return len(l.cases) + l.more }

// first returns the first cases in the order of their calls.
func (l *caseList) first(n int) []Case {
	all := make([]Case, 0, len(l.cases))
	for _, c := range l.cases {
		all = append(all, *c)
	}
	slices.SortFunc(all, func(a, b Case) int { return cmp.Or(cmp.Compare(a.place(), b.place()), cmp.Compare(a.key, b.key)) })
	return all[:min(len(all), n)]
}

func (c *Case) place() place {
	if len(c.Calls) == 0 {
		return 0
	}
	return c.Calls[len(c.Calls)-1].at
}
