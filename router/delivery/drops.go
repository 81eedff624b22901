package delivery

import (
	"cmp"
	"context"
	"time"

	"go.uber.org/zap"

	"aka/destinations/adapter"
	"aka/router/journal"
)

// drops keeps the dropped calls whose reason the config names, before they end: a changed setting may have them sent. To keep
// them is an aid. Where they cannot be stored, as on a full disk, they end all the same, counted, and nothing waits for that.
type drops struct {
	p       *Pipeline
	storage *storage // of its own: what else is to be stored does not wait for it, nor it for that
	reasons map[adapter.Reason]bool
	pending []drop // to be stored, oldest first
	bytes   int    // of those that are not in the window
	// failedAt is when storing failed last; zero when it has succeeded since.
	failedAt time.Time
}

// drop is a call that is to be kept.
type drop struct {
	job    *job
	reason adapter.Reason
	// placed: it has a place in memory and in its people's order, which it keeps until it is stored.
	placed bool
}

const (
	// maxPendingDrops and maxPendingDropBytes bound the calls that wait to be stored and are not in the window.
	maxPendingDrops     = 4 * maxStoredAtOnce
	maxPendingDropBytes = 1 << 20
	// keepTimeout bounds one write, and keepRetry is how long no other is tried after one failed.
	keepTimeout = time.Second
	keepRetry   = 10 * time.Second
)

func newDrops(p *Pipeline) *drops {
	d := &drops{p: p, storage: newStorage(p.storing, p.log, &p.timers), reasons: map[adapter.Reason]bool{}}
	for _, reason := range p.config.KeptDrops {
		d.reasons[adapter.Reason(reason)] = true
		p.metrics.notKept(reason)
	}
	return d
}

// isFull reports whether so many calls wait to be stored that no more of the log is to be taken in.
func (d *drops) isFull() bool {
	return len(d.pending) >= maxPendingDrops || d.bytes >= maxPendingDropBytes
}

// keep takes a dropped call to be stored, and ends it then. It returns false for one that is not kept: that ends now.
func (d *drops) keep(dropped drop) bool {
	if !d.reasons[dropped.reason] {
		return false
	}
	if d.isFailing() {
		d.p.metrics.notKept(string(dropped.reason)).Inc()
		return false
	}
	j := dropped.job
	d.p.transition(j, storing)
	if !dropped.placed {
		j.detach()
		j.measure()
		d.bytes += j.size
	}
	d.pending = append(d.pending, dropped)
	if len(d.pending) == 1 {
		d.store()
	}
	return true
}

// isFailing reports whether no call is kept at the moment, because storing failed a short time ago. The next try is one write's
// calls at the most: the others do not wait for it.
func (d *drops) isFailing() bool {
	if d.failedAt.IsZero() {
		return false
	}
	return time.Since(d.failedAt) < keepRetry || len(d.pending) >= maxStoredAtOnce
}

// store stores the calls that wait for it, as many as there are when its turn comes.
func (d *drops) store() {
	var now []drop
	var calls []*journal.DeadLetter
	var failure error
	d.storage.add(&storageJob{
		what: "keep dropped calls",
		begin: func() func(context.Context) error {
			now = d.pending[:min(len(d.pending), maxStoredAtOnce)]
			calls = d.callsOf(now)
			return func(ctx context.Context) error {
				ctx, cancel := context.WithTimeout(ctx, keepTimeout)
				defer cancel()
				failure = d.p.config.Journal.KeepDropped(ctx, calls)
				return nil
			}
		},
		done: func() {
			if failure != nil && d.p.storing.Err() != nil {
				return // it stops: they are dropped again at the next start
			}
			if failure != nil {
				now = d.pending // the next write would fail, too
			}
			d.pending = d.pending[len(now):]
			d.noteStored(now, failure)
			if len(d.pending) > 0 {
				d.store()
			}
			d.endAll(now)
		},
	})
}

func (d *drops) callsOf(dropped []drop) []*journal.DeadLetter {
	at := time.Now()
	calls := make([]*journal.DeadLetter, len(dropped))
	for i, one := range dropped {
		j := one.job
		calls[i] = &journal.DeadLetter{
			Destination: d.p.config.Destination.Name, Reason: string(one.reason), Detail: cmp.Or(j.outcome.Note, j.detail), Attempts: j.attempts, Status: j.status,
			First: at, Last: at, Position: j.pos, Rank: j.rank, Entry: *j.entry,
		}
	}
	return calls
}

// noteStored counts the calls that could not be stored.
func (d *drops) noteStored(dropped []drop, failure error) {
	if failure == nil {
		d.failedAt = time.Time{}
		return
	}
	d.failedAt = time.Now()
	d.p.log.Warn("failed to keep dropped calls", zap.Int("count", len(dropped)), zap.Error(failure),
		zap.String("hint", "is the disk full? the calls cannot be replayed"))
	for _, one := range dropped {
		d.p.metrics.notKept(string(one.reason)).Inc()
	}
}

func (d *drops) endAll(dropped []drop) {
	now := time.Now()
	for _, one := range dropped {
		if one.placed {
			d.p.order.finish(one.job, outcomeDropped, string(one.reason), now)
			continue
		}
		d.bytes -= one.job.size
		d.p.order.end(one.job, settled, outcomeDropped, string(one.reason))
	}
}
