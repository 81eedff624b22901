package adapter

// Reason says why a destination got nothing of a call, or why a call was given up on. The words are a closed set, the
// same in metrics, logs, explain and the dead letters.
type Reason string

// The reasons for which a call is dropped: nothing was to be sent, and that is a success.
const (
	// The guard, before every call.
	MissingUserID     Reason = "missing_user_id"     // an alias without userId
	MissingPreviousID Reason = "missing_previous_id" // an alias without previousId, from and anonymousId
	SameIDs           Reason = "same_ids"            // an alias of an id to itself
	BlockedID         Reason = "blocked_id"          // an id that stands for nobody, such as "null"
	IDTooLong         Reason = "id_too_long"         // an id over 255 bytes: cutting it would merge strangers

	// Routing.
	FilteredByIntegrations Reason = "filtered_by_integrations" // the call's `integrations` switch the destination off
	FilteredBySource       Reason = "filtered_by_source"       // the source's `destinations` do not list it

	// Vendors.
	AliasUnsupported      Reason = "alias_unsupported_by_simplified_id_merge" // Mixpanel cannot merge two users in this mode
	PreviousIDNotUUID     Reason = "previous_id_not_uuid_v4"                  // Mixpanel's $identify takes only UUIDv4 anonymous ids
	PreviousIDIsAnonymous Reason = "previous_id_is_anonymous"                 // Vero never knew the anonymous id
	AnonymousNotSupported Reason = "anonymous_not_supported"                  // the vendor knows only people with a userId
	PageEventsOff         Reason = "page_events_off"                          // the page_events setting leaves this page out
	GroupsOff             Reason = "groups_off"                               // no group_keys are configured
	GroupKeyMissing       Reason = "group_key_missing"                        // the call has no value for any configured group key
	PeopleOff             Reason = "people_off"                               // the people setting is false
	NothingToSend         Reason = "nothing_to_send"                          // the call holds nothing this vendor takes
)

// DropReasons lists every reason of a dropped call, for metrics that must exist at zero.
var DropReasons = []Reason{
	MissingUserID, MissingPreviousID, SameIDs, BlockedID, IDTooLong,
	FilteredByIntegrations, FilteredBySource,
	AliasUnsupported, PreviousIDNotUUID, PreviousIDIsAnonymous, AnonymousNotSupported,
	PageEventsOff, GroupsOff, GroupKeyMissing, PeopleOff, NothingToSend,
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
