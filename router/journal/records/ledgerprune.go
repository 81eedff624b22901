package records

import (
	"context"
	"time"

	"go.uber.org/zap"

	"aka/router/journal/ledger"
)

const (
	// pruneBatch is how many entries one write removes at the most.
	pruneBatch = 1000
	// pruneStep is the part of max_bytes that is freed beyond what is needed, so that not each look has to remove some.
	pruneStep = 64
)

// run keeps all ledgers within their limits until ctx ends.
func (s *ledgers) run(ctx context.Context) {
	tick := time.NewTicker(retentionInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.enforce(ctx, time.Now()); err != nil && ctx.Err() == nil {
			s.log.Warn("ledger limits not enforced, retrying", zap.Error(err), zap.String("hint", "is the disk full?"))
		}
	}
}

// enforce removes the entries that are over the limits at a time.
func (s *ledgers) enforce(ctx context.Context, now time.Time) error {
	for _, name := range s.t.names() {
		for more := true; more; {
			var err error
			if more, err = s.prune(ctx, name, s.limitsOf(name), now); err != nil {
				return err
			}
		}
	}
	return nil
}

// prune removes the oldest entries of a ledger as far as they are over its limits, pruneBatch of them at the most. more is
// whether others are.
func (s *ledgers) prune(ctx context.Context, destination string, limits LedgerLimits, now time.Time) (more bool, err error) {
	err = s.t.changeLedger(ctx, destination, func(ctx context.Context, b *recordState, c *change) (err error) {
		tooOld, excess := limits.exceeded(&b.ledger.state, now)
		more, err = s.t.removeOldest(ctx, destination, b, c, func(number uint64, freed uint64) bool {
			return number < tooOld || freed < excess
		})
		return err
	})
	return more && err == nil, err
}

// exceeded returns below which number entries are too old, and how many bytes are too many.
func (l *LedgerLimits) exceeded(state *ledgerState, now time.Time) (tooOld, excess uint64) {
	if l.MaxAge > 0 {
		tooOld = uint64(max(now.Add(-l.MaxAge).UnixMicro(), 0))
	}
	if l.MaxBytes > 0 && state.bytes > l.MaxBytes {
		excess = state.bytes - l.MaxBytes + l.MaxBytes/pruneStep
	}
	return tooOld, excess
}

// removeOldest puts the removal of the oldest entries into a change, as long as goes returns true: it gets the entry's number,
// and how many bytes those before it take. more is whether it stopped for the size of the write.
func (t *table) removeOldest(ctx context.Context, destination string, b *recordState, c *change, goes func(number, freed uint64) bool) (more bool, err error) {
	state := b.ledger.state
	if state.count == 0 || !goes(state.first, 0) {
		return false, nil
	}
	n, freed := uint64(0), uint64(0)
	first := uint64(0)
	err = t.each(ctx, destination, keyLedger, state.first, func(number uint64, value []byte) (bool, error) {
		more = n == pruneBatch
		if more || !goes(number, freed) {
			first = number
			return false, nil
		}
		n++
		freed += entrySize(value)
		c.removeEntry(number, value)
		return true, nil
	})
	if err != nil {
		return false, err
	}
	state.first, state.count, state.bytes = first, state.count-min(n, state.count), state.bytes-min(freed, state.bytes)
	if first == 0 {
		state.count, state.bytes = 0, 0
	}
	c.setLedger(b, state)
	return more, nil
}

// removeEntry puts the removal of an entry into a change. Of one that cannot be read the index stays, which leads to nothing.
func (c *change) removeEntry(number uint64, value []byte) {
	c.remove(recordKey(keyLedger, number))
	e, err := ledger.Decode(value)
	if err != nil {
		return
	}
	e.Number = number
	for _, index := range indexesOf(&e) {
		c.remove(index)
	}
}

// forgetLedger removes a destination's ledger, some entries at a time.
func (s *destinations) forgetLedger(ctx context.Context, destination string) error {
	for more := true; more; {
		err := s.t.changeLedger(ctx, destination, func(ctx context.Context, b *recordState, c *change) (err error) {
			more, err = s.t.removeOldest(ctx, destination, b, c, func(uint64, uint64) bool { return true })
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *table) changeLedger(ctx context.Context, destination string, build func(ctx context.Context, b *recordState, c *change) error) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return t.change(ctx, destination, func(b *recordState, c *change) error { return build(ctx, b, c) })
}
