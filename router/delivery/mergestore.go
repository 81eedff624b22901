package delivery

import (
	"context"
	"time"

	"go.uber.org/zap"

	"aka/destinations/adapter"
	"aka/router/merges"
	"aka/router/segment"
)

// mergeStore is what is remembered of delivered merges, where that is on.
type mergeStore struct {
	p      *Pipeline
	memory *merges.Memory // nil where nothing is remembered
	merged []merged       // delivered calls whose merges are to be stored
}

// merged is a delivered call whose merge is to be stored before it ends.
type merged struct {
	job  *job
	note string
}

// load takes up what earlier runs remember. Where nothing is to be remembered, they are forgotten: what is delivered meanwhile
// could make them wrong.
func (m *mergeStore) load(ctx context.Context) error {
	name, records := m.p.config.Destination.Name, m.p.config.Journal
	var blocks []*merges.Block
	if err := records.Merges(ctx, name, func(number uint64, data []byte) {
		blocks = append(blocks, &merges.Block{Number: number, Data: data})
	}); err != nil {
		return err
	}
	merger, ok := m.p.config.Destination.Merger()
	if !m.p.config.Destination.RememberMerges || !ok {
		for _, b := range blocks {
			if err := records.DropMerges(ctx, name, b.Number); err != nil {
				return err
			}
		}
		return nil
	}
	m.memory = merges.New(merger.Account(), merges.Max)
	if damaged := m.memory.Load(blocks); damaged > 0 {
		m.p.log.Error("some remembered merges are unreadable", zap.Int("blocks", damaged), zap.String("hint", "check the disk; such an alias is sent again"))
	}
	m.publish()
	if !m.memory.IsSaved() {
		m.save()
	}
	return nil
}

// refuses returns why an alias is not to be sent: it would change nothing, or the vendor would throw it away without a word. It is
// asked when the alias's turn comes: what was accepted before of its ids has ended. An alias that was tried already is tried to
// the end.
func (m *mergeStore) refuses(j *job) adapter.Reason {
	if m.memory == nil || j.merge == nil || j.entry.Type != segment.Alias || j.attempts > 0 {
		return ""
	}
	return m.memory.Refuses(j.merge)
}

// mustStore takes a delivered call's merge into the memory, and reports whether it must be stored.
func (m *mergeStore) mustStore(j *job) bool {
	return m.memory != nil && j.merge != nil && m.memory.Add(j.merge)
}

// store ends a delivered call once its merge is on disk. A crash before that repeats the call.
func (m *mergeStore) store(j *job, note string) {
	m.publish()
	m.merged = append(m.merged, merged{j, note})
	if len(m.merged) == 1 {
		m.save()
	}
}

// save stores what is not on disk of the memory when its turn comes. Where that fails, as on a full disk, the calls end all the
// same, for the memory is only an aid: it is stored later, and a crash before that forgets it. What else is to be stored then
// does not wait for it either.
func (m *mergeStore) save() {
	var save merges.Save
	var now []merged
	var failure error
	m.p.storage.add(&storageJob{
		what: "store merges",
		begin: func() func(context.Context) error {
			save, now, m.merged = m.memory.Unsaved(), m.merged, nil
			return func(ctx context.Context) error {
				failure = m.write(ctx, save)
				return nil
			}
		},
		done: func() {
			if failure != nil {
				m.notSaved(save, failure)
			}
			for _, one := range now {
				m.p.order.finish(one.job, outcomeDelivered, one.note, time.Now())
			}
		},
	})
}

func (m *mergeStore) notSaved(save merges.Save, failure error) {
	m.p.log.Warn("failed to store delivered merges, retrying", zap.Error(failure), zap.String("hint", "is the disk full?"))
	m.memory.Failed(save)
	m.p.timers.add(time.Now().Add(storageRetry), func() {
		if !m.memory.IsSaved() && len(m.merged) == 0 { // else that is under way
			m.save()
		}
	})
}

func (m *mergeStore) write(ctx context.Context, save merges.Save) error {
	name, records := m.p.config.Destination.Name, m.p.config.Journal
	for _, b := range save.Blocks {
		if err := records.SaveMerges(ctx, name, b.Number, b.Data); err != nil {
			return err
		}
	}
	for _, number := range save.Drops {
		if err := records.DropMerges(ctx, name, number); err != nil {
			return err
		}
	}
	return nil
}

func (m *mergeStore) publish() {
	m.p.metrics.remembered.Set(float64(m.memory.Len()))
	m.p.metrics.forgotten.Add(float64(m.memory.Forgotten()))
}

// MergesOf returns the merges that are remembered of an id, and of those that it was merged with. named are ids that others
// may turn out to be. remembers is whether merges are remembered here at all, more that there are others. It reads all
// that is remembered, beside the loop.
func (p *Pipeline) MergesOf(ctx context.Context, id string, named []string) (found []merges.Known, remembers, more bool, err error) {
	var blocks [][]byte
	err = p.ask(ctx, func() {
		if remembers = p.merges.memory != nil; remembers {
			blocks = p.merges.memory.Blocks()
		}
	})
	if err != nil || !remembers {
		return nil, remembers, false, err
	}
	found, more = merges.Find(blocks, id, named)
	return found, true, more, nil
}
