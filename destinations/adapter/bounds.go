package adapter

import (
	"errors"
	"fmt"

	"aka/router/segment"
)

// What one call may become at most. More is no translation but a call made to do harm, or a mistake: a call is kept in
// memory as all of its requests.
const (
	// MaxRequests is one order of a thousand products, and some more.
	MaxRequests = 1100
	// MaxBytes is the most that an outcome's Size may be.
	MaxBytes = 8 << 20
)

// The errors of a call that becomes more than that. An adapter that makes many requests of one call returns them as soon
// as it knows, rather than when it has filled the memory.
var (
	ErrTooMany  = fmt.Errorf("call: becomes more than %d requests", MaxRequests)
	ErrTooLarge = errors.New("call: becomes requests of more than 8 MiB")
)

// Translate is the adapter's Translate behind the guard, within bounds: an outcome of more than MaxRequests or MaxBytes is
// a Reject, and so is a panic. A call that stays in the journal would otherwise end the process again at every start.
func Translate(g Guard, a Adapter, call *segment.Call) (outcome Outcome) {
	defer func() {
		if cause := recover(); cause != nil {
			outcome = Reject(panicked("translate", cause))
		}
	}()
	return bounded(g.Translate(a, call))
}

func bounded(o Outcome) Outcome {
	if len(o.Requests) > MaxRequests {
		return Reject(ErrTooMany)
	}
	if o.Size() > MaxBytes {
		return Reject(ErrTooLarge)
	}
	return alone(o)
}

// panicked tells a panic's type only: its value may hold what the call holds.
func panicked(doing string, cause any) error {
	return fmt.Errorf("%s: the adapter panicked with a %T", doing, cause)
}
