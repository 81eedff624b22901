package delivery

import (
	"context"
	"time"

	"go.uber.org/zap"

	"aka/router/merges"
	"aka/router/segment"
)

// merged is a delivered call whose merge is to be stored before it ends.
type merged struct {
	job  *job
	note string
}

// loadMerges takes up what earlier runs remember. Where nothing is to be remembered, they are forgotten: what is delivered
// meanwhile could make them wrong.
func (p *Pipeline) loadMerges(ctx context.Context) error {
	var blocks []*merges.Block
	if err := p.Journal.Merges(ctx, p.Destination.Name, func(number uint64, data []byte) {
		blocks = append(blocks, &merges.Block{Number: number, Data: data})
	}); err != nil {
		return err
	}
	merger, ok := p.Destination.Merger()
	if !p.Destination.RememberMerges || !ok {
		for _, b := range blocks {
			if err := p.Journal.DropMerges(ctx, p.Destination.Name, b.Number); err != nil {
				return err
			}
		}
		return nil
	}
	p.merges = merges.New(merger.Account(), merges.Max)
	if damaged := p.merges.Load(blocks); damaged > 0 {
		p.log.Error("some of what was remembered of merges cannot be read and is forgotten: such an alias goes out again; check the disk", zap.Int("blocks", damaged))
	}
	p.publishMerges()
	if !p.merges.IsSaved() {
		p.saveMerges()
	}
	return nil
}

// dropsMerge ends an alias that would change nothing, or that the vendor would throw away without a word. It is asked when
// the alias's turn comes: what was accepted before of its ids has ended. An alias that was tried already is tried to the end.
func (p *Pipeline) dropsMerge(j *job, now time.Time) bool {
	if p.merges == nil || j.merge == nil || j.entry.Type != segment.Alias || j.attempts > 0 {
		return false
	}
	reason := p.merges.Refuses(j.merge)
	if reason == "" {
		return false
	}
	// Not from here: whoever ended before this call is still letting others go.
	p.timers.add(now, func() { p.finish(j, outcomeDropped, string(reason), time.Now()) })
	return true
}

// mergesAnew takes a delivered call's merge into the memory, and tells whether it must be stored.
func (p *Pipeline) mergesAnew(j *job) bool {
	return p.merges != nil && j.merge != nil && p.merges.Add(j.merge)
}

// finishMerging ends a delivered call once its merge is on disk. A crash before that repeats the call.
func (p *Pipeline) finishMerging(j *job, note string) {
	p.publishMerges()
	p.merged = append(p.merged, merged{j, note})
	if len(p.merged) == 1 {
		p.saveMerges()
	}
}

// saveMerges stores what is not on disk of the memory when its turn comes. Where that fails, as on a full disk, the calls end
// all the same, for the memory is only an aid: it is stored later, and a crash before that forgets it. What else is to be
// stored then does not wait for it either.
func (p *Pipeline) saveMerges() {
	var save merges.Save
	var now []merged
	var failure error
	p.chore(chore{
		what: "merges could not be stored",
		begin: func() func(context.Context) error {
			save, now, p.merged = p.merges.Unsaved(), p.merged, nil
			return func(ctx context.Context) error {
				failure = p.store(ctx, save)
				return nil
			}
		},
		done: func() {
			if failure != nil {
				p.mergesNotSaved(save, failure)
			}
			for _, m := range now {
				p.finish(m.job, outcomeDelivered, m.note, time.Now())
			}
		},
	})
}

func (p *Pipeline) mergesNotSaved(save merges.Save, failure error) {
	p.log.Warn("merges that were delivered could not be stored; trying again: is the disk full?", zap.Error(failure))
	p.merges.Failed(save)
	p.timers.add(time.Now().Add(choreRetry), func() {
		if !p.merges.IsSaved() && len(p.merged) == 0 { // else that is under way
			p.saveMerges()
		}
	})
}

func (p *Pipeline) store(ctx context.Context, save merges.Save) error {
	for _, b := range save.Blocks {
		if err := p.Journal.SaveMerges(ctx, p.Destination.Name, b.Number, b.Data); err != nil {
			return err
		}
	}
	for _, number := range save.Drops {
		if err := p.Journal.DropMerges(ctx, p.Destination.Name, number); err != nil {
			return err
		}
	}
	return nil
}

func (p *Pipeline) publishMerges() {
	p.metrics.remembered.Set(float64(p.merges.Len()))
	p.metrics.forgotten.Add(float64(p.merges.Forgotten()))
}

// MergesOf returns the merges that are remembered of an id, and of those that it was merged with. named are ids that others
// may turn out to be. remembers tells whether merges are remembered here at all, more that there are others. It reads all
// that is remembered, beside the loop.
func (p *Pipeline) MergesOf(ctx context.Context, id string, named []string) (found []merges.Known, remembers, more bool, err error) {
	var blocks [][]byte
	err = p.ask(ctx, func() {
		if remembers = p.merges != nil; remembers {
			blocks = p.merges.Blocks()
		}
	})
	if err != nil || !remembers {
		return nil, remembers, false, err
	}
	found, more = merges.Find(blocks, id, named)
	return found, true, more, nil
}
