package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"aka/router/journal"
)

// DeadLetter is a dead letter as it is shown.
type DeadLetter struct {
	ID          uint64 `json:"id"`
	Destination string `json:"destination"`
	Type        string `json:"type"`
	// Reason is one of the closed set of reasons; Detail is what the vendor or the adapter said.
	Reason string `json:"reason"`
	Detail string `json:"detail,omitempty"`
	// Status is that of the last answer; 0 when there was none.
	Status   int `json:"status,omitempty"`
	Attempts int `json:"attempts"`
	// First and Last are the times of the first and last attempt.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Source, MessageID and ReceivedAt are the call's.
	Source     string    `json:"source"`
	MessageID  string    `json:"message_id"`
	ReceivedAt time.Time `json:"received_at"`
	// Held tells that calls wait until it is replayed or discarded.
	Held bool `json:"held,omitempty"`
	// Call is the call as the SDK sent it. A list has none; JSON that cannot be read is a string.
	Call json.RawMessage `json:"call,omitempty"`
}

// DeadLetters is one page of a list.
type DeadLetters struct {
	DeadLetters []DeadLetter `json:"dead_letters"`
	// Next is what `after` must be for the next page; 0 when there is none.
	Next uint64 `json:"next,omitempty"`
}

// Done is what a replay or a discard came to.
type Done struct {
	Success bool `json:"success"`
	// Count is how many were replayed or discarded.
	Count int `json:"count"`
	// Skipped is how many stayed because their destination is not configured any more.
	Skipped int `json:"skipped,omitempty"`
	// More tells that there are others that match, beyond the limit.
	More bool `json:"more,omitempty"`
}

func (s *Server) list(r *http.Request) (any, error) {
	f, err := s.filter(r, listLimits)
	if err != nil {
		return nil, err
	}
	page := DeadLetters{DeadLetters: []DeadLetter{}}
	err = s.visit(r.Context(), f, func(d *journal.DeadLetter) bool {
		if n := len(page.DeadLetters); n == f.limit {
			page.Next = page.DeadLetters[n-1].ID
			return false
		}
		page.DeadLetters = append(page.DeadLetters, s.shown(d))
		return true
	})
	return page, err
}

// visit calls found for the dead letters that match, oldest first, until that returns false.
func (s *Server) visit(ctx context.Context, f filter, found func(*journal.DeadLetter) bool) error {
	return s.Journal.DeadLetters(ctx, journal.DeadFilter{Destination: f.destination, Reason: f.reason}, f.after, func(d *journal.DeadLetter) bool {
		return !f.matches(d) || found(d)
	})
}

// shown holds nothing of the call but small copies: a list of calls would not fit into memory.
func (s *Server) shown(d *journal.DeadLetter) DeadLetter {
	e := &d.Entry
	return DeadLetter{
		ID: d.ID, Destination: d.Destination, Type: e.Type.String(), Reason: d.Reason, Detail: d.Detail,
		Status: d.Status, Attempts: d.Attempts, First: d.First, Last: d.Last,
		Source: strings.Clone(e.Source), MessageID: strings.Clone(e.MessageID), ReceivedAt: e.ReceivedAt,
		Held: s.Held != nil && s.Held.Holds(d.ID),
	}
}

func (s *Server) show(r *http.Request) (any, error) {
	id, err := pathID(r)
	if err != nil {
		return nil, err
	}
	d, err := s.Journal.DeadLetter(r.Context(), id)
	if err != nil {
		return nil, err
	}
	letter := s.shown(d)
	letter.Call = readable(d.Entry.JSON)
	return letter, nil
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

// What the log says of the decisions.
const (
	replayed  = "dead letters replayed"
	discarded = "dead letters discarded"
)

func (s *Server) replay(r *http.Request) (any, error)  { return s.one(r, replayed, s.replayOne) }
func (s *Server) discard(r *http.Request) (any, error) { return s.one(r, discarded, s.discardOne) }

// one does something to the dead letter that the path names.
func (s *Server) one(r *http.Request, message string, do decision) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	id, err := pathID(r)
	if err != nil {
		return nil, err
	}
	if err := s.decide(r.Context(), id, do); err != nil {
		return nil, err
	}
	s.Logger.Info(message, zap.Uint64("id", id), zap.Int("count", 1))
	return Done{Success: true, Count: 1}, nil
}

func pathID(r *http.Request) (id uint64, err error) {
	if problem := readID(&id, "id", r.PathValue("id")); problem != nil {
		return 0, problem
	}
	return id, nil
}

// decide does something to one dead letter, and does it whole: a client that goes away leaves nothing half done.
func (s *Server) decide(ctx context.Context, id uint64, do decision) error {
	s.deciding.Lock()
	defer s.deciding.Unlock()
	return do(context.WithoutCancel(ctx), id)
}

// replayOne refuses a dead letter of a destination that is not configured any more: nobody would take the call.
func (s *Server) replayOne(ctx context.Context, id uint64) error {
	d, err := s.Journal.DeadLetter(ctx, id)
	if err != nil {
		return err
	}
	if !s.isConfigured(d.Destination) {
		message := fmt.Sprintf("dead letter %d is for %s, which is not configured any more", id, d.Destination)
		return &problem{http.StatusConflict, "destination_gone", message}
	}
	if held, err := s.retryHeld(ctx, id); held || err != nil {
		return err
	}
	return s.Journal.Replay(ctx, id)
}

func (s *Server) isConfigured(destination string) bool {
	return slices.Contains(s.Destinations, destination)
}

func (s *Server) replayAll(r *http.Request) (any, error) {
	return s.all(r, replayed, s.replayOne, s.isConfigured)
}

func (s *Server) discardAll(r *http.Request) (any, error) {
	return s.all(r, discarded, s.discardOne, func(string) bool { return true })
}

// all does something to every dead letter that matches, except for those of destinations that are not wanted.
func (s *Server) all(r *http.Request, message string, do decision, wanted func(destination string) bool) (any, error) {
	f, err := s.filter(r, bulkLimits)
	if err != nil {
		return nil, err
	}
	chosen, result, err := s.choose(r.Context(), f, wanted)
	if err != nil {
		return nil, err
	}
	result.Count, err = s.decideAll(r.Context(), chosen, do)
	s.Logger.Info(message, zap.String("destination", f.destination), zap.String("reason", f.reason), zap.Int("count", result.Count))
	if err != nil {
		return nil, &partly{err, result.Count}
	}
	return result, nil
}

// candidate is a dead letter that was chosen.
type candidate struct {
	id         uint64
	receivedAt time.Time
}

// choose finds what matches, up to the limit, in the order in which the calls were accepted. That is not the order in
// which they died: one that was replayed and died again comes later.
func (s *Server) choose(ctx context.Context, f filter, wanted func(destination string) bool) (chosen []candidate, result Done, err error) {
	result.Success = true
	err = s.visit(ctx, f, func(d *journal.DeadLetter) bool {
		switch {
		case !wanted(d.Destination):
			result.Skipped++
		case len(chosen) == f.limit:
			result.More = true
		default:
			chosen = append(chosen, candidate{d.ID, d.Entry.ReceivedAt})
		}
		return !result.More
	})
	slices.SortStableFunc(chosen, func(a, b candidate) int { return a.receivedAt.Compare(b.receivedAt) })
	return chosen, result, err
}

// decideAll returns how many it came to before an error, or before the client or the server was gone.
func (s *Server) decideAll(ctx context.Context, chosen []candidate, do decision) (count int, err error) {
	for _, c := range chosen {
		if err := ctx.Err(); err != nil {
			return count, err
		}
		err := s.decide(ctx, c.id, do)
		if errors.Is(err, journal.ErrNoDeadLetter) {
			continue // somebody else was faster
		}
		if err != nil {
			return count, err
		}
		count++
	}
	return count, nil
}
