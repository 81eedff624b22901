package adapter

import (
	"slices"
	"strings"
)

// Reason says why a destination got nothing of a call, why a call was given up on, or why one that was answered is tried again.
// The words are a closed set, the same in metrics, logs, explain and the dead letters.
type Reason string

// The reasons for which a call is dropped: nothing was to be sent, and that is a success.
const (
	// The guard, before every call.
	MissingUserID     Reason = "missing_user_id"     // an alias without userId
	MissingPreviousID Reason = "missing_previous_id" // an alias without previousId, from and anonymousId
	SameIDs           Reason = "same_ids"            // an alias of an id to itself
	BlockedID         Reason = "blocked_id"          // a placeholder that many people share, such as "null"
	IDTooLong         Reason = "id_too_long"         // an id over 255 bytes, or over the vendor's limit: cutting it would merge strangers

	// Routing.
	FilteredByIntegrations Reason = "filtered_by_integrations" // the call's `integrations` switch the destination off
	FilteredBySource       Reason = "filtered_by_source"       // the source's `destinations` do not list it
	FilteredByDestination  Reason = "filtered_by_destination"  // the destination's `filter` leaves the call out

	// Forwarding to another aka, or to what speaks Segment's API.
	ForwardingLoop Reason = "forwarding_loop" // the call was here before, or went through too many others

	// The order of a device's calls.
	ReversedInBrowser Reason = "reversed_in_browser" // an alias whose ids a browser's SDK has swapped

	// Vendors.
	AliasUnsupported      Reason = "alias_unsupported_by_simplified_id_merge" // Mixpanel cannot merge two users in this mode
	PreviousIDNotUUID     Reason = "previous_id_not_uuid_v4"                  // Mixpanel's $identify takes only UUIDv4 anonymous ids
	PreviousIDIsAnonymous Reason = "previous_id_is_anonymous"                 // the vendor has no person under the anonymous id, as far as is known
	AnonymousNotSupported Reason = "anonymous_not_supported"                  // the call has no userId, and the vendor or a setting needs one
	PageEventsOff         Reason = "page_events_off"                          // the page_events setting leaves this page out
	GroupsOff             Reason = "groups_off"                               // the settings send no groups
	GroupKeyMissing       Reason = "group_key_missing"                        // the call has no value for any configured group key
	PeopleOff             Reason = "people_off"                               // the people setting is false
	NothingToSend         Reason = "nothing_to_send"                          // the call holds nothing this vendor takes
	Other                 Reason = "other"                                    // what the outcome's Note says

	// The vendor's answer, after the call was sent. See Dropped.
	Declined            Reason = "declined"               // it did nothing with the call
	UserUnknown         Reason = "user_unknown"           // it has no person under the call's id
	PreviousIDUnknown   Reason = "previous_id_unknown"    // it has no person under an alias's previousId
	UsersCannotBeMerged Reason = "users_cannot_be_merged" // it has a person under each id of an alias, and does not merge them

	// The memory of merges, where remember_merges is on. See Merger.
	AlreadyMerged Reason = "already_merged" // the same merge was delivered before
	AliasTaken    Reason = "alias_taken"    // the id was given to somebody else, and the vendor gives it once
	WouldCycle    Reason = "would_cycle"    // the names would lead in a circle
	ClusterFull   Reason = "cluster_full"   // the vendor makes no person of so many ids

	// The rules of `merges` in the config, and the decisions on aliases that they hold.
	MergeKnownUsers          Reason = "merge_known_users"            // both ids are users that are known here
	MergeDeviceOfAnotherUser Reason = "merge_device_of_another_user" // the device was given to another user
	MergeDirection           Reason = "merge_direction"              // a device would be the id that a user keeps
	MergeTooManyIDs          Reason = "merge_too_many_ids"           // the person would have more ids than max_ids
	MergeBlockedPattern      Reason = "merge_blocked_pattern"        // one of the ids matches blocked_ids
	MergeRefused             Reason = "merge_refused"                // an operator refused the held alias
	MergeExpired             Reason = "merge_expired"                // the held alias got its default verdict, refuse
)

// AnswerReasons lists the reasons that are a vendor's answer.
var AnswerReasons = []Reason{Declined, UserUnknown, PreviousIDUnknown, UsersCannotBeMerged}

// MergeReasons lists the reasons of the rules of merges, and of the decisions on aliases that they hold.
var MergeReasons = []Reason{
	MergeKnownUsers, MergeDeviceOfAnotherUser, MergeDirection, MergeTooManyIDs, MergeBlockedPattern, MergeRefused, MergeExpired,
}

// DropReasons lists every reason of a dropped call, for metrics that must exist at zero.
var DropReasons = slices.Concat([]Reason{
	MissingUserID, MissingPreviousID, SameIDs, BlockedID, IDTooLong,
	FilteredByIntegrations, FilteredBySource, FilteredByDestination, ForwardingLoop, ReversedInBrowser,
	AliasUnsupported, PreviousIDNotUUID, PreviousIDIsAnonymous, AnonymousNotSupported,
	PageEventsOff, GroupsOff, GroupKeyMissing, PeopleOff, NothingToSend, Other,
}, AnswerReasons, []Reason{AlreadyMerged, AliasTaken, WouldCycle, ClusterFull}, MergeReasons)

// IsKept reports whether a call that is dropped for the reason is kept unless the config says otherwise: a setting may have
// caused the drop, and with another setting the call may be sent.
func (r Reason) IsKept() bool {
	return r == BlockedID || strings.HasPrefix(string(r), "alias_") || strings.HasPrefix(string(r), "merge_")
}

// Words returns the reasons as plain words.
func Words(reasons []Reason) []string {
	words := make([]string, len(reasons))
	for i, r := range reasons {
		words[i] = string(r)
	}
	return words
}

// KeptDrops returns the reasons of the drops that are kept unless the config says otherwise.
func KeptDrops() []Reason {
	return slices.DeleteFunc(slices.Clone(DropReasons), func(r Reason) bool { return !r.IsKept() })
}

// The reasons for which a call is given up on and kept as a dead letter.
const (
	Refused     Reason = "refused"      // the vendor's answer says that this call can never be taken
	Rejected    Reason = "rejected"     // the adapter could not translate it
	TooLarge    Reason = "too_large"    // the vendor refuses it as too large, alone
	TooOld      Reason = "too_old"      // it waited longer than max_backlog_age
	Expired     Reason = "expired"      // it was retried for longer than retry.max_age
	MaxAttempts Reason = "max_attempts" // it failed retry.max_attempts times
	Undecodable Reason = "undecodable"  // its JSON in the journal cannot be read back
)

// DeadReasons lists every reason of a dead letter.
var DeadReasons = []Reason{Refused, Rejected, TooLarge, TooOld, Expired, MaxAttempts, Undecodable}

// The reasons, beside the status, for which an answered call is tried again.
const (
	NotTheVendor Reason = "not_the_vendor" // the answer is a success, and not the vendor's
	Gone         Reason = "gone"           // the receiver asks to stop
)

// RetryReasons lists every reason of a call that is tried again.
var RetryReasons = []Reason{NotTheVendor, Gone}

// Explain returns one sentence without a full stop: what the reason means, and what to do where something can be done. It
// is "" for a word that is no reason.
func (r Reason) Explain() string { return explanations[r] }

var explanations = map[Reason]string{
	MissingUserID:     "an alias needs a userId, the id to merge into: send one",
	MissingPreviousID: "an alias needs a previousId, or else an anonymousId, the id that is merged: send one",
	SameIDs:           "the alias joins an id with itself, which changes nothing",
	BlockedID:         `one of the ids is a placeholder that many people share, such as "null" or 0, and merging with it would join strangers: send a real one`,
	IDTooLong:         "one of the ids is longer than 255 bytes, or than the vendor takes, and cutting it could join strangers: send a shorter one",

	FilteredByIntegrations: "the call's own `integrations` switch this destination off",
	FilteredBySource:       "the source's `destinations` in the config do not list this one",
	FilteredByDestination:  "the destination's `filter` in the config leaves the call out",

	ForwardingLoop: "the call was forwarded here by the upstream that it would go to, or passed 8 others before: see what sends the calls back, and take away that source or destination",

	ReversedInBrowser: "the browser's SDK has swapped the ids: the device identified itself as the previousId after the alias; load aka.js in the page",

	AliasUnsupported:      "Mixpanel cannot merge two users in a project with simplified id merge: send one userId per person; for a device, see the setting link_on_alias",
	PreviousIDNotUUID:     "Mixpanel's $identify takes only anonymous ids that are a UUIDv4: the setting alias_strategy: auto sends the others as $create_alias",
	PreviousIDIsAnonymous: "the previousId is an anonymous id, and there is nothing to merge: no call with it as its userId is known to have reached Vero, or anonymous_merge is false at Customer.io",
	AnonymousNotSupported: "the call has no userId, and this vendor takes such a call from known people only, or the settings leave it out",
	PageEventsOff:         "the setting page_events leaves this page or screen out",
	GroupsOff:             "the settings send no groups: name the project's own group_keys at Mixpanel, or set groups at Customer.io",
	GroupKeyMissing:       "the call has no value for any of the group_keys in the settings: send it as a trait of that name",
	PeopleOff:             "the setting people is off, so that no profiles are sent",
	NothingToSend:         "the call holds nothing that this vendor takes",
	Other:                 "the destination's settings leave it out, for what their note says",

	Declined:            "the vendor's answer says that it did nothing with the call",
	UserUnknown:         "the vendor has no person under the call's id, and makes none of such a call: send an identify first",
	PreviousIDUnknown:   "the vendor has no person under the alias's previousId, so that there is nothing to merge or rename",
	UsersCannotBeMerged: "the vendor has a person under each of the alias's ids, and does not merge two: do so by hand, where it can be done",

	AlreadyMerged: "the same merge was delivered here before, and again it would change nothing",
	AliasTaken:    "the id has a part in an alias or identify that was delivered before, and this vendor gives an id once only: send an id that is new",
	WouldCycle:    "the new id leads back to the previous one by an alias that was delivered before, and is in use: send an id that is new",
	ClusterFull:   "the two ids and those merged with them are more than this vendor makes one person of: see what merges so many",

	MergeKnownUsers:          "both ids are users that are known here, and a merge cannot be undone: see the rule known_users in `merges`",
	MergeDeviceOfAnotherUser: "the device was given to another user before, and would join the two users: see the rule device_of_another_user in `merges`",
	MergeDirection:           "the userId is a device's id, and would become the name of a user: swap the two ids of the alias, or see the rule direction in `merges`",
	MergeTooManyIDs:          "the person would have more ids than max_ids allows within max_ids_per: see what merges so many, or raise max_ids in `merges`",
	MergeBlockedPattern:      "one of the ids matches a pattern of blocked_ids in `merges`: send another id, or change the pattern",
	MergeRefused:             "a rule of `merges` held the alias, and an operator refused it",
	MergeExpired:             "a rule of `merges` held the alias, and it was not approved in time: see merges.quarantine",

	Refused:     "the vendor's answer says that it will never take this call: correct what the answer names, then replay or discard it",
	Rejected:    "the call cannot be translated for this vendor: correct what the error names",
	TooLarge:    "the vendor refuses this call as too large, even alone: send smaller ones",
	TooOld:      "the call waited longer than max_backlog_age: see why this destination is behind, then replay or discard it",
	Expired:     "the call was retried for longer than retry.max_age: see what the vendor answered last, then replay or discard it",
	MaxAttempts: "the call failed retry.max_attempts times: see what the vendor answered last, then replay or discard it",
	Undecodable: "the call's JSON in the journal cannot be read back: send the call again, and discard this one",

	NotTheVendor: "the answer is not the vendor's but, for example, the web page of a firewall or a login; the call is retried: check the endpoint in the settings, and the network",
	Gone:         "the receiver answered 410, which asks to stop; calls wait: set the url of a receiver that accepts them, or remove the destination",
}
