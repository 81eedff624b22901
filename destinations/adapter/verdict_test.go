package adapter

import (
	"reflect"
	"testing"

	"aka/router/segment"
)

func TestStatusVerdict(t *testing.T) {
	want := map[int]Class{
		100: Never, 199: Never, 200: Delivered, 201: Delivered, 204: Delivered, 299: Delivered,
		301: Later, 302: Later, 304: Later, 308: Later,
		400: Never, 401: Operator, 402: Never, 403: Operator, 404: Never, 408: Later, 409: Never, 410: Never, 413: Split,
		422: Never, 425: Later, 429: Later, 451: Never, 499: Never,
		500: Later, 501: Later, 502: Later, 503: Later, 504: Later, 520: Later, 599: Later,
		0: Never, -1: Never,
	}
	for status, class := range want {
		if got := StatusVerdict(status); got != (Verdict{Class: class}) {
			t.Errorf("%d: got %v, want %v", status, got.Class, class)
		}
	}
}

func TestEveryClassHasAName(t *testing.T) {
	want := map[Class]string{Delivered: "delivered", Later: "later", Never: "never", Operator: "operator", Split: "split", Isolate: "isolate", Dropped: "dropped", 0: ""}
	for class, name := range want {
		if class.String() != name {
			t.Errorf("got %q, want %q", class.String(), name)
		}
	}
}

func TestJudgeIsTheAdaptersWhereItHasOne(t *testing.T) {
	requests := make([]Request, 2)
	got := Judge(&spyAdapter{}, requests, Answer{Status: 503})
	if !reflect.DeepEqual(got, []Verdict{{Class: Later}, {Class: Later}}) {
		t.Errorf("by the status: %v", got)
	}
	got = Judge(&judging{}, requests, Answer{Status: 200})
	if !reflect.DeepEqual(got, []Verdict{{Class: Never, Note: "no"}, {Class: Never, Note: "no"}}) {
		t.Errorf("by the adapter: %v", got)
	}
}

type judging struct{ Common }

func (*judging) Translate(*segment.Call) Outcome { return Drop(NothingToSend) }

func (*judging) Judge(requests []Request, _ Answer) []Verdict {
	return Verdicts(len(requests), Verdict{Class: Never, Note: "no"})
}

func TestARefusalIsAboutTheAccountByItsStatusOrTheAdaptersWord(t *testing.T) {
	for _, c := range []struct {
		verdict Verdict
		status  int
		want    bool
	}{
		{Verdict{Class: Never}, 404, true}, {Verdict{Class: Never}, 402, true}, {Verdict{Class: Never}, 451, true}, {Verdict{Class: Never}, 400, false},
		{Verdict{Class: Never, About: OneCall}, 404, false}, {Verdict{Class: Never, About: Account}, 400, true},
		{Verdict{Class: Later}, 404, false}, {Verdict{Class: Delivered, About: Account}, 200, false},
	} {
		if got := c.verdict.AboutAccount(c.status); got != c.want {
			t.Errorf("%+v with %d: %v", c.verdict, c.status, got)
		}
	}
}

// A batch that is refused as a whole goes again in halves. Of one request there are none.
func TestAnIsolateOfOneRequestIsARefusal(t *testing.T) {
	a := &judged{verdict: Verdict{Class: Isolate, Detail: "cannot be read"}}
	for n, want := range map[int]Class{1: Never, 2: Isolate, 40: Isolate} {
		for _, v := range Judge(a, make([]Request, n), Answer{Status: 400}) {
			if v.Class != want || v.Detail != "cannot be read" {
				t.Errorf("of %d: %+v, want %s", n, v, want)
			}
		}
	}
}

// judged gives each request the same verdict.
type judged struct {
	Adapter
	verdict Verdict
}

func (j *judged) Judge(requests []Request, _ Answer) []Verdict {
	return Verdicts(len(requests), j.verdict)
}

func TestADropByTheAnswerHasAReasonOfTheClosedSet(t *testing.T) {
	for note, want := range map[string]Reason{string(UserUnknown): UserUnknown, string(AlreadyMerged): AlreadyMerged, "": Declined, "whim": Declined} {
		a := &judged{verdict: Verdict{Class: Dropped, Note: note}}
		for _, v := range Judge(a, make([]Request, 2), Answer{Status: 200}) {
			if v.Class != Dropped || v.Note != string(want) {
				t.Errorf("%q: %+v, want %s", note, v, want)
			}
		}
	}
}
