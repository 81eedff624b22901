package admin

import (
	"context"
	"errors"
	"net/http"

	"aka/destinations/adapter"
	"aka/router/journal"
)

// keptKind is one kind of the calls that the journal keeps after they have ended: how it is named, and what it does with them.
type keptKind struct {
	// one is the name of one of them, and replayed and discarded are what the log says.
	one, replayed, discarded string
	// reasons are those that one may have.
	reasons []string

	keptCalls
}

// keptCalls are the kept calls of one kind.
type keptCalls interface {
	each(ctx context.Context, filter journal.DeadFilter, after uint64, visit func(*journal.DeadLetter) bool) error
	counts(ctx context.Context) ([]journal.DeadCount, error)
	// read, putBack and remove fail with an error of which isGone is true where there is none of that id.
	read(ctx context.Context, id uint64) (*journal.DeadLetter, error)
	putBack(ctx context.Context, id uint64) error
	remove(ctx context.Context, id uint64) error
}

func deadKind(j Journal) keptKind {
	return keptKind{"dead letter", "dead letters replayed", "dead letters discarded", adapter.Words(adapter.DeadReasons), deadCalls{j}}
}

func droppedKind(j Journal) keptKind {
	return keptKind{"dropped call", "dropped calls replayed", "dropped calls discarded", adapter.Words(adapter.DropReasons), droppedCalls{j}}
}

type deadCalls struct{ journal Journal }

func (c deadCalls) each(ctx context.Context, filter journal.DeadFilter, after uint64, visit func(*journal.DeadLetter) bool) error {
	return c.journal.DeadLetters(ctx, filter, after, visit)
}
func (c deadCalls) counts(ctx context.Context) ([]journal.DeadCount, error) {
	return c.journal.DeadSummary(ctx)
}
func (c deadCalls) read(ctx context.Context, id uint64) (*journal.DeadLetter, error) {
	return c.journal.DeadLetter(ctx, id)
}
func (c deadCalls) putBack(ctx context.Context, id uint64) error { return c.journal.Replay(ctx, id) }
func (c deadCalls) remove(ctx context.Context, id uint64) error  { return c.journal.Discard(ctx, id) }

type droppedCalls struct{ journal Journal }

func (c droppedCalls) each(ctx context.Context, filter journal.DeadFilter, after uint64, visit func(*journal.DeadLetter) bool) error {
	return c.journal.DroppedCalls(ctx, filter, after, visit)
}
func (c droppedCalls) counts(ctx context.Context) ([]journal.DeadCount, error) {
	return c.journal.DroppedSummary(ctx)
}
func (c droppedCalls) read(ctx context.Context, id uint64) (*journal.DeadLetter, error) {
	return c.journal.DroppedCall(ctx, id)
}
func (c droppedCalls) putBack(ctx context.Context, id uint64) error {
	return c.journal.ReplayDropped(ctx, id)
}
func (c droppedCalls) remove(ctx context.Context, id uint64) error {
	return c.journal.DiscardDropped(ctx, id)
}

// newDropped answers for the dropped calls as dead does for the dead letters. Their replays have the same limit, together.
func newDropped(config Config, dead *deadLetters) *deadLetters {
	h := newDeadLetters(config, dead.granted)
	h.keptKind, h.blocking, h.pace = droppedKind(config.Journal), nil, dead.pace
	return h
}

// isGone reports whether a call is not kept any more: somebody else was faster.
func isGone(err error) bool {
	return errors.Is(err, journal.ErrNoDeadLetter) || errors.Is(err, journal.ErrNoDropped)
}

// DroppedCalls is one page of a list of dropped calls: see DeadLetters.
type DroppedCalls struct {
	DeadLetters []DeadLetter `json:"dropped_calls"`
	Next        uint64       `json:"next,omitempty"`
}

// DroppedSummary is how many dropped calls are kept: see DeadSummary.
type DroppedSummary struct {
	DeadLetters []DeadCount `json:"dropped_calls"`
	Count       uint64      `json:"count"`
	Bytes       uint64      `json:"bytes"`
}

// asDropped names in an answer what it lists.
func asDropped(handle func(r *http.Request) (any, error)) func(r *http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		result, err := handle(r)
		switch result := result.(type) {
		case DeadLetters:
			return DroppedCalls(result), err
		case DeadSummary:
			return DroppedSummary(result), err
		}
		return result, err
	}
}
