package adapter

import "testing"

func TestAnOutcomeWithoutItsMergesKeepsTheOtherRequests(t *testing.T) {
	set, merge := Request{Method: "GET", URL: "https://vendor.example/s"}, Request{Method: "GET", URL: "https://vendor.example/a", Merges: true}
	both := Send(set, merge)
	if got := both.WithoutMerges(MergeRefused); len(got.Requests) != 1 || got.Requests[0].URL != set.URL || got.Dropped != "" {
		t.Errorf("got %+v", got)
	}
	if len(both.Requests) != 2 || !both.Requests[1].Merges {
		t.Errorf("it changed the outcome: %+v", both)
	}
	if got := Send(merge).WithoutMerges(MergeRefused); got.Dropped != MergeRefused || got.Requests != nil {
		t.Errorf("nothing else is left: got %+v", got)
	}
	if got := Send(set).WithoutMerges(MergeRefused); len(got.Requests) != 1 || got.Dropped != "" {
		t.Errorf("nothing merges: got %+v", got)
	}
}
