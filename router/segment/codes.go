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
)

// Codes lists every code that an Error or a Rejection can have, for metrics that must exist at zero.
var Codes = []string{
	codeInvalidJSON, codeInvalidBatch, codeTooManyCalls, codeEnvelopeTooLarge,
	codeInvalidCall, codeInvalidType,
	codeInvalidUserID, codeInvalidAnonymousID, codeInvalidPreviousID, codeInvalidGroupID, codeInvalidMessageID,
	codeMessageIDTooLong, codeMissingUserID, codeMissingEvent, codeCallTooLarge, codeTooDeep,
}

// The codes of a Diagnostic of Parse.
const (
	diagnosticTypeMismatch        = "type_mismatch"        // the body's type is not the path's
	diagnosticInvalidTimestamp    = "invalid_timestamp"    // a time that is not RFC 3339
	diagnosticInvalidContext      = "invalid_context"      // a context that is no object
	diagnosticInvalidIntegrations = "invalid_integrations" // an integrations that is no object
	diagnosticNotANumber          = "not_a_number"         // a bare NaN or Infinity, read as null
)

// DiagnosticCodes lists every code of Parse's diagnostics, for metrics that must exist at zero.
var DiagnosticCodes = []string{
	diagnosticTypeMismatch, diagnosticInvalidTimestamp, diagnosticInvalidContext, diagnosticInvalidIntegrations,
	diagnosticNotANumber,
}

// The codes of a Decision's diagnostics.
const (
	diagnosticNotASwitch = "integration_not_a_switch" // a value for the destination that says neither yes nor no
	diagnosticNearMiss   = "integration_near_miss"    // a name that differs from the destination's in case or spaces only
)

// RouteDiagnosticCodes lists every code of Route's diagnostics, for metrics that must exist at zero.
var RouteDiagnosticCodes = []string{diagnosticNotASwitch, diagnosticNearMiss, diagnosticInvalidIntegrations}

// ErrNotAdmitted is the error about a body whose write key Options.Admit has refused. Nobody else meets it, so its code is
// not among Codes.
var ErrNotAdmitted = &Error{"not_admitted", "writeKey: not admitted"}

var (
	errInvalidBatch  = &Error{codeInvalidBatch, "body: expected an object with an array `batch`"}
	errInvalidCall   = &Error{codeInvalidCall, "call: expected an object"}
	errInvalidType   = &Error{codeInvalidType, "type: expected one of alias, identify, track, page, screen, group"}
	errMissingUserID = &Error{codeMissingUserID, "userId: expected a userId or an anonymousId"}
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
