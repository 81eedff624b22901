// Package quarantine defines what is said of aliases that a merge rule holds, and how they are chosen.
package quarantine

import (
	"errors"
	"slices"
	"time"

	"aka/router/journal/ledger"
)

// ErrNotHeld means that there is no held alias of an id: it may have been decided about.
var ErrNotHeld = errors.New("no such held alias")

// Filter chooses held aliases. A zero value is any.
type Filter struct {
	Destination, Rule, Source string
	IDs                       []uint64
	// Until is the latest time at which one was held.
	Until time.Time
}

// IsAny reports whether the filter chooses every held alias.
func (f *Filter) IsAny() bool {
	return f.Destination == "" && f.Rule == "" && f.Source == "" && len(f.IDs) == 0 && f.Until.IsZero()
}

// Matches reports whether a held alias is one of those.
func (f *Filter) Matches(h *Held) bool {
	return (f.Destination == "" || f.Destination == h.Destination) && (f.Rule == "" || f.Rule == h.Rule) && (f.Source == "" || f.Source == h.Source) &&
		(len(f.IDs) == 0 || slices.Contains(f.IDs, h.ID)) && (f.Until.IsZero() || !h.HeldAt.After(f.Until))
}

// MaxDecided is about how many held aliases one request decides about: it must end in time on a slow disk, too.
const MaxDecided = 2048

// Decided is what a decision about held aliases came to.
type Decided struct {
	// Count is how many were decided about, Left how many match and were not: they are beyond the limit, or are being read back.
	Count, Left int
}

// Held is an alias that waits for a decision, with what speaks for and against it.
type Held struct {
	// ID names it, over all destinations.
	ID          uint64 `json:"id"`
	Destination string `json:"destination"`
	Rule        string `json:"rule"`
	Source      string `json:"source"`
	Type        string `json:"type"`
	MessageID   string `json:"message_id"`
	// HeldAt is since when it is held, VerdictAt when it gets its default verdict.
	HeldAt    time.Time `json:"held_at"`
	VerdictAt time.Time `json:"verdict_at"`
	// Waiting is how many calls of the two people wait behind it.
	Waiting uint64 `json:"waiting"`
	// From is the person whose id would be merged, To the one into which it would be.
	From Person `json:"from"`
	To   Person `json:"to"`
	// AlikeLastHour is how many aliases the same rule held of the same source in the last hour.
	AlikeLastHour uint64 `json:"alike_last_hour"`
	// Partial means that the memory has forgotten merges, so that the people may be larger.
	Partial bool `json:"partial,omitempty"`
}

// Person is what is known of one of the two people.
type Person struct {
	// Digest is that of the alias's id.
	Digest ledger.Digest `json:"digest"`
	// IDs is how many ids the person has; 0 is not known.
	IDs uint32 `json:"ids,omitempty"`
	// UserSince is when one of its ids was first named as a user, and UserSource by which source; zero where it is no user.
	UserSince  time.Time `json:"user_since,omitzero"`
	UserSource string    `json:"user_source,omitempty"`
}

// Count is how many aliases a rule holds of one source at one destination.
type Count struct {
	Destination string `json:"destination"`
	Rule        string `json:"rule"`
	Source      string `json:"source"`
	Count       uint64 `json:"count"`
	// Oldest is since when the first of them is held.
	Oldest time.Time `json:"oldest"`
}
