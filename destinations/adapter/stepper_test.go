package adapter

import (
	"errors"
	"strings"
	"testing"

	"aka/router/segment"
)

// stepping is an adapter whose Next returns what next does.
type stepping struct {
	acting
	next func() Outcome
}

func (s *stepping) Next(*segment.Call, []Answered) Outcome { return s.next() }

func TestNextIsBounded(t *testing.T) {
	asks, plain := Request{Asks: true, Batch: &Batch{}}, Request{}
	half := strings.Repeat("x", MaxBytes/2)
	for name, c := range map[string]struct {
		before   []Request
		answered int
		next     Outcome
		want     error
	}{
		"the last that may ask":  {nil, MaxSteps - 1, Send(asks), nil},
		"one that asks too late": {nil, MaxSteps, Send(asks), ErrTooManySteps},
		"the end after the last": {nil, MaxSteps, Send(plain), nil},
		"too many with before":   {make([]Request, MaxRequests), 1, Send(plain), ErrTooMany},
		"too large with before":  {[]Request{{URL: half}}, 1, Send(Request{URL: half + "x"}), ErrTooLarge},
		"nothing":                {nil, 1, Outcome{}, nil},
		"a drop":                 {nil, 1, Drop(UserUnknown), nil},
	} {
		got := Next(&stepping{next: func() Outcome { return c.next }}, nil, c.before, make([]Answered, c.answered))
		if !errors.Is(got.Rejected, c.want) || c.want == nil && (len(got.Requests) != len(c.next.Requests) || got.Dropped != c.next.Dropped) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestPanicOfANextIsAReject(t *testing.T) {
	got := Next(&stepping{next: func() Outcome { panic("jane@example.com") }}, nil, nil, nil)
	if got.Rejected == nil || got.Rejected.Error() != "next: the adapter panicked with a string" {
		t.Errorf("got %v", got.Rejected)
	}
}

func TestNothingComesNextWithoutAStepper(t *testing.T) {
	if got := Next(&acting{}, nil, nil, make([]Answered, 1)); got.Rejected != nil || len(got.Requests) > 0 {
		t.Errorf("got %+v", got)
	}
}

func TestARequestThatAsksIsInNoBatch(t *testing.T) {
	made := []Request{{Batch: &Batch{}}, {Asks: true, Batch: &Batch{}}}
	got := translated(func() Outcome { return Send(made...) })
	if !got.Asks() || got.Requests[1].Batch != nil || got.Requests[0].Batch == nil {
		t.Errorf("got %+v", got)
	}
	if made[1].Batch == nil {
		t.Error("the adapter's own requests were modified")
	}
	if Send(Request{Asks: true}, Request{}).Asks() {
		t.Error("one that is not the last asks")
	}
}
