package main

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"aka/destinations/simulator"
	"aka/e2e/harness"
)

func TestWhatIsWrongAtACheckerIsReported(t *testing.T) {
	for name, c := range map[string]struct {
		steps []int
		want  harness.Counts
	}{
		"all in order":      {[]int{0, 1, 2, 3, 4, 6, 5}, harness.Counts{}},
		"lost and too late": {[]int{0, 1, 3, 2, 4, 5}, harness.Counts{Lost: 1, Swapped: 1}},
		"one twice":         {[]int{0, 1, 2, 3, 4, 5, 6, 6}, harness.Counts{Repeated: 1}},
	} {
		checker, r := harness.NewOrderChecker(harness.Basic, 1), &harness.Case{}
		for _, step := range c.steps {
			checker.Add(harness.Step{Index: step}, time.Time{})
		}
		if got := verifyChecker(r, "vero", checker, 1); got != c.want || r.Failed() != (c.want != harness.Counts{}) {
			t.Errorf("%s: %+v, %q", name, got, r.Failures)
		}
	}
}

func TestWhatComesBeforeRetryAfterIsFound(t *testing.T) {
	start := time.Unix(100, 0)
	exchange := func(status int, at time.Duration) simulator.Exchange {
		return simulator.Exchange{Status: status, At: start.Add(at)}
	}
	date := start.Add(8 * time.Second)
	forms := []string{"3", date.UTC().Format(http.TimeFormat), "1"}
	for _, c := range []struct {
		name string
		all  []simulator.Exchange
		fine bool
	}{
		{"in time", []simulator.Exchange{exchange(429, 0), exchange(429, 3*time.Second), exchange(200, 8*time.Second)}, true},
		{"before three seconds", []simulator.Exchange{exchange(429, 0), exchange(429, 2*time.Second), exchange(200, 8*time.Second)}, false},
		{"before the date", []simulator.Exchange{exchange(429, 0), exchange(429, 3*time.Second), exchange(200, 7*time.Second)}, false},
		{"a short wait is another call's", []simulator.Exchange{exchange(429, 0), exchange(429, 3*time.Second), exchange(429, 8*time.Second), exchange(200, 8*time.Second)}, true},
		{"so is a date that is near", []simulator.Exchange{exchange(429, 0), exchange(429, 7*time.Second), exchange(200, 7*time.Second)}, true},
	} {
		r := &harness.Case{}
		checkRetryAfter(r, c.all, forms, date)
		if r.Failed() == c.fine {
			t.Errorf("%s: wrong %v", c.name, r.Failures)
		}
	}
}

func TestACallThatIsTakenWhileTheLogFailsIsFound(t *testing.T) {
	begin, end := time.Unix(100, 0), time.Unix(200, 0)
	for _, c := range []struct {
		name     string
		sent, at int64
		fine     bool
	}{
		{"before", 98, 99, true},
		{"sent before, answered meanwhile", 99, 101, true},
		{"sent meanwhile, answered afterwards", 199, 201, true},
		{"sent and answered meanwhile", 101, 102, false},
	} {
		r := &harness.Case{}
		verifyNoneTaken(r, []harness.Ack{{Sent: time.Unix(c.sent, 0), At: time.Unix(c.at, 0)}}, begin, end)
		if r.Failed() == c.fine {
			t.Errorf("%s: wrong %v", c.name, r.Failures)
		}
	}
}

func TestTheLogMustSayOnceThatRecordsFailed(t *testing.T) {
	const line = `{"level":"error","msg":"journal store has failed","error":"write 1.log: EIO","hint":"start it again"}` + "\n"
	const bare = `{"level":"error","msg":"journal store has failed","error":"write 1.log: EIO"}` + "\n"
	for log, fine := range map[string]bool{"": false, "aka: serve\n" + line: true, line + line: false, bare: false} {
		r := &harness.Case{}
		if verifyToldOnce(r, log); r.Failed() == fine {
			t.Errorf("%q: wrong %v", log, r.Failures)
		}
	}
}

func TestAFolderThatHasChangedIsFound(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) map[string][]byte {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := contents(dir)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	first := write("state", "1")
	if name, same := sameContents(first, write("lock", "7")); !same {
		t.Errorf("%s has changed", name)
	}
	second := write("state", "2")
	third := write("more", "")
	for _, now := range []map[string][]byte{second, third} {
		if _, same := sameContents(first, now); same {
			t.Errorf("%v is taken for %v", now, first)
		}
	}
	if name, same := sameContents(third, second); same || filepath.Base(name) != "more" {
		t.Errorf("a file is gone, and what is found is %q", name)
	}
}

func TestAFlipChangesOneBitOfOneFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	for _, kind := range []flipKind{{files: "state"}, {files: "state", from: -3}} {
		before := bytes.Repeat([]byte{0xaa}, 16)
		if err := os.WriteFile(path, before, 0o600); err != nil {
			t.Fatal(err)
		}
		file, at, err := kind.flipBit(dir, rand.New(rand.NewPCG(1, 0)))
		if err != nil || file != "state" || at/8 < (16+kind.from)%16 {
			t.Fatalf("%s, bit %d, %v", file, at, err)
		}
		before[at/8] ^= 1 << (at % 8)
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, before) {
			t.Errorf("got %x, %v", now, err)
		}
	}
}

func TestTheShortFormLeavesOutWhatTakesLong(t *testing.T) {
	short, err := harness.Choose(scenarios, "", true)
	harness.Check(t, err)
	long, err := harness.Choose(scenarios, "", false)
	harness.Check(t, err)
	inShort := harness.Names(short)
	left := slices.DeleteFunc(harness.Names(long), func(name string) bool { return slices.Contains(inShort, name) })
	if len(long) != len(scenarios) || !slices.Equal(left, []string{"vendor-drip", "backlog"}) {
		t.Errorf("the long form has %d of %d scenarios, the short one all but %v", len(long), len(scenarios), left)
	}
}

func TestWhatWasAcceptedWhileADestinationWasThereIsExpected(t *testing.T) {
	at := func(second int64) time.Time { return time.Unix(second, 0) }
	call := func(person int, began, answered int64) harness.Ack {
		return harness.Ack{Step: harness.Step{Person: person}, Began: at(began), At: at(answered)}
	}
	acks := []harness.Ack{call(0, 11, 19), call(1, 19, 21), call(2, 31, 39), call(3, 41, 44), call(4, 50, 51)}
	var m membership
	m.begin(true, at(10))
	m.begin(true, at(15)) // as before
	m.end(at(20))
	m.begin(false, at(30))
	m.end(at(40))
	m.begin(true, at(45))
	m.end(at(60))
	if got := m.expected(acks); !slices.Equal(got, []harness.Step{{Person: 0}, {Person: 4}}) {
		t.Errorf("expected are %v", got)
	}
	if got := m.unexpected(acks); len(got) != 1 || !got[harness.Step{Person: 2}] {
		t.Errorf("unexpected are %v", got)
	}
	m.forgotten(at(70))
	if got := m.expected(acks); len(got) > 0 {
		t.Errorf("expected are %v still", got)
	}
	if got := m.unexpected(acks); len(got) != 1 {
		t.Errorf("unexpected are %v", got)
	}
}

func TestWhatTheVendorMayRefuseIsNotExpected(t *testing.T) {
	step := func(person, index int) harness.Step { return harness.Step{Person: person, Index: index} }
	alias := harness.Basic.AliasStep()
	expected := []harness.Step{step(0, alias), step(1, alias), step(1, alias+1), step(2, alias), step(3, 0)}
	all := []harness.Delivery{{Step: step(0, 2)}, {Step: step(1, alias+1)}, {Step: step(2, 0)}}
	got := withoutRefused(expected, all, harness.StepSet{step(2, alias): true})
	if want := []harness.Step{step(0, alias), step(1, alias+1), step(3, 0)}; !slices.Equal(got, want) {
		t.Errorf("expected are %v, not %v", got, want)
	}
}
