// Package records is what the journal keeps beside its log, for each destination: progress, dead letters, parked calls,
// merges, the merge ledger, and whether it is paused or removed. Each is a keyed record of an engine, and is safe on disk when a method returns.
package records

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"aka/router/journal/codec"
	"aka/router/journal/engine"
	"aka/router/journal/frame"
)

var (
	// ErrBroken means that there is less than there was.
	ErrBroken = engine.ErrBroken
	// ErrOtherVersion means that another version of aka wrote a record.
	ErrOtherVersion = engine.ErrOtherVersion
)

// requestTimeout bounds one change.
const requestTimeout = 5 * time.Second

// Store is the records of all destinations. It is safe for concurrent use.
type Store struct {
	deadLetters
	droppedCalls
	parkedCalls
	facts
	ledgers
	decisions
	destinations
}

// Options are what a store needs beside its engine.
type Options struct {
	Limits Limits
	// Dropped are the limits of the dropped calls.
	Dropped Limits
	// Head returns how many calls the log has accepted, and the position after the last of them.
	Head func() (calls uint64, next frame.Position)
	// Damaged counts a call that cannot be read.
	Damaged  func()
	Log      *zap.Logger
	Registry prometheus.Registerer
}

// Content is what an engine holds, as it was read and checked before anything is changed.
type Content struct {
	table *table
	saved Head
}

// NewContent is that of an engine which holds nothing.
func NewContent() *Content {
	return &Content{table: newTable(newStates())}
}

// Load reads what there is. It fails with ErrBroken where that is less than there was, and with ErrOtherVersion.
func (c *Content) Load(ctx context.Context, view engine.View) error {
	if err := c.table.load(ctx, view); err != nil {
		return err
	}
	if err := c.table.states.load(ctx, view); err != nil {
		return err
	}
	saved, destination, err := savedHead(ctx, view)
	if err != nil {
		return err
	}
	c.saved = saved
	_, last, err := view.Bounds(ctx)
	if err != nil {
		return err
	}
	if last < saved.Seq {
		return fmt.Errorf("%w: the log of calls ends at frame %d, and frame %d was there when the progress of %s was saved", ErrBroken, last, saved.Seq, destination)
	}
	return nil
}

// SavedHead returns the latest end of the log that was saved with any progress.
func (c *Content) SavedHead() Head { return c.saved }

// Open makes the store of what was loaded from an engine.
func (c *Content) Open(e engine.Engine, o Options) *Store {
	t := c.table
	t.engine = e
	dead, dropped := newRetention(kindDead, o.Limits, o, t), newRetention(kindDropped, o.Dropped, o, t)
	retentions := [kindCount]*retention{dead, dropped}
	s := &Store{
		deadLetters:  deadLetters{kind: kindDead, t: t, log: o.Log, retention: dead},
		droppedCalls: droppedCalls{deadLetters{kind: kindDropped, t: t, log: o.Log, retention: dropped}},
		parkedCalls:  parkedCalls{t: t, log: o.Log, unreadable: unreadable{count: o.Damaged}},
		facts:        facts{t: t},
		ledgers:      ledgers{t: t, log: o.Log, limits: map[string]LedgerLimits{}},
		decisions:    decisions{t: t},
		destinations: destinations{t: t, log: o.Log, retentions: retentions, end: o.Head, saved: c.saved},
	}
	for _, name := range s.Destinations() {
		s.registerMetrics(name)
	}
	return s
}

// Run enforces the limits of dead letters, of dropped calls and of ledgers until ctx ends.
func (s *Store) Run(ctx context.Context) {
	var each sync.WaitGroup
	for _, r := range s.retentions {
		each.Go(func() { r.run(ctx) })
	}
	each.Go(func() { s.ledgers.run(ctx) })
	each.Wait()
}

// Enforce removes the dead letters, the dropped calls and the ledger entries that are over the limits at a time.
func (s *Store) Enforce(ctx context.Context, now time.Time) error {
	for _, r := range s.retentions {
		if err := r.enforce(ctx, now); err != nil {
			return err
		}
	}
	return s.ledgers.enforce(ctx, now)
}

// Head is the end of a log: its last frame, and how many calls it has accepted up to it.
type Head struct{ Seq, Calls uint64 }

// openRecord checks a small record: its version, and the sum at its end.
func openRecord(data []byte) (*codec.Reader, error) {
	body, sound := codec.CutSum(data)
	if !sound || len(body) == 0 {
		return nil, fmt.Errorf("%w: checksum", codec.ErrDamaged)
	}
	if body[0] != recordVersion {
		return nil, fmt.Errorf("%w: version %d, this program reads %d", codec.ErrDamaged, body[0], recordVersion)
	}
	return &codec.Reader{Data: body[1:]}, nil
}
