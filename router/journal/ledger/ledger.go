// Package ledger defines the entries of the merge ledger: one for each merge that a destination sent, held, dropped or refused,
// and how entries are chosen. An entry has digests of ids, and no id.
package ledger

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"aka/router/journal/frame"
	"aka/router/segment"
)

// Verdict is what became of a merge.
type Verdict uint8

// The verdicts. Their numbers are stored: add new ones at the end.
const (
	// Sent is a merge that was delivered, and that no rule has asked about.
	Sent Verdict = iota + 1
	// Observed was delivered, and a rule noted it.
	Observed
	// Held waits for the operator's decision.
	Held
	// Dropped was not sent: a rule, or the vendor's own limits, forbid it.
	Dropped
	// Approved was held, and may be sent.
	Approved
	// Refused was held and is not sent, or the vendor refused it.
	Refused
	// Expired was held, and got its default verdict because no decision came in time, or there were too many.
	Expired
	// Imported was merged before aka, as the operator says.
	Imported
)

var verdictNames = [...]string{Sent: "sent", Observed: "observed", Held: "held", Dropped: "dropped", Approved: "approved", Refused: "refused", Expired: "expired", Imported: "imported"}

// String returns the verdict's name; "" for none.
func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return ""
}

// Verdicts returns the names of all verdicts.
func Verdicts() []string { return verdictNames[1:] }

// ParseVerdict returns the verdict of a name.
func ParseVerdict(name string) (v Verdict, ok bool) {
	for i, known := range verdictNames {
		if i > 0 && known == name {
			return Verdict(i), true
		}
	}
	return 0, false
}

// MarshalText implements encoding.TextMarshaler.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *Verdict) UnmarshalText(text []byte) error {
	known, ok := ParseVerdict(string(text))
	if !ok {
		return fmt.Errorf("verdict: %q is not known", text)
	}
	*v = known
	return nil
}

// Decider is who decided about a merge.
type Decider uint8

// The deciders. Their numbers are stored: add new ones at the end.
const (
	// ByNone is for a merge about which nothing had to be decided.
	ByNone Decider = iota
	// ByVendor is the vendor, by its answer or by its own rules, which aka knows.
	ByVendor
	// ByRule is a rule of the config.
	ByRule
	// ByOperator is an operator, through the API, the command line or the page.
	ByOperator
	// ByAutoApproval is an approval that an operator gave in advance.
	ByAutoApproval
	// ByDefault is the config's default verdict, after the time for a decision was up.
	ByDefault
	// ByAutoRefusal is a refusal that an operator gave in advance.
	ByAutoRefusal
)

var deciderNames = [...]string{ByNone: "", ByVendor: "vendor", ByRule: "rule", ByOperator: "operator", ByAutoApproval: "auto_approval", ByDefault: "default", ByAutoRefusal: "auto_refusal"}

// String returns the decider's name; "" for none.
func (d Decider) String() string {
	if int(d) < len(deciderNames) {
		return deciderNames[d]
	}
	return ""
}

// MarshalText implements encoding.TextMarshaler.
func (d Decider) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Decider) UnmarshalText(text []byte) error {
	for i, known := range deciderNames {
		if known == string(text) {
			*d = Decider(i)
			return nil
		}
	}
	return fmt.Errorf("decider: %q is not known", text)
}

// Digest is an id's keyed hash. The ledger has no id itself.
type Digest [16]byte

// MarshalText implements encoding.TextMarshaler: hex digits.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(d)) {
		return errors.New("digest: expected 32 hex digits")
	}
	_, err := hex.Decode(d[:], text)
	return err
}

// String returns the hex digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Entry is what the ledger keeps of one merge.
type Entry struct {
	// Number is the entry's place in the ledger, over all destinations: later entries have higher numbers. It is about the time
	// of the write, in microseconds since 1970. 0 until it is stored.
	Number      uint64 `json:"number"`
	Destination string `json:"destination"`
	// Time is when the merge was delivered, or decided about.
	Time time.Time `json:"time"`
	// Source, MessageID and Type are the call's. Long texts are cut: see MaxMessageID.
	Source    string       `json:"source,omitempty"`
	MessageID string       `json:"message_id,omitempty"`
	Type      segment.Type `json:"-"`
	// Verdict is what became of it, Rule the rule that fired, "" for none, and By who decided.
	Verdict Verdict `json:"verdict"`
	Rule    string  `json:"rule,omitempty"`
	By      Decider `json:"by,omitzero"`
	// Reason is one of the closed set of reasons, "" for none.
	Reason string `json:"reason,omitempty"`
	// MayBeSent tells that a merge that was dropped or refused may be at the vendor all the same: an earlier try had no answer, or was
	// under way in a crash.
	MayBeSent bool `json:"may_be_sent,omitempty"`
	// Dry tells that the destination was dry: nothing was sent, whatever the verdict.
	Dry bool `json:"dry,omitempty"`
	// Status is the vendor's HTTP status; 0 where it was not asked, or did not answer.
	Status int `json:"status,omitempty"`
	// FromIDs and ToIDs are how many ids the two people had before, and IDs how many the one has after; 0 is not known.
	FromIDs uint32 `json:"from_ids,omitempty"`
	ToIDs   uint32 `json:"to_ids,omitempty"`
	IDs     uint32 `json:"ids,omitempty"`
	// From and To are digests of the id that was merged, and of the one that it was merged into.
	From Digest `json:"from"`
	To   Digest `json:"to"`
	// Position is the call's place in the log. Two entries of one position are one call that a crash had repeated, or two
	// steps of one call: held, and then approved.
	Position frame.Position `json:"-"`
}

// The longest texts of an entry, in bytes.
const (
	MaxMessageID = 256
	maxText      = 128
)

// Filter chooses entries. A zero value is any.
type Filter struct {
	// Digest is one of the two ids.
	Digest  Digest
	Rule    string
	Verdict Verdict
	Source  string
	// Since is the earliest time, Until the first time that is too late.
	Since, Until time.Time
}

// Matches reports whether an entry is one of those.
func (f *Filter) Matches(e *Entry) bool {
	return (f.Digest == Digest{} || f.Digest == e.From || f.Digest == e.To) &&
		(f.Rule == "" || f.Rule == e.Rule) && (f.Verdict == 0 || f.Verdict == e.Verdict) && (f.Source == "" || f.Source == e.Source) &&
		!e.Time.Before(f.Since) && (f.Until.IsZero() || e.Time.Before(f.Until))
}

// Page is some entries, newest first.
type Page struct {
	Entries []Entry
	// Next is the number before which the next page begins; 0 when there is none. A page may hold fewer than the limit, or none,
	// and have a next one all the same: one request reads only so many.
	Next uint64
}
