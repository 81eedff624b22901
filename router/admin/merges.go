package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"aka/router/journal"
	"aka/router/journal/ledger"
	"aka/router/mergecsv"
	"aka/router/quarantine"
	"aka/router/strictyaml"
)

// MergeLedger is the ledger of merges; *journal.Journal is one.
type MergeLedger interface {
	// Ledger returns entries that match, newest first, and numbered below before, 0 for all. "" is all destinations.
	Ledger(ctx context.Context, destination string, filter journal.LedgerFilter, before uint64, limit int) (journal.LedgerPage, error)
	// LedgerEntry returns the entry of a number; ok is false when there is none.
	LedgerEntry(ctx context.Context, number uint64) (e journal.LedgerEntry, ok bool, err error)
	// ExportLedger visits entries that match, oldest first, until visit returns false.
	ExportLedger(ctx context.Context, destination string, filter journal.LedgerFilter, visit func(*journal.LedgerEntry) bool) error
}

// HeldAliases are the aliases that merge rules hold, of all destinations, and what can be done with them. An error that is
// ErrNotNow passes by itself.
type HeldAliases interface {
	// Held returns those that match, oldest first, up to the limit; more is whether there are others.
	Held(ctx context.Context, filter quarantine.Filter, limit int) (held []quarantine.Held, more bool, err error)
	// HeldSummary counts them, by destination, rule and source.
	HeldSummary(ctx context.Context) ([]quarantine.Count, error)
	// ApproveHeld and RefuseHeld decide about those that match, up to quarantine.MaxDecided, and return once that is safe on disk.
	ApproveHeld(ctx context.Context, filter quarantine.Filter) (quarantine.Decided, error)
	RefuseHeld(ctx context.Context, filter quarantine.Filter) (quarantine.Decided, error)
	// AddAutoDecision keeps an automatic decision. For "" it keeps one for each configured destination. It returns what it keeps.
	AddAutoDecision(ctx context.Context, a journal.AutoDecision) ([]journal.AutoDecision, error)
	// AutoDecisions returns the automatic decisions that have not ended.
	AutoDecisions(ctx context.Context) ([]journal.AutoDecision, error)
	// RemoveAutoDecision returns journal.ErrNoAutoDecision when there is none of that number.
	RemoveAutoDecision(ctx context.Context, destination string, number uint64) error
	// ImportMerges takes the pairs into a destination's memory of merges, until next says that none are left, and returns how many
	// it took.
	ImportMerges(ctx context.Context, destination string, next func() (from, to string, ok bool, err error)) (n int, err error)
}

// Merge is an entry of the ledger as it is shown.
type Merge struct {
	journal.LedgerEntry
	// Type is the call's type.
	Type string `json:"type,omitempty"`
	// Frame and Index are the call's place in the journal: entries of one place are about one call.
	Frame uint64 `json:"frame,omitempty"`
	Index int    `json:"index,omitempty"`
}

// Merges is one page of the ledger, newest first.
type Merges struct {
	// ID is the id that was asked for, and Digest its digest: entries name only digests.
	ID     string          `json:"id,omitempty"`
	Digest *journal.Digest `json:"digest,omitempty"`
	Merges []Merge         `json:"merges"`
	// Next is what before must be for the next page; 0 when there is none. A page may hold fewer than the limit, or none, and have
	// a next one all the same: one request reads only so many.
	Next uint64 `json:"next,omitempty"`
}

// HeldList are held aliases, oldest first.
type HeldList struct {
	Held []quarantine.Held `json:"held"`
	More bool              `json:"more,omitempty"`
}

// HeldSummary is how many aliases are held.
type HeldSummary struct {
	Held  []quarantine.Count `json:"held"`
	Count uint64             `json:"count"`
}

// Decided is what an approval or a refusal came to.
type Decided struct {
	Success bool `json:"success"`
	Count   int  `json:"count"`
	// Left is how many match and are still held: one request decides about so many only. Before is what before must be in the next
	// request, so that it decides about no others.
	Left   int        `json:"left,omitempty"`
	Before *time.Time `json:"before,omitempty"`
}

// AutoDecisions are the automatic decisions.
type AutoDecisions struct {
	AutoDecisions []journal.AutoDecision `json:"decisions"`
}

// Imported is what an import came to.
type Imported struct {
	Success     bool   `json:"success"`
	Destination string `json:"destination"`
	// Count is how many pairs were taken, Skipped how many rows were bad, and BadRows the first of those.
	Count   int            `json:"count"`
	Skipped int            `json:"skipped,omitempty"`
	BadRows []mergecsv.Bad `json:"bad_rows,omitempty"`
}

// mergeDecisions answers what is asked of merges, and does what is asked with held aliases. It is safe for concurrent use.
type mergeDecisions struct {
	ledger       MergeLedger
	held         HeldAliases
	digest       func(id string) journal.Digest
	destinations func() []string
	log          *zap.Logger
	importing    sync.Mutex
}

func newMergeDecisions(config Config) *mergeDecisions {
	h := &mergeDecisions{ledger: config.Journal, held: config.Held, digest: config.Digest, destinations: config.Destinations, log: config.Logger}
	if h.held == nil {
		h.held = noneHeld{}
	}
	return h
}

var ledgerFilters = []string{"id", "destination", "rule", "verdict", "source", "since", "until"}

// mergeFilter chooses entries of the ledger.
type mergeFilter struct {
	journal.LedgerFilter
	destination, id string
	before          uint64
	limit           int
}

func (h *mergeDecisions) filter(r *http.Request, known []string) (f mergeFilter, err error) {
	now := time.Now()
	f.limit = listLimits.usual
	err = readParameters(r, known, map[string]func(string) *problem{
		"id": func(text string) *problem {
			if h.digest == nil {
				return &problem{http.StatusServiceUnavailable, "try_again", "id: digests are not known yet, try again"}
			}
			problem := readText(&f.id, "id", text)
			f.Digest = h.digest(text)
			return problem
		},
		"destination": func(text string) *problem { return readText(&f.destination, "destination", text) },
		"rule":        func(text string) *problem { return readText(&f.Rule, "rule", text) },
		"verdict": func(text string) *problem {
			f.Verdict, _ = ledger.ParseVerdict(text)
			return oneOf("verdict", text, ledger.Verdicts())
		},
		"source": func(text string) *problem { return readText(&f.Source, "source", text) },
		"since":  func(text string) *problem { return readMoment(&f.Since, "since", text, now) },
		"until":  func(text string) *problem { return readMoment(&f.Until, "until", text, now) },
		"before": func(text string) *problem { return readNumber(&f.before, "before", "the number of an entry", text) },
		"limit":  func(text string) *problem { return readLimit(&f.limit, text, listLimits.most) },
	})
	return f, err
}

// readParameters reads the query, each of whose parameters must be known, by its function.
func readParameters(r *http.Request, known []string, read map[string]func(text string) *problem) error {
	query, err := readQuery(r, known...)
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(query)) {
		if problem := read[key](query[key]); problem != nil {
			return problem
		}
	}
	return nil
}

func readNumber(into *uint64, key, what, text string) *problem {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return invalid(key, what, text)
	}
	*into = n
	return nil
}

func (h *mergeDecisions) list(r *http.Request) (any, error) {
	f, err := h.filter(r, append(slices.Clone(ledgerFilters), "before", "limit"))
	if err != nil {
		return nil, err
	}
	page, err := h.ledger.Ledger(r.Context(), f.destination, f.LedgerFilter, f.before, f.limit)
	if err != nil {
		return nil, err
	}
	shown := Merges{ID: f.id, Merges: make([]Merge, len(page.Entries)), Next: page.Next}
	if f.id != "" {
		shown.Digest = &f.Digest
	}
	for i := range page.Entries {
		shown.Merges[i] = shownMerge(&page.Entries[i])
	}
	return shown, nil
}

func shownMerge(e *journal.LedgerEntry) Merge {
	return Merge{LedgerEntry: *e, Type: e.Type.String(), Frame: e.Position.Seq, Index: e.Position.Index}
}

func (h *mergeDecisions) show(r *http.Request) (any, error) {
	number := uint64(0)
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	if problem := readNumber(&number, "number", "the number of an entry of the ledger", r.PathValue("number")); problem != nil {
		return nil, problem
	}
	e, ok, err := h.ledger.LedgerEntry(r.Context(), number)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, &problem{http.StatusNotFound, "not_found", "the ledger has no entry of this number; it may be too old"}
	}
	return shownMerge(&e), nil
}

// exportFlush is after how many entries an export extends the time for its answer.
const exportFlush = 256

// export writes the entries that match, one a line, oldest first. After an error it closes the connection, so that the client knows
// that the export is not whole.
func (h *mergeDecisions) export(w http.ResponseWriter, r *http.Request) {
	f, err := h.filter(r, ledgerFilters)
	if err != nil {
		refuse(w, problemOf(err))
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	n := 0
	var failed error
	err = h.ledger.ExportLedger(r.Context(), f.destination, f.LedgerFilter, func(e *journal.LedgerEntry) bool {
		if n%exportFlush == 0 {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
		}
		n++
		failed = encoder.Encode(shownMerge(e))
		return failed == nil
	})
	if err = errors.Join(err, failed); err == nil {
		return
	}
	if r.Context().Err() == nil {
		h.log.Warn("export of the ledger failed", zap.Error(err), zap.String("hint", "the client got a part of it, run it again"))
	}
	panic(http.ErrAbortHandler)
}

// MaxImport is the largest file of an import, in bytes.
const MaxImport = 256 << 20

const importPath = "/merges/import"

// importFile takes the body, a CSV file of pairs, into a destination's memory of merges.
func (h *mergeDecisions) importFile(w http.ResponseWriter, r *http.Request) (any, error) {
	destination := ""
	err := readParameters(r, []string{"destination"}, map[string]func(string) *problem{
		"destination": func(text string) *problem { destination = text; return oneOf("destination", text, h.destinations()) },
	})
	if err != nil {
		return nil, err
	}
	if destination == "" {
		return nil, &problem{http.StatusBadRequest, "missing_destination", "destination: required: a memory of merges is one destination's"}
	}
	if !h.importing.TryLock() {
		return nil, fmt.Errorf("%w: another import is under way", ErrNotNow)
	}
	defer h.importing.Unlock()
	file := mergecsv.NewReader(&unhurriedBody{r.Body, http.NewResponseController(w)})
	n, err := h.held.ImportMerges(r.Context(), destination, file.Next)
	h.log.Info("merges imported", zap.String("destination", destination), zap.Int("count", n), zap.Int("skipped", file.Skipped), zap.Error(err))
	if err != nil {
		return nil, &partly{importProblem(err), n}
	}
	return Imported{Success: true, Destination: destination, Count: n, Skipped: file.Skipped, BadRows: file.Bad}, nil
}

// importProblem says what is wrong with a file.
func importProblem(err error) error {
	switch tooLarge := (*http.MaxBytesError)(nil); {
	case errors.As(err, &tooLarge):
		return &problem{http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("the file has more than %d bytes: import it in parts", tooLarge.Limit)}
	case errors.Is(err, mergecsv.ErrHeader), errors.Is(err, mergecsv.ErrTooManyBad), errors.Is(err, mergecsv.ErrRowTooLong):
		return &problem{http.StatusBadRequest, "invalid_csv", err.Error()}
	}
	return err
}

// unhurriedBody is a body that may take as long as it comes on.
type unhurriedBody struct {
	io.Reader
	control *http.ResponseController
}

// Read implements io.Reader.
func (b *unhurriedBody) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(readTimeout))
	return b.Reader.Read(p)
}

var heldFilters = []string{"destination", "rule", "source", "before"}

// heldFilter reads which held aliases are meant. all is whether the query says that it means all.
func heldFilter(r *http.Request, extra ...string) (f quarantine.Filter, limit int, all bool, err error) {
	now := time.Now()
	limit = listLimits.usual
	err = readParameters(r, append(slices.Clone(heldFilters), extra...), map[string]func(string) *problem{
		"destination": func(text string) *problem { return readText(&f.Destination, "destination", text) },
		"rule":        func(text string) *problem { return readText(&f.Rule, "rule", text) },
		"source":      func(text string) *problem { return readText(&f.Source, "source", text) },
		"before":      func(text string) *problem { return readMoment(&f.Until, "before", text, now) },
		"limit":       func(text string) *problem { return readLimit(&limit, text, listLimits.most) },
		"all": func(text string) *problem {
			if all = text == "true"; !all {
				return invalid("all", "true", text)
			}
			return nil
		},
	})
	return f, limit, all, err
}

func (h *mergeDecisions) listHeld(r *http.Request) (any, error) {
	f, limit, _, err := heldFilter(r, "limit")
	if err != nil {
		return nil, err
	}
	held, more, err := h.held.Held(r.Context(), f, limit)
	if err != nil {
		return nil, err
	}
	return HeldList{Held: append([]quarantine.Held{}, held...), More: more}, nil
}

func (h *mergeDecisions) summary(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	counts, err := h.held.HeldSummary(r.Context())
	if err != nil {
		return nil, err
	}
	result := HeldSummary{Held: append([]quarantine.Count{}, counts...)}
	for _, c := range counts {
		result.Count += c.Count
	}
	return result, nil
}

func (h *mergeDecisions) showHeld(r *http.Request) (any, error) {
	f, err := heldID(r)
	if err != nil {
		return nil, err
	}
	held, _, err := h.held.Held(r.Context(), f, 1)
	if err != nil {
		return nil, err
	}
	if len(held) == 0 {
		return nil, quarantine.ErrNotHeld
	}
	return held[0], nil
}

// heldID is the held alias that the path names.
func heldID(r *http.Request) (f quarantine.Filter, err error) {
	if _, err := readQuery(r); err != nil {
		return f, err
	}
	id := uint64(0)
	if problem := readNumber(&id, "id", "the id of a held alias, a number", r.PathValue("id")); problem != nil {
		return f, problem
	}
	f.IDs = []uint64{id}
	return f, nil
}

// What the log says of the decisions.
const (
	approvedAliases = "held aliases approved"
	refusedAliases  = "held aliases refused"
)

func (h *mergeDecisions) approve(r *http.Request) (any, error) {
	return h.one(r, approvedAliases, h.held.ApproveHeld)
}

func (h *mergeDecisions) refuse(r *http.Request) (any, error) {
	return h.one(r, refusedAliases, h.held.RefuseHeld)
}

func (h *mergeDecisions) approveAll(r *http.Request) (any, error) {
	return h.many(r, approvedAliases, h.held.ApproveHeld)
}

func (h *mergeDecisions) refuseAll(r *http.Request) (any, error) {
	return h.many(r, refusedAliases, h.held.RefuseHeld)
}

type decideHeld func(ctx context.Context, f quarantine.Filter) (quarantine.Decided, error)

func (h *mergeDecisions) one(r *http.Request, message string, do decideHeld) (any, error) {
	f, err := heldID(r)
	if err != nil {
		return nil, err
	}
	done, err := h.decide(r, f, message, do)
	if err == nil && done.Count == 0 {
		return nil, quarantine.ErrNotHeld
	}
	return done, err
}

// many decides about all that match. No filter is an error: a script's empty variable must not mean everything.
func (h *mergeDecisions) many(r *http.Request, message string, do decideHeld) (any, error) {
	f, _, all, err := heldFilter(r, "all")
	if err != nil {
		return nil, err
	}
	if f.IsAny() != all {
		return nil, &problem{http.StatusBadRequest, "missing_filter", "expected destination, rule, source or before; or all=true alone, for all held aliases"}
	}
	if f.Until.IsZero() {
		f.Until = time.Now()
	}
	return h.decide(r, f, message, do)
}

// decide does it whole: a client that goes away leaves nothing half done.
func (h *mergeDecisions) decide(r *http.Request, f quarantine.Filter, message string, do decideHeld) (Decided, error) {
	done, err := do(context.WithoutCancel(r.Context()), f)
	h.log.Info(message, zap.String("destination", f.Destination), zap.String("rule", f.Rule), zap.String("source", f.Source), zap.Int("count", done.Count), zap.Int("left", done.Left))
	if err != nil {
		return Decided{}, &partly{err, done.Count}
	}
	shown := Decided{Success: true, Count: done.Count, Left: done.Left}
	if done.Left > 0 {
		shown.Before = &f.Until
	}
	return shown, nil
}

func (h *mergeDecisions) decisions(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	list, err := h.held.AutoDecisions(r.Context())
	if err != nil {
		return nil, err
	}
	return AutoDecisions{append([]journal.AutoDecision{}, list...)}, nil
}

// maxDecisionTime is how far ahead an automatic decision may end.
const maxDecisionTime = 400 * 24 * time.Hour

func (h *mergeDecisions) addDecision(r *http.Request) (any, error) {
	a, now := journal.AutoDecision{}, time.Now()
	err := readParameters(r, []string{"destination", "rule", "source", "until", "verdict"}, map[string]func(string) *problem{
		"destination": func(text string) *problem { a.Destination = text; return oneOf("destination", text, h.destinations()) },
		"rule":        func(text string) *problem { return readText(&a.Rule, "rule", text) },
		"source":      func(text string) *problem { return readText(&a.Source, "source", text) },
		"until":       func(text string) *problem { return readEnd(&a.Until, text, now) },
		"verdict": func(text string) *problem {
			a.Verdict, _ = ledger.ParseVerdict(text)
			return oneOf("verdict", text, []string{ledger.Approved.String(), ledger.Refused.String()})
		},
	})
	if err != nil {
		return nil, err
	}
	if a.Rule == "" || a.Until.IsZero() || a.Verdict == 0 {
		return nil, &problem{http.StatusBadRequest, "missing_filter", "rule, until and verdict: required: an automatic decision is about one rule, and ends"}
	}
	added, err := h.held.AddAutoDecision(r.Context(), a)
	if err != nil {
		return nil, err
	}
	h.log.Info("automatic decision added", zap.Stringer("verdict", a.Verdict), zap.String("destination", a.Destination), zap.String("rule", a.Rule), zap.String("source", a.Source), zap.Time("until", a.Until))
	return AutoDecisions{added}, nil
}

// readEnd reads a time to come, or how long it is until then.
func readEnd(at *time.Time, text string, now time.Time) *problem {
	moment, err := time.Parse(time.RFC3339, text)
	if err != nil {
		var ahead time.Duration
		if ahead, err = strictyaml.ParseDuration(text); err == nil {
			moment = now.Add(ahead)
		}
	}
	if err != nil || !moment.After(now) || moment.Sub(now) > maxDecisionTime {
		return invalid("until", "a duration from now on such as 24h or 7d, or a time to come, within 400 days", text)
	}
	*at = moment.UTC().Truncate(time.Second)
	return nil
}

func (h *mergeDecisions) removeDecision(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	number := uint64(0)
	if problem := readNumber(&number, "number", "the number of an automatic decision", r.PathValue("number")); problem != nil {
		return nil, problem
	}
	destination := r.PathValue("destination")
	if err := h.held.RemoveAutoDecision(r.Context(), destination, number); err != nil {
		return nil, err
	}
	h.log.Info("automatic decision removed", zap.String("destination", destination), zap.Uint64("number", number))
	return Decided{Success: true, Count: 1}, nil
}

// noneHeld is HeldAliases where nothing is ever held.
type noneHeld struct{}

func (noneHeld) Held(context.Context, quarantine.Filter, int) ([]quarantine.Held, bool, error) {
	return nil, false, nil
}
func (noneHeld) HeldSummary(context.Context) ([]quarantine.Count, error) { return nil, nil }
func (noneHeld) ApproveHeld(context.Context, quarantine.Filter) (quarantine.Decided, error) {
	return quarantine.Decided{}, nil
}
func (noneHeld) RefuseHeld(context.Context, quarantine.Filter) (quarantine.Decided, error) {
	return quarantine.Decided{}, nil
}
func (noneHeld) AutoDecisions(context.Context) ([]journal.AutoDecision, error) { return nil, nil }
func (noneHeld) RemoveAutoDecision(context.Context, string, uint64) error {
	return journal.ErrNoAutoDecision
}
func (noneHeld) AddAutoDecision(context.Context, journal.AutoDecision) ([]journal.AutoDecision, error) {
	return nil, ErrNotNow
}
func (noneHeld) ImportMerges(context.Context, string, func() (string, string, bool, error)) (int, error) {
	return 0, ErrNotNow
}
