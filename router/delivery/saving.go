package delivery

import (
	"context"
	"time"

	"go.uber.org/zap"

	"aka/router/segment"
)

const (
	// saveInterval is how often progress is saved. A crash repeats what has ended since, and what was in flight.
	saveInterval = 250 * time.Millisecond
	// firstGap is the time between the first save and the second. It doubles until it is saveInterval.
	firstGap = 4 * time.Millisecond
	// companyGap is how long an alias that waits to be saved waits for company: each save is a write to the disk.
	companyGap = 20 * time.Millisecond
)

// savePoint is progress as it is to be saved.
type savePoint struct {
	encoded []byte
	floor   uint64
	ended   uint64
	last    bool // no more follow
}

func (p *Pipeline) savePoint(stopped bool) savePoint {
	return savePoint{encoded: p.progress.Encode(stopped), floor: p.progress.Floor(), ended: p.progress.Ended()}
}

// saveSoon hands the progress to the goroutine that saves it, unless that is still busy.
func (p *Pipeline) saveSoon() {
	if !p.unsaved && len(p.awaiting) == 0 {
		return
	}
	select {
	case p.saves <- p.savePoint(false):
		p.unsaved = false
	default:
	}
}

// saveEarly saves right after the first call has ended, and then less and less often until the ticks do: or a process that
// crashes soon after each start would repeat the same calls each time.
func (p *Pipeline) saveEarly() {
	if p.saveGap >= saveInterval {
		return
	}
	p.saveSoon()
	p.saveGap = max(2*p.saveGap, firstGap)
	p.timers.add(time.Now().Add(p.saveGap), p.saveEarly)
}

// saveFirst notes that this run has begun: should it end by a crash, what it sends is in doubt. A full disk keeps it from
// being noted, not from delivering what fills it.
func (p *Pipeline) saveFirst(ctx context.Context) {
	if p.progress.Crashed() {
		return // that is noted
	}
	if err := p.Journal.SaveProgress(ctx, p.Destination.Name, p.progress.Encode(false)); err != nil {
		p.saveFailed(err)
	}
}

func (p *Pipeline) saveLast() {
	last := p.savePoint(!p.inDoubt())
	last.last = true
	p.saves <- last
	close(p.saves)
}

// inDoubt tells whether the vendor may have acted on calls that have not ended, in this run or in one before.
func (p *Pipeline) inDoubt() bool {
	return p.inFlight > 0 || p.window.holdsDoubt() || p.parked.holdsDoubt() || p.progress.Floor() < p.suspectBelow
}

func (p *Pipeline) save() {
	for point := range p.saves {
		ctx := p.storing
		if point.last {
			ctx = p.lastSave
		}
		if err := p.Journal.SaveProgress(ctx, p.Destination.Name, point.encoded); err != nil {
			p.saveFailed(err)
			continue
		}
		p.savedFloor.Store(point.floor)
		p.savedEnded.Store(point.ended)
		select {
		case p.saved <- struct{}{}:
		default: // the loop has yet to look at the save before
		}
	}
}

func (p *Pipeline) saveFailed(err error) {
	p.metrics.saveFailures.Inc()
	p.log.Warn("progress could not be saved; a crash now would repeat deliveries: is the disk full?", zap.Error(err))
}

// mustWaitForSave tells whether a crash could repeat a call that ended before this one's turn came, and must not: where an
// alias is a rename, a call under the old id after it makes a second person.
func (p *Pipeline) mustWaitForSave(j *job) bool {
	if j.entry.Type != segment.Alias || !p.Destination.Renames {
		return false
	}
	if j.endedBefore == 0 {
		j.endedBefore = p.progress.Ended()
	}
	return p.savedEnded.Load() < j.endedBefore
}

// awaitSave keeps a call back until what ended before it is saved.
func (p *Pipeline) awaitSave(j *job, now time.Time) {
	p.awaiting = append(p.awaiting, j)
	if len(p.awaiting) == 1 {
		p.timers.add(now.Add(companyGap), p.saveSoon)
	}
}

// goOnSaved lets those go that were held back, as far as the last save allows.
func (p *Pipeline) goOnSaved(now time.Time) {
	waited := p.awaiting
	p.awaiting = nil
	for _, j := range waited {
		p.advance(j, now)
	}
}
