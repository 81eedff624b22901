package adapter

import (
	"testing"
	"time"
)

func TestBody(t *testing.T) {
	lines := &Batch{Separator: "\n"}
	for _, c := range []struct {
		batch *Batch
		want  string
	}{
		{&Batch{}, "[1,22]"},
		{&Batch{Before: `{"batch":[`, After: "]}", Separator: ","}, `{"batch":[1,22]}`},
		{lines, "1\n22"},
	} {
		requests := []Request{{Body: []byte("1"), Batch: c.batch}, {Body: []byte("22"), Batch: c.batch}}
		if got := string(Body(requests)); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
	if got := string(Body([]Request{{Body: []byte("alone")}})); got != "alone" {
		t.Errorf("got %s", got)
	}
	if got := string(Body([]Request{{Body: []byte("1"), Batch: &Batch{}}})); got != "[1]" {
		t.Errorf("got %s", got)
	}
}

func TestABatchMayHaveTheTimeOfTheAttempt(t *testing.T) {
	batch := &Batch{Before: "{[", After: `],"at":"<now>","of":"<now>"}`, Separator: ",", Clock: "<now>"}
	requests := []Request{{Body: []byte(`"<now>"`), Batch: batch}}
	at := time.Date(2026, 1, 2, 3, 4, 5, 67_890_000, time.FixedZone("", 3600))
	if got, want := string(BodyAt(requests, at)), `{["<now>"],"at":"2026-01-02T02:04:05.067Z","of":"<now>"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := string(Body(requests)), `{["<now>"],"at":"<now>","of":"<now>"}`; got != want {
		t.Errorf("without a time: got %s, want %s", got, want)
	}
}

func TestTheWaitOfAnOutcomeIsThatOfAllButTheLast(t *testing.T) {
	o := Send(Request{Wait: time.Second}, Request{Wait: 2 * MaxWait}, Request{Wait: time.Hour})
	if got := o.Wait(); got != time.Second+MaxWait {
		t.Errorf("got %s", got)
	}
}

func TestShowTellsTheEnvelopeAndTheWait(t *testing.T) {
	shown := Show(Request{Method: "POST", URL: "https://vendor.test/", Body: []byte("{}"), Batch: &Batch{Before: `{"batch":[`, After: "]}", Separator: ","}, Wait: 3 * time.Second})
	if shown.Envelope != `{"batch":[…]}` || shown.Wait != "3s" {
		t.Errorf("got %+v", shown)
	}
	if shown := Show(Request{Batch: &Batch{}}); shown.Envelope != "" || shown.Wait != "" {
		t.Errorf("got %+v", shown)
	}
}
