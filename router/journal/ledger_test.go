package journal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"aka/router/journal/engine"
	"aka/router/journal/engine/enginetest"
	"aka/router/journal/ledger"
)

// ledgerStart is the time of the first entry: entries are written soon after their time.
var ledgerStart = time.Now().Add(-time.Hour).UTC()

// ledgerEntry is the entry of a merge of the id n+1 into the id n.
func ledgerEntry(n int) LedgerEntry {
	return LedgerEntry{
		Time: ledgerStart.Add(time.Duration(n) * time.Second), Source: []string{"website", "app"}[n%2], MessageID: fmt.Sprint("m", n),
		Verdict: []ledger.Verdict{ledger.Sent, ledger.Dropped, ledger.Held}[n%3], From: Digest{byte(n), byte(n >> 8)}, To: Digest{byte(n + 1), byte((n + 1) >> 8)},
		Position: Position{Seq: uint64(n) + 1},
	}
}

func appendLedger(t *testing.T, j *Journal, destination string, entries ...LedgerEntry) {
	t.Helper()
	must(t, j.AppendLedger(t.Context(), destination, entries))
}

// ledgerPages reads a ledger page by page.
func ledgerPages(t *testing.T, j *Journal, destination string, f LedgerFilter, limit int) (messages []string) {
	t.Helper()
	for before := uint64(0); ; {
		page, err := j.Ledger(t.Context(), destination, f, before, limit)
		must(t, err)
		if len(page.Entries) > limit {
			t.Fatalf("%d entries on a page of %d", len(page.Entries), limit)
		}
		for _, e := range page.Entries {
			if before > 0 && e.Number >= before {
				t.Fatalf("entry %d is not before %d", e.Number, before)
			}
			before = e.Number
			messages = append(messages, e.Destination+" "+e.MessageID)
		}
		if page.Next == 0 {
			return messages
		}
		before = page.Next
	}
}

func exported(t *testing.T, j *Journal, destination string, f LedgerFilter) (messages []string) {
	t.Helper()
	must(t, j.ExportLedger(t.Context(), destination, f, func(e *LedgerEntry) bool {
		messages = append(messages, e.Destination+" "+e.MessageID)
		return true
	}))
	return messages
}

// A ledger says what a list of its entries would, whatever is appended, removed and asked, over restarts.
func TestTheLedgerIsAList(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	store := enginetest.NewMemory()
	j := openOn(t, store)
	destinations := []string{"vero", "mixpanel", "kissmetrics"}
	var all []LedgerEntry // oldest first
	for step := range 300 {
		switch random.IntN(12) {
		case 0:
			store = store.Crash()
			j = openOn(t, store)
		case 1:
			name := destinations[random.IntN(3)]
			limit := uint64(random.IntN(40)) * 220
			j.SetLedgerLimits(name, LedgerLimits{MaxBytes: max(limit, 1)})
			must(t, j.Enforce(t.Context(), time.Now()))
			j.SetLedgerLimits(name, LedgerLimits{})
			kept := exported(t, j, name, LedgerFilter{})
			gone := len(exportOf(all, name, LedgerFilter{})) - len(kept)
			if max := int(limit/150) + 1; len(kept) > max {
				t.Fatalf("%d entries are kept in %d bytes", len(kept), limit)
			}
			all = slices.DeleteFunc(all, func(e LedgerEntry) bool {
				gone--
				if e.Destination != name {
					gone++
				}
				return e.Destination == name && gone >= 0
			})
		default:
			name := destinations[random.IntN(3)]
			entries := make([]LedgerEntry, random.IntN(30))
			for i := range entries {
				entries[i] = ledgerEntry(random.IntN(5))
				entries[i].MessageID = fmt.Sprint(step, ".", i)
			}
			appendLedger(t, j, name, entries...)
			for _, e := range entries {
				e.Destination = name
				all = append(all, e)
			}
		}
		name := append(destinations, "")[random.IntN(4)]
		f := LedgerFilter{}
		switch random.IntN(5) {
		case 0:
			f.Digest = ledgerEntry(random.IntN(6)).From
		case 1:
			f.Verdict = ledger.Held
		case 2:
			f.Source, f.Digest = "app", ledgerEntry(2).From
		case 3:
			f.Since, f.Until = ledgerEntry(1).Time, ledgerEntry(4).Time
		}
		want := exportOf(all, name, f)
		if got := exported(t, j, name, f); !slices.Equal(got, want) {
			t.Fatalf("step %d, %q %+v: exported %q, want %q", step, name, f, got, want)
		}
		slices.Reverse(want)
		if got := ledgerPages(t, j, name, f, 1+random.IntN(50)); !slices.Equal(got, want) {
			t.Fatalf("step %d, %q %+v: listed %q, want %q", step, name, f, got, want)
		}
	}
}

func exportOf(all []LedgerEntry, destination string, f LedgerFilter) (messages []string) {
	for _, e := range all {
		if (destination == "" || destination == e.Destination) && f.Matches(&e) {
			messages = append(messages, e.Destination+" "+e.MessageID)
		}
	}
	return messages
}

func TestOldEntriesOfTheLedgerGo(t *testing.T) {
	j := openOn(t, enginetest.NewMemory())
	appendLedger(t, j, "vero", ledgerEntry(1), ledgerEntry(2))
	must(t, j.Enforce(t.Context(), time.Now().Add(399*24*time.Hour)))
	if got := exported(t, j, "vero", LedgerFilter{}); len(got) != 2 {
		t.Errorf("after 399 days there are %q", got)
	}
	must(t, j.Enforce(t.Context(), time.Now().Add(401*24*time.Hour)))
	if got := ledgerPages(t, j, "vero", LedgerFilter{Digest: ledgerEntry(1).From}, 5); len(got) != 0 {
		t.Errorf("after 401 days there are %q", got)
	}
	appendLedger(t, j, "vero", ledgerEntry(3))
	if got := exported(t, j, "", LedgerFilter{}); !slices.Equal(got, []string{"vero m3"}) {
		t.Errorf("an empty ledger goes on with %q", got)
	}
}

func TestManyEntriesArePrunedInSlices(t *testing.T) {
	j := openOn(t, enginetest.NewMemory())
	entries := make([]LedgerEntry, 10_000)
	for i := range entries {
		entries[i] = ledgerEntry(i)
	}
	appendLedger(t, j, "vero", entries...)
	j.SetLedgerLimits("vero", LedgerLimits{MaxBytes: 200_000})
	must(t, j.Enforce(t.Context(), time.Now()))
	got := exported(t, j, "vero", LedgerFilter{})
	if len(got) == 0 || len(got) > 1400 || got[len(got)-1] != "vero m9999" {
		t.Errorf("%d entries are kept, up to %q", len(got), got[max(len(got)-1, 0):])
	}
	if got := ledgerPages(t, j, "vero", LedgerFilter{Digest: ledgerEntry(9000).From}, 10); !slices.Equal(got, []string{"vero m9000", "vero m8999"}) {
		t.Errorf("of one id there are %q", got)
	}
}

func TestAnEntryThatACrashHasRepeatedIsKeptOnce(t *testing.T) {
	store := enginetest.NewMemory()
	j := openOn(t, store)
	appendLedger(t, j, "vero", ledgerEntry(1), ledgerEntry(2), ledgerEntry(1))
	j = openOn(t, store.Crash())
	appendLedger(t, j, "vero", ledgerEntry(2), ledgerEntry(3))
	approved := ledgerEntry(3)
	approved.Verdict = ledger.Approved
	appendLedger(t, j, "vero", approved)
	want := []string{"vero m1", "vero m2", "vero m3", "vero m3"}
	if got := exported(t, j, "vero", LedgerFilter{}); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	imported := LedgerEntry{Verdict: ledger.Imported, Time: time.Now(), From: Digest{1}, To: Digest{2}}
	appendLedger(t, j, "mixpanel", imported, imported) // without a position nothing is known to be doubled
	if got := exported(t, j, "mixpanel", LedgerFilter{}); len(got) != 2 {
		t.Errorf("got %q", got)
	}
}

// A call's end and its entry are stored by one write: a crash keeps both or none.
func TestProgressAndLedgerAreSavedTogether(t *testing.T) {
	store := enginetest.NewMemory()
	j := openOn(t, store)
	p := load(t, j, "vero")
	appendEach(t, j, 1, 2)
	for _, f := range readAll(t, j, 1) {
		p.Begin(f)
	}
	p.End(Position{Seq: 1})
	must(t, j.SaveProgress(t.Context(), "vero", p.Encode(false), nil, []LedgerEntry{ledgerEntry(0)}))
	for _, fault := range []enginetest.Fault{enginetest.Lost, enginetest.Stored, enginetest.Late} {
		p.End(Position{Seq: 2})
		store.FailWrites(func(enginetest.Write) enginetest.Fault { return fault })
		if err := j.SaveProgress(t.Context(), "vero", p.Encode(false), nil, []LedgerEntry{ledgerEntry(1)}); err == nil {
			t.Fatalf("%v: no error", fault)
		}
		after := store.Crash()
		again := openOn(t, after)
		ended := load(t, again, "vero").Ended() == 2
		if entries := exported(t, again, "vero", LedgerFilter{}); ended != (len(entries) == 2) {
			t.Errorf("%v: ended is %t, and the ledger has %q", fault, ended, entries)
		}
	}
}

// What is appended again after a write that failed is there once, whether the first was stored or not.
func TestAFailedAppendCanBeRepeated(t *testing.T) {
	for _, fault := range []enginetest.Fault{enginetest.Lost, enginetest.Stored, enginetest.Late} {
		store := enginetest.NewMemory()
		j := openOn(t, store)
		appendLedger(t, j, "vero", ledgerEntry(0))
		store.FailWrites(func(enginetest.Write) enginetest.Fault { return fault })
		if err := j.AppendLedger(t.Context(), "vero", []LedgerEntry{ledgerEntry(1)}); err == nil {
			t.Fatalf("%v: no error", fault)
		}
		store.FailWrites(nil)
		appendLedger(t, j, "vero", ledgerEntry(1))
		if got := exported(t, j, "vero", LedgerFilter{}); !slices.Equal(got, []string{"vero m0", "vero m1"}) {
			t.Errorf("%v: got %q", fault, got)
		}
		openOn(t, store.Crash())
	}
}

func TestAForgottenDestinationHasNoLedgerAndNoAutoDecisions(t *testing.T) {
	store := enginetest.NewMemory()
	j := openOn(t, store)
	load(t, j, "vero")
	entries := make([]LedgerEntry, 3000)
	for i := range entries {
		entries[i] = ledgerEntry(i)
	}
	appendLedger(t, j, "vero", entries...)
	_, err := j.AddAutoDecision(t.Context(), AutoDecision{Destination: "vero", Rule: "known_users", Until: time.Now().Add(time.Hour)}, time.Now())
	must(t, err)
	must(t, j.Forget(t.Context(), "vero"))
	for _, kind := range []byte("ljLo") {
		must(t, store.Scan(t.Context(), "vero", []byte{kind}, []byte{kind + 1}, func(key, _ []byte) (bool, error) {
			return false, fmt.Errorf("%q is there", key)
		}))
	}
	openOn(t, store.Crash())
}

func TestAutoDecisionsAreKeptUntilTheyEnd(t *testing.T) {
	store := enginetest.NewMemory()
	j := openOn(t, store)
	now := time.Unix(1_700_000_000, 0).UTC()
	add := func(destination, rule string, hours int) AutoDecision {
		t.Helper()
		a, err := j.AddAutoDecision(t.Context(), AutoDecision{Destination: destination, Rule: rule, Until: now.Add(time.Duration(hours) * time.Hour)}, now)
		must(t, err)
		return a
	}
	add("vero", "known_users", 1)
	add("vero", "max_ids", 2)
	if a := add("mixpanel", "max_ids", 2); a.Number != 1 || !a.Made.Equal(now) {
		t.Errorf("got %+v", a)
	}
	j = openOn(t, store.Crash())
	expect := func(at time.Time, want ...uint64) {
		t.Helper()
		list, err := j.AutoDecisions(t.Context(), "vero", at)
		must(t, err)
		got := []uint64{}
		for _, a := range list {
			got = append(got, a.Number)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %d, want %d", at.Sub(now), got, want)
		}
	}
	expect(now, 1, 2)
	expect(now.Add(time.Hour), 2)
	must(t, j.RemoveAutoDecision(t.Context(), "vero", 2))
	expect(now, 1)
	if err := j.RemoveAutoDecision(t.Context(), "vero", 2); !errors.Is(err, ErrNoAutoDecision) {
		t.Errorf("got %v", err)
	}
	for range 99 {
		add("vero", "direction", 1)
	}
	if _, err := j.AddAutoDecision(t.Context(), AutoDecision{Destination: "vero", Rule: "direction", Until: now.Add(time.Hour)}, now); !errors.Is(err, ErrTooManyAutoDecisions) {
		t.Errorf("got %v", err)
	}
}

func TestADamagedEntryIsPassedOver(t *testing.T) {
	store := enginetest.NewMemory()
	j := openOn(t, store)
	appendLedger(t, j, "vero", ledgerEntry(1), ledgerEntry(2), ledgerEntry(3))
	page, err := j.Ledger(t.Context(), "vero", LedgerFilter{}, 0, 10)
	must(t, err)
	must(t, store.Apply(t.Context(), "vero", []engine.Change{{Key: recordKey('l', page.Entries[1].Number), Value: []byte("junk")}}))
	if got := ledgerPages(t, j, "", LedgerFilter{}, 10); !slices.Equal(got, []string{"vero m3", "vero m1"}) {
		t.Errorf("got %q", got)
	}
	must(t, j.Enforce(t.Context(), time.Now().Add(1000*24*time.Hour)))
	if got := exported(t, j, "", LedgerFilter{}); len(got) != 0 {
		t.Errorf("there are %q", got)
	}
}

func BenchmarkLedger_Append256(b *testing.B) {
	options := testOptions(b)
	j, err := Open(context.Background(), options, zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	entries := make([]LedgerEntry, 256)
	for n := 0; b.Loop(); n += 256 {
		for i := range entries {
			entries[i] = ledgerEntry(n + i)
		}
		if err := j.AppendLedger(context.Background(), "vero", entries); err != nil {
			b.Fatal(err)
		}
	}
}
