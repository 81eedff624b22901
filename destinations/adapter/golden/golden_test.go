package golden

import (
	"path/filepath"
	"strings"
	"testing"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// joiner is an adapter whose calls merge as it says.
type joiner struct {
	adapter.Common
	merge adapter.Merge
}

func (j joiner) Translate(*segment.Call) adapter.Outcome    { return adapter.Outcome{} }
func (j joiner) Merges(*segment.Call) (adapter.Merge, bool) { return j.merge, j.merge.Rule != 0 }
func (j joiner) Account() string                            { return "joiner" }
func callOf(t segment.Type, userID, anonymousID string) *segment.Call {
	call := &segment.Call{}
	call.Type, call.UserID, call.AnonymousID = t, userID, anonymousID
	return call
}

func TestARequestThatMergesIsMarkedOrTheVendorKeepsTheDevice(t *testing.T) {
	joins := adapter.Merge{Rule: adapter.MergeJoins, From: "a-1", To: "u-1"}
	once := joins
	once.FirstUserOnly = true
	uses := adapter.Merge{Rule: adapter.MergeUses, To: "u-1"}
	for _, test := range []struct {
		name   string
		kind   segment.Type
		merge  adapter.Merge
		marked bool
		ok     bool
	}{
		{"marked", segment.Identify, joins, true, true},
		{"not marked", segment.Identify, joins, false, false},
		{"the vendor keeps the device", segment.Identify, once, false, true},
		{"both", segment.Identify, once, true, false},
		{"no merge", segment.Identify, uses, false, true},
		{"no merge, and marked", segment.Identify, uses, true, false},
		{"nothing is said", segment.Track, adapter.Merge{}, true, false},
		{"an alias", segment.Alias, joins, false, true},
		{"an alias that is marked", segment.Alias, joins, true, false},
	} {
		outcome := adapter.Send(adapter.Request{Method: "POST", Merges: test.marked})
		problem := markProblem(joiner{merge: test.merge}, callOf(test.kind, "u-1", "a-1"), outcome)
		if (problem == "") != test.ok {
			t.Errorf("%s: %q", test.name, problem)
		}
	}
}

// ignorer says of every answer of a status that the vendor did nothing.
type ignorer struct {
	adapter.Common
	status int
	reason adapter.Reason
}

func (i ignorer) Translate(*segment.Call) adapter.Outcome { return adapter.Outcome{} }
func (i ignorer) Judge(requests []adapter.Request, answer adapter.Answer) []adapter.Verdict {
	verdict := answer.Verdict()
	if answer.Status == i.status {
		verdict = adapter.Verdict{Class: adapter.Dropped, Note: string(i.reason)}
	}
	return adapter.Verdicts(len(requests), verdict)
}

func TestAWebPageDropsNothing(t *testing.T) {
	sent := []adapter.Request{{Method: "POST", URL: "https://vendor.test/"}}
	for _, status := range []int{200, 404} {
		if problem := takesPages(ignorer{status: status, reason: adapter.UserUnknown}, sent, false); problem == "" {
			t.Errorf("a web page with status %d drops a call", status)
		}
	}
	if problem := takesPages(ignorer{}, sent, false); problem != "" {
		t.Error(problem)
	}
}

func TestADropHasAKnownReason(t *testing.T) {
	for reason, ok := range map[adapter.Reason]bool{adapter.Declined: true, adapter.NothingToSend: true, "": false, "whim": false} {
		if problem := reasonProblem(adapter.Verdicts(1, adapter.Verdict{Class: adapter.Dropped, Note: string(reason)})); (problem == "") != ok {
			t.Errorf("%q: %q", reason, problem)
		}
	}
}

// prober finds the same in every answer.
type prober struct {
	signer
	found adapter.Finding
}

func (p *prober) Probe() adapter.Probe {
	return adapter.Probe{Read: func(adapter.Answer, adapter.Answer) (adapter.Finding, string) { return p.found, "" }}
}

func TestAProbeReadsAFinding(t *testing.T) {
	for finding, ok := range map[adapter.Finding]bool{adapter.NotAccepted: true, "": true, "whim": false} {
		if problem := probeProblem(&prober{found: finding}); (problem == "") != ok {
			t.Errorf("%q: %q", finding, problem)
		}
	}
}

// run runs every case of a folder.
func run(t *testing.T, vendor adapter.Vendor, folder string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases in %s (%v)", folder, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) { Check(t, vendor, file) })
	}
}
