package delivery

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"aka/router/segment"
)

const (
	shared    = false
	exclusive = true
)

// job is how a pipeline uses a ticket: embedded, and leading back to its job.
type job struct {
	Ticket[*job]
	name string
}

func newJob(name string) *job {
	j := &job{name: name}
	j.Value = j
	return j
}

// queue is a sequencer whose jobs go by name, for tests that read as a story.
type queue struct {
	*Sequencer[*job]
	jobs map[string]*job
}

func newQueue() queue { return queue{NewSequencer[*job](), map[string]*job{}} }

func (q queue) add(name string, exclusive bool, ids ...string) (ready bool) {
	j := newJob(name)
	q.jobs[name] = j
	return q.Add(&j.Ticket, ids, exclusive)
}

func (q queue) release(name string) (ready string) {
	return names(q.Release(&q.jobs[name].Ticket, nil))
}

func (q queue) blockers(name string) string {
	return names(slices.Collect(q.jobs[name].Blockers()))
}

func names(tickets []*Ticket[*job]) string {
	var all []string
	for _, t := range tickets {
		all = append(all, t.Value.name)
	}
	return strings.Join(all, " ")
}

func expect[V comparable](t *testing.T, what string, got, want V) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestAliasIsSentBetweenWhatCameBeforeAndWhatCameAfter(t *testing.T) {
	q := newQueue()
	expect(t, "page before", q.add("page", shared, "anon"), true)
	expect(t, "track before", q.add("track", shared, "anon"), true)
	expect(t, "alias", q.add("alias", exclusive, "anon", "jen"), false)
	expect(t, "old id after", q.add("old", shared, "anon"), false)
	expect(t, "new id after", q.add("new", shared, "jen"), false)

	expect(t, "page ends", q.release("page"), "")
	expect(t, "track ends", q.release("track"), "alias")
	expect(t, "alias ends", q.release("alias"), "old new")
}

func TestCallsWithoutACommonIDNeverWait(t *testing.T) {
	q := newQueue()
	expect(t, "jen", q.add("jen", exclusive, "jen", "anon1"), true)
	expect(t, "tom", q.add("tom", exclusive, "tom", "anon2"), true)
	expect(t, "ann", q.add("ann", shared, "ann"), true)
	expect(t, "waiting", q.Waiting(), 0)
}

func TestWaitingCallHoldsBackOnlyThoseBehindIt(t *testing.T) {
	q := newQueue()
	q.add("retried", exclusive, "jen")
	expect(t, "alias", q.add("alias", exclusive, "jen", "anon"), false)
	expect(t, "behind the waiting alias", q.add("page", shared, "anon"), false)
	expect(t, "behind that", q.add("identify", exclusive, "anon", "tom"), false)
	expect(t, "somebody else", q.add("other", shared, "ann"), true)

	expect(t, "retried ends", q.release("retried"), "alias")
	expect(t, "alias ends", q.release("alias"), "page")
	expect(t, "page ends", q.release("page"), "identify")
}

func TestTwoAliasesCrosswiseDoNotDeadlock(t *testing.T) {
	q := newQueue()
	expect(t, "there", q.add("there", exclusive, "a", "b"), true)
	expect(t, "back", q.add("back", exclusive, "b", "a"), false)
	expect(t, "again", q.add("again", exclusive, "a", "b"), false)
	expect(t, "there ends", q.release("there"), "back")
	expect(t, "back ends", q.release("back"), "again")
}

func TestWithdrawnWaitingCallLetsThroughWhatItHeldBack(t *testing.T) {
	q := newQueue()
	q.add("page", shared, "jen")
	q.add("identify", exclusive, "jen")
	q.add("track", shared, "jen")
	q.add("alias", exclusive, "jen", "anon")
	expect(t, "waiting", q.Waiting(), 3)
	expect(t, "identify withdrawn", q.release("identify"), "track")
	expect(t, "track ends first", q.release("track"), "")
	expect(t, "page ends", q.release("page"), "alias")
}

func TestReadyCallsComeInTheOrderAdded(t *testing.T) {
	q := newQueue()
	q.add("alias", exclusive, "a", "b", "c")
	for i, id := range []string{"c", "a", "b", "c", "b", "a"} {
		q.add(fmt.Sprint(i), shared, id)
	}
	expect(t, "alias ends", q.release("alias"), "0 1 2 3 4 5")
}

func TestReleaseAppends(t *testing.T) {
	q := newQueue()
	q.add("first", exclusive, "a")
	q.add("second", exclusive, "a")
	later := newJob("from before")
	ready := q.Release(&q.jobs["first"].Ticket, []*Ticket[*job]{&later.Ticket})
	expect(t, "ready", names(ready), "from before second")
}

func TestCallWithoutIDsIsAlwaysReady(t *testing.T) {
	q := newQueue()
	expect(t, "none", q.add("none", exclusive), true)
	expect(t, "empty", q.add("empty", exclusive, "", ""), true)
	expect(t, "again empty", q.add("again", exclusive, ""), true)
	expect(t, "len", q.Len(), 3)
	expect(t, "ids", q.IDs(), 0)
	q.release("none")
	expect(t, "len", q.Len(), 2)
}

func TestRepeatedIDCountsOnce(t *testing.T) {
	q := newQueue()
	expect(t, "repeated", q.add("repeated", exclusive, "a", "b", "a", "", "b", "c"), true)
	expect(t, "behind", q.add("behind", exclusive, "c", "c"), false)
	expect(t, "ids", q.IDs(), 3)
	expect(t, "repeated ends", q.release("repeated"), "behind")
}

func TestReleasedTicketIsLeftAloneAndCanBeAddedAgain(t *testing.T) {
	q := newQueue()
	q.add("a", exclusive, "jen")
	q.add("b", exclusive, "jen")
	a := &q.jobs["a"].Ticket
	expect(t, "first", q.release("a"), "b")
	expect(t, "second", q.release("a"), "")
	expect(t, "len", q.Len(), 1)
	expect(t, "ready", a.Ready(), false)
	expect(t, "added again", q.Add(a, []string{"jen"}, shared), false)
	expect(t, "b ends", q.release("b"), "a")
	expect(t, "ready again", a.Ready(), true)
}

func TestAddRefusesMisuse(t *testing.T) {
	q := newQueue()
	q.add("a", shared, "jen")
	expectPanic(t, "added twice", func() { q.Add(&q.jobs["a"].Ticket, nil, shared) })
	expectPanic(t, "four ids", func() { q.add("b", shared, "1", "2", "3", "4") })
}

func expectPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	f()
}

func TestBlockersAreTheEarlierConflictsLatestFirst(t *testing.T) {
	q := newQueue()
	q.add("page", shared, "anon")
	q.add("identify", exclusive, "jen")
	q.add("other", exclusive, "tom")
	q.add("track", shared, "anon", "jen")
	q.add("alias", exclusive, "jen", "anon")
	q.add("late", shared, "anon")
	expect(t, "page", q.blockers("page"), "")
	expect(t, "track", q.blockers("track"), "identify")
	expect(t, "alias, each once", q.blockers("alias"), "track identify page")
	expect(t, "late", q.blockers("late"), "alias")

	for b := range q.jobs["alias"].Blockers() {
		expect(t, "the first alone", b.Value.name, "track")
		break
	}
	q.release("alias")
	expect(t, "released", q.blockers("alias"), "")
}

func TestMemoryIsFreed(t *testing.T) {
	s := NewSequencer[*job]()
	var window []*job
	oldest := func() {
		s.Release(&window[0].Ticket, nil)
		window[0] = nil
		window = window[1:]
	}
	// Every id is a slice of a page of its own, as ids are slices of a journal's frame. "hot" is busy all the time.
	round := func(i int) {
		page := fmt.Sprintf("hot %d%s", i, strings.Repeat(" ", 4096))
		j := newJob("")
		s.Add(&j.Ticket, []string{page[:3], page[4 : 4+len(fmt.Sprint(i))]}, i%3 == 0)
		window = append(window, j)
		if len(window) > 100 {
			oldest()
		}
	}
	for i := range 1000 {
		round(i)
	}
	before := heap()
	for i := range 20_000 {
		round(i)
	}
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("the heap grew by %d KiB over a window of constant size", grown>>10)
	}
	for len(window) > 0 {
		oldest()
	}
	expectEmpty(t, s)
}

// heap is how many bytes are in use.
func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func expectEmpty(t *testing.T, s *Sequencer[*job]) {
	t.Helper()
	expect(t, "len at the end", s.Len(), 0)
	expect(t, "waiting at the end", s.Waiting(), 0)
	expect(t, "ids at the end", s.IDs(), 0)
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	s := NewSequencer[*job]()
	jobs := make([]*job, 64)
	for i := range jobs {
		jobs[i] = newJob("")
	}
	var ready []*Ticket[*job]
	ids := make([][]string, 1000)
	for i := range ids {
		ids[i] = []string{fmt.Sprint("user", i), fmt.Sprint("hot", i%3)}
	}
	i := 0
	step := func() {
		j := jobs[i%len(jobs)]
		ready = s.Release(&j.Ticket, ready[:0])
		s.Add(&j.Ticket, ids[i%len(ids)], i%5 == 0)
		i++
	}
	for range 10_000 {
		step()
	}
	expect(t, "allocations per call", testing.AllocsPerRun(10_000, step), 0)
}

// The proof: random schedules against a model that is too simple to be wrong. Ten thousand of them, each from its own seed.
func TestRandomSchedulesMatchTheModel(t *testing.T) {
	const seeds = 10_000
	for seed := range uint64(seeds) {
		r := rand.New(rand.NewPCG(seed, 0))
		w := newWorld(r.IntN, 20+r.IntN(150))
		if err := w.run(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// The same with bytes for dice.
func FuzzSchedule(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x03\x01\x00\x05\x00\x01\x00\x00\x01\x02\x00\x02\x01"))
	f.Add([]byte(strings.Repeat("an alias between a page and a track, then a retry ", 8)))
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		data := make([]byte, 100+r.IntN(900))
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		choose := func(n int) int {
			if len(data) == 0 {
				return 0
			}
			b := data[0]
			data = data[1:]
			return int(b) % n
		}
		if err := newWorld(choose, min(len(data), 500)).run(); err != nil {
			t.Fatal(err)
		}
	})
}

// world runs one schedule: calls arrive, are sent, fail and are tried again, settle, end, are given up or withdrawn, as
// choose(n), a number below n, will have it. After every step the sequencer is compared with the model.
type world struct {
	choose func(n int) int
	steps  int
	people int  // how many ids there are
	strict bool // every call is exclusive
	limit  int  // calls held at a time

	sequencer *Sequencer[*visitor]
	all       []*visitor // in the order added
	held      []*visitor // those not released yet: the model
	now       int
}

// visitor is a call in the world.
type visitor struct {
	Ticket[*visitor]
	number    int
	ids       []string
	exclusive bool

	announced  bool // the sequencer said that it is ready
	sent       int  // when, 0 is not yet
	ended      int
	roundsLeft int // retries and settling that are still to come
}

func newWorld(choose func(n int) int, steps int) *world {
	return &world{
		choose: choose, steps: steps,
		people: 1 + choose(6), strict: choose(4) == 0, limit: 1 + choose(24),
		sequencer: NewSequencer[*visitor](),
	}
}

// run goes through the steps, and then lets everything that is held come to its end.
func (w *world) run() error {
	for range w.steps {
		if err := w.step(); err != nil {
			return err
		}
	}
	for len(w.held) > 0 {
		if err := w.sendAndEnd(); err != nil {
			return err
		}
	}
	if s := w.sequencer; s.Len() != 0 || s.Waiting() != 0 || s.IDs() != 0 || len(s.last) != 0 {
		return fmt.Errorf("at the end %d tickets, %d waiting, %d ids are left", s.Len(), s.Waiting(), s.IDs())
	}
	return w.checkHistory()
}

func (w *world) step() error {
	switch action := w.choose(16); {
	case action < 8 && len(w.held) < w.limit:
		return w.add()
	case action == 15 && len(w.held) > 0:
		return w.release(w.held[w.choose(len(w.held))]) // withdrawn, sent or not
	default:
		return w.progress()
	}
}

func (w *world) add() error {
	h := w.header()
	ids := []string{h.UserID, h.AnonymousID, h.PreviousID}
	if w.choose(2) == 0 {
		ids = h.IDs(nil)
	}
	v := &visitor{number: len(w.all), ids: h.IDs(nil), exclusive: w.strict || h.Type.ChangesIdentity()}
	v.Value = v
	v.roundsLeft = max(0, w.choose(8)-4)
	w.all = append(w.all, v)
	w.held = append(w.held, v)
	v.announced = w.sequencer.Add(&v.Ticket, ids, v.exclusive)
	return w.check()
}

func (w *world) header() segment.Header {
	h := segment.Header{Type: segment.Types[w.choose(len(segment.Types))]}
	if w.choose(4) > 0 {
		h.UserID = w.person()
	}
	if w.choose(2) > 0 {
		h.AnonymousID = w.person()
	}
	if h.Type == segment.Alias {
		h.PreviousID = w.person()
	}
	return h
}

// person returns an id in memory of its own, so that identical strings are not the same bytes.
func (w *world) person() string { return fmt.Sprint("person", w.choose(w.people)) }

// progress sends a ready call, or takes one that is sent a round further.
func (w *world) progress() error {
	var able []*visitor
	for _, v := range w.held {
		if v.announced {
			able = append(able, v)
		}
	}
	if len(able) == 0 {
		return nil
	}
	return w.advance(able[w.choose(len(able))])
}

func (w *world) advance(v *visitor) error {
	switch {
	case v.sent == 0:
		return w.send(v)
	case v.roundsLeft > 0:
		v.roundsLeft-- // a retry, or the vendor's settle time: the ids stay held
		return w.check()
	default:
		return w.release(v)
	}
}

// sendAndEnd sends all that is ready and takes one of them to its end.
func (w *world) sendAndEnd() error {
	var last *visitor
	for _, v := range w.held {
		if !v.announced {
			continue
		}
		if v.sent == 0 {
			if err := w.send(v); err != nil {
				return err
			}
		}
		if last == nil || w.choose(2) == 0 {
			last = v
		}
	}
	if last == nil {
		return fmt.Errorf("deadlock: %d calls wait and none is ready", len(w.held))
	}
	return w.release(last)
}

func (w *world) send(v *visitor) error {
	w.now++
	v.sent = w.now
	return w.check()
}

func (w *world) release(v *visitor) error {
	w.now++
	v.ended = w.now
	w.held = slices.DeleteFunc(w.held, func(o *visitor) bool { return o == v })
	last := -1
	for _, t := range w.sequencer.Release(&v.Ticket, nil) {
		if t.Value.announced || t.Value.ended > 0 {
			return fmt.Errorf("call %d became ready a second time", t.Value.number)
		}
		if t.Value.number < last {
			return fmt.Errorf("call %d became ready after %d", t.Value.number, last)
		}
		t.Value.announced, last = true, t.Value.number
	}
	return w.check()
}

// check compares every held call with the model: it may go if and only if no earlier one that is held conflicts.
func (w *world) check() error {
	ids := map[string]bool{}
	waiting := 0
	for i, v := range w.held {
		for _, id := range v.ids {
			ids[id] = true
		}
		var blockers []*visitor
		for _, earlier := range w.held[:i] {
			if conflict(earlier, v) {
				blockers = append(blockers, earlier)
			}
		}
		if len(blockers) > 0 {
			waiting++
		}
		if err := v.check(blockers); err != nil {
			return err
		}
	}
	s := w.sequencer
	if s.Len() != len(w.held) || s.Waiting() != waiting || s.IDs() != len(ids) {
		return fmt.Errorf("%d tickets, %d waiting, %d ids; the model has %d, %d, %d",
			s.Len(), s.Waiting(), s.IDs(), len(w.held), waiting, len(ids))
	}
	return w.checkKeys()
}

func (v *visitor) check(blockers []*visitor) error {
	mayGo := len(blockers) == 0
	if v.announced != mayGo || v.Ready() != mayGo {
		return fmt.Errorf("call %d: announced %t, Ready() %t; the model says %t", v.number, v.announced, v.Ready(), mayGo)
	}
	slices.Reverse(blockers)
	i := 0
	for b := range v.Blockers() {
		if i == len(blockers) || b.Value != blockers[i] {
			return fmt.Errorf("call %d: blocker %d is call %d, which the model does not say", v.number, i, b.Value.number)
		}
		i++
	}
	if i < len(blockers) {
		return fmt.Errorf("call %d: %d blockers, the model says %d", v.number, i, len(blockers))
	}
	return nil
}

// checkKeys looks for memory that belongs to no held call: every key must be the very string of the last ticket in line.
func (w *world) checkKeys() error {
	for id, h := range w.sequencer.last {
		if h.after != nil || h.id != id || unsafe.StringData(h.id) != unsafe.StringData(id) {
			return fmt.Errorf("the key of %s is not that of its last call", id)
		}
	}
	return nil
}

// checkHistory asks the clock and not the model: of two conflicting calls that were both sent, the first had ended before
// the second was sent.
func (w *world) checkHistory() error {
	for i, v := range w.all {
		if v.ended == 0 {
			return fmt.Errorf("call %d never ended", v.number)
		}
		for _, earlier := range w.all[:i] {
			if v.sent > 0 && earlier.ended > v.sent && conflict(earlier, v) {
				return fmt.Errorf("call %d was sent before call %d had ended", v.number, earlier.number)
			}
		}
	}
	return nil
}

// conflict tells whether the two share an id and one of them changes identity.
func conflict(a, b *visitor) bool {
	if !a.exclusive && !b.exclusive {
		return false
	}
	return slices.ContainsFunc(a.ids, func(id string) bool { return slices.Contains(b.ids, id) })
}
