package simulator

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
)

func TestGraphReadsWell(t *testing.T) {
	graph := Graph{
		{IDs: []string{"anon-1", "jane@example.com"}, Events: []string{"A", "B", "C"}},
		{IDs: []string{"bob\n\x1b[31m"}, Events: []string{"A"}},
		{Stranded: "jane@example.com"},
	}
	want := "anon-1 + jane@example.com          ->  one person, 3 events\n" +
		"\"bob\\n\\x1b[31m\"                    ->  one person, 1 event\n" +
		"jane@example.com before its alias  ->  always apart, 0 events\n"
	if got := graph.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := (Graph{}).String(); got != "" {
		t.Errorf("nobody reads %q", got)
	}
	if _, ok := graph.Person("nobody"); ok {
		t.Error("nobody is a person")
	}
}

// Merges and events in any order are the same people, whichever way the roots went.
func TestUnionsGiveOneGraphInAnyOrder(t *testing.T) {
	build := func(dice *rand.Rand) Graph {
		g := newGraph(1000)
		var steps []func()
		for i := range 30 {
			steps = append(steps,
				func() { g.union(fmt.Sprint("id-", i), fmt.Sprint("id-", i/3*3)) },
				func() { g.credit(fmt.Sprint("id-", i), fmt.Sprint("event-", i%4)) },
				func() { g.set(fmt.Sprint("id-", i), "last", i) },
			)
		}
		dice.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
		for _, step := range steps {
			step()
		}
		for i := range 30 {
			if got := g.size(fmt.Sprint("id-", i)); got != 3 {
				t.Fatalf("cluster of %d ids, want 3", got)
			}
		}
		return g.people()
	}
	want := build(rand.New(rand.NewPCG(0, 0)))
	if len(want) != 10 {
		t.Fatalf("%d people, want 10", len(want))
	}
	for seed := range uint64(20) {
		if got := build(rand.New(rand.NewPCG(seed, 1))); !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d:\n%swant\n%s", seed, got, want)
		}
	}
}

func TestGraphIsBounded(t *testing.T) {
	g := newGraph(2)
	g.credit("a", "E")
	g.union("b", "c")
	g.union("c", "b")
	g.point("d", "a")
	g.credit("e", "E")
	if got, want := g.people(), (Graph{{IDs: []string{"a"}, Events: []string{"E"}}, {IDs: []string{"b"}}}); !reflect.DeepEqual(got, want) {
		t.Errorf("people %v, want %v", got, want)
	}
	if g.cut == 0 || !g.full() || len(g.points) != 0 {
		t.Errorf("cut %d, points %v", g.cut, g.points)
	}
}

func TestAFullMixpanelRefusesVerbs(t *testing.T) {
	c := openAccount(t, "mixpanel", Options{IDMerge: "original", MaxRecords: 2})
	c.verbs(alias("a", "b"), alias("c", "d"))
	c.wantRefusals("simulator_full")
}

func TestNamesUnderOneIDAreBounded(t *testing.T) {
	g := newGraph(1)
	for i := range maxNames + 1 {
		g.credit("a", fmt.Sprint(i))
		g.set("a", fmt.Sprint(i), i)
	}
	person := g.people()[0]
	if len(person.Events) != maxNames || len(person.Properties) != maxNames || g.cut != 2 {
		t.Errorf("%d events, %d properties, %d cut", len(person.Events), len(person.Properties), g.cut)
	}
}
