package segment

import "fmt"

// The codes of an Error and of a Rejection.
const (
	codeInvalidJSON        = "invalid_json"
	codeInvalidBatch       = "invalid_batch"
	codeTooManyCalls       = "too_many_calls"
	codeEnvelopeTooLarge   = "envelope_too_large"
	codeInvalidCall        = "invalid_call"
	codeInvalidType        = "invalid_type"
	codeInvalidUserID      = "invalid_user_id"
	codeInvalidAnonymousID = "invalid_anonymous_id"
	codeInvalidPreviousID  = "invalid_previous_id"
	codeInvalidGroupID     = "invalid_group_id"
	codeInvalidMessageID   = "invalid_message_id"
	codeMessageIDTooLong   = "message_id_too_long"
	codeMissingUserID      = "missing_user_id"
	codeMissingEvent       = "missing_event"
	codeCallTooLarge       = "call_too_large"
	codeTooDeep            = "too_deep"
	codeMissingKey         = "missing_write_key"
	codeUnknownKey         = "unknown_write_key"
)

// Codes lists every code that an Error or a Rejection can have, for metrics that must exist at zero.
var Codes = []string{
	codeInvalidJSON, codeInvalidBatch, codeTooManyCalls, codeEnvelopeTooLarge,
	codeInvalidCall, codeInvalidType,
	codeInvalidUserID, codeInvalidAnonymousID, codeInvalidPreviousID, codeInvalidGroupID, codeInvalidMessageID,
	codeMessageIDTooLong, codeMissingUserID, codeMissingEvent, codeCallTooLarge, codeTooDeep,
	codeMissingKey, codeUnknownKey,
}

// The codes of a Warning.
const (
	warningTypeMismatch        = "type_mismatch"
	warningMisspelledID        = "misspelled_id"
	warningUnreadableTimestamp = "unreadable_timestamp"
	warningLargeClockSkew      = "large_clock_skew"
	warningInvalidContext      = "invalid_context"
	warningInvalidIntegrations = "invalid_integrations"
	warningInvalidTraits       = "invalid_traits"
	warningInvalidProperties   = "invalid_properties"
	warningNotANumber          = "not_a_number"
	warningInvalidStamp        = "invalid_context_aka"
	warningDamagedBody         = "damaged_body"
)

// WarningCodes lists every code of Parse's warnings, for metrics that must exist at zero.
var WarningCodes = []string{
	warningTypeMismatch, warningMisspelledID, warningUnreadableTimestamp, warningLargeClockSkew,
	warningInvalidContext, warningInvalidIntegrations, warningInvalidTraits, warningInvalidProperties,
	warningNotANumber, warningInvalidStamp, warningDamagedBody, PreviousIDOverwritten,
}

// The sentences of the warnings, by code, where one does for all.
var warningMessages = map[string]string{
	warningTypeMismatch:        "type: not the type of the path, which counts",
	warningLargeClockSkew:      "sentAt: more than a day from the time of arrival, without a receivedAt; the timestamp was moved by as much",
	warningInvalidContext:      "context: expected an object; it is ignored",
	warningInvalidIntegrations: "integrations: expected an object; it is ignored",
	warningInvalidTraits:       "traits: expected an object; they are ignored",
	warningInvalidProperties:   "properties: expected an object; they are ignored",
	warningInvalidStamp:        "context.aka: not as aka.js writes it; what is wrong is ignored",
	PreviousIDOverwritten:      "previousId: the same as the userId, as browsers' SDKs send it; the anonymousId counts instead",
	warningNotANumber:          "body: NaN and Infinity are no JSON; they are read as null",
	warningDamagedBody:         "body: NULs or holes between the calls; the calls around them are read",
}

// The ends of the sentences that begin with a field's name.
const (
	sayUnreadable = ": expected RFC 3339, or a Unix time of the years 2000 to 2099; it is ignored"
	sayMisspelled = ": the call has this key in another spelling, which is not read"
)

// The codes of a Decision's diagnostics.
const (
	diagnosticNotASwitch          = "integration_not_a_switch" // a value for the destination that says neither yes nor no
	diagnosticNearMiss            = "integration_near_miss"    // a name that differs from the destination's in case or spaces only
	diagnosticInvalidIntegrations = "invalid_integrations"     // an integrations that is no object
)

// RouteDiagnosticCodes lists every code of Route's diagnostics, for metrics that must exist at zero.
var RouteDiagnosticCodes = []string{diagnosticNotASwitch, diagnosticNearMiss, diagnosticInvalidIntegrations}

// ErrNotAdmitted is the error about a body whose write key Options.Admit has refused. No SDK sees it, so its code is
// not among Codes.
var ErrNotAdmitted = &Error{"not_admitted", "writeKey: not admitted"}

var (
	errInvalidBatch  = &Error{codeInvalidBatch, "body: expected an object with an array `batch`"}
	errInvalidCall   = &Error{codeInvalidCall, "call: expected an object"}
	errInvalidType   = &Error{codeInvalidType, "type: expected one of alias, identify, track, page, screen, group"}
	errMissingUserID = &Error{codeMissingUserID, "userId: expected a userId or an anonymousId"}
	errMisspelledID  = &Error{codeMissingUserID, "userId: expected a userId or an anonymousId, spelled so; a key such as user_id is not read"}
	errMissingKey    = &Error{codeMissingKey, "writeKey: expected one, in the call, in its batch or in the request"}
	errUnknownKey    = &Error{codeUnknownKey, "writeKey: not that of any source"}
	errMissingEvent  = &Error{codeMissingEvent, "event: expected the name of the event, a string that is not empty"}
)

func errInvalidJSON(wrong string) *Error {
	return &Error{codeInvalidJSON, "body: " + wrong}
}

func errTooManyCalls(limit int) *Error {
	return &Error{codeTooManyCalls, fmt.Sprintf("batch: expected at most %d calls", limit)}
}

func errEnvelopeTooLarge() *Error {
	return &Error{codeEnvelopeTooLarge, fmt.Sprintf("context: expected context and integrations of the batch to add at most the body's size and %d bytes over all of its calls", freeMergedBytes)}
}

func errCallTooLarge(limit int) *Error {
	return &Error{codeCallTooLarge, fmt.Sprintf("call: expected at most %d bytes", limit)}
}

func errHeaderTooLarge() *Error {
	return &Error{codeCallTooLarge, fmt.Sprintf("call: expected ids and integrations of at most %d bytes together", maxHeaderBytes)}
}

func errTooDeep(limit int) *Error {
	return &Error{codeTooDeep, fmt.Sprintf("call: expected at most %d levels of nesting", limit)}
}

func errMessageIDTooLong(limit int) *Error {
	return &Error{codeMessageIDTooLong, fmt.Sprintf("messageId: expected at most %d bytes", limit)}
}

func errInvalidID(code, field, wrong string) *Error {
	return &Error{code, field + ": " + wrong}
}
