package harness

import (
	"net/http"
	"testing"
	"time"

	"aka/destinations/simulator"
)

func TestARepeatNeedsAReason(t *testing.T) {
	crash := time.Unix(100, 0)
	delivery := func(at time.Duration, faulty bool) Delivery {
		return Delivery{At: crash.Add(at), Content: "x", Faulty: faulty}
	}
	for _, c := range []struct {
		name          string
		before, after Delivery
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
		r := &Case{}
		e := Expectation{Crashes: []time.Time{crash}, Repeatable: 2 * time.Second, AnswerLost: c.lostAt}
		repeated, _ := (&World{T: r}).VerifyRepeats("vero", Repeats([]Delivery{c.before, c.after}), e)
		if repeated != 1 || r.Failed() == c.fine {
			t.Errorf("%s: repeated %d, wrong %q", c.name, repeated, r.Failures)
		}
	}
}

func TestWhatAVendorTookDespiteAFaultIsKnown(t *testing.T) {
	hang, slow := simulator.Fault{Hang: true}, simulator.Fault{Delay: time.Second}
	lost, down := simulator.Fault{Reset: true, When: simulator.After}, simulator.Fault{Status: http.StatusBadGateway}
	e := Expectation{Faults: []simulator.Fault{hang, slow, lost, down}}
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
	record := map[string]any{"step": "~000000001-2~"}
	exchange := simulator.Exchange{Fault: slow.String(), Status: http.StatusOK, Records: []any{record}}
	for _, c := range []struct {
		e    Expectation
		fine bool
	}{{Expectation{Faults: []simulator.Fault{slow}}, true}, {Expectation{Slow: []simulator.Fault{slow}}, false}} {
		all, err := c.e.Deliveries([]simulator.Exchange{exchange, exchange})
		if err != nil || len(all) != 2 {
			t.Fatalf("%v, %v", all, err)
		}
		r := &Case{}
		if (&World{T: r}).VerifyRepeats("vero", Repeats(all), c.e); r.Failed() == c.fine {
			t.Errorf("%+v: %q", c.e, r.Failures)
		}
	}
}
