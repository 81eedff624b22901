package delivery

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"aka/router/journal"
	"aka/router/merges"
)

const (
	// saveInterval is how often progress is saved. A crash repeats what has ended since, and what was in flight.
	saveInterval = 250 * time.Millisecond
	// firstGap is the time between the first save and the second. It doubles until it is saveInterval.
	firstGap = 4 * time.Millisecond
	// aliasGap is how long an alias that waits to be saved waits for others: each save is a write to the disk.
	aliasGap = 20 * time.Millisecond
)

// checkpoint is which calls have ended, and how far that is on disk. One goroutine saves beside the loop.
type checkpoint struct {
	destination string
	journal     Journal
	log         *zap.Logger
	metrics     *destinationMetrics
	timers      *timers
	merges      *mergeStore

	progress *journal.Progress
	// orders are where the order can go on after a restart, at rising frames. The first is the one that is saved.
	orders   []journal.Order
	unsaved  bool
	gap      time.Duration // after the last save, while the run is young; 0 before the first call has ended
	awaiting []*job        // aliases whose turn it is, but for a save
	// sendsNothing is whether the destination is dry.
	sendsNothing bool
	// possiblyDeliveredBelow is the end of the log at the start, when the run before crashed: calls before it may have been sent.
	possiblyDeliveredBelow uint64

	ledger *mergeLedger // its entries go with the progress

	saves chan savePoint
	saved chan struct{} // a save was made
	// floor and ended are those of the last save.
	floor, ended atomic.Uint64
}

// savePoint is progress as it is to be saved.
type savePoint struct {
	encoded []byte
	entries []journal.LedgerEntry // to be written with it
	floor   uint64
	ended   uint64
	last    bool // no more follow
	merges  *merges.Changes
}

func (c *checkpoint) point(stopped bool) savePoint {
	c.chooseOrder()
	return savePoint{encoded: c.progress.Encode(stopped), floor: c.progress.Needed(), ended: c.progress.Ended(), merges: c.merges.changes(), entries: c.ledger.pending}
}

// maxOrders is how many places are remembered at which the order can go on, while the floor does not move.
const maxOrders = 64

// noteOrder notes where the order can go on.
func (c *checkpoint) noteOrder(o journal.Order) {
	if len(c.orders) == maxOrders {
		for i := range maxOrders / 2 { // each second one
			c.orders[i] = c.orders[2*i]
		}
		c.orders = c.orders[:maxOrders/2]
	}
	c.orders = append(c.orders, o)
	c.unsaved = true
}

// chooseOrder has the last place saved that is not above the floor.
func (c *checkpoint) chooseOrder() {
	chosen := -1
	for i := range c.orders {
		if c.orders[i].Frame > c.progress.Floor() {
			break
		}
		chosen = i
	}
	if chosen >= 0 {
		c.orders = slices.Delete(c.orders, 0, chosen)
		c.progress.SetOrder(c.orders[0])
	}
}

// load takes up the progress of the run before.
func (c *checkpoint) load(ctx context.Context) error {
	progress, err := c.journal.LoadProgress(ctx, c.destination)
	if err != nil {
		return err
	}
	c.progress = progress
	c.floor.Store(progress.Needed())
	c.ended.Store(progress.Ended())
	if progress.Crashed() && !c.sendsNothing {
		_, head := c.journal.Head()
		c.possiblyDeliveredBelow = head.Seq
	}
	return nil
}

// isPossiblyDelivered reports whether the run before may have sent the call at pos, and crashed before that was saved.
func (c *checkpoint) isPossiblyDelivered(pos journal.Position) bool {
	return pos.Seq < c.possiblyDeliveredBelow
}

// end marks a call as ended here.
func (c *checkpoint) end(pos journal.Position) {
	c.progress.End(pos)
	c.unsaved = true
	if c.gap == 0 {
		c.saveEarly()
	}
}

// saveSoon hands the progress to the goroutine that saves it, unless that is still busy.
func (c *checkpoint) saveSoon() {
	if !c.isDue() || len(c.saves) == cap(c.saves) {
		return
	}
	c.saves <- c.point(false) // only the loop sends
	c.unsaved = false
	c.ledger.saved()
}

// isDue reports whether there is something to save. Aliases that are kept back wait for a save after one that failed.
func (c *checkpoint) isDue() bool {
	return c.unsaved || len(c.awaiting) > 0 || !c.merges.isSaved()
}

// saveEarly saves right after the first call has ended, and then less and less often until the ticks do: or a process that
// crashes soon after each start would repeat the same calls each time.
func (c *checkpoint) saveEarly() {
	if c.gap >= saveInterval {
		return
	}
	c.saveSoon()
	c.gap = max(2*c.gap, firstGap)
	c.timers.add(time.Now().Add(c.gap), c.saveEarly)
}

// saveFirst notes that this run has begun: should it end by a crash, what it sends may have been delivered. A full disk keeps it
// from being noted, not from delivering what fills it.
func (c *checkpoint) saveFirst(ctx context.Context) {
	if c.progress.Crashed() {
		return // that is noted
	}
	if err := c.journal.SaveProgress(ctx, c.destination, c.progress.Encode(false), nil, nil); err != nil {
		c.failed(err)
	}
}

func (c *checkpoint) saveLast(orderly bool) {
	last := c.point(orderly)
	last.last = true
	c.saves <- last
	c.ledger.saved()
	close(c.saves)
}

// run saves, until the last save is made. storing bounds all of them but the last.
func (c *checkpoint) run(storing, last context.Context) {
	var entries []journal.LedgerEntry // of this save, and of those before it that failed
	for point := range c.saves {
		ctx := storing
		if point.last {
			ctx = last
		}
		var lost int
		entries, lost = carry(entries, point.entries)
		c.metrics.ledgerLost.Add(float64(lost))
		c.merges.keepDevices(ctx)
		err := c.merges.write(point.merges, func(facts []journal.Fact) error {
			return c.journal.SaveProgress(ctx, c.destination, point.encoded, facts, entries)
		})
		if err != nil {
			c.failed(err)
			continue
		}
		entries = nil
		c.floor.Store(point.floor)
		c.ended.Store(point.ended)
		select {
		case c.saved <- struct{}{}:
		default: // the loop has yet to look at the save before
		}
	}
}

func (c *checkpoint) failed(err error) {
	c.metrics.saveFailures.Inc()
	c.log.Warn("failed to save progress", zap.Error(err), zap.String("hint", "is the disk full? a crash now would repeat deliveries"))
}

// mustWait reports whether a crash could repeat a call that ended before this one's turn came.
func (c *checkpoint) mustWait(j *job) bool {
	if j.endedBefore == 0 {
		j.endedBefore = c.progress.Ended()
	}
	return c.ended.Load() < j.endedBefore
}

// await keeps an alias back until what ended before it is saved.
func (c *checkpoint) await(j *job, now time.Time) {
	c.awaiting = append(c.awaiting, j)
	if len(c.awaiting) == 1 {
		c.timers.add(now.Add(aliasGap), c.saveSoon)
	}
}

// forget has an alias wait for no save any more.
func (c *checkpoint) forget(j *job) {
	c.awaiting = slices.DeleteFunc(c.awaiting, func(waiting *job) bool { return waiting == j })
}

// takeAwaiting returns the aliases that were kept back, to be looked at again.
func (c *checkpoint) takeAwaiting() []*job {
	waited := c.awaiting
	c.awaiting = nil
	return waited
}
