package harness

import (
	"os"
	"slices"
	"testing"
)

func TestACaseEndsAsATestDoes(t *testing.T) {
	var ended []int
	dir := ""
	c := RunCase(t.Context(), t.TempDir(), func(c *Case) {
		c.Cleanup(func() { ended = append(ended, 1) })
		dir = c.TempDir()
		c.Cleanup(func() { ended = append(ended, 2); c.Fatalf("in a clean-up") })
		c.Logf("%d", 7)
		for range mostWrong {
			c.Errorf("wrong")
		}
		Check(c, os.ErrNotExist)
		c.Logf("after the end")
	})
	if !slices.Equal(ended, []int{2, 1}) || !slices.Equal(c.Notes, []string{"7"}) {
		t.Errorf("clean-ups %v, notes %v", ended, c.Notes)
	}
	if len(c.Failures) != mostWrong+1 || c.Failures[mostWrong] != "and 2 more" || !c.Failed() {
		t.Errorf("wrong are %q", c.Failures)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) || c.Context().Err() == nil {
		t.Errorf("%s is there, or the context goes on: %v", dir, err)
	}
}

func TestAScenarioIsChosenByItsNameOrItsBeginning(t *testing.T) {
	all := []Scenario[int]{{Name: "start"}, {Name: "start-large", ShortOnly: true}, {Name: "disk-full"}, {Name: "disk-slow", LongOnly: true}}
	for name, c := range map[string]struct {
		only  string
		short bool
		want  []string
	}{
		"nothing is said": {"", false, []string{"start", "disk-full", "disk-slow"}},
		"the short form":  {"", true, []string{"start", "start-large", "disk-full"}},
		"names":           {"start-large,start", false, []string{"start-large", "start"}},
		"a beginning":     {"disk-", true, []string{"disk-full", "disk-slow"}},
		"no scenario":     {"start,nothing", false, nil},
	} {
		chosen, err := Choose(all, c.only, c.short)
		if err == nil && !slices.Equal(Names(chosen), c.want) || (err != nil) != (c.want == nil) {
			t.Errorf("%s: %v, %v", name, Names(chosen), err)
		}
	}
}
