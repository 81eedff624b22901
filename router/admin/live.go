package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"aka/destinations/adapter"
	"aka/router/delivery"
	"aka/router/journal"
	"aka/router/live"
)

// Live is what is recorded at the moment, and the names that calls can be filtered by.
type Live struct {
	live.Overview
	Destinations []string `json:"destinations"`
	Sources      []string `json:"sources"`
	// Types, States and Reasons are the closed sets of words. Each reason has a sentence.
	Types   []string          `json:"types"`
	States  []live.State      `json:"states"`
	Reasons map[string]string `json:"reasons"`
}

// Calls are the newest calls that match.
type Calls struct {
	live.Overview
	Calls []live.Call `json:"calls"`
}

// CallDetail is all that is remembered of a call.
type CallDetail struct {
	live.Detail
	// Explained is what each destination would be sent for it, by the config as it is, secrets masked. A retry sends the same
	// bytes, so that it is also what was sent; of a batch, the call's part.
	Explained any `json:"explained,omitempty"`
}

const (
	usualCalls = 100
	mostCalls  = 500
)

// liveCalls shows calls as they come and end, while somebody looks.
type liveCalls struct {
	recorder              *live.Recorder
	destinations, sources func() []string
	status                func(ctx context.Context) []delivery.Status
	draining              func() Draining
	explainEntry          func(e *journal.Entry) any
	merges                func(ctx context.Context, id string, named []string) []MergesAt
	// mayRead reports whether the client of a request may still read.
	mayRead func(r *http.Request) bool
}

// showLive does not begin to look.
func (h *liveCalls) showLive(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	return h.words(), nil
}

func (h *liveCalls) words() Live {
	l := Live{Overview: h.recorder.Overview(), Destinations: h.destinations(), Sources: h.sources(), Types: callTypes(), States: live.States, Reasons: map[string]string{}}
	for _, reason := range reasons() {
		l.Reasons[reason] = adapter.Reason(reason).Explain()
	}
	return l
}

// liveFilters are what calls can be filtered by.
var liveFilters = []string{"destination", "state", "reason", "type", "source", "id"}

// listCalls begins to look: who asks again soon sees what has come meanwhile.
func (h *liveCalls) listCalls(r *http.Request) (any, error) {
	f, limit, err := h.liveFilter(r, append([]string{"limit"}, liveFilters...))
	if err != nil {
		return nil, err
	}
	h.recorder.Activate()
	calls := h.recorder.Calls(f, limit)
	if calls == nil {
		calls = []live.Call{}
	}
	return Calls{h.recorder.Overview(), calls}, nil
}

func (h *liveCalls) showCall(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	d, ok := h.recorder.Call(r.PathValue("id"))
	if !ok {
		return nil, &problem{http.StatusNotFound, "not_found", "nothing is remembered of this call any more; only the newest are, while somebody looks"}
	}
	result := CallDetail{Detail: d}
	if d.Entry != nil {
		result.JSON, result.Explained = readable(d.JSON), h.explainEntry(d.Entry)
	}
	return result, nil
}

// liveFilter reads the query.
func (h *liveCalls) liveFilter(r *http.Request, known []string) (f live.Filter, limit int, err error) {
	query, err := readQuery(r, known...)
	if err != nil {
		return f, 0, err
	}
	limit = usualCalls
	read := map[string]func(text string) *problem{
		"destination": func(text string) *problem { f.Destination = text; return oneOf("destination", text, h.destinations()) },
		"state":       func(text string) *problem { f.State = live.State(text); return oneOf("state", text, states()) },
		"reason":      func(text string) *problem { f.Reason = text; return oneOf("reason", text, reasons()) },
		"type":        func(text string) *problem { f.Type = text; return oneOf("type", text, callTypes()) },
		"source":      func(text string) *problem { return readText(&f.Source, "source", text) },
		"id":          func(text string) *problem { return readText(&f.ID, "id", text) },
		"limit":       func(text string) *problem { return readLimit(&limit, text, mostCalls) },
	}
	for key, text := range query {
		if problem := read[key](text); problem != nil {
			return f, 0, problem
		}
	}
	return f, limit, nil
}

const (
	// eventGap is how often a viewer gets what has changed, statusGap how often the destinations' status.
	eventGap  = 200 * time.Millisecond
	statusGap = time.Second
	// eventTimeout is how long a viewer may take to read an event.
	eventTimeout = 10 * time.Second
	// streamTime is how long one stream lasts. Who comes back is asked again who it is.
	streamTime = 5 * time.Minute
	// eventCalls bounds one event.
	eventCalls = 200
)

// events answers with a stream of server-sent events:
//
//	live          at first, and when a reload has changed the names in it: a Live
//	calls         a list of live.Call: those that are new, or have changed since the last event
//	destinations  each second: a list of delivery.Status
//	draining      each second: a Draining
//	overview      each second: a live.Overview
//
// Of a call that changes more than once between two events, only the last is sent. The query filters nothing out: it names
// calls that are sent however many come in.
func (h *liveCalls) events(w http.ResponseWriter, r *http.Request) {
	filter, _, err := h.liveFilter(r, liveFilters)
	if err != nil {
		refuse(w, problemOf(err))
		return
	}
	if r.Method == http.MethodHead { // who will not read does not look
		w.Header().Set("Content-Type", "text/event-stream")
		return
	}
	viewer, err := h.recorder.Watch(filter)
	if errors.Is(err, live.ErrTooManyViewers) {
		refuse(w, &problem{http.StatusServiceUnavailable, "too_many_viewers", "as many look as may: close another page"})
		return
	}
	defer viewer.Close()
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", "text/event-stream")
	stream := &stream{w: w}
	h.follow(r, viewer, stream)
}

// follow sends events until the viewer leaves, does not read them, or may not read any more: its token is another one, or
// its time is over.
func (h *liveCalls) follow(r *http.Request, viewer *live.Viewer, to *stream) {
	tick := time.NewTicker(eventGap)
	defer tick.Stop()
	var told time.Time
	names := h.names()
	to.send("live", h.words())
	for end := time.Now().Add(streamTime); to.err == nil && time.Now().Before(end); {
		calls := viewer.Changed()
		for len(calls) > 0 {
			n := min(len(calls), eventCalls)
			to.send("calls", calls[:n])
			calls = calls[n:]
		}
		if now := time.Now(); now.Sub(told) >= statusGap {
			if !h.mayRead(r) {
				return
			}
			told = now
			if known := h.names(); !slices.Equal(known, names) {
				names = known
				to.send("live", h.words())
			}
			to.send("destinations", h.status(r.Context()))
			to.send("draining", h.draining())
			to.send("overview", h.recorder.Overview())
		}
		to.flush()
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

// names are those that a reload may change.
func (h *liveCalls) names() []string {
	return slices.Concat(h.destinations(), []string{""}, h.sources())
}

// stream writes server-sent events. After an error it writes nothing more.
type stream struct {
	w   http.ResponseWriter
	err error
}

func (s *stream) send(event string, data any) {
	if s.err != nil {
		return
	}
	text, err := json.Marshal(data) // in one line
	if err != nil {
		s.err = err
		return
	}
	_ = http.NewResponseController(s.w).SetWriteDeadline(time.Now().Add(eventTimeout))
	_, s.err = fmt.Fprintf(s.w, "event: %s\ndata: %s\n\n", event, text)
}

func (s *stream) flush() {
	if s.err == nil {
		s.err = http.NewResponseController(s.w).Flush()
	}
}

func states() []string {
	words := make([]string, len(live.States))
	for i, state := range live.States {
		words[i] = string(state)
	}
	return words
}

// reasons are those of drops and of dead letters.
func reasons() (words []string) {
	for _, reason := range adapter.DropReasons {
		words = append(words, string(reason))
	}
	return append(words, adapter.Words(adapter.DeadReasons)...)
}
