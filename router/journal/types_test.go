package journal

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"aka/router/journal/engine"
	"aka/router/journal/engine/enginetest"
	"aka/router/segment"
)

func TestADestinationsTypeIsKeptUntilItIsForgotten(t *testing.T) {
	options := testOptions(t)
	j := open(t, options)
	wantType := func(want string) {
		t.Helper()
		if got := j.TypeOf("crm"); got != want {
			t.Errorf("the type is %q, want %q", got, want)
		}
	}
	wantType("")
	must(t, j.SetType(t.Context(), "crm", "vero"))
	load(t, j, "crm")
	wantType("vero")
	_, _, err := j.Remove("crm")
	must(t, err)
	j.Close()

	j = open(t, options)
	wantType("vero")
	must(t, j.SetType(t.Context(), "crm", "mixpanel"))
	j.Close()
	if report, err := Check(options.Dir); err != nil || len(report.Destinations) != 1 || report.Destinations[0].Type != "mixpanel" {
		t.Errorf("check says %+v, %v", report, err)
	}
	j = open(t, options)
	wantType("mixpanel")
	must(t, j.Forget(t.Context(), "crm"))
	wantType("")
	j.Close()
	j = open(t, options)
	wantType("")
}

func TestAnotherTypeHasNoMergesAndNothingPossiblyDelivered(t *testing.T) {
	for before, isSame := range map[string]bool{"": true, "mixpanel": true, "vero": false} { // "" is a journal of a version without types
		j := open(t, testOptions(t))
		if before != "" {
			must(t, j.SetType(t.Context(), "crm", before))
		}
		p := load(t, j, "crm")
		appendEach(t, j, 1, 3)
		frames := readAll(t, j, 1)
		p.Begin(frames[0])
		p.Begin(frames[1])
		p.End(Position{Seq: 2})
		must(t, j.SaveProgress(t.Context(), "crm", p.Encode(false), nil, nil))
		park := func(seq uint64) {
			must(t, j.Park(t.Context(), "crm", []*Parked{{Queue: 1, Rank: Position{Seq: seq}, Position: Position{Seq: seq}, Entry: frames[0].Entries[0]}}))
			storeDeadLetter(t, j, seq, "crm", "refused", "website", segment.Track)
		}
		park(1)
		must(t, j.SetType(t.Context(), "crm", "mixpanel"))
		park(3)

		p = load(t, j, "crm")
		p.Begin(frames[0])
		p.Begin(frames[1])
		if p.Crashed() != isSame || p.HasEnded(Position{Seq: 1}) || !p.HasEnded(Position{Seq: 2}) {
			t.Errorf("after %q: crashed %t, ended %t %t", before, p.Crashed(), p.HasEnded(Position{Seq: 1}), p.HasEnded(Position{Seq: 2}))
		}
		var vendors []string
		must(t, j.EachParked(t.Context(), "crm", func(p *Parked) error { vendors = append(vendors, p.Vendor); return nil }))
		must(t, j.DeadLetters(t.Context(), DeadFilter{}, 0, func(d *DeadLetter) bool {
			vendors = append(vendors, d.Vendor)
			return true
		}))
		if want := []string{before, "mixpanel", before, "mixpanel"}; fmt.Sprint(vendors) != fmt.Sprint(want) {
			t.Errorf("parked calls and dead letters are of %q, want %q", vendors, want)
		}
	}
}

func TestATypeThatMayBeStoredIsReadAgain(t *testing.T) {
	for fault, want := range map[enginetest.Fault]string{enginetest.Lost: "vero", enginetest.Stored: "mixpanel", enginetest.Late: "mixpanel"} {
		store := enginetest.NewMemory()
		j := openOn(t, store)
		must(t, j.SetType(t.Context(), "crm", "vero"))
		failNext(store, enginetest.ApplyWrite, fault)
		if err := j.SetType(t.Context(), "crm", "mixpanel"); err == nil {
			t.Fatalf("fault %d was not noticed", fault)
		}
		load(t, j, "crm")
		if got := j.TypeOf("crm"); got != want {
			t.Errorf("fault %d: the type is %s, want %s", fault, got, want)
		}
	}
}

func TestOpen_RefusesATypeThatIsDamaged(t *testing.T) {
	store := enginetest.NewMemory()
	j := openOn(t, store)
	must(t, j.SetType(t.Context(), "crm", "vero"))
	must(t, store.Apply(t.Context(), "crm", []engine.Change{{Key: []byte("t"), Value: []byte("\x01vero")}}))
	if _, err := OpenOn(t.Context(), store.Crash(), DefaultOptions, zap.NewNop(), prometheus.NewRegistry()); err == nil || !strings.Contains(err.Error(), "type of destination crm") {
		t.Errorf("got %v", err)
	}
}

func TestWaiting_CountsWhatHasNotEnded(t *testing.T) {
	options := testOptions(t)
	j := open(t, options)
	all := func(*Entry) bool { return true }
	want := func(name string, want uint64, wanted func(*Entry) bool) {
		t.Helper()
		if n, err := j.Waiting(t.Context(), "crm", wanted); n != want || err != nil {
			t.Errorf("%s: %d calls wait, want %d; %v", name, n, want, err)
		}
	}
	appendEach(t, j, 1, 2)
	want("it is new", 0, all)
	p := load(t, j, "crm")
	want("nothing came", 0, all)
	appendEach(t, j, 3, 8)
	other, own, elsewhere := entry("u", 9), entry("u", 10), entry("u", 11)
	other.Source, own.Target, elsewhere.Target = "phone", "crm", "vero"
	appendCalls(t, j, 0, other, own, elsewhere)
	want("all wait", 8, all)
	want("but for a source", 7, func(e *Entry) bool { return e.Source == "website" })
	for _, f := range readAll(t, j, 3) {
		p.Begin(f)
		if f.Seq == 3 || f.Seq == 5 || f.Seq == 6 {
			p.End(Position{Seq: f.Seq})
		}
		p.End(Position{Seq: 9, Index: 1})
	}
	must(t, j.SaveProgress(t.Context(), "crm", p.Encode(true), nil, nil))
	want("some have ended", 4, all)
	for _, dead := range []string{"", "refused"} {
		for seq := range uint64(2) {
			must(t, j.Park(t.Context(), "crm", []*Parked{{Queue: 1, Rank: Position{Seq: 1 + seq}, Position: Position{Seq: 1 + seq}, Dead: dead, Entry: entry("u", 1)}}))
		}
	}
	want("and two are aside", 6, all)
	_, _, err := j.Remove("crm")
	must(t, err)
	appendEach(t, j, 12, 14)
	want("what came after it was removed", 6, all)
	j.Close()
	j = open(t, options)
	want("after a restart", 6, all)
	must(t, j.Forget(t.Context(), "crm"))
	want("it is forgotten", 0, all)
}
