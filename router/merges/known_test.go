package merges

import (
	"fmt"
	"slices"
	"testing"

	"aka/destinations/adapter"
)

func TestTheMergesOfAnIDAreFoundAndNamed(t *testing.T) {
	m := New("account", 10_000)
	add := func(rule adapter.MergeRule, from, to string) {
		m.Add(NewMerge(adapter.Merge{Rule: rule, From: from, To: to}))
	}
	for i := range 1000 {
		add(adapter.MergeRenames, fmt.Sprintf("other-%d", i), fmt.Sprintf("else-%d", i))
	}
	add(adapter.MergeRenames, "jen@email.com", "507f191e81")
	add(adapter.MergeUses, "", "jen@email.com")
	add(adapter.MergeRenames, "507f191e81", "jane")
	found, more := Find(m.Blocks(), "jane", []string{"507f191e81"})
	if len(found) != 2 || more {
		t.Fatalf("got %+v", found)
	}
	named := func(n Name) string {
		if n.ID == nil {
			return "unknown"
		}
		return *n.ID
	}
	var lines []string
	for _, f := range found {
		lines = append(lines, named(f.From)+" "+f.Rule+" "+named(f.To))
	}
	slices.Sort(lines)
	if want := []string{"507f191e81 renames jane", "unknown renames 507f191e81"}; !slices.Equal(lines, want) {
		t.Errorf("got %q, want %q", lines, want)
	}
}
