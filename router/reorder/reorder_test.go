package reorder

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"aka/router/journal"
	"aka/router/journal/frame"
	"aka/router/segment"
)

var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// written builds a log, a frame per write.
type written struct{ frames []*journal.Frame }

// write appends a frame that was committed so many milliseconds after the begin.
func (w *written) write(at int, entries ...journal.Entry) {
	before := uint64(0)
	if n := len(w.frames); n > 0 {
		before = w.frames[n-1].Before + uint64(len(w.frames[n-1].Entries))
	}
	for i := range entries {
		entries[i].MessageID = fmt.Sprint(len(w.frames), ".", i)
	}
	f := frame.New(uint64(len(w.frames)+1), before, entries, 0)
	f.Committed = begin.Add(time.Duration(at) * time.Millisecond)
	w.frames = append(w.frames, f)
}

// placed are the message ids, in the order in which they come out, up to a time after the last frame.
func (w *written) placed(until int) (ids []string, reversed []string) {
	o := New()
	for _, f := range w.frames {
		o.Add(f)
	}
	o.Advance(begin.Add(time.Duration(until) * time.Millisecond))
	for p, ok := o.Next(); ok; p, ok = o.Next() {
		id := w.entry(p.Position).MessageID
		ids = append(ids, id)
		if p.Reversed {
			reversed = append(reversed, id)
		}
	}
	return ids, reversed
}

func (w *written) entry(pos journal.Position) *journal.Entry {
	return &w.frames[pos.Seq-1].Entries[pos.Index]
}

// device is a call that a page made so many milliseconds after the begin, held for 300 ms.
func device(kind segment.Type, clock int, user, anonymous, previous string) journal.Entry {
	e := journal.Entry{Source: "website"}
	e.Type, e.UserID, e.AnonymousID, e.PreviousID = kind, user, anonymous, previous
	e.FromDevice, e.Clock, e.ReorderWindow = true, begin.UnixMicro()+int64(clock)*1000, 300*time.Millisecond
	return e
}

func server(kind segment.Type, user string) journal.Entry {
	e := journal.Entry{Source: "backend"}
	e.Type, e.UserID = kind, user
	return e
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("placed %v, want %v", got, want)
	}
}

func TestOrder_PutsADevicesCallsAsItMadeThem(t *testing.T) {
	w := written{}
	w.write(0, device(segment.Identify, 63, "u-1", "anon", ""))
	w.write(5, device(segment.Track, 80, "u-1", "anon", ""))
	w.write(20, device(segment.Alias, 0, "u-1", "anon", "anon"))
	w.write(100, device(segment.Track, 5, "other", "elsewhere", ""))
	got, _ := w.placed(1000)
	expect(t, got, "2.0", "0.0", "1.0", "3.0")
}

func TestOrder_HoldsNothingBackForLongerThanItsWindow(t *testing.T) {
	w := written{}
	w.write(0, device(segment.Identify, 63, "u-1", "anon", ""))
	w.write(300, device(segment.Alias, 0, "u-1", "anon", "anon"))
	got, _ := w.placed(1000)
	expect(t, got, "0.0", "1.0")
	o := New()
	o.Add(w.frames[0])
	if due, ok := o.Due(); !ok || due.Sub(begin) != 300*time.Millisecond {
		t.Errorf("it is due at %v", due)
	}
	o.Advance(begin.Add(299 * time.Millisecond))
	if _, ok := o.Next(); ok {
		t.Error("it went too soon")
	}
	o.Advance(begin.Add(300 * time.Millisecond))
	if _, ok := o.Next(); !ok || o.Held() != 0 {
		t.Errorf("it did not go in time; %d are held", o.Held())
	}
}

// A server's call is not moved. It waits behind held calls of the same people, and passes all others.
func TestOrder_LeavesServersCallsInTheirPlace(t *testing.T) {
	w := written{}
	w.write(0, device(segment.Track, 50, "u-1", "anon", ""))
	w.write(1, server(segment.Identify, "u-1"), server(segment.Identify, "u-2"))
	w.write(2, server(segment.Track, "u-1"), device(segment.Track, 40, "u-1", "anon", ""))
	got, _ := w.placed(1000)
	expect(t, got, "1.1", "2.1", "0.0", "1.0", "2.0")
}

// A dead letter that is replayed keeps its place in the log, whatever its device's clock says.
func TestOrder_LeavesReplaysInTheirPlace(t *testing.T) {
	replay := device(segment.Track, 0, "u-1", "anon", "")
	replay.Target, replay.Replayed = "vendor", &journal.Replayed{DeadLetterID: 1}
	other := device(segment.Track, 0, "u-2", "", "")
	other.Target, other.Replayed = replay.Target, replay.Replayed
	w := written{}
	w.write(0, device(segment.Track, 50, "u-1", "anon", ""))
	w.write(1, replay, other)
	got, _ := w.placed(1000)
	expect(t, got, "1.1", "0.0", "1.0")
}

// At one moment, an alias stands behind what names its old id, and before what names its new one.
func TestOrder_PutsAnAliasBetweenWhatNamesItsIDs(t *testing.T) {
	w := written{}
	w.write(0, device(segment.Identify, 0, "new", "anon2", ""))
	w.write(1, device(segment.Alias, 0, "new", "", "old"))
	w.write(2, device(segment.Track, 0, "old", "anon1", ""))
	got, _ := w.placed(1000)
	expect(t, got, "2.0", "1.0", "0.0")
}

// The calls of one request stay as they are, whatever their ids.
func TestOrder_KeepsARequestsOrderAtOneMoment(t *testing.T) {
	w := written{}
	w.write(0, device(segment.Identify, 0, "new", "anon2", ""), device(segment.Alias, 0, "new", "", "old"), device(segment.Track, 0, "old", "anon1", ""))
	got, _ := w.placed(1000)
	expect(t, got, "0.0", "0.1", "0.2")
}

func TestOrder_FindsAliasesThatABrowserReversed(t *testing.T) {
	stamped := device(segment.Alias, 0, "jen", "", "507f")
	stamped.UserIDStamped = true
	for name, c := range map[string]struct {
		alias    journal.Entry
		identify journal.Entry
		want     bool
	}{
		"the identify was made after it":        {device(segment.Alias, 0, "jen", "a", "507f"), device(segment.Identify, 63, "507f", "b", ""), true},
		"the identify was made before it":       {device(segment.Alias, 70, "jen", "a", "507f"), device(segment.Identify, 63, "507f", "a", ""), false},
		"the identify names the new id":         {device(segment.Alias, 0, "jen", "a", "507f"), device(segment.Identify, 63, "jen", "a", ""), false},
		"the identify is a server's":            {device(segment.Alias, 0, "jen", "a", "507f"), server(segment.Identify, "507f"), false},
		"the page's code named the alias's ids": {stamped, device(segment.Identify, 63, "507f", "b", ""), false},
	} {
		for order := range 2 {
			w := written{}
			calls := []journal.Entry{c.alias, c.identify}
			if order == 1 {
				slices.Reverse(calls)
			}
			w.write(0, calls[0])
			w.write(2, calls[1])
			_, reversed := w.placed(1000)
			if got := len(reversed) == 1; got != c.want {
				t.Errorf("%s, %d: reversed %v", name, order, reversed)
			}
		}
	}
}

// naive is the order as it is defined, by looking at everything each time.
type naive struct {
	held   []*naiveCall
	placed []journal.Position
	due    time.Time
}

type naiveCall struct {
	*call
	entry *journal.Entry
}

func (n *naive) add(f *journal.Frame) {
	n.advance(f.Committed)
	for i := range f.Entries {
		e := &f.Entries[i]
		c := &naiveCall{new(call), e}
		c.fill(e, journal.Position{Seq: f.Seq, Index: i}, isMoved(e))
		if c.device {
			c.due = f.Committed.Add(e.ReorderWindow)
			if c.due.Before(n.due) {
				c.due = n.due
			}
			n.due = c.due
		}
		if c.device || n.isBehind(c, len(n.held)) {
			n.held = append(n.held, c)
		} else {
			n.placed = append(n.placed, c.position)
		}
	}
}

func (c *naiveCall) shares(o *naiveCall) bool {
	return slices.ContainsFunc(c.entry.IDs(nil), func(id string) bool { return slices.Contains(o.entry.IDs(nil), id) })
}

func (n *naive) isBehind(c *naiveCall, before int) bool {
	return slices.ContainsFunc(n.held[:before], func(o *naiveCall) bool { return o.shares(c) })
}

func (n *naive) advance(to time.Time) {
	for {
		i := slices.IndexFunc(n.held, func(c *naiveCall) bool { return c.device })
		if i < 0 || to.Before(n.held[i].due) {
			return
		}
		n.release(n.held[i])
	}
}

func (n *naive) release(due *naiveCall) {
	group := []*naiveCall{due}
	for grown := true; grown; {
		grown = false
		for _, c := range n.held {
			if c.device && c.source == due.source && c.clock <= due.clock && !slices.Contains(group, c) && slices.ContainsFunc(group, c.shares) {
				group, grown = append(group, c), true
			}
		}
	}
	calls := make([]*call, len(group))
	for i, c := range group {
		calls[i] = c.call
	}
	o := Order{group: calls}
	o.sortGroup()
	for _, c := range o.group {
		n.place(c.position)
	}
	for {
		i := 0
		for i < len(n.held) && (n.held[i].device || n.isBehind(n.held[i], i)) {
			i++
		}
		if i == len(n.held) {
			return
		}
		n.place(n.held[i].position)
	}
}

func (n *naive) place(pos journal.Position) {
	n.placed = append(n.placed, pos)
	n.held = slices.DeleteFunc(n.held, func(c *naiveCall) bool { return c.position == pos })
}

// story is a random log: devices and servers, whose calls arrive in any order.
func story(random *rand.Rand) *written {
	w, at := &written{}, 0
	people := 1 + random.IntN(6)
	id := func(kind string) string { return fmt.Sprint(kind, random.IntN(people)) }
	for range 5 + random.IntN(60) {
		at += random.IntN(120)
		var entries []journal.Entry
		for request := range 1 + random.IntN(3) {
			kind := segment.Types[random.IntN(len(segment.Types))]
			var e journal.Entry
			switch random.IntN(4) {
			case 0:
				e = server(kind, id("u"))
			default:
				e = device(kind, at-random.IntN(500)/(1+random.IntN(50)), id("u"), id("a"), "")
				e.Source = []string{"website", "app"}[random.IntN(2)]
				if random.IntN(3) == 0 {
					e.ReorderWindow = time.Duration(1+random.IntN(400)) * time.Millisecond
				}
				if random.IntN(4) == 0 {
					e.UserID = ""
				}
			}
			if kind == segment.Alias {
				e.PreviousID = id([]string{"u", "a"}[random.IntN(2)])
			}
			e.Request = request
			entries = append(entries, e)
		}
		w.write(at, entries...)
	}
	return w
}

func drain(o *Order, into []Placed) []Placed {
	for p, ok := o.Next(); ok; p, ok = o.Next() {
		into = append(into, p)
	}
	return into
}

const end = 1_000_000

var stories = flag.Int("stories", 400, "random logs that are put in order, and again after a restart before each frame")

// The order is the one that is defined, every call has its own rank, and it is the same after a restart at any frame.
func TestOrder_IsAsDefinedAndTheSameAfterARestart(t *testing.T) {
	for seed := range uint64(*stories) {
		random := rand.New(rand.NewPCG(seed, 1))
		w := story(random)
		o, n := New(), &naive{}
		var all []Placed
		points, done := []Point{}, []int{}
		for _, f := range w.frames {
			points, done = append(points, o.Point(f.Seq)), append(done, len(all))
			o.Add(f)
			n.add(f)
			all = drain(o, all)
		}
		last := begin.Add(end * time.Millisecond)
		o.Advance(last)
		n.advance(last)
		all = drain(o, all)
		if o.Held() != 0 || len(o.ids) != 0 {
			t.Fatalf("seed %d: %d calls of %d ids are held in the end", seed, o.Held(), len(o.ids))
		}
		for i, p := range all {
			if p.Rank.Seq != uint64(i+1) {
				t.Fatalf("seed %d: call %d has rank %v", seed, i, p.Rank)
			}
			if i >= len(n.placed) || n.placed[i] != p.Position {
				t.Fatalf("seed %d: call %d is %v, not as defined\n%v", seed, i, p.Position, n.placed)
			}
		}
		for i, point := range points {
			again := w.after(t, point, last)
			if !slices.Equal(again, all[done[i]:]) {
				t.Fatalf("seed %d: after a restart before frame %d: %v, want %v", seed, i+1, again, all[done[i]:])
			}
		}
	}
}

// ranked is a call of a story, and when it got its place.
type ranked struct {
	entry *journal.Entry
	frame *journal.Frame
	due   time.Time // when its window is over; of a call that is moved
	place int
	// seen is how many frames had been read by then.
	seen int
}

// ranked puts a story in order, and returns its calls as they stand in the log.
func (w *written) ranked(t *testing.T) (all []*ranked) {
	t.Helper()
	o, calls, placed := New(), map[journal.Position]*ranked{}, 0
	take := func(seen int) {
		for _, p := range drain(o, nil) {
			c := calls[p.Position]
			if c == nil || c.place > 0 {
				t.Fatalf("%v is unknown, or has its place already", p.Position)
			}
			placed++
			c.place, c.seen = placed, seen
		}
	}
	due := time.Time{}
	for n, f := range w.frames {
		o.Advance(f.Committed)
		take(n)
		for i := range f.Entries {
			c := &ranked{entry: &f.Entries[i], frame: f}
			if isMoved(c.entry) {
				if own := f.Committed.Add(c.entry.ReorderWindow); own.After(due) {
					due = own
				}
				c.due = due
			}
			calls[journal.Position{Seq: f.Seq, Index: i}] = c
			all = append(all, c)
		}
		o.Add(f)
		take(n + 1)
	}
	o.Advance(begin.Add(end * time.Millisecond))
	take(len(w.frames))
	if placed != len(all) {
		t.Fatalf("%d of %d calls have a place", placed, len(all))
	}
	return all
}

func (c *ranked) shares(o *ranked) bool {
	return slices.ContainsFunc(c.entry.IDs(nil), func(id string) bool { return slices.Contains(o.entry.IDs(nil), id) })
}

// What is promised of two calls that share an id, first and second in the log: within the window the order is the device's, beyond
// it that of arrival, and nothing that came before a server's call goes behind it.
func (c *ranked) expectBefore(o *ranked) (rule string) {
	swapped := c.place > o.place
	sameDevice := isMoved(c.entry) && isMoved(o.entry) && c.entry.Source == o.entry.Source
	switch {
	case !isMoved(o.entry) && swapped:
		return "a call went behind a server's that came later"
	case isMoved(c.entry) && !o.frame.Committed.Before(c.due) && swapped:
		return "a call went behind one that came after its window"
	case sameDevice && c.entry.Clock < o.entry.Clock && swapped:
		return "two calls are neither as the device made them nor as they came"
	case sameDevice && c.entry.Clock > o.entry.Clock && uint64(c.seen) >= o.frame.Seq && !swapped:
		return "a call that was made earlier had come, and went behind"
	}
	return ""
}

// The promises of the order, whatever its definition.
func TestOrder_IsTheDevicesWithinTheWindowAndThatOfArrivalBeyond(t *testing.T) {
	moved := 0
	for seed := range uint64(*stories) {
		all := story(rand.New(rand.NewPCG(seed, 2))).ranked(t)
		for i, c := range all {
			for _, o := range all[i+1:] {
				if !c.shares(o) {
					continue
				}
				if rule := c.expectBefore(o); rule != "" {
					t.Fatalf("seed %d: %s: %s has place %d, and %s has %d", seed, rule, c.entry.MessageID, c.place, o.entry.MessageID, o.place)
				}
				if c.place > o.place {
					moved++
				}
			}
		}
	}
	if moved < *stories {
		t.Errorf("in %d stories %d pairs only were put in another order", *stories, moved)
	}
}

// after goes on at a point, as it was saved.
func (w *written) after(t *testing.T, point Point, last time.Time) []Placed {
	t.Helper()
	read, err := DecodePoint(point.Encode())
	if err != nil || !slices.Equal(read.Held, point.Held) || read.Frame != point.Frame || !read.Due.Equal(point.Due) {
		t.Fatalf("the point %v was read as %v: %v", point, read, err)
	}
	o := Resume(read)
	for _, f := range w.frames[read.First()-1:] {
		if f.Seq < read.Frame {
			o.Restore(f)
		} else {
			o.Add(f)
		}
	}
	o.Advance(last)
	return drain(o, nil)
}

// One id that thousands of held calls share does not cost extra for each.
func BenchmarkOrder(b *testing.B) {
	for name, people := range map[string]int{"people": 10_000, "one": 1} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			w := written{}
			for n := range 10_000 { // each ten milliseconds, a hundred calls
				if n%100 == 0 {
					var entries []journal.Entry
					for i := range 100 {
						person := fmt.Sprint((n + i) % people)
						entries = append(entries, device(segment.Track, n/10-i%7, "u"+person, "a"+person, ""))
					}
					w.write(n/10, entries...)
				}
			}
			for b.Loop() {
				o := New()
				for _, f := range w.frames {
					o.Add(f)
					for _, ok := o.Next(); ok; _, ok = o.Next() {
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10_000, "ns/call")
		})
	}
}

func FuzzDecodePoint(f *testing.F) {
	p := Point{Frame: 7, Due: begin, Held: []Held{{Position: journal.Position{Seq: 5, Index: 1}}, {Position: journal.Position{Seq: 5, Index: 2}}, {Position: journal.Position{Seq: 6}, Late: time.Second}}}
	f.Add(p.Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 64 {
			return
		}
		p, err := DecodePoint(data)
		if err == nil && p.First() > p.Frame {
			t.Errorf("%v begins behind its frame", p)
		}
	})
}

// In one request, at one millisecond, what stands behind the alias was made after it.
func TestOrder_FindsAReversedAliasOfOneRequest(t *testing.T) {
	alias, identify := device(segment.Alias, 0, "jen", "a", "507f"), device(segment.Identify, 0, "507f", "b", "")
	for _, c := range []struct {
		calls []journal.Entry
		want  int
	}{{[]journal.Entry{alias, identify}, 1}, {[]journal.Entry{identify, alias}, 0}} {
		w := written{}
		w.write(0, c.calls...)
		if _, reversed := w.placed(1000); len(reversed) != c.want {
			t.Errorf("%v: reversed %v", c.calls[0].Type, reversed)
		}
	}
}

// What was placed leaves memory, however long the log is.
func TestOrder_ForgetsWhatWasPlaced(t *testing.T) {
	o := New()
	for n := range 2000 {
		f := frame.New(uint64(n+1), uint64(10*n), nil, 0)
		f.Committed = begin.Add(time.Duration(10*n) * time.Millisecond)
		for i := range 10 {
			f.Entries = append(f.Entries, device(segment.Track, 10*n-i, fmt.Sprint("u", n%50), "", ""))
		}
		o.Add(f)
		drain(o, nil)
	}
	if o.Held() != 300 || len(o.held.calls) > 3*o.Held() || len(o.devices.calls) > 3*o.Held() || len(o.ids) > 50 {
		t.Errorf("%d calls are held; in memory are %d and %d, of %d ids", o.Held(), len(o.held.calls), len(o.devices.calls), len(o.ids))
	}
}

// Thousands of calls that wait behind one, each with ids of its own, are released in time that grows with their number.
func TestOrder_ReleasesManyThatWait(t *testing.T) {
	const waiting = 20_000
	o := New()
	f := frame.New(1, 0, []journal.Entry{device(segment.Track, 0, "x", "", "")}, 0)
	f.Committed = begin
	for i := range waiting {
		e := server(segment.Alias, "x")
		e.AnonymousID, e.PreviousID = fmt.Sprint("a", i), fmt.Sprint("b", i)
		f.Entries = append(f.Entries, e)
	}
	for i := range waiting {
		f.Entries = append(f.Entries, server(segment.Track, fmt.Sprint("a", i)), server(segment.Track, fmt.Sprint("b", i)))
	}
	o.Add(f)
	o.Advance(begin.Add(time.Second))
	placed := drain(o, nil)
	if len(placed) != 3*waiting+1 || o.Held() != 0 {
		t.Fatalf("%d calls were placed, %d are held", len(placed), o.Held())
	}
	for i, p := range placed {
		if p.Position.Index != i {
			t.Fatalf("call %d stands at %d", p.Position.Index, i)
		}
	}
}
