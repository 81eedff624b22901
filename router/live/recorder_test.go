package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"aka/router/journal"
	"aka/router/segment"
)

func TestNothingIsRecordedWithoutViewers(t *testing.T) {
	w := newWorld(t, Config{})
	pos := w.accept(track("jane"))
	if w.Enabled() {
		t.Fatal("somebody looks")
	}
	w.Observe(pos, track("jane"), Step{Destination: "vero", State: Delivered})
	if calls := w.Calls(Filter{}, 100); len(calls) > 0 {
		t.Fatalf("there are %v", calls)
	}
	var none *Recorder
	if none.Enabled() {
		t.Fatal("a nil recorder looks")
	}
}

func TestACallIsSeenFromItsAcceptanceToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		v := w.watch(Filter{})
		pos := w.accept(track("jane"))
		synctest.Wait()
		calls := v.Changed()
		if len(calls) != 1 || calls[0].UserID != "jane" || calls[0].Name != "Bought" || len(calls[0].Destinations) != 0 {
			t.Fatalf("got %+v", calls)
		}
		if again := v.Changed(); len(again) > 0 {
			t.Fatalf("told twice: %+v", again)
		}
		w.Observe(pos, track("jane"), Step{Destination: "vero", State: Sending, Attempt: 1})
		w.Observe(pos, track("jane"), Step{Destination: "vero", State: Delivered, Status: 200})
		w.Observe(pos, track("jane"), Step{Destination: "mixpanel", State: Dropped, Reason: "same_ids"})
		calls = v.Changed()
		if len(calls) != 1 || len(calls[0].Destinations) != 2 || calls[0].Destinations[0].State != Delivered {
			t.Fatalf("got %+v", calls)
		}
		d, ok := w.Call(pos.String())
		if !ok || len(d.Steps) != 3 || d.Entry == nil || d.Steps[0].State != Sending {
			t.Fatalf("got %+v", d)
		}
		w.Close()
	})
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Calls: 10, Bytes: 64 << 10})
		w.watch(Filter{})
		for i := range 100 {
			w.accept(track(fmt.Sprintf("user-%d", i)))
			synctest.Wait()
			time.Sleep(time.Second) // the rate at which calls are taken up
		}
		if n := w.Overview().Remembered; n != 10 {
			t.Fatalf("%d calls are remembered", n)
		}
		if newest := w.Calls(Filter{}, 1); newest[0].UserID != "user-99" {
			t.Fatalf("the newest is %+v", newest)
		}
		large := track("large")
		large.JSON = fmt.Appendf(nil, `{"userId":"large","event":%q}`, strings.Repeat("x", 30<<10))
		for range 5 {
			w.accept(large)
			synctest.Wait()
			time.Sleep(time.Second)
		}
		if w.bytes > 64<<10 {
			t.Fatalf("%d bytes are taken", w.bytes)
		}
		size := 0
		for _, c := range w.Recorder.calls {
			size += c.size
		}
		if size != w.bytes {
			t.Fatalf("the calls take %d bytes, %d are counted", size, w.bytes)
		}
		w.Close()
	})
}

func TestOneCallTakesABoundedPartOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		v := w.watch(Filter{})
		giant := track(strings.Repeat("é", 5000))
		giant.JSON = make([]byte, maxJSON+1)
		pos := w.accept(giant)
		for i := range 1000 {
			w.Observe(pos, giant, Step{Destination: "vero", State: Retrying, Attempt: i, Detail: strings.Repeat("d", 512)})
		}
		synctest.Wait()
		calls := v.Changed()
		if len(calls) != 1 || len(calls[0].UserID) > maxText+len("…") || !strings.HasSuffix(calls[0].UserID, "é…") {
			t.Fatalf("the id has %d bytes", len(calls[0].UserID))
		}
		d, _ := w.Call(pos.String())
		if len(d.Steps) != maxSteps || d.Omitted != 1000-maxSteps || d.Steps[0].Attempt != 0 || d.Steps[maxSteps-1].Attempt != 999 || d.JSON != nil {
			t.Fatalf("there are %d steps, %d are omitted", len(d.Steps), d.Omitted)
		}
		if w.bytes > 64<<10 {
			t.Fatalf("it takes %d bytes", w.bytes)
		}
		w.Close()
	})
}

// A viewer that does not look costs nothing and misses only what went by.
func TestASlowViewerDelaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Calls: 5})
		slow := w.watch(Filter{})
		var last journal.Position
		for i := range 50 {
			last = w.accept(track(fmt.Sprintf("user-%d", i)))
			synctest.Wait()
			w.Observe(last, track("x"), Step{Destination: "vero", State: Delivered})
			time.Sleep(time.Second)
		}
		calls := slow.Changed()
		if len(calls) != 5 || calls[4].ID != last.String() {
			t.Fatalf("it sees %d calls", len(calls))
		}
		w.Close()
	})
}

func TestSomeTimeAfterTheLastViewerHasLeftAllIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		v := w.watch(Filter{})
		w.accept(track("jane"))
		time.Sleep(10 * time.Minute)
		if !w.Enabled() || w.Overview().Remembered != 1 {
			t.Fatal("it is not looked although somebody does")
		}
		v.Close()
		time.Sleep(defaultIdleTimeout - time.Second)
		if !w.Enabled() {
			t.Fatal("who comes back finds nothing")
		}
		time.Sleep(defaultIdleTimeout)
		if w.Enabled() || !w.isEmpty() {
			t.Fatal("it is looked although nobody does")
		}
		w.Activate()
		w.accept(track("joe"))
		synctest.Wait()
		if calls := w.Calls(Filter{}, 10); len(calls) != 1 || calls[0].UserID != "joe" {
			t.Fatalf("after looking again there are %+v", calls)
		}
		w.Close()
	})
}

// Of a call that is recorded from its acceptance on, a destination without a step has not read it. Of another one, that is unknown.
func TestACallIsPartialUnlessAllThatHappenedToItWasRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Calls: 300})
		held := w.accept(track("before"))
		w.began = func() { w.Observe(held, track("before"), Step{Destination: "vero", State: Retrying}) }
		w.watch(Filter{})
		synctest.Wait()
		w.accept(track("after"))
		synctest.Wait()
		expect := func(user string, partial bool) {
			t.Helper()
			if calls := w.Calls(Filter{ID: user}, 10); len(calls) != 1 || calls[0].Partial != partial {
				t.Errorf("%s: partial should be %v: %+v", user, partial, calls)
			}
		}
		expect("before", true)
		expect("after", false)

		many := make([]journal.Entry, 3000)
		for i := range many {
			many[i] = *track(fmt.Sprintf("user-%d", i))
		}
		passed := journal.Position{Seq: w.append(many...), Index: 2999}
		synctest.Wait()
		w.Observe(passed, &many[2999], Step{Destination: "vero", State: Dead, Reason: "refused"})
		expect("user-0", false)
		expect("user-2999", true)
		w.Close()
	})
}

// A delivery may be faster than the recorder's own reading of the log.
func TestACallThatADeliveryShowsFirstIsPartialOnlyWhenAStepWasLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Calls: 2 * burst})
		w.blocked = make(chan struct{})
		w.watch(Filter{})
		synctest.Wait()
		many := make([]journal.Entry, burst+1) // the last is one too many
		for i := range many {
			many[i] = *track(fmt.Sprintf("user-%d", i))
		}
		frame := w.append(many...)
		for i := range many {
			w.Observe(journal.Position{Seq: frame, Index: i}, &many[i], Step{Destination: "vero", State: Delivered})
		}
		time.Sleep(time.Second)
		close(w.blocked)
		synctest.Wait()
		for user, partial := range map[string]bool{"user-0": false, fmt.Sprintf("user-%d", burst): true} {
			if calls := w.Calls(Filter{ID: user}, 10); len(calls) != 1 || calls[0].Partial != partial {
				t.Errorf("%s: partial should be %v: %+v", user, partial, calls)
			}
		}
		w.Close()
	})
}

func TestOnlyAFewMayLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Viewers: 2})
		first := w.watch(Filter{})
		w.watch(Filter{})
		if _, err := w.Watch(Filter{}); !errors.Is(err, ErrTooManyViewers) {
			t.Fatalf("got %v", err)
		}
		first.Close()
		w.watch(Filter{})
		w.Close()
	})
}

func TestAtAHighRateSomeCallsAreTakenUpAndTheOthersCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.watch(Filter{})
		many := make([]journal.Entry, 3000)
		for i := range many {
			many[i] = *track(fmt.Sprintf("user-%d", i))
		}
		frame := w.append(many...)
		synctest.Wait()
		if o := w.Overview(); o.Taken != 3000 || o.Remembered != burst || o.Skipped != 3000-burst {
			t.Fatalf("got %+v", o)
		}
		refused := journal.Position{Seq: frame, Index: 2999}
		w.Observe(refused, &many[2999], Step{Destination: "vero", State: Delivered})
		if n := w.Overview().Remembered; n != burst {
			t.Fatalf("a delivery has a call taken up that was passed over: %d", n)
		}
		w.Observe(refused, &many[2999], Step{Destination: "vero", State: Dead, Reason: "refused"})
		if calls := w.Calls(Filter{State: Dead}, 10); len(calls) != 1 || calls[0].UserID != "user-2999" {
			t.Fatalf("the dead letter is missing: %+v", calls)
		}
		w.Close()
	})
}

func TestWhatAFilterNamesIsTakenUpAtAnyRateAndStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Calls: 20})
		w.watch(Filter{ID: "jane"})
		w.watch(Filter{Destination: "vero", Reason: "same_ids"})
		manyCalls := func() {
			many := make([]journal.Entry, 1000)
			for i := range many {
				many[i] = *track(fmt.Sprintf("user-%d", i))
			}
			w.append(many...)
			synctest.Wait()
		}
		manyCalls()
		w.accept(track("jane"))
		synctest.Wait()
		dropped := w.accept(track("joe"))
		synctest.Wait()
		w.Observe(dropped, track("joe"), Step{Destination: "vero", State: Dropped, Reason: "same_ids"})
		for range 5 {
			manyCalls()
			time.Sleep(time.Second)
		}
		for _, f := range []Filter{{ID: "jane"}, {Reason: "same_ids"}, {Destination: "vero", State: Dropped}} {
			if calls := w.Calls(f, 10); len(calls) != 1 {
				t.Errorf("%+v: there are %+v", f, calls)
			}
		}
		for _, f := range []Filter{{ID: "jan"}, {Destination: "mixpanel", State: Dropped}, {Type: "alias"}, {Source: "shop"}} {
			if calls := w.Calls(f, 10); len(calls) != 0 {
				t.Errorf("%+v: there are %+v", f, calls)
			}
		}
		w.Close()
	})
}

func TestANewViewerSeesWhatTheDestinationsHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		held := w.accept(track("jane"))
		w.began = func() { w.Observe(held, track("jane"), Step{Destination: "vero", State: Retrying}) }
		v := w.watch(Filter{})
		synctest.Wait()
		if calls := v.Changed(); len(calls) != 1 || calls[0].ID != held.String() || calls[0].Name != "Bought" {
			t.Fatalf("got %+v", calls)
		}
		w.Close()
	})
}

// A reader that would have to read what is long on disk goes on at the end of the log.
func TestAReaderThatIsFarBehindPassesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.blocked = make(chan struct{})
		w.watch(Filter{})
		synctest.Wait()
		for range 3 * maxBehind {
			w.accept(track("jane"))
		}
		close(w.blocked)
		synctest.Wait()
		w.accept(track("joe"))
		synctest.Wait()
		o := w.Overview()
		if o.Taken != 3*maxBehind+1 || o.Skipped < 2*maxBehind || w.Calls(Filter{}, 1)[0].UserID != "joe" {
			t.Fatalf("got %+v", o)
		}
		w.Close()
	})
}

func TestManyMayTellAndLookAtOnce(t *testing.T) {
	w := newWorld(t, Config{Calls: 50})
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for range 200 {
				pos := w.accept(track(fmt.Sprintf("user-%d", i)))
				for _, state := range []State{Waiting, Queued, Sending, Retrying, Delivered} {
					w.Observe(pos, track("x"), Step{Destination: "vero", State: state})
				}
			}
		})
		all.Go(func() {
			v := w.watch(Filter{ID: "user-1"})
			defer v.Close()
			for range 200 {
				v.Changed()
				for _, c := range w.Calls(Filter{}, 3) {
					w.Call(c.ID)
				}
			}
		})
	}
	all.Wait()
	w.Close()
}

func TestRecordingCostsNothingWithoutViewers(t *testing.T) {
	r := New(Config{})
	if n := testing.AllocsPerRun(1000, func() { r.Enabled() }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkWithoutViewers(b *testing.B) {
	r := New(Config{})
	b.ReportAllocs()
	for b.Loop() {
		if r.Enabled() {
			b.Fatal("somebody looks")
		}
	}
}

// What a pipeline pays for each step while somebody looks and the calls are too many to be taken up.
func BenchmarkAStepOfACallThatIsNotTakenUp(b *testing.B) {
	w := newWorld(b, Config{IdleTimeout: time.Hour})
	w.Activate()
	e := track("jane")
	for i := range 10 * burst {
		w.Observe(journal.Position{Seq: 1, Index: i}, e, Step{Destination: "vero", State: Delivered})
	}
	b.ReportAllocs()
	for b.Loop() {
		w.Observe(journal.Position{Seq: 1, Index: 1 << 20}, e, Step{Destination: "vero", State: Delivered})
	}
	w.Close()
}

// world is a recorder over a log in memory.
type world struct {
	*Recorder
	t       testing.TB
	began   func()
	blocked chan struct{} // reads wait for it, where there is one

	mu      sync.Mutex
	frames  []*journal.Frame
	calls   uint64
	arrived chan struct{}
}

func newWorld(t testing.TB, config Config) *world {
	w := &world{t: t, arrived: make(chan struct{})}
	config.Head = w.head
	config.Read = func(from uint64) Frames { return &reader{w, from} }
	config.OnStart = func(context.Context) {
		if w.began != nil {
			w.began()
		}
	}
	w.Recorder = New(config)
	t.Cleanup(w.Close)
	return w
}

func (w *world) isEmpty() bool {
	w.Recorder.mu.Lock()
	defer w.Recorder.mu.Unlock()
	return w.byPos == nil && w.Recorder.calls == nil && w.bytes == 0
}

func (w *world) watch(f Filter) *Viewer {
	w.t.Helper()
	v, err := w.Watch(f)
	if err != nil {
		w.t.Error(err)
	}
	return v
}

func (w *world) head() (uint64, journal.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls, journal.Position{Seq: uint64(len(w.frames)) + 1}
}

func (w *world) accept(e *journal.Entry) journal.Position {
	return journal.Position{Seq: w.append(*e)}
}

func (w *world) append(entries ...journal.Entry) (seq uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frames = append(w.frames, journal.NewFrame(uint64(len(w.frames))+1, w.calls, entries))
	w.calls += uint64(len(entries))
	close(w.arrived)
	w.arrived = make(chan struct{})
	return uint64(len(w.frames))
}

type reader struct {
	w    *world
	next uint64
}

func (r *reader) Close() {}

func (r *reader) Next(ctx context.Context) (*journal.Frame, error) {
	if r.w.blocked != nil {
		<-r.w.blocked
	}
	for {
		r.w.mu.Lock()
		arrived, frames := r.w.arrived, slices.Clone(r.w.frames)
		r.w.mu.Unlock()
		if r.next <= uint64(len(frames)) {
			r.next++
			return frames[r.next-2], nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func track(user string) *journal.Entry {
	return &journal.Entry{Source: "website", Message: segment.Message{
		Header: segment.Header{Type: segment.Track, MessageID: "m-" + user, UserID: user},
		JSON:   fmt.Appendf(nil, `{"type":"track","userId":%q,"event":"Bought"}`, user),
	}}
}
