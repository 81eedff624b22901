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

// keeper looks after what a destination had waiting when it left the config. That stays in the journal until the destination
// is back or is forgotten; but like any backlog it becomes dead letters when it is too old, so that a destination which
// nobody thinks of never fills the journal for the others.
type keeper struct {
	name     string
	journal  *journal.Journal
	log      *zap.Logger
	maxAge   time.Duration // 0 for ever
	progress *journal.Progress
	aside    uint64 // calls that are parked: they have ended in the progress, and wait all the same
	calls    uint64 // the log's calls when it was removed, and the first frame after them
	end      uint64
	metrics  *delivery.Kept
	// floor is what it needs of the log still; waiting how many calls.
	floor   atomic.Uint64
	waiting atomic.Uint64
	stop    context.CancelFunc
	stopped chan struct{}
}

// keep begins to look after a destination that is not configured any more.
func (r *Router) keep(ctx context.Context, name string) (*keeper, error) {
	calls, end, err := r.journal.Remove(name)
	if err != nil {
		return nil, fmt.Errorf("remove destination %s: %w", name, err)
	}
	progress, err := r.journal.Kept(ctx, name)
	if err != nil {
		return nil, err
	}
	k := &keeper{
		name: name, journal: r.journal, log: r.log.With(zap.String("destination", name)), maxAge: r.Config().Delivery.MaxBacklogAge,
		progress: progress, calls: calls, end: end.Seq, metrics: r.deliveries.Keep(name, calls), stopped: make(chan struct{}),
	}
	if k.aside, err = r.parkedCalls(ctx, name); err != nil {
		return nil, err
	}
	k.publish()
	running, stop := context.WithCancel(context.Background())
	k.stop = stop
	go k.run(running)
	if k.waiting.Load() > 0 {
		k.log.Warn("a destination is not configured any more; what it had waiting is kept: configure it again, or let go of it with aka destination forget",
			zap.Uint64("waiting", k.waiting.Load()))
	}
	return k, nil
}

// parkedCalls counts the calls that are kept aside, but for those that are dead letters.
func (r *Router) parkedCalls(ctx context.Context, name string) (uint64, error) {
	calls := map[journal.Position]bool{}
	err := r.journal.Parked(ctx, name, func(p *journal.Parked) {
		if p.Dead == "" {
			calls[p.Position] = true
		}
	})
	return uint64(len(calls)), err
}

func (k *keeper) close() {
	k.stop()
	<-k.stopped
}

// Floor returns the first frame of the log that is kept for the destination; the highest number when none is.
func (k *keeper) Floor() uint64 { return k.floor.Load() }

func (k *keeper) status() delivery.Status { return delivery.RemovedStatus(k.name, k.waiting.Load()) }

func (k *keeper) publish() {
	floor := k.progress.Floor()
	if floor >= k.end {
		floor = ^uint64(0)
	}
	k.floor.Store(floor)
	k.setEnded(min(k.progress.Ended(), k.calls))
}

// endAll lets go of the log.
func (k *keeper) endAll() {
	k.floor.Store(^uint64(0))
	k.setEnded(k.calls)
}

func (k *keeper) setEnded(calls uint64) {
	calls -= min(calls, k.aside)
	k.waiting.Store(k.calls - calls)
	k.metrics.Ended(calls)
}

const (
	// keepInterval is how often it is looked whether something has become too old.
	keepInterval = time.Minute
	// buriedAtOnce bounds how many dead letters are stored by one write.
	buriedAtOnce = 256
)

// run goes through what is kept, as it becomes too old.
func (k *keeper) run(ctx context.Context) {
	defer close(k.stopped)
	frames := k.journal.ReadFrom(k.progress.Floor())
	defer frames.Close()
	for k.maxAge > 0 && k.Floor() < k.end {
		frame, err := frames.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			k.log.Warn("the journal cannot be read; trying again: does the disk work?", zap.Error(err))
			pause(ctx, time.Second)
			continue
		case frame.Seq >= k.end:
			k.endAll() // the last ones are lost
			return
		}
		k.progress.Begin(frame)
		if !k.buryInTime(ctx, frame) {
			return
		}
	}
}

// buryInTime waits until a frame's calls are too old, and returns true once they are dead letters.
func (k *keeper) buryInTime(ctx context.Context, f *journal.Frame) bool {
	for !k.isTooOld(f) {
		if !pause(ctx, keepInterval) {
			return false
		}
	}
	for {
		err := k.bury(ctx, f)
		if err == nil {
			return true
		}
		k.log.Warn("dead letters could not be stored; trying again: is the disk full?", zap.Error(err))
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

// isTooOld goes by the frame's last call, which is the youngest.
func (k *keeper) isTooOld(f *journal.Frame) bool {
	return len(f.Entries) == 0 || time.Since(f.Entries[len(f.Entries)-1].ReceivedAt) > k.maxAge
}

// bury makes dead letters of a frame's calls, those that have not ended.
func (k *keeper) bury(ctx context.Context, f *journal.Frame) error {
	now := time.Now()
	var letters []*journal.DeadLetter
	for i := range f.Entries {
		pos := journal.Position{Seq: f.Seq, Index: i}
		if e := &f.Entries[i]; (e.Target == "" || e.Target == k.name) && !k.progress.HasEnded(pos) {
			letters = append(letters, &journal.DeadLetter{
				Destination: k.name, Reason: string(adapter.TooOld), First: now, Last: now, Position: pos, Entry: *e,
			})
		}
	}
	for batch := range slices.Chunk(letters, buriedAtOnce) {
		if err := k.journal.Bury(ctx, batch); err != nil {
			return err
		}
	}
	for i := range f.Entries {
		k.progress.End(journal.Position{Seq: f.Seq, Index: i})
	}
	err := k.journal.SaveProgress(ctx, k.name, k.progress.Encode(!k.progress.Crashed()))
	for _, l := range letters {
		k.metrics.TooOld(l.Entry.Type)
	}
	k.publish()
	return err
}
