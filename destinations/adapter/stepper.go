package adapter

import (
	"errors"
	"slices"

	"aka/router/segment"
)

// Stepper is implemented by an adapter of which some calls need an answer before the next request can be made: find, then write. Such
// a call begins with Translate, which marks the last of its requests with Asks. Judge says which answers are good to go on with: they
// are Delivered, a 404 of a search among them.
//
// After a failure, a restart or a crash the call begins again with its first request: what an answer said may be out of date.
// Answer.AfterPossibleDelivery then tells that the vendor may have acted on a request of an earlier round. All steps are one call to
// those that wait for it, and what it merges is remembered after the last of them.
type Stepper interface {
	// Next says what comes after the answers to the requests so far that ask, in order. Send goes on, and may ask again; an outcome with
	// nothing in it ends the call as delivered; Drop and Reject end it as they say. It is held to the same as Translate: no I/O, no
	// state, and neither the call nor the answers are modified. A call may ask MaxSteps times.
	Next(call *segment.Call, answered []Answered) Outcome
}

// Answered is a request that asked, and its answer.
type Answered struct {
	Request Request
	Answer  Answer
}

// MaxSteps is how many requests of a call may ask.
const MaxSteps = 8

// ErrTooManySteps is the error of a call that asks more often than that.
var ErrTooManySteps = errors.New("call: needs more than 8 answers")

// Asks reports whether what comes after the requests depends on an answer.
func (o Outcome) Asks() bool {
	return len(o.Requests) > 0 && o.Requests[len(o.Requests)-1].Asks
}

// Next is the adapter's Next, within bounds: a call that asks too often, or that becomes too much with the requests before, is a
// Reject, and so is a panic. Nothing comes next of an adapter that is no Stepper.
func Next(a Adapter, call *segment.Call, before []Request, answered []Answered) (outcome Outcome) {
	stepper, ok := a.(Stepper)
	if !ok {
		return Outcome{}
	}
	defer func() {
		if cause := recover(); cause != nil {
			outcome = Reject(panicked("next", cause))
		}
	}()
	outcome = stepper.Next(call, answered)
	outcome.Condition = nil
	if outcome.Asks() && len(answered) >= MaxSteps {
		return Reject(ErrTooManySteps)
	}
	if all := bounded(Outcome{Requests: slices.Concat(before, outcome.Requests)}); all.Rejected != nil {
		return all
	}
	return alone(outcome)
}

// alone returns the outcome, in which a request that asks is in no batch.
func alone(o Outcome) Outcome {
	last := len(o.Requests) - 1
	if o.Asks() && o.Requests[last].Batch != nil {
		o.Requests = slices.Clone(o.Requests)
		o.Requests[last].Batch = nil
	}
	return o
}
