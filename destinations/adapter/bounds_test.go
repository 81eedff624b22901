package adapter

import (
	"reflect"
	"strings"
	"testing"

	"aka/router/segment"
)

// acting is an adapter that does what a test says.
type acting struct {
	Common
	translate func() Outcome
	judge     func() []Verdict
}

func (a *acting) Translate(*segment.Call) Outcome { return a.translate() }

func (a *acting) Judge([]Request, Answer) []Verdict { return a.judge() }

func translated(translate func() Outcome) Outcome {
	call := &segment.Call{Header: segment.Header{Type: segment.Track, UserID: "jane"}}
	return Translate(NewGuard(nil), &acting{translate: translate}, call)
}

func TestTranslateIsBounded(t *testing.T) {
	half := strings.Repeat("x", MaxBytes/2)
	for name, c := range map[string]struct {
		requests []Request
		want     error
	}{
		"as many as may be":  {make([]Request, MaxRequests), nil},
		"one more":           {make([]Request, MaxRequests+1), ErrTooMany},
		"as large as may be": {[]Request{{URL: half}, {Body: []byte(half)}}, nil},
		"a byte larger":      {[]Request{{URL: half + "x"}, {Body: []byte(half)}}, ErrTooLarge},
	} {
		got := translated(func() Outcome { return Send(c.requests...) })
		if got.Rejected != c.want || (len(got.Requests) == 0) != (c.want != nil) {
			t.Errorf("%s: %d requests, %v", name, len(got.Requests), got.Rejected)
		}
	}
}

func TestSizeIsWhatTheRequestsHold(t *testing.T) {
	got := Send(
		Request{Method: "GET", URL: "https://x.test/a"},
		Request{Method: "PUT", URL: "https://x.test/b", Header: map[string]string{"X": "yz"}, Body: []byte("{}")},
	).Size()
	if want := 16 + 16 + 3 + 2; got != want {
		t.Errorf("got %d, want %d", got, want)
	}
	if got := Drop(NothingToSend).Size(); got != 0 {
		t.Errorf("a drop: got %d", got)
	}
}

func TestTranslateAsksTheGuardFirst(t *testing.T) {
	call := &segment.Call{Header: segment.Header{Type: segment.Track, UserID: "null"}}
	if got := Translate(NewGuard(nil), &acting{}, call); got.Dropped != BlockedID {
		t.Errorf("got %+v", got)
	}
}

// A call that panics stands in the journal, and would end the process again at every start.
func TestPanicOfATranslateIsAReject(t *testing.T) {
	var nowhere map[string]string
	for want, cause := range map[string]func() Outcome{
		"translate: the adapter panicked with a string":                      func() Outcome { panic("jane@example.com") },
		"translate: the adapter panicked with a *runtime.TypeAssertionError": func() Outcome { return any(nowhere).(Outcome) },
	} {
		got := translated(cause)
		if got.Rejected == nil || got.Rejected.Error() != want {
			t.Errorf("got %v\nwant %s", got.Rejected, want)
		}
	}
}

func TestPanicOfAJudgeIsNoSuccess(t *testing.T) {
	a := &acting{judge: func() []Verdict { panic("jane@example.com") }}
	for status, class := range map[int]Class{200: Never, 400: Never, 401: Operator, 503: Later} {
		want := Verdicts(2, Verdict{Class: class, Detail: "judge: the adapter panicked with a string"})
		if got := Judge(a, make([]Request, 2), Answer{Status: status}); !reflect.DeepEqual(got, want) {
			t.Errorf("%d: got %+v\nwant %+v", status, got, want)
		}
	}
}
