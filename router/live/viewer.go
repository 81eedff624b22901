package live

import (
	"maps"
	"slices"
	"time"

	"aka/router/journal"
)

// Filter chooses calls. "" is any. Where one names calls, they are taken up at any rate, and kept longer than others.
type Filter struct {
	// Destination, State and Reason are of one step: Reason alone is at any destination, with both it is at that one.
	Destination string
	State       State
	Reason      string
	Type        string
	Source      string
	// ID is a userId, anonymousId, previousId or messageId.
	ID string
}

// matchesEntry reports whether the call is one of those, as far as the call itself says.
func (f *Filter) matchesEntry(e *journal.Entry) bool {
	return (f.Type == "" || f.Type == e.Type.String()) && (f.Source == "" || f.Source == e.Source) &&
		(f.ID == "" || f.ID == e.UserID || f.ID == e.AnonymousID || f.ID == e.PreviousID || f.ID == e.MessageID)
}

// matchesStep tells the same of a step; nil is none yet.
func (f *Filter) matchesStep(s *Step) bool {
	if f.Destination == "" && f.State == "" && f.Reason == "" {
		return true
	}
	return s != nil && (f.Destination == "" || f.Destination == s.Destination) && (f.State == "" || f.State == s.State) &&
		(f.Reason == "" || f.Reason == s.Reason)
}

func (f *Filter) matches(c *record) bool {
	if !f.matchesEntry(&c.entry) {
		return false
	}
	return f.matchesStep(nil) || slices.ContainsFunc(c.last, func(s Step) bool { return f.matchesStep(&s) })
}

// Viewer is one who looks. It belongs to one goroutine. Nothing waits for it: of what happens between two of its looks it
// sees the end.
type Viewer struct {
	r      *Recorder
	filter Filter
	seen   uint64 // the revision
}

// Watch begins to look. The filter names calls that are to be seen at any rate; all others are seen too. It must be closed.
func (r *Recorder) Watch(filter Filter) (*Viewer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.viewers) >= r.config.Viewers || r.closed {
		return nil, ErrTooManyViewers
	}
	r.activate(time.Now())
	v := &Viewer{r: r, filter: filter}
	r.viewers[v] = true
	return v, nil
}

// Close ends the looking. What was recorded stays for the idle timeout.
func (v *Viewer) Close() {
	v.r.mu.Lock()
	defer v.r.mu.Unlock()
	delete(v.r.viewers, v)
	if !v.r.closed {
		v.r.activate(time.Now())
	}
}

// Overview is what is recorded.
type Overview struct {
	// Since is when the looking began; nothing older is known but what the destinations hold.
	Since time.Time `json:"since"`
	// Taken is how many calls came in since, Skipped how many of them were not taken up because too many come at once.
	Taken   uint64 `json:"taken"`
	Skipped uint64 `json:"skipped"`
	// Remembered is how many calls are, of MaxCalls at most.
	Remembered int `json:"remembered"`
	MaxCalls   int `json:"max_calls"`
}

// Overview returns what is recorded at the moment. Since is zero without a viewer.
func (r *Recorder) Overview() Overview {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.on.Load() {
		return Overview{MaxCalls: r.config.Calls}
	}
	return Overview{Since: r.since, Taken: r.taken, Skipped: r.skipped, Remembered: len(r.calls), MaxCalls: r.config.Calls}
}

// Changed returns the calls that are new or changed since the viewer last asked, oldest change first.
func (v *Viewer) Changed() []Call {
	calls, records := v.changed()
	return withNames(calls, records)
}

func (v *Viewer) changed() (calls []Call, records []*record) {
	v.r.mu.Lock()
	defer v.r.mu.Unlock()
	for _, c := range v.r.calls {
		if c.revision > v.seen {
			records = append(records, c)
		}
	}
	slices.SortFunc(records, func(a, b *record) int { return int(int64(a.revision) - int64(b.revision)) })
	for _, c := range records {
		calls = append(calls, c.shown())
	}
	v.seen = v.r.revision
	return calls, records
}

func withNames(calls []Call, records []*record) []Call {
	for i := range calls {
		calls[i].Name = records[i].findName()
	}
	return calls
}

// Calls returns those that match, newest first, at most limit.
func (r *Recorder) Calls(filter Filter, limit int) []Call {
	calls, records := r.find(filter, limit)
	return withNames(calls, records)
}

func (r *Recorder) find(filter Filter, limit int) (calls []Call, records []*record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	inOrder := slices.Clone(r.calls)
	slices.SortFunc(inOrder, func(a, b *record) int { return b.pos.Compare(a.pos) })
	for _, c := range inOrder {
		if len(calls) < limit && filter.matches(c) {
			calls, records = append(calls, c.shown()), append(records, c)
		}
	}
	return calls, records
}

// Call returns all that is remembered of the call at a place in the log, such as "12.0"; ok is false when that is nothing.
func (r *Recorder) Call(id string) (d Detail, ok bool) {
	d, c := r.detail(id)
	if c == nil {
		return d, false
	}
	d.Name = c.findName()
	return d, true
}

func (r *Recorder) detail(id string) (d Detail, c *record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.calls, func(c *record) bool { return c.pos.String() == id })
	if i < 0 {
		return d, nil
	}
	c = r.calls[i]
	d = Detail{Call: c.shown(), Steps: slices.Clone(c.steps), Omitted: c.omitted}
	if c.hasJSON {
		d.JSON, d.Entry = c.entry.JSON, &c.entry
	}
	if d.Steps == nil {
		d.Steps = []Step{}
	}
	return d, c
}

// IDs returns the ids that the remembered calls carry, each once.
func (r *Recorder) IDs() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	cached := map[string]bool{}
	for _, c := range r.calls {
		for _, id := range [...]string{c.entry.UserID, c.entry.AnonymousID, c.entry.PreviousID} {
			cached[id] = true
		}
	}
	delete(cached, "")
	return slices.Collect(maps.Keys(cached))
}
