// Package quarantinetest has held aliases in memory, for tests of what shows them.
package quarantinetest

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"aka/router/journal/ledger"
	"aka/router/quarantine"
)

// Stub holds aliases in memory. It is safe for concurrent use.
type Stub struct {
	mu sync.Mutex
	// Aliases are those that are held.
	Aliases []quarantine.Held
	// AtOnce is how many one request decides about; 0 is all.
	AtOnce int
	// Approved and Refused are the ids of those that were decided about.
	Approved, Refused []uint64
	// Pairs are the imported ones, after their destination.
	Pairs []string
	// ahead are the automatic decisions.
	ahead []ledger.AutoDecision
	// ErrNoAutoDecision is what RemoveAutoDecision returns when there is none.
	ErrNoAutoDecision error
}

// Held returns those that match, oldest first, up to the limit.
func (s *Stub) Held(_ context.Context, f quarantine.Filter, limit int) (held []quarantine.Held, more bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.Aliases {
		if f.Matches(&s.Aliases[i]) {
			held = append(held, s.Aliases[i])
		}
	}
	more = len(held) > limit
	return held[:min(len(held), limit)], more, nil
}

// HeldSummary counts them.
func (s *Stub) HeldSummary(context.Context) (counts []quarantine.Count, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.Aliases {
		i := slices.IndexFunc(counts, func(c quarantine.Count) bool {
			return c.Destination == h.Destination && c.Rule == h.Rule && c.Source == h.Source
		})
		if i < 0 {
			counts = append(counts, quarantine.Count{Destination: h.Destination, Rule: h.Rule, Source: h.Source, Oldest: h.HeldAt})
			i = len(counts) - 1
		}
		counts[i].Count++
	}
	slices.SortStableFunc(counts, func(a, b quarantine.Count) int { return cmp.Compare(a.Destination, b.Destination) })
	return counts, nil
}

// ApproveHeld decides about those that match, up to AtOnce.
func (s *Stub) ApproveHeld(_ context.Context, f quarantine.Filter) (quarantine.Decided, error) {
	return s.decide(f, &s.Approved), nil
}

// RefuseHeld decides about those that match, up to AtOnce.
func (s *Stub) RefuseHeld(_ context.Context, f quarantine.Filter) (quarantine.Decided, error) {
	return s.decide(f, &s.Refused), nil
}

func (s *Stub) decide(f quarantine.Filter, into *[]uint64) (done quarantine.Decided) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Aliases = slices.DeleteFunc(s.Aliases, func(h quarantine.Held) bool {
		if !f.Matches(&h) {
			return false
		}
		if s.AtOnce > 0 && done.Count == s.AtOnce {
			done.Left++
			return false
		}
		*into = append(*into, h.ID)
		done.Count++
		return true
	})
	return done
}

// AddAutoDecision keeps an automatic decision.
func (s *Stub) AddAutoDecision(_ context.Context, a ledger.AutoDecision) ([]ledger.AutoDecision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.Number = uint64(len(s.ahead) + 1)
	a.Destination = cmp.Or(a.Destination, "vero")
	a.Made = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s.ahead = append(s.ahead, a)
	return []ledger.AutoDecision{a}, nil
}

// AutoDecisions returns the automatic decisions.
func (s *Stub) AutoDecisions(context.Context) ([]ledger.AutoDecision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ahead), nil
}

// RemoveAutoDecision removes one.
func (s *Stub) RemoveAutoDecision(_ context.Context, destination string, number uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.ahead)
	s.ahead = slices.DeleteFunc(s.ahead, func(a ledger.AutoDecision) bool { return a.Destination == destination && a.Number == number })
	if len(s.ahead) == before {
		return s.ErrNoAutoDecision
	}
	return nil
}

// ImportMerges takes the pairs.
func (s *Stub) ImportMerges(_ context.Context, destination string, next func() (from, to string, ok bool, err error)) (n int, err error) {
	for {
		from, to, ok, err := next()
		if err != nil || !ok {
			return n, err
		}
		n++
		s.mu.Lock()
		if n <= 1000 {
			s.Pairs = append(s.Pairs, destination+" "+from+">"+to)
		}
		s.mu.Unlock()
	}
}

// Start is when the first alias of Some was held.
var Start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Some returns a stub that holds aliases: 1 and 2 are alike, 3 is of another rule, 4 of another destination.
func Some() *Stub {
	s := &Stub{}
	for i, what := range [...][3]string{{"vero", "known_users", "website"}, {"vero", "known_users", "website"}, {"vero", "max_ids", "app"}, {"mixpanel", "known_users", "app"}} {
		at := Start.Add(time.Duration(i) * time.Hour)
		s.Aliases = append(s.Aliases, quarantine.Held{
			ID: uint64(i + 1), Destination: what[0], Rule: what[1], Source: what[2], Type: "alias", MessageID: "m" + string(rune('1'+i)), HeldAt: at, VerdictAt: at.Add(24 * time.Hour),
			Waiting: 7, AlikeLastHour: 2, From: quarantine.Person{Digest: ledger.Digest{1}, IDs: 1}, To: quarantine.Person{Digest: ledger.Digest{2}, IDs: 3, UserSince: Start.Add(-time.Hour), UserSource: "app"},
		})
	}
	return s
}
