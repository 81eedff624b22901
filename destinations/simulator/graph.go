package simulator

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Graph is the people that an account knows, in one order for one content: two graphs are the same people with the same
// events and properties exactly when reflect.DeepEqual says so.
type Graph []Person

// Person is the ids that the vendor takes for one person.
type Person struct {
	// IDs are the ids that lead to the person, sorted.
	IDs []string `json:"ids,omitempty"`
	// Stranded is set instead of IDs where data arrived under an id that leads elsewhere since: nothing joins it again.
	Stranded string `json:"stranded,omitempty"`
	// Unjoined is set instead of IDs where events came under an anonymous id that is somebody's, too late to be that person's.
	Unjoined string `json:"unjoined,omitempty"`
	// Events are the names of the events credited to the person, sorted, one entry per event.
	Events []string `json:"events,omitempty"`
	// Properties are the profile's, as decoded; where several ids of a person say different things, the last id's.
	Properties map[string]any `json:"properties,omitempty"`
}

// Person returns the person that the id leads to.
func (g Graph) Person(id string) (Person, bool) {
	for _, person := range g {
		if slices.Contains(person.IDs, id) {
			return person, true
		}
	}
	return Person{}, false
}

// String returns a line per person, for people to read.
func (g Graph) String() string {
	names := make([]string, len(g))
	width := 0
	for i, person := range g {
		names[i] = person.name()
		width = max(width, utf8.RuneCountInString(names[i]))
	}
	var lines strings.Builder
	for i, person := range g {
		verdict := "one person"
		switch {
		case person.Stranded != "":
			verdict = "always apart"
		case person.Unjoined != "":
			verdict = "not joined"
		}
		fmt.Fprintf(&lines, "%-*s  ->  %s, %s\n", width, names[i], verdict, countOf(len(person.Events), "event"))
	}
	return lines.String()
}

func (p Person) name() string {
	if p.Stranded != "" {
		return printable(p.Stranded) + " before its alias"
	}
	if p.Unjoined != "" {
		return printable(p.Unjoined) + " after its identify"
	}
	ids := make([]string, len(p.IDs))
	for i, id := range p.IDs {
		ids[i] = printable(id)
	}
	return strings.Join(ids, " + ")
}

// printable quotes an id that a terminal would not show as it is.
func printable(id string) string {
	if quoted := strconv.Quote(id); quoted[1:len(quoted)-1] != id {
		return quoted
	}
	return id
}

func countOf(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// graph holds data under ids, and which id leads to which other.
type graph struct {
	nodes  map[string]*node
	points map[string]string // an id to the id it leads to
	sizes  map[string]int    // how many ids lead to the id at the end, itself included; absent is 1
	max    int               // ids
	cut    int               // what found no room

	// strands: data under an id that leads elsewhere stays apart. Otherwise it goes where the id leads.
	strands bool
	// leavesProperties: an id that leads elsewhere takes its events along but not its properties.
	leavesProperties bool
	// peopleOnly: nothing is stored under an id.
	peopleOnly bool
}

// node is what is stored under one id.
type node struct {
	events     map[string]int
	properties map[string]any
}

// maxNames bounds the different events and properties under one id.
const maxNames = 100_000

func newGraph(max int) *graph {
	return &graph{nodes: map[string]*node{}, points: map[string]string{}, sizes: map[string]int{}, max: max}
}

func newNode() *node { return &node{events: map[string]int{}, properties: map[string]any{}} }

// has reports whether the id is known.
func (g *graph) has(id string) bool { return g.nodes[id] != nil }

// full tells that no more ids are taken in.
func (g *graph) full() bool { return len(g.nodes) >= g.max }

// node returns what is stored under exactly this id, and makes the id known. When the graph is full the node of a new id
// is lost.
func (g *graph) node(id string) *node {
	if n := g.nodes[id]; n != nil {
		return n
	}
	if g.full() {
		g.cut++
		return newNode()
	}
	n := emptyNode
	if !g.peopleOnly {
		n = newNode()
	}
	g.nodes[id] = n
	return n
}

// emptyNode is that of every id where nothing is stored.
var emptyNode = &node{}

// credit counts an event under the id.
func (g *graph) credit(id, event string) {
	n := g.node(id)
	if g.peopleOnly {
		return
	}
	if _, known := n.events[event]; !known && len(n.events) >= maxNames {
		g.cut++
		return
	}
	n.events[event]++
}

// set sets a property under the id.
func (g *graph) set(id, name string, value any) {
	n := g.node(id)
	if g.peopleOnly {
		return
	}
	if _, known := n.properties[name]; !known && len(n.properties) >= maxNames {
		g.cut++
		return
	}
	n.properties[name] = value
}

// resolve returns the id at the end of where id leads.
func (g *graph) resolve(id string) string {
	for {
		next, ok := g.points[id]
		if !ok {
			return id
		}
		id = next
	}
}

// size returns how many ids lead to the same end as id.
func (g *graph) size(id string) int { return max(1, g.sizes[g.resolve(id)]) }

// point makes from, which leads nowhere yet, lead to where to leads. It must not lead to from.
func (g *graph) point(from, to string) {
	g.node(from)
	g.node(to)
	if !g.has(from) || !g.has(to) {
		return
	}
	to = g.resolve(to)
	g.points[from] = to
	g.sizes[to] = max(1, g.sizes[to]) + max(1, g.sizes[from])
	delete(g.sizes, from)
}

// union makes a and b lead to the same end. The smaller side leads to the larger, which keeps the ways short.
func (g *graph) union(a, b string) {
	g.node(a)
	g.node(b)
	a, b = g.resolve(a), g.resolve(b)
	switch {
	case a == b:
	case g.size(a) < g.size(b):
		g.point(a, b)
	default:
		g.point(b, a)
	}
}

// rename stores what is under one id under another, which must be unknown.
func (g *graph) rename(from, to string) {
	g.nodes[to] = g.nodes[from]
	delete(g.nodes, from)
}

// remove forgets the id and what is stored under it.
func (g *graph) remove(id string) { delete(g.nodes, id) }

// people returns the graph for comparing.
func (g *graph) people() Graph {
	byEnd := map[string]*gathered{}
	var apart Graph
	for _, id := range slices.Sorted(maps.Keys(g.nodes)) {
		end := g.resolve(id)
		if byEnd[end] == nil {
			byEnd[end] = newGathered()
		}
		whole := byEnd[end]
		whole.ids = append(whole.ids, id)
		switch n := g.nodes[id]; {
		case end == id:
			whole.add(n, true)
		case !g.strands:
			whole.add(n, !g.leavesProperties)
		case len(n.events)+len(n.properties) > 0:
			lost := newGathered()
			lost.add(n, true)
			person := lost.person()
			person.Stranded = id
			apart = append(apart, person)
		}
	}
	people := make(Graph, 0, len(byEnd)+len(apart))
	for _, whole := range byEnd {
		people = append(people, whole.person())
	}
	slices.SortFunc(people, func(a, b Person) int { return strings.Compare(a.IDs[0], b.IDs[0]) })
	return append(people, apart...)
}

// gathered is a person on the way to be shown.
type gathered struct {
	ids        []string
	events     map[string]int
	properties map[string]any
}

func newGathered() *gathered {
	return &gathered{events: map[string]int{}, properties: map[string]any{}}
}

func (w *gathered) add(n *node, withProperties bool) {
	for event, count := range n.events {
		w.events[event] += count
	}
	if withProperties {
		maps.Copy(w.properties, n.properties)
	}
}

// person leaves empty fields nil, so that a person written by hand compares equal.
func (w *gathered) person() Person {
	p := Person{IDs: w.ids}
	for _, event := range slices.Sorted(maps.Keys(w.events)) {
		for range w.events[event] {
			p.Events = append(p.Events, event)
		}
	}
	if len(w.properties) > 0 {
		p.Properties = w.properties
	}
	return p
}
