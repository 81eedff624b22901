package router

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"aka/destinations/adapter"
	"aka/router/delivery"
	"aka/router/journal"
)

// orphan looks after what a destination had waiting when it left the config. That stays in the journal until the destination
// is back or is forgotten; but like any backlog it becomes dead letters when it is too old, so that a forgotten
// destination never fills the journal for the others.
type orphan struct {
	name     string
	journal  *journal.Journal
	log      *zap.Logger
	maxAge   time.Duration // 0 is no limit
	progress *journal.Progress
	parked   uint64 // calls that are parked: they have ended in the progress, and wait all the same
	calls    uint64 // the log's calls when it was removed, and the first frame after them
	end      uint64
	metrics  *delivery.Orphan
	// floor is what it needs of the log still; waiting how many calls.
	floor   atomic.Uint64
	waiting atomic.Uint64
	stop    context.CancelFunc
	stopped chan struct{}
}

// addOrphan begins to look after a destination that is not configured any more.
func (f *fleet) addOrphan(ctx context.Context, name string, maxAge time.Duration) (*orphan, error) {
	calls, end, err := f.journal.Remove(name)
	if err != nil {
		return nil, fmt.Errorf("remove destination %s: %w", name, err)
	}
	progress, err := f.journal.RemovedProgress(ctx, name)
	if err != nil {
		return nil, err
	}
	o := &orphan{
		name: name, journal: f.journal, log: f.log.With(zap.String("destination", name)), maxAge: maxAge,
		progress: progress, calls: calls, end: end.Seq, metrics: f.metrics.AddOrphan(name, calls), stopped: make(chan struct{}),
	}
	if o.parked, err = f.parkedCalls(ctx, name, func(p *journal.Parked) bool { return p.Dead == "" }); err != nil {
		return nil, err
	}
	o.publish()
	running, stop := context.WithCancel(context.Background())
	o.stop = stop
	go o.run(running)
	if o.waiting.Load() > 0 {
		o.log.Warn("removed destination still has calls waiting", zap.String("hint", "configure it again, or drop them: aka destination forget"),
			zap.Uint64("waiting", o.waiting.Load()))
	}
	return o, nil
}

// parkedCalls counts the calls that are parked, those that count.
func (f *fleet) parkedCalls(ctx context.Context, name string, counts func(*journal.Parked) bool) (uint64, error) {
	calls := uint64(0)
	err := f.journal.EachParked(ctx, name, func(p *journal.Parked) error {
		if counts(p) {
			calls++
		}
		return nil
	})
	return calls, err
}

func (o *orphan) close() {
	o.stop()
	<-o.stopped
}

// Floor returns the first frame of the log that is kept for the destination; the highest number when none is.
func (o *orphan) Floor() uint64 { return o.floor.Load() }

func (o *orphan) status() delivery.Status { return delivery.RemovedStatus(o.name, o.waiting.Load()) }

func (o *orphan) publish() {
	floor := o.progress.Needed()
	if o.progress.Floor() >= o.end {
		floor = ^uint64(0)
	}
	o.floor.Store(floor)
	o.setEnded(min(o.progress.Ended(), o.calls))
}

// endAll releases the log.
func (o *orphan) endAll() {
	o.floor.Store(^uint64(0))
	o.setEnded(o.calls)
}

func (o *orphan) setEnded(calls uint64) {
	calls -= min(calls, o.parked)
	o.waiting.Store(o.calls - calls)
	o.metrics.Ended(calls)
}

const (
	// keepInterval is how often it is looked whether something has become too old.
	keepInterval = time.Minute
	// maxStoredAtOnce bounds how many dead letters are stored by one write.
	maxStoredAtOnce = 256
)

// run goes through what is kept, as it becomes too old.
func (o *orphan) run(ctx context.Context) {
	defer close(o.stopped)
	frames := o.journal.ReadFrom(o.progress.Floor())
	defer frames.Close()
	for o.maxAge > 0 && o.Floor() < o.end {
		frame, err := frames.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			o.log.Warn("failed to read the journal, retrying", zap.Error(err), zap.String("hint", "check the disk"))
			pause(ctx, time.Second)
			continue
		case frame.Seq >= o.end:
			o.endAll() // the last ones are lost
			return
		}
		o.progress.Begin(frame)
		if !o.expireInTime(ctx, frame) {
			return
		}
	}
}

// expireInTime waits until a frame's calls are too old, and returns true once they are dead letters.
func (o *orphan) expireInTime(ctx context.Context, f *journal.Frame) bool {
	for !o.isTooOld(f) {
		if !pause(ctx, keepInterval) {
			return false
		}
	}
	for {
		err := o.storeDeadLetters(ctx, f)
		if err == nil {
			return true
		}
		o.log.Warn("failed to store dead letters, retrying", zap.String("hint", "check whether the disk is full"), zap.Error(err))
		if !pause(ctx, time.Second) {
			return false
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// isTooOld compares the frame's last call, which is the youngest.
func (o *orphan) isTooOld(f *journal.Frame) bool {
	return len(f.Entries) == 0 || time.Since(f.Entries[len(f.Entries)-1].ReceivedAt) > o.maxAge
}

// storeDeadLetters makes dead letters of a frame's calls, those that have not ended.
func (o *orphan) storeDeadLetters(ctx context.Context, f *journal.Frame) error {
	now := time.Now()
	var deadLetters []*journal.DeadLetter
	for i := range f.Entries {
		pos := journal.Position{Seq: f.Seq, Index: i}
		if e := &f.Entries[i]; (e.Target == "" || e.Target == o.name) && !o.progress.HasEnded(pos) {
			deadLetters = append(deadLetters, &journal.DeadLetter{
				Destination: o.name, Reason: string(adapter.TooOld), First: now, Last: now, Position: pos, Entry: *e,
			})
		}
	}
	for batch := range slices.Chunk(deadLetters, maxStoredAtOnce) {
		if err := o.journal.StoreDeadLetters(ctx, batch); err != nil {
			return err
		}
	}
	for i := range f.Entries {
		o.progress.End(journal.Position{Seq: f.Seq, Index: i})
	}
	if o.progress.Floor() > o.progress.Order().Frame {
		o.progress.ForgetOrder() // or the log would be kept from there on
	}
	err := o.journal.SaveProgress(ctx, o.name, o.progress.Encode(!o.progress.Crashed()), nil, nil)
	for _, l := range deadLetters {
		o.metrics.TooOld(l.Entry.Type)
	}
	o.publish()
	return err
}
