package simulator

import "time"

// Record is something that a vendor took.
type Record struct {
	// At is when it arrived, by the account's clock; Time is the record's own time as the vendor understands it.
	At   time.Time `json:"at"`
	Time time.Time `json:"time"`
	// Kind says what it is: "event", "profile", "group", or what the vendor calls what changes an identity: "identify",
	// "create_alias", "merge", "alias", "reidentify"; at Vero also "edit", "tags", "unsubscribe", "resubscribe", "delete";
	// at Customer.io also its other actions, such as "page" and "suppress".
	Kind string `json:"kind"`
	// IDs are the ids as sent. Where an identity changes the old one is first.
	IDs []string `json:"ids,omitempty"`
	// Event is an event's name.
	Event string `json:"event,omitempty"`
	// Key is what the vendor's dedupe uses; empty where it has none.
	Key string `json:"key,omitempty"`
}

// Refusal is something that a vendor threw away while its answer said nothing of it.
type Refusal struct {
	Record
	// Reason is the vendor's own word where it has one, such as errAliasAlreadyExists.
	Reason string `json:"reason"`
}

// accountState is what a vendor has on an account.
type accountState struct {
	records    tail[Record]
	refusals   tail[Refusal]
	duplicates int
	events     int
	graph      *graph
	seen       *window
	peopleOnly bool
}

func newAccountState(max int) *accountState {
	return &accountState{
		records:  tail[Record]{max: max},
		refusals: tail[Refusal]{max: max},
		graph:    newGraph(max),
		seen:     newWindow(max),
	}
}

// keepPeopleOnly has nothing kept but who is one. Of refusals the last stays.
func (b *accountState) keepPeopleOnly() {
	b.refusals.max = 1
	b.peopleOnly, b.graph.peopleOnly = true, true
}

func (b *accountState) ingest(r Record) {
	if r.Kind == "event" {
		b.events++
	}
	if b.peopleOnly {
		b.records.cut++
		return
	}
	b.records.add(r)
}

func (b *accountState) refuse(r Record, reason string) { b.refusals.add(Refusal{r, reason}) }

// isDuplicate reports whether the record's key was seen before, and counts it then. Where only people are kept, a key counts that the
// vendor remembers for some time only: such a vendor may make somebody of it later. Any other says nothing of people.
func (b *accountState) isDuplicate(r Record) bool {
	if !b.remembersKeys() || !b.seen.repeated(r.Key, r.At) {
		return false
	}
	b.duplicates++
	return true
}

// remembersKeys reports whether it matters which keys were seen before.
func (b *accountState) remembersKeys() bool { return !b.peopleOnly || b.seen.span > 0 }

// tail keeps the newest max values and counts those it dropped.
type tail[T any] struct {
	values []T
	max    int
	cut    int
}

func (t *tail[T]) add(value T) {
	if len(t.values) >= t.max && len(t.values) > 0 {
		t.drop()
	}
	t.values = append(t.values, value)
}

// drop lets the oldest value go. There must be one.
func (t *tail[T]) drop() T {
	var zero T
	oldest := t.values[0]
	t.values[0] = zero
	t.values = t.values[1:]
	t.cut++
	return oldest
}

// window remembers keys: for its span, or without a limit where that is zero, but no more than max of them.
type window struct {
	span  time.Duration
	max   int
	seen  map[string]time.Time
	order []string
}

func newWindow(max int) *window { return &window{max: max, seen: map[string]time.Time{}} }

// repeated reports whether the key is remembered, and remembers it from now where it is not.
func (w *window) repeated(key string, now time.Time) bool {
	w.expire(now)
	if _, ok := w.seen[key]; ok {
		return true
	}
	w.seen[key] = now
	w.order = append(w.order, key)
	return false
}

func (w *window) expire(now time.Time) {
	for len(w.order) > 0 {
		oldest := w.order[0]
		fresh := w.span == 0 || now.Sub(w.seen[oldest]) < w.span
		if fresh && len(w.order) < w.max {
			return
		}
		delete(w.seen, oldest)
		w.order = w.order[1:]
	}
}
