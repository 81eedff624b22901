package mixpanel

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"aka/destinations/adapter"
	"aka/router/segment"
)

func grouping() *translator {
	config := Config{Token: adapter.NewSecret("t0ken"), IDMerge: Simplified, People: true, GroupKeys: []string{"company", "team"}}
	return newTranslator(config, "https://api.mixpanel.com")
}

func callOf(callType segment.Type, values map[string]any) *segment.Call {
	return &segment.Call{
		Header: segment.Header{Type: callType, MessageID: "m", UserID: "jane", Timestamp: time.Unix(1700000000, 0)},
		Event:  "e", Traits: values, Properties: values,
	}
}

func groupList(n int) []any {
	ids := make([]any, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%05x", i+1) // a group that is zero is none
	}
	return ids
}

// Each group gets all of the call's traits, so a list of groups without a bound grows with its square.
func TestCallOfTooManyGroupsIsRejected(t *testing.T) {
	got := grouping().Translate(callOf(segment.Group, map[string]any{"name": "Acme", "team": groupList(maxGroups + 1)}))
	if got.Rejected == nil || got.Rejected.Error() != "traits.team: more than 100 groups" {
		t.Errorf("got %d requests, %v", len(got.Requests), got.Rejected)
	}
	got = grouping().Translate(callOf(segment.Group, map[string]any{"name": "Acme", "team": groupList(maxGroups)}))
	if len(got.Requests) != 1+maxGroups {
		t.Errorf("got %d requests, %v", len(got.Requests), got.Rejected)
	}
}

func TestGroupsAreNotDescribedByTheirOwnKey(t *testing.T) {
	got := grouping().Translate(callOf(segment.Group, map[string]any{"company": "acme", "team": []any{"blue"}, "plan": "pro"}))
	var described []string
	for _, r := range got.Requests {
		var update struct {
			Key string         `json:"$group_key"`
			Set map[string]any `json:"$set"`
		}
		if err := json.Unmarshal(r.Body, &update); err != nil {
			t.Fatal(err)
		}
		if update.Key != "" {
			described = append(described, fmt.Sprint(update.Key, " ", update.Set))
		}
	}
	if want := "company map[plan:pro team:[blue]], team map[company:acme plan:pro]"; strings.Join(described, ", ") != want {
		t.Errorf("got %s\nwant %s", strings.Join(described, ", "), want)
	}
}

func TestLargeDescriptionOfManyGroupsIsRejected(t *testing.T) {
	got := grouping().Translate(callOf(segment.Group, map[string]any{"about": strings.Repeat("x", 400<<10), "team": groupList(maxGroups)}))
	if got.Rejected != adapter.ErrTooLarge {
		t.Errorf("got %d requests, %v", len(got.Requests), got.Rejected)
	}
}

func TestLongListOfGroupsTakesTimeInProportion(t *testing.T) {
	took := func(groups int) time.Duration {
		call := callOf(segment.Track, map[string]any{"team": groupList(groups)})
		start := time.Now()
		grouping().Translate(call)
		return time.Since(start)
	}
	const times = 20
	var ratio float64
	for range 5 { // what else the machine does may disturb one of two
		if ratio = float64(took(100_000)) / float64(took(100_000/times)); ratio < times*times/3 {
			return
		}
	}
	t.Errorf("a list of %d times as many groups takes %.0f times as long", times, ratio)
}
