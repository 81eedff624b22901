package delivery

import (
	"context"
	"errors"
	"time"

	"aka/destinations/adapter"
	"aka/router/journal"
	"aka/router/journal/ledger"
	"aka/router/segment"
)

// ErrNoMemory means that a destination remembers no merges.
var ErrNoMemory = errors.New("this destination remembers no merges")

// importAtOnce is how many pairs are taken in before they are saved.
const importAtOnce = 500

// ImportMerges takes pairs into the memory of merges, as if an alias of each had been delivered, until next says that there are no
// more. It returns how many it took, once they are safe on disk. It fails with ErrNoMemory where nothing is remembered.
func (p *Pipeline) ImportMerges(ctx context.Context, next func() (from, to string, ok bool, err error)) (n int, err error) {
	if merger, ok := p.config.Destination.Merger(); !ok || merger == nil || !p.config.Destination.RememberMerges {
		return 0, ErrNoMemory
	}
	for {
		pairs, err := nextPairs(next)
		if len(pairs) > 0 {
			if err := p.importPairs(ctx, pairs); err != nil {
				return n, err
			}
			n += len(pairs)
		}
		if err != nil || len(pairs) < importAtOnce {
			return n, err
		}
	}
}

func nextPairs(next func() (from, to string, ok bool, err error)) (pairs [][2]string, err error) {
	for len(pairs) < importAtOnce {
		from, to, ok, err := next()
		if err != nil || !ok {
			return pairs, err
		}
		pairs = append(pairs, [2]string{from, to})
	}
	return pairs, nil
}

// importPairs takes pairs in, and waits until they are saved.
func (p *Pipeline) importPairs(ctx context.Context, pairs [][2]string) error {
	merged := make([]adapter.Merge, len(pairs))
	now := time.Now()
	for i, pair := range pairs {
		merged[i], _ = p.config.Destination.Merges(&segment.Call{
			Header:     segment.Header{Type: segment.Alias, PreviousID: pair[0], UserID: pair[1], Timestamp: now.UTC(), ReceivedAt: now.UTC()},
			Properties: map[string]any{}, Traits: map[string]any{},
		})
	}
	number := uint64(0)
	err := p.ask(ctx, func() {
		for i, pair := range pairs {
			p.merges.imported(merged[i], pair[1], now)
			p.ledger.imported(pair[0], pair[1], now)
		}
		p.mergeGuard.underWay.nameAnew()
		number = p.merges.memory.NextNumber() // a busy destination always has something that is not saved: it waits for these
		p.checkpoint.saveSoon()
	})
	for saved := false; err == nil && !saved; {
		err = p.ask(ctx, func() {
			if saved = p.merges.isSavedUpTo(number); !saved {
				p.checkpoint.saveSoon()
			}
		})
		if !saved && err == nil && !pause(ctx, 20*time.Millisecond) {
			err = ctx.Err()
		}
	}
	return err
}

// imported takes a pair into the memory.
func (m *mergeStore) imported(merge adapter.Merge, userID string, now time.Time) {
	if merge.Rule != 0 {
		m.memory.Add(&merge, now, "")
	}
	if m.p.config.Kinds.CountsAsUser("", userID, "") {
		m.memory.Identified(userID, now, "")
	}
}

// imported notes a pair that was merged before aka.
func (l *mergeLedger) imported(from, to string, now time.Time) {
	l.add(journal.LedgerEntry{Time: now, Verdict: ledger.Imported, By: ledger.ByOperator, Type: segment.Alias, From: l.digest(from), To: l.digest(to)})
}
