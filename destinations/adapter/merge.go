package adapter

import "aka/router/segment"

// Merger is implemented by an adapter whose vendor makes ids one: it says which, so that a destination with
// `remember_merges` can know what was delivered there before. An alias that would change nothing, or that the vendor would
// throw away without saying so, is dropped then with a reason when its turn comes: AlreadyMerged, AliasTaken, WouldCycle or
// ClusterFull. No other call is dropped for it.
//
// The memory holds what was delivered, and nothing else: what was merged before it was switched on, by somebody else, or
// by a call that ended as a dead letter halfway, is not known, and an alias goes out as it does without a memory.
type Merger interface {
	// Merges returns what the vendor makes of the call's ids once all its requests were taken; ok is false when that
	// changes nothing for a later alias. It is asked for any call, not only an alias, that Translate has made requests
	// of, and held to the same: no I/O, no state, the call is not modified. If a call that is no alias merges, the requests that do
	// it have Request.Merges, so that the others can go alone; or the merge is FirstUserOnly.
	Merges(*segment.Call) (m Merge, ok bool)
	// Account tells one account of the vendor from another by the settings: what was merged in one is not in another. Name
	// the endpoint, the project and the mode, each in quotes. Leave out what an operator rotates, as a token or a password: a
	// new one is not another account. Only a digest of it is kept.
	Account() string
}

// Merge is what one call does to two ids at a vendor.
type Merge struct {
	Rule MergeRule
	// From is the id that is merged or renamed, To the one that it is merged into: an alias's previousId and userId. Both
	// are as the vendor gets them. Only a digest of them is kept.
	From, To string
	// Limit, where it is not 0, is the number of ids at which the vendor refuses to make one person of so many. Up to
	// MaxMergeLimit: it is for limits that are small.
	Limit int
	// FirstUserOnly says that the vendor gives From, a device, to its first user only, and ignores the merge for another one. A call
	// that is no alias then goes as it is, whatever the rules of `merges` say, and needs no Request.Merges.
	FirstUserOnly bool
}

// MaxMergeLimit is the largest Limit of a Merge.
const MaxMergeLimit = 10_000

// MergeRule is what a vendor makes of two ids, and which merges it refuses.
type MergeRule uint8

const (
	// MergeJoins makes the two ids one person's, whatever else is joined with either. The order does not matter, and a
	// repetition changes nothing.
	MergeJoins MergeRule = iota + 1
	// MergeGivesFrom is MergeJoins that gives From to one To only: it is refused for another.
	MergeGivesFrom
	// MergeGivesTo is MergeJoins that gives To to one From only: it is refused for another.
	MergeGivesTo
	// MergeLinks gives From, a device, to its first To, as MergeGivesFrom does. The vendor takes a later link to another for an
	// event: it is sent, and merges nothing.
	MergeLinks
	// MergeNames makes To another name for the person that From leads to. To leads to one id only, and names must not lead in a circle.
	MergeNames
	// MergeRenames leaves no person under From: the vendor knows that person as To.
	MergeRenames
	// MergeUses merges nothing: somebody is known as To from then on, where MergeRenames or MergeAbsorbs may have freed the id. It is
	// remembered only after such a merge.
	MergeUses
	// MergeUsesDevice is a MergeUses that is always remembered: To may be a device's id, and a later alias of it may ask by a
	// Condition whether it was a userId.
	MergeUsesDevice
	// MergeAbsorbs makes From's person a part of To's, and leaves none under From, as MergeRenames does. To may be in use, so that no
	// such merge is refused but one that finds no person under From.
	MergeAbsorbs
	// MergeGivesUnkept is MergeJoins that gives From away only where no merge was made with it: it is refused where From, or an id of the
	// same person, was a From or a To before. A repetition changes nothing.
	MergeGivesUnkept
)

// IsUse reports whether the rule merges nothing, and has no From.
func (r MergeRule) IsUse() bool { return r == MergeUses || r == MergeUsesDevice }

// FreesFrom reports whether the rule leaves no person under From.
func (r MergeRule) FreesFrom() bool { return r == MergeRenames || r == MergeAbsorbs }

// MergeOf asks an adapter what a call merges. One that is no Merger merges nothing, nor does one that panics or names a limit
// that is out of bounds.
func MergeOf(a Adapter, call *segment.Call) (m Merge, ok bool) {
	merger, is := a.(Merger)
	if !is {
		return Merge{}, false
	}
	defer func() {
		if recover() != nil {
			m, ok = Merge{}, false
		}
	}()
	m, ok = merger.Merges(call)
	return m, ok && m.Limit >= 0 && m.Limit <= MaxMergeLimit
}
