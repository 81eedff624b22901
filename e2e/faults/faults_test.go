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
	"aka/e2e/crowd"
)

func TestATallyKnowsLostSwappedAndRepeated(t *testing.T) {
	for _, c := range []struct {
		name                    string
		steps                   []int
		lost, swapped, repeated int
	}{
		{"all in order", []int{0, 1, 2, 3, 4, 6, 5}, 0, 0, 0},
		{"one lost", []int{0, 1, 2, 4, 5, 6}, 1, 0, 0},
		{"one too late", []int{0, 1, 3, 2, 4, 5, 6}, 0, 1, 0},
		{"one before the identify", []int{0, 1, 2, 3, 5, 4, 6}, 0, 1, 0},
		{"one twice", []int{0, 1, 2, 3, 4, 5, 6, 4}, 0, 0, 1},
	} {
		all, r := crowd.NewTally(crowd.Ranks, 1), &Result{}
		for _, step := range c.steps {
			all.Add(crowd.Place{Step: step})
		}
		verifyTally(r, "vero", all, 1)
		if r.Lost != c.lost || r.Swapped != c.swapped || r.Repeated != c.repeated {
			t.Errorf("%s: lost %d, swapped %d, repeated %d", c.name, r.Lost, r.Swapped, r.Repeated)
		}
		if r.failed() != (c.lost+c.swapped+c.repeated > 0) {
			t.Errorf("%s: failed is %v", c.name, r.failed())
		}
	}
}

func TestARepeatNeedsAReason(t *testing.T) {
	crash := time.Unix(100, 0)
	delivery := func(at time.Duration, faulty bool) crowd.Delivery {
		return crowd.Delivery{At: crash.Add(at), Content: "x", Faulty: faulty}
	}
	for _, c := range []struct {
		name          string
		before, after crowd.Delivery
		lostAt        string
		fine          bool
	}{
		{"over a crash, soon before it", delivery(-time.Second, false), delivery(time.Second, false), "", true},
		{"over a crash, long before it", delivery(-3*time.Second, false), delivery(time.Second, false), "", false},
		{"without a crash", delivery(time.Second, false), delivery(2*time.Second, false), "", false},
		{"after an exchange that failed", delivery(time.Second, true), delivery(2*time.Second, false), "", true},
		{"after an answer that was lost", delivery(time.Second, false), delivery(2*time.Second, false), "vero", true},
		{"after one that was lost elsewhere", delivery(time.Second, false), delivery(2*time.Second, false), "mixpanel", false},
	} {
		r := &Result{}
		e := expectation{crashes: []time.Time{crash}, repeatable: 2 * time.Second, answerLost: c.lostAt}
		verifyRepeats(r, "vero", crowd.Repeats([]crowd.Delivery{c.before, c.after}), e)
		if r.Repeated != 1 || r.failed() == c.fine {
			t.Errorf("%s: repeated %d, wrong %v", c.name, r.Repeated, r.Wrong)
		}
	}
}

func TestWhatAVendorTookDespiteAFaultIsKnown(t *testing.T) {
	hang, slow := simulator.Fault{Hang: true}, simulator.Fault{Delay: time.Second}
	lost, down := simulator.Fault{Reset: true, When: simulator.After}, simulator.Fault{Status: http.StatusBadGateway}
	e := expectation{faults: []simulator.Fault{hang, slow, lost, down}}
	for _, c := range []struct {
		name   string
		fault  string
		status int
		taken  bool
	}{
		{"in calm", "", http.StatusOK, true},
		{"refused", "", http.StatusBadRequest, false},
		{"gone before the answer", slow.String(), 0, false},
		{"slow", slow.String(), http.StatusOK, true},
		{"hanging until the client went", hang.String(), 0, false},
		{"taken without an answer", lost.String(), 0, true},
		{"down", down.String(), http.StatusBadGateway, false},
	} {
		if got := e.wasTaken(simulator.Exchange{Fault: c.fault, Status: c.status}); got != c.taken {
			t.Errorf("%s: taken is %v", c.name, got)
		}
	}
}

func TestASlowAnswerIsNoReasonForARepeat(t *testing.T) {
	slow := simulator.Fault{Delay: time.Millisecond}
	record := map[string]any{"event": "p1 step 2"}
	exchange := simulator.Exchange{Fault: slow.String(), Status: http.StatusOK, Records: []any{record}}
	for _, c := range []struct {
		e    expectation
		fine bool
	}{{expectation{faults: []simulator.Fault{slow}}, true}, {expectation{slow: []simulator.Fault{slow}}, false}} {
		all, err := c.e.deliveries([]simulator.Exchange{exchange, exchange})
		if err != nil || len(all) != 2 {
			t.Fatalf("%v, %v", all, err)
		}
		r := &Result{}
		if verifyRepeats(r, "vero", crowd.Repeats(all), c.e); r.failed() == c.fine {
			t.Errorf("%+v: %v", c.e, r.Wrong)
		}
	}
}

func TestWhatComesBeforeRetryAfterIsFound(t *testing.T) {
	start := time.Unix(100, 0)
	exchange := func(status int, at time.Duration) simulator.Exchange {
		return simulator.Exchange{Status: status, At: start.Add(at)}
	}
	date := start.Add(3 * time.Second)
	forms := []string{"1", date.UTC().Format(http.TimeFormat)}
	for _, c := range []struct {
		name string
		all  []simulator.Exchange
		fine bool
	}{
		{"in time", []simulator.Exchange{exchange(429, 0), exchange(429, time.Second), exchange(200, 3*time.Second)}, true},
		{"before a second", []simulator.Exchange{exchange(429, 0), exchange(429, time.Second/2), exchange(200, 3*time.Second)}, false},
		{"before the date", []simulator.Exchange{exchange(429, 0), exchange(429, time.Second), exchange(200, 2*time.Second)}, false},
	} {
		r := &Result{}
		checkRetryAfter(r, c.all, forms, date)
		if r.failed() == c.fine {
			t.Errorf("%s: wrong %v", c.name, r.Wrong)
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
		r := &Result{}
		verifyNoneTaken(r, []ack{{sent: time.Unix(c.sent, 0), at: time.Unix(c.at, 0)}}, begin, end)
		if r.failed() == c.fine {
			t.Errorf("%s: wrong %v", c.name, r.Wrong)
		}
	}
}

func TestTheLogMustSayOnceThatRecordsFailed(t *testing.T) {
	const line = `{"level":"error","msg":"journal store has failed","error":"write 1.log: EIO","hint":"start it again"}` + "\n"
	const bare = `{"level":"error","msg":"journal store has failed","error":"write 1.log: EIO"}` + "\n"
	for log, fine := range map[string]bool{"": false, "aka: serve\n" + line: true, line + line: false, bare: false} {
		r := &Result{}
		if verifyToldOnce(r, log); r.failed() == fine {
			t.Errorf("%q: wrong %v", log, r.Wrong)
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

func TestANameThatIsNoScenarioIsRefused(t *testing.T) {
	for only, want := range map[string]int{"sigkill": 1, "sigkill,sigterm": 2, "disk-": len(diskScenarios()), "sig": -1, "": len(scenarios)} {
		chosen, err := (&options{only: only}).choose()
		if (err != nil) != (want < 0) || err == nil && len(chosen) != want {
			t.Errorf("-only %q: %d scenarios, %v", only, len(chosen), err)
		}
	}
}

func TestWhoWasThereGetsWhatCameThenAndNothingElse(t *testing.T) {
	at := func(second int64) time.Time { return time.Unix(second, 0) }
	call := func(person int, began, answered int64) ack {
		return ack{Place: crowd.Place{Person: person}, began: at(began), at: at(answered)}
	}
	acks := []ack{call(0, 11, 19), call(1, 19, 21), call(2, 31, 39), call(3, 41, 44), call(4, 50, 51)}
	var there tenure
	there.begin(true, at(10))
	there.begin(true, at(15)) // as before
	there.end(at(20))
	there.begin(false, at(30))
	there.end(at(40))
	there.begin(true, at(45))
	there.end(at(60))
	people := func(places []crowd.Place) (people []int) {
		for _, p := range places {
			people = append(people, p.Person)
		}
		return people
	}
	if got := people(there.meant(acks)); !slices.Equal(got, []int{0, 4}) {
		t.Errorf("meant are %v", got)
	}
	if got := there.strangers(acks); len(got) != 1 || !got[crowd.Place{Person: 2}] {
		t.Errorf("strangers are %v", got)
	}
	there.forgotten(at(70))
	if got := there.meant(acks); len(got) > 0 {
		t.Errorf("meant are %v still", got)
	}
	if got := there.strangers(acks); len(got) != 1 {
		t.Errorf("strangers are %v", got)
	}
}
