package records

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"aka/router/journal/engine"
	"aka/router/journal/ledger"
)

const (
	// maxLedgerScan bounds how many entries of a destination are read for one page.
	maxLedgerScan = 20_000
	// MaxLedgerPage is the largest page.
	MaxLedgerPage = 1000
)

// Ledger returns the entries of a destination that match, newest first, and numbered below before: all where that is 0. ""
// is all destinations. The limit is 1 to MaxLedgerPage.
func (s *ledgers) Ledger(ctx context.Context, destination string, filter ledger.Filter, before uint64, limit int) (page ledger.Page, err error) {
	limit = min(max(limit, 1), MaxLedgerPage)
	horizon := uint64(0) // below it not all destinations were read
	for _, name := range s.named(destination) {
		entries, low, err := s.newest(ctx, name, filter, before, limit)
		if err != nil {
			return ledger.Page{}, err
		}
		page.Entries = append(page.Entries, entries...)
		horizon = max(horizon, low)
	}
	page.Entries = slices.DeleteFunc(page.Entries, func(e ledger.Entry) bool { return e.Number < horizon })
	slices.SortFunc(page.Entries, func(a, b ledger.Entry) int { return cmp.Compare(b.Number, a.Number) })
	page.Next = horizon
	if len(page.Entries) > limit {
		page.Entries = page.Entries[:limit]
		page.Next = page.Entries[limit-1].Number
	}
	return page, nil
}

// named returns the destinations that have records: the one of that name, or all for "".
func (s *ledgers) named(destination string) []string {
	names := slices.Sorted(slices.Values(s.t.names()))
	if destination == "" {
		return names
	}
	return slices.DeleteFunc(names, func(name string) bool { return name != destination })
}

// writeDelay is how much later than its time an entry may be written: an entry waits while the disk is full. A clock that was
// set back is another reason to read a little more.
const writeDelay = 24 * time.Hour

// bounds returns between which numbers the entries of a filter's times are.
func bounds(filter *ledger.Filter, before uint64) (from, to uint64) {
	micro := func(at time.Time) uint64 { return uint64(max(at.UnixMicro(), 0)) }
	to = cmp.Or(before, 1<<62)
	if !filter.Since.IsZero() {
		from = micro(filter.Since.Add(-time.Hour))
	}
	if !filter.Until.IsZero() {
		to = min(to, micro(filter.Until.Add(writeDelay)))
	}
	return from, to
}

// newest returns a destination's newest entries, at most limit and one more. low is the number down to which it has read, 0
// for the end.
func (s *ledgers) newest(ctx context.Context, destination string, filter ledger.Filter, before uint64, limit int) (entries []ledger.Entry, low uint64, err error) {
	state, err := s.stateOf(ctx, destination)
	if err != nil || state.count == 0 {
		return nil, 0, err
	}
	from, to := bounds(&filter, before)
	prefix := []byte{keyLedger}
	if filter.Digest != (ledger.Digest{}) {
		prefix = ledgerIndexPrefix(filter.Digest)
	}
	scanned := 0
	err = backwards(ctx, s.t.engine, destination, prefix, max(from, state.first), min(to, state.last+1), func(number uint64, value []byte) (bool, error) {
		if len(prefix) > 1 {
			var err error
			if value, err = s.t.get(ctx, destination, recordKey(keyLedger, number)); errors.Is(err, engine.ErrNoRecord) {
				return true, nil // it was removed meanwhile
			} else if err != nil {
				return false, err
			}
		}
		scanned++
		if e, ok := s.read(destination, number, value); ok && filter.Matches(&e) {
			entries = append(entries, e)
		}
		if len(entries) > limit || scanned == maxLedgerScan {
			low = number
			return false, nil
		}
		return true, nil
	})
	return entries, low, err
}

// read decodes an entry. One that cannot be read is logged and passed over.
func (s *ledgers) read(destination string, number uint64, value []byte) (e ledger.Entry, ok bool) {
	e, err := ledger.Decode(value)
	if err != nil {
		s.log.Error("ledger entry is unreadable", zap.Uint64("id", number), zap.String("destination", destination), zap.Error(err),
			zap.String("hint", "check the disk; the other entries are there"))
		return e, false
	}
	e.Destination, e.Number = destination, number
	return e, true
}

// LedgerEntry returns the entry of a number, over all destinations; ok is false when there is none.
func (s *ledgers) LedgerEntry(ctx context.Context, number uint64) (e ledger.Entry, ok bool, err error) {
	for _, name := range s.named("") {
		value, err := s.t.get(ctx, name, recordKey(keyLedger, number))
		if errors.Is(err, engine.ErrNoRecord) {
			continue
		}
		if err != nil {
			return e, false, err
		}
		e, ok = s.read(name, number, value)
		return e, ok, nil
	}
	return e, false, nil
}

// stateOf reads the state of a ledger as it is stored.
func (s *ledgers) stateOf(ctx context.Context, destination string) (state ledgerState, err error) {
	data, err := s.t.get(ctx, destination, []byte{keyLedgerState})
	if errors.Is(err, engine.ErrNoRecord) {
		return state, nil
	}
	if err != nil {
		return state, err
	}
	return decodeLedgerState(data)
}

// ExportLedger calls visit for the entries that match, oldest first, until it returns false. "" is all destinations. It holds
// few of them in memory.
func (s *ledgers) ExportLedger(ctx context.Context, destination string, filter ledger.Filter, visit func(*ledger.Entry) bool) error {
	var parts []*ledgerPart
	from, to := bounds(&filter, 0)
	for _, name := range s.named(destination) {
		parts = append(parts, &ledgerPart{destination: name, from: from, to: to, filter: filter})
	}
	for {
		var oldest *ledgerPart
		for _, part := range parts {
			if err := part.fill(ctx, s); err != nil {
				return err
			}
			if len(part.entries) > 0 && (oldest == nil || part.entries[0].Number < oldest.entries[0].Number) {
				oldest = part
			}
		}
		if oldest == nil || !visit(&oldest.entries[0]) {
			return nil
		}
		oldest.entries = oldest.entries[1:]
	}
}

// ledgerPart are the entries of one destination that were read ahead.
type ledgerPart struct {
	destination string
	filter      ledger.Filter
	from, to    uint64 // the numbers that are still to be read
	entries     []ledger.Entry
	end         bool
}

// ledgerAhead is how many entries of each destination are read at once.
const ledgerAhead = 512

// fill reads on where nothing is left.
func (p *ledgerPart) fill(ctx context.Context, s *ledgers) error {
	for len(p.entries) == 0 && !p.end {
		p.entries, p.end = p.entries[:0], true
		scanned := 0
		err := s.t.engine.Scan(ctx, p.destination, recordKey(keyLedger, p.from), recordKey(keyLedger, p.to), func(key, value []byte) (bool, error) {
			number := numberIn(key)
			p.from = number + 1
			if e, ok := s.read(p.destination, number, value); ok && p.filter.Matches(&e) {
				p.entries = append(p.entries, e)
			}
			if scanned++; scanned == ledgerAhead {
				p.end = false
			}
			return p.end, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
