package sequencer

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

// namedJob is how a pipeline uses a ticket: embedded, and leading back to its job.
type namedJob struct {
	Ticket[*namedJob]
	name string
}

func newNamedJob(name string) *namedJob {
	j := &namedJob{name: name}
	j.Value = j
	return j
}

// story is a sequencer whose jobs go by name, for tests that read as a story.
type story struct {
	*Sequencer[*namedJob]
	jobs map[string]*namedJob
}

func newStory() story { return story{New[*namedJob](), map[string]*namedJob{}} }

func (q story) add(name string, exclusive bool, ids ...string) (ready bool) {
	j := newNamedJob(name)
	q.jobs[name] = j
	return q.Add(&j.Ticket, ids, exclusive)
}

func (q story) release(name string) (ready string) {
	return ticketNames(q.Release(&q.jobs[name].Ticket, nil))
}

func (q story) blockers(name string) string {
	return ticketNames(slices.Collect(q.jobs[name].Blockers()))
}

func ticketNames(tickets []*Ticket[*namedJob]) string {
	var all []string
	for _, t := range tickets {
		all = append(all, t.Value.name)
	}
	return strings.Join(all, " ")
}

func expectSame[V comparable](t *testing.T, what string, got, want V) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestAliasIsSentBetweenWhatCameBeforeAndWhatCameAfter(t *testing.T) {
	q := newStory()
	expectSame(t, "page before", q.add("page", shared, "anon"), true)
	expectSame(t, "track before", q.add("track", shared, "anon"), true)
	expectSame(t, "alias", q.add("alias", exclusive, "anon", "jen"), false)
	expectSame(t, "old id after", q.add("old", shared, "anon"), false)
	expectSame(t, "new id after", q.add("new", shared, "jen"), false)

	expectSame(t, "page ends", q.release("page"), "")
	expectSame(t, "track ends", q.release("track"), "alias")
	expectSame(t, "alias ends", q.release("alias"), "old new")
}

func TestCallsWithoutACommonIDNeverWait(t *testing.T) {
	q := newStory()
	expectSame(t, "jen", q.add("jen", exclusive, "jen", "anon1"), true)
	expectSame(t, "tom", q.add("tom", exclusive, "tom", "anon2"), true)
	expectSame(t, "ann", q.add("ann", shared, "ann"), true)
	expectSame(t, "waiting", q.Waiting(), 0)
}

func TestWaitingCallHoldsBackOnlyThoseBehindIt(t *testing.T) {
	q := newStory()
	q.add("retried", exclusive, "jen")
	expectSame(t, "alias", q.add("alias", exclusive, "jen", "anon"), false)
	expectSame(t, "behind the waiting alias", q.add("page", shared, "anon"), false)
	expectSame(t, "behind that", q.add("identify", exclusive, "anon", "tom"), false)
	expectSame(t, "somebody else", q.add("other", shared, "ann"), true)

	expectSame(t, "retried ends", q.release("retried"), "alias")
	expectSame(t, "alias ends", q.release("alias"), "page")
	expectSame(t, "page ends", q.release("page"), "identify")
}

func TestTwoAliasesCrosswiseDoNotDeadlock(t *testing.T) {
	q := newStory()
	expectSame(t, "there", q.add("there", exclusive, "a", "b"), true)
	expectSame(t, "back", q.add("back", exclusive, "b", "a"), false)
	expectSame(t, "again", q.add("again", exclusive, "a", "b"), false)
	expectSame(t, "there ends", q.release("there"), "back")
	expectSame(t, "back ends", q.release("back"), "again")
}

func TestWithdrawnWaitingCallLetsThroughWhatItHeldBack(t *testing.T) {
	q := newStory()
	q.add("page", shared, "jen")
	q.add("identify", exclusive, "jen")
	q.add("track", shared, "jen")
	q.add("alias", exclusive, "jen", "anon")
	expectSame(t, "waiting", q.Waiting(), 3)
	expectSame(t, "identify withdrawn", q.release("identify"), "track")
	expectSame(t, "track ends first", q.release("track"), "")
	expectSame(t, "page ends", q.release("page"), "alias")
}

func TestReadyCallsComeInTheOrderAdded(t *testing.T) {
	q := newStory()
	q.add("alias", exclusive, "a", "b", "c")
	for i, id := range []string{"c", "a", "b", "c", "b", "a"} {
		q.add(fmt.Sprint(i), shared, id)
	}
	expectSame(t, "alias ends", q.release("alias"), "0 1 2 3 4 5")
}

func TestReleaseAppends(t *testing.T) {
	q := newStory()
	q.add("first", exclusive, "a")
	q.add("second", exclusive, "a")
	q.add("third", exclusive, "b")
	ready := q.Release(&q.jobs["first"].Ticket, []*Ticket[*namedJob]{&q.jobs["third"].Ticket})
	expectSame(t, "ready", ticketNames(ready), "third second")
}

func TestCallWithoutIDsIsAlwaysReady(t *testing.T) {
	q := newStory()
	expectSame(t, "none", q.add("none", exclusive), true)
	expectSame(t, "empty", q.add("empty", exclusive, "", ""), true)
	expectSame(t, "again empty", q.add("again", exclusive, ""), true)
	expectSame(t, "len", q.Len(), 3)
	expectSame(t, "ids", q.IDs(), 0)
	q.release("none")
	expectSame(t, "len", q.Len(), 2)
}

func TestRepeatedIDCountsOnce(t *testing.T) {
	q := newStory()
	expectSame(t, "repeated", q.add("repeated", exclusive, "a", "b", "a", "", "b", "c"), true)
	expectSame(t, "behind", q.add("behind", exclusive, "c", "c"), false)
	expectSame(t, "ids", q.IDs(), 3)
	expectSame(t, "repeated ends", q.release("repeated"), "behind")
}

func TestReleasedTicketIsLeftAloneAndCanBeAddedAgain(t *testing.T) {
	q := newStory()
	q.add("a", exclusive, "jen")
	q.add("b", exclusive, "jen")
	a := &q.jobs["a"].Ticket
	expectSame(t, "first", q.release("a"), "b")
	expectSame(t, "second", q.release("a"), "")
	expectSame(t, "len", q.Len(), 1)
	expectSame(t, "ready", a.Ready(), false)
	expectSame(t, "added again", q.Add(a, []string{"jen"}, shared), false)
	expectSame(t, "b ends", q.release("b"), "a")
	expectSame(t, "ready again", a.Ready(), true)
}

func TestAddRefusesMisuse(t *testing.T) {
	q := newStory()
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
	q := newStory()
	q.add("page", shared, "anon")
	q.add("identify", exclusive, "jen")
	q.add("other", exclusive, "tom")
	q.add("track", shared, "anon", "jen")
	q.add("alias", exclusive, "jen", "anon")
	q.add("late", shared, "anon")
	expectSame(t, "page", q.blockers("page"), "")
	expectSame(t, "track", q.blockers("track"), "identify")
	expectSame(t, "alias, each once", q.blockers("alias"), "track identify page")
	expectSame(t, "late", q.blockers("late"), "alias")

	for b := range q.jobs["alias"].Blockers() {
		expectSame(t, "the first alone", b.Value.name, "track")
		break
	}
	q.release("alias")
	expectSame(t, "released", q.blockers("alias"), "")
}

func TestMemoryIsFreed(t *testing.T) {
	s := New[*namedJob]()
	var window []*namedJob
	oldest := func() {
		s.Release(&window[0].Ticket, nil)
		window[0] = nil
		window = window[1:]
	}
	// Every id is a slice of a page of its own, as ids are slices of a journal's frame. "hot" is busy all the time.
	round := func(i int) {
		page := fmt.Sprintf("hot %d%s", i, strings.Repeat(" ", 4096))
		j := newNamedJob("")
		s.Add(&j.Ticket, []string{page[:3], page[4 : 4+len(fmt.Sprint(i))]}, i%3 == 0)
		window = append(window, j)
		if len(window) > 100 {
			oldest()
		}
	}
	for i := range 1000 {
		round(i)
	}
	before := heapInUse()
	for i := range 20_000 {
		round(i)
	}
	if grown := heapInUse() - before; grown > 1<<20 {
		t.Errorf("the heap grew by %d KiB over a window of constant size", grown>>10)
	}
	for len(window) > 0 {
		oldest()
	}
	expectEmpty(t, s)
}

// heapInUse is how many bytes are in use.
func heapInUse() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func expectEmpty(t *testing.T, s *Sequencer[*namedJob]) {
	t.Helper()
	expectSame(t, "len at the end", s.Len(), 0)
	expectSame(t, "waiting at the end", s.Waiting(), 0)
	expectSame(t, "ids at the end", s.IDs(), 0)
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	s := New[*namedJob]()
	jobs := make([]*namedJob, 64)
	for i := range jobs {
		jobs[i] = newNamedJob("")
	}
	var ready []*Ticket[*namedJob]
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
	expectSame(t, "allocations per call", testing.AllocsPerRun(10_000, step), 0)
}

// The proof: random schedules against a model that is too simple to be wrong. Ten thousand of them, each from its own seed.
func TestRandomSchedulesMatchTheModel(t *testing.T) {
	const seeds = 10_000
	for seed := range uint64(seeds) {
		r := rand.New(rand.NewPCG(seed, 0))
		w := newSchedule(r.IntN, 20+r.IntN(150))
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
		if err := newSchedule(choose, min(len(data), 500)).run(); err != nil {
			t.Fatal(err)
		}
	})
}

// schedule is one run: calls arrive, are sent, fail and are tried again, settle, end, are given up or withdrawn, as
// choose(n), a number below n, will have it. After every step the sequencer is compared with the model.
type schedule struct {
	choose func(n int) int
	steps  int
	people int  // how many ids there are
	strict bool // every call is exclusive
	limit  int  // calls held at a time

	sequencer *Sequencer[*scheduledCall]
	all       []*scheduledCall // in the order added
	held      []*scheduledCall // those not released yet: the model
	now       int
}

// scheduledCall is a call of a schedule.
type scheduledCall struct {
	Ticket[*scheduledCall]
	number    int
	ids       []string
	exclusive bool

	announced  bool // the sequencer said that it is ready
	sent       int  // when, 0 is not yet
	ended      int
	roundsLeft int // retries and settling that are still to come
}

func newSchedule(choose func(n int) int, steps int) *schedule {
	return &schedule{
		choose: choose, steps: steps,
		people: 1 + choose(6), strict: choose(4) == 0, limit: 1 + choose(24),
		sequencer: New[*scheduledCall](),
	}
}

// run goes through the steps, and then lets everything that is held come to its end.
func (w *schedule) run() error {
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

func (w *schedule) step() error {
	switch action := w.choose(16); {
	case action < 8 && len(w.held) < w.limit:
		return w.add()
	case action == 15 && len(w.held) > 0:
		return w.release(w.held[w.choose(len(w.held))]) // withdrawn, sent or not
	default:
		return w.progress()
	}
}

func (w *schedule) add() error {
	h := w.header()
	ids := []string{h.UserID, h.AnonymousID, h.PreviousID}
	if w.choose(2) == 0 {
		ids = h.IDs(nil)
	}
	v := &scheduledCall{number: len(w.all), ids: h.IDs(nil), exclusive: w.strict || h.Type.ChangesIdentity()}
	v.Value = v
	v.roundsLeft = max(0, w.choose(8)-4)
	w.all = append(w.all, v)
	w.held = append(w.held, v)
	v.announced = w.sequencer.Add(&v.Ticket, ids, v.exclusive)
	return w.check()
}

func (w *schedule) header() segment.Header {
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
func (w *schedule) person() string { return fmt.Sprint("person", w.choose(w.people)) }

// progress sends a ready call, or takes one that is sent a round further.
func (w *schedule) progress() error {
	var able []*scheduledCall
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

func (w *schedule) advance(v *scheduledCall) error {
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
func (w *schedule) sendAndEnd() error {
	var last *scheduledCall
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

func (w *schedule) send(v *scheduledCall) error {
	w.now++
	v.sent = w.now
	return w.check()
}

func (w *schedule) release(v *scheduledCall) error {
	w.now++
	v.ended = w.now
	w.held = slices.DeleteFunc(w.held, func(o *scheduledCall) bool { return o == v })
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
func (w *schedule) check() error {
	ids := map[string]bool{}
	waiting := 0
	for i, v := range w.held {
		for _, id := range v.ids {
			ids[id] = true
		}
		var blockers []*scheduledCall
		for _, earlier := range w.held[:i] {
			if conflicting(earlier, v) {
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

func (v *scheduledCall) check(blockers []*scheduledCall) error {
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
func (w *schedule) checkKeys() error {
	for id, h := range w.sequencer.last {
		if h.after != nil || h.id != id || unsafe.StringData(h.id) != unsafe.StringData(id) {
			return fmt.Errorf("the key of %s is not that of its last call", id)
		}
	}
	return nil
}

// checkHistory asks the clock and not the model: of two conflicting calls that were both sent, the first had ended before
// the second was sent.
func (w *schedule) checkHistory() error {
	for i, v := range w.all {
		if v.ended == 0 {
			return fmt.Errorf("call %d never ended", v.number)
		}
		for _, earlier := range w.all[:i] {
			if v.sent > 0 && earlier.ended > v.sent && conflicting(earlier, v) {
				return fmt.Errorf("call %d was sent before call %d had ended", v.number, earlier.number)
			}
		}
	}
	return nil
}

// conflicting reports whether the two share an id and one of them changes identity.
func conflicting(a, b *scheduledCall) bool {
	if !a.exclusive && !b.exclusive {
		return false
	}
	return slices.ContainsFunc(a.ids, func(id string) bool { return slices.Contains(b.ids, id) })
}
