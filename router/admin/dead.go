package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"aka/router/journal"
)

// DeadLetter is a dead letter as it is shown.
type DeadLetter struct {
	ID          uint64 `json:"id"`
	Destination string `json:"destination"`
	// Vendor is the type that the destination had when it gave up; none where that is not known.
	Vendor string `json:"vendor,omitempty"`
	Type   string `json:"type"`
	// Reason is one of the closed set of reasons; Detail is what the vendor or the adapter said.
	Reason string `json:"reason"`
	Detail string `json:"detail,omitempty"`
	// Status is that of the last answer; 0 when there was none.
	Status   int `json:"status,omitempty"`
	Attempts int `json:"attempts"`
	// Replays is how often it was replayed before it died this time; attempts before that count too.
	Replays int `json:"replays,omitempty"`
	// First and Last are the times of the first and last attempt.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Source, MessageID and ReceivedAt are the call's.
	Source     string    `json:"source"`
	MessageID  string    `json:"message_id"`
	ReceivedAt time.Time `json:"received_at"`
	// UserID, AnonymousID and PreviousID are the call's ids, those that it has. Masked reports whether they are masked: a list is,
	// for a token that only reads.
	UserID      string `json:"user_id,omitempty"`
	AnonymousID string `json:"anonymous_id,omitempty"`
	PreviousID  string `json:"previous_id,omitempty"`
	Masked      bool   `json:"masked,omitempty"`
	// Blocking: calls wait until it is replayed or discarded.
	Blocking bool `json:"blocking,omitempty"`
	// Call is the call as the SDK sent it. A list has none; JSON that cannot be read is a string.
	Call json.RawMessage `json:"call,omitempty"`
}

// DeadLetters is one page of a list.
type DeadLetters struct {
	DeadLetters []DeadLetter `json:"dead_letters"`
	// Next is what `after` must be for the next page; 0 when there is none. A page may hold fewer than the limit, or none,
	// and have a next one all the same: one request reads only so many.
	Next uint64 `json:"next,omitempty"`
}

// Done is what a replay or a discard came to.
type Done struct {
	Success bool `json:"success"`
	// Count is how many were replayed or discarded.
	Count int `json:"count"`
	// Skipped is how many stayed because their destination is not configured any more, or is of another type now.
	Skipped int `json:"skipped,omitempty"`
	// More tells that there are others that match: beyond the limit, or beyond what one request may take in time.
	More bool `json:"more,omitempty"`
	// Until is what `until` should be when it is asked for more, so that what has died since then is left alone.
	Until uint64 `json:"until,omitempty"`
}

// DeadSummary is how many dead letters there are.
type DeadSummary struct {
	DeadLetters []DeadCount `json:"dead_letters"`
	Count       uint64      `json:"count"`
	Bytes       uint64      `json:"bytes"`
}

// DeadCount is how many there are of one destination for one reason, and their size on disk.
type DeadCount struct {
	Destination string `json:"destination"`
	Reason      string `json:"reason"`
	Count       uint64 `json:"count"`
	Bytes       uint64 `json:"bytes"`
}

// deadLetters answers what is asked of the kept calls of one kind, dead letters or dropped calls, and does what is asked with them.
// It is safe for concurrent use.
type deadLetters struct {
	keptKind
	blocking     BlockingDeadLetters // nil is none ever
	destinations func() []string
	types        func(destination string) (now, was string)
	granted      func(r *http.Request) access
	log          *zap.Logger

	// deciding is held while a dead letter is replayed or discarded: two who replay the same one would send it twice.
	deciding sync.Mutex
	pace     pace // of all replays, of both kinds
	// maxScanned bounds how many dead letters are read for one page of a list.
	maxScanned int
}

func newDeadLetters(config Config, granted func(*http.Request) access) *deadLetters {
	return &deadLetters{
		keptKind: deadKind(config.Journal), blocking: config.Blocking, destinations: config.Destinations, types: config.Types, granted: granted, log: config.Logger,
		pace: pace{newLimiter(config.ReplayRate)}, maxScanned: defaultMaxScanned,
	}
}

// defaultMaxScanned bounds how many dead letters are read for one page.
const defaultMaxScanned = 20_000

func (h *deadLetters) list(r *http.Request) (any, error) {
	f, err := h.filter(r, listFilters, listLimits)
	if err != nil {
		return nil, err
	}
	page := DeadLetters{DeadLetters: []DeadLetter{}}
	masked := h.granted(r) != everything
	scanned, last := 0, uint64(0)
	err = h.visit(r.Context(), f, func(d *journal.DeadLetter) bool {
		if scanned == h.maxScanned || len(page.DeadLetters) == f.limit {
			page.Next = last
			return false
		}
		scanned, last = scanned+1, d.ID
		if f.matches(d) {
			deadLetter := h.shown(d)
			if masked {
				deadLetter.maskIDs()
			}
			page.DeadLetters = append(page.DeadLetters, deadLetter)
		}
		return true
	})
	return page, err
}

// visit calls found for the dead letters that may match, oldest first, until that returns false.
func (h *deadLetters) visit(ctx context.Context, f filter, found func(*journal.DeadLetter) bool) error {
	return h.each(ctx, f.DeadFilter, f.after, func(d *journal.DeadLetter) bool {
		return (f.until == 0 || d.ID <= f.until) && ctx.Err() == nil && found(d)
	})
}

func (h *deadLetters) summary(r *http.Request) (any, error) {
	f, err := h.filter(r, summaryFilters, listLimits)
	if err != nil {
		return nil, err
	}
	kinds, err := h.counts(r.Context())
	if err != nil {
		return nil, err
	}
	result := DeadSummary{DeadLetters: []DeadCount{}}
	for _, k := range kinds { // those of one destination and reason stand together
		if !f.matchesKind(k.DeadFilter) {
			continue
		}
		n := len(result.DeadLetters)
		if n == 0 || result.DeadLetters[n-1].Destination != k.Destination || result.DeadLetters[n-1].Reason != k.Reason {
			result.DeadLetters = append(result.DeadLetters, DeadCount{Destination: k.Destination, Reason: k.Reason})
			n++
		}
		row := &result.DeadLetters[n-1]
		row.Count, row.Bytes = row.Count+k.Count, row.Bytes+k.Bytes
		result.Count, result.Bytes = result.Count+k.Count, result.Bytes+k.Bytes
	}
	return result, nil
}

// shown holds nothing of the call but small copies: a list of calls would not fit into memory.
func (h *deadLetters) shown(d *journal.DeadLetter) DeadLetter {
	e := &d.Entry
	return DeadLetter{
		ID: d.ID, Destination: d.Destination, Vendor: d.Vendor, Type: e.Type.String(), Reason: d.Reason, Detail: d.Detail,
		Status: d.Status, Attempts: d.Attempts, Replays: d.Replays(), First: d.First, Last: d.Last,
		Source: strings.Clone(e.Source), MessageID: strings.Clone(e.MessageID), ReceivedAt: e.ReceivedAt,
		UserID: strings.Clone(e.UserID), AnonymousID: strings.Clone(e.AnonymousID), PreviousID: strings.Clone(e.PreviousID),
		Blocking: h.blocking != nil && h.blocking.Blocks(d.ID),
	}
}

func (d *DeadLetter) maskIDs() {
	d.UserID, d.AnonymousID, d.PreviousID, d.Masked = mask(d.UserID), mask(d.AnonymousID), mask(d.PreviousID), true
}

// minMasked is the length, in characters, from which a masked id keeps some of them.
const minMasked = 8

// mask returns an id's first and last two characters, which are enough to tell two ids apart. It hides a short id whole.
func mask(id string) string {
	characters := []rune(id)
	switch {
	case id == "":
		return ""
	case len(characters) < minMasked:
		return "…"
	}
	return string(characters[:2]) + "…" + string(characters[len(characters)-2:])
}

func (h *deadLetters) show(r *http.Request) (any, error) {
	id, err := h.pathID(r)
	if err != nil {
		return nil, err
	}
	d, err := h.read(r.Context(), id)
	if err != nil {
		return nil, err
	}
	deadLetter := h.shown(d)
	deadLetter.Call = readable(d.Entry.JSON)
	return deadLetter, nil
}

// readable returns JSON as it is, and anything else as a JSON string.
func readable(data []byte) json.RawMessage {
	if json.Valid(data) {
		return data
	}
	text, _ := json.Marshal(string(data))
	return text
}

// decision is what happens to one dead letter.
type decision func(ctx context.Context, id uint64) error

func (h *deadLetters) replay(r *http.Request) (any, error) {
	return h.decideOne(r, h.replayed, h.replayOne, h.pace)
}

func (h *deadLetters) discard(r *http.Request) (any, error) {
	return h.decideOne(r, h.discarded, h.discardOne, nil)
}

// decideOne does something to the dead letter that the path names.
func (h *deadLetters) decideOne(r *http.Request, message string, do decision, pace pace) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	id, err := h.pathID(r)
	if err != nil {
		return nil, err
	}
	if err := pace.wait(r.Context()); err != nil {
		return nil, err
	}
	if err := h.decide(r.Context(), id, do); err != nil {
		return nil, err
	}
	h.log.Info(message, zap.Uint64("id", id), zap.Int("count", 1))
	return Done{Success: true, Count: 1}, nil
}

func (h *deadLetters) pathID(r *http.Request) (id uint64, err error) {
	if problem := h.readID(&id, "id", r.PathValue("id")); problem != nil {
		return 0, problem
	}
	return id, nil
}

// decide does something to one dead letter, and does it whole: a client that goes away leaves nothing half done.
func (h *deadLetters) decide(ctx context.Context, id uint64, do decision) error {
	h.deciding.Lock()
	defer h.deciding.Unlock()
	return do(context.WithoutCancel(ctx), id)
}

// replayOne refuses a dead letter of a destination that is not configured any more, which would not get the call, and one that
// was meant for another vendor.
func (h *deadLetters) replayOne(ctx context.Context, id uint64) error {
	d, err := h.read(ctx, id)
	if err != nil {
		return err
	}
	if !h.isConfigured(d.Destination) {
		message := fmt.Sprintf("%s %d is for %s, which is not configured any more", h.one, id, d.Destination)
		return &problem{http.StatusConflict, "destination_gone", message}
	}
	if now, ok := h.hasType(d); !ok {
		message := fmt.Sprintf("%s %d was stored when the type of %s was %s, and that is %s now: add was_type: %[4]s to its config to send it there, or discard it",
			h.one, id, d.Destination, d.Vendor, now)
		return &problem{http.StatusConflict, "other_type", message}
	}
	if blocks, err := h.retryBlocking(ctx, id); blocks || err != nil {
		return err
	}
	return h.putBack(ctx, id)
}

func (h *deadLetters) isConfigured(destination string) bool {
	return slices.Contains(h.destinations(), destination)
}

// isWanted reports whether a dead letter may be replayed.
func (h *deadLetters) isWanted(d *journal.DeadLetter) bool {
	_, ok := h.hasType(d)
	return ok && h.isConfigured(d.Destination)
}

// hasType reports whether a dead letter's destination has the type that it had, or the config says that it may go to another.
func (h *deadLetters) hasType(d *journal.DeadLetter) (now string, ok bool) {
	if h.types == nil || d.Vendor == "" {
		return "", true
	}
	now, was := h.types(d.Destination)
	return now, d.Vendor == now || d.Vendor == was
}

func (h *deadLetters) replayAll(r *http.Request) (any, error) {
	f, err := h.filter(r, replayFilters, bulkLimits)
	if err != nil {
		return nil, err
	}
	pace := h.pace
	if f.rate > 0 {
		own := newLimiter(f.rate)
		own.Allow() // or a client that asks repeatedly would be faster
		pace = append(slices.Clone(pace), own)
	}
	return h.all(r, f, bulk{message: h.replayed, do: h.replayOne, wanted: h.isWanted, pace: pace})
}

func (h *deadLetters) discardAll(r *http.Request) (any, error) {
	f, err := h.filter(r, bulkFilters, bulkLimits)
	if err != nil {
		return nil, err
	}
	return h.all(r, f, bulk{message: h.discarded, do: h.discardOne, wanted: func(*journal.DeadLetter) bool { return true }})
}

// bulk is what is to be done to all that match.
type bulk struct {
	message string
	do      decision
	wanted  func(*journal.DeadLetter) bool
	pace    pace
}

// bulkTime is about how long one request works; then the client is to ask for more. It is also a server that stops who waits.
const bulkTime = 10 * time.Second

// all does something to every dead letter that matches, except for those that are not wanted.
func (h *deadLetters) all(r *http.Request, f filter, b bulk) (any, error) {
	f.limit = min(f.limit, b.pace.within(bulkTime))
	chosen, result, err := h.choose(r.Context(), f, b.wanted)
	if err != nil {
		return nil, err
	}
	done, err := h.decideAll(r.Context(), chosen, b)
	result.Count = done.count
	h.log.Info(b.message, zap.String("destination", f.Destination), zap.String("reason", f.Reason), zap.Int("count", done.count))
	if err != nil {
		return nil, &partly{err, done.count}
	}
	if result.More = result.More || done.tried < len(chosen); !result.More {
		result.Until = 0
	}
	return result, nil
}

// candidate is a dead letter that was chosen.
type candidate struct {
	id       uint64
	accepted journal.Position
}

// choose finds those that match and were accepted first, up to the limit, in that order. It is not the order in which they
// died: one that was replayed and died again comes later there. So all that match are read, some ten microseconds each.
func (h *deadLetters) choose(ctx context.Context, f filter, wanted func(*journal.DeadLetter) bool) (chosen []candidate, result Done, err error) {
	result.Success = true
	result.Until = f.until
	err = h.visit(ctx, f, func(d *journal.DeadLetter) bool {
		if f.until == 0 {
			result.Until = d.ID
		}
		switch {
		case !f.matches(d):
		case !wanted(d):
			result.Skipped++
		default:
			chosen = append(chosen, candidate{d.ID, d.Accepted()})
			if len(chosen) == 2*f.limit {
				result.More = true
				chosen = firstAccepted(chosen, f.limit)
			}
		}
		return true
	})
	if err == nil {
		err = ctx.Err()
	}
	result.More = result.More || len(chosen) > f.limit
	return firstAccepted(chosen, f.limit), result, err
}

func firstAccepted(of []candidate, limit int) []candidate {
	slices.SortFunc(of, func(a, b candidate) int {
		return cmp.Or(a.accepted.Compare(b.accepted), cmp.Compare(a.id, b.id))
	})
	return of[:min(limit, len(of))]
}

// progress is how far a decision about many has come: how many were tried, and how many of those were still there.
type progress struct{ tried, count int }

// decideAll returns how far it came before an error, before its time was up, or before the client or the server was gone.
func (h *deadLetters) decideAll(ctx context.Context, chosen []candidate, b bulk) (p progress, err error) {
	end := time.Now().Add(bulkTime)
	for _, c := range chosen {
		if p.tried > 0 && time.Now().After(end) {
			return p, nil
		}
		if err := b.pace.wait(ctx); err != nil {
			return p, err
		}
		err := h.decide(ctx, c.id, b.do)
		if err != nil && !isGone(err) {
			return p, err
		}
		p.tried++
		if err == nil { // else somebody else was faster
			p.count++
		}
	}
	return p, nil
}

// pace are the limits, in dead letters per second, that must all allow the next one.
type pace []*rate.Limiter

// MinRate is the lowest rate of replays: requests wait no longer than that takes.
const MinRate = 0.1

// newLimiter takes 0 for unlimited.
func newLimiter(perSecond float64) *rate.Limiter {
	if perSecond == 0 {
		return rate.NewLimiter(rate.Inf, 1)
	}
	return rate.NewLimiter(rate.Limit(perSecond), 1)
}

func (p pace) wait(ctx context.Context) error {
	for _, limiter := range p {
		if err := limiter.Wait(ctx); err != nil {
			return context.Cause(ctx)
		}
	}
	return ctx.Err()
}

// within returns how many there can be in a time, at least one.
func (p pace) within(d time.Duration) int {
	most := MaxBulk
	for _, limiter := range p {
		if n := float64(limiter.Limit()) * d.Seconds(); n < float64(most) {
			most = max(int(n), 1)
		}
	}
	return most
}
