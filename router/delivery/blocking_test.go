package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"aka/destinations/adapter"
	"aka/router/httpclient"
	"aka/router/journal"
)

// refuse has the vendor refuse some calls for good.
func (w *world) refuse(ids ...string) {
	w.set(func() {
		w.answer = func(id string, _ int) httpclient.Response {
			if slices.Contains(ids, id) {
				return httpclient.Response{Status: 400}
			}
			return httpclient.Response{Status: 200}
		}
	})
}

// retry has a held call tried again, as an operator does by replaying its dead letter.
func (w *world) retry(messageID string) {
	w.t.Helper()
	w.decide(messageID, w.pipeline.Retry)
}

func (w *world) release(messageID string) {
	w.t.Helper()
	w.decide(messageID, w.pipeline.Release)
}

func (w *world) decide(messageID string, do func(ctx context.Context, deadLetter uint64) (bool, error)) {
	w.t.Helper()
	id := w.log.deadLetter(messageID)
	if held, err := do(w.t.Context(), id); !held || err != nil {
		w.t.Errorf("%s was held: %v, %v", messageID, held, err)
	}
	w.log.discard(id)
}

// sentLast returns the last so many calls that were sent, in order.
func (w *world) sentLast(n int) (ids []string) {
	sent := w.sent()
	for _, e := range sent[max(0, len(sent)-n):] {
		ids = append(ids, e.id)
	}
	return ids
}

func TestWhatIsBehindADeadLetterWaitsForItsOperator(t *testing.T) {
	for name, c := range map[string]struct {
		decide func(w *world)
		last   []string
		end    map[string]int
	}{
		"replayed":  {func(w *world) { w.refuse(); w.retry("jane-1") }, []string{"jane-1", "jane-2", "jane-3"}, map[string]int{"dead/refused": 1, "delivered": 5}},
		"discarded": {func(w *world) { w.release("jane-1") }, []string{"well-4", "jane-2", "jane-3"}, map[string]int{"dead/refused": 1, "delivered": 4}},
		"aged out":  {func(w *world) { w.log.discard(w.log.deadLetter("jane-1")) }, []string{"well-4", "jane-2", "jane-3"}, map[string]int{"dead/refused": 1, "delivered": 4}},
	} {
		for _, restarted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restarted %v", name, restarted), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, Options{OnDead: OnDeadBlock, Order: adapter.OrderStrict})
					w.refuse("jane-1")
					w.accept(identify("jane", 1), track("jane", 2), track("well", 1))
					w.run()
					time.Sleep(10 * time.Minute)
					w.accept(track("jane", 3), track("well", 4))
					time.Sleep(2 * time.Minute)
					if restarted {
						w.stop()
						w.restart()
						time.Sleep(2 * time.Minute)
					}
					if got := w.log.parkedIDs(); !slices.Equal(got, []string{"jane-1", "jane-2", "jane-3"}) {
						t.Errorf("parked: %v", got)
					}
					if floor := w.pipeline.Floor(); floor != 3 {
						t.Errorf("the floor is at %d: what waits for an operator holds it up", floor)
					}
					parked, held, waiting := w.metric("aka_parked_calls", "vendor"), w.metric("aka_blocking_dead_letters", "vendor"), w.metric("aka_backlog_calls", "vendor")
					if parked != 3 || held != 1 || waiting != 2 {
						t.Errorf("%v are parked, %v of them dead letters, and %v wait", parked, held, waiting)
					}
					if got := w.ended(); fmt.Sprint(got) != fmt.Sprint(map[string]int{"dead/refused": 1, "delivered": 2}) {
						t.Errorf("ended: %v", got)
					}
					c.decide(w)
					time.Sleep(10 * time.Minute)
					if got := w.sentLast(3); !slices.Equal(got, c.last) {
						t.Errorf("sent last: %v, want %v", got, c.last)
					}
					if got := w.ended(); fmt.Sprint(got) != fmt.Sprint(c.end) {
						t.Errorf("ended: %v, want %v", got, c.end)
					}
					if got := w.log.parkedIDs(); len(got) > 0 {
						t.Errorf("still parked: %v", got)
					}
					w.stop()
				})
			})
		}
	}
}

func TestADeadLetterThatDiesAgainWaitsAgainAndKeepsItsHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{OnDead: OnDeadBlock})
		w.refuse("jane-1")
		w.accept(identify("jane", 1), track("jane", 2))
		w.run()
		time.Sleep(time.Minute)
		synctest.Wait()
		first := *w.log.dead[0]
		for range 3 {
			time.Sleep(time.Hour)
			w.retry("jane-1")
			time.Sleep(time.Minute)
			w.stop()
			w.restart()
		}
		synctest.Wait()
		if len(w.log.dead) != 1 {
			t.Fatalf("%d dead letters", len(w.log.dead))
		}
		last := w.log.dead[0]
		if last.Attempts != 4 || !last.First.Equal(first.First) || !last.Last.After(first.Last.Add(3*time.Hour)) || last.Earlier == 0 {
			t.Errorf("the dead letter after three replays: %+v", last)
		}
		w.expectSent("jane-1", "jane-1", "jane-1", "jane-1")
		w.stop()
	})
}

func TestOnDeadContinue_NoCallWaitsForADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{OnDead: OnDeadBlock})
		w.refuse("jane-1")
		w.accept(identify("jane", 1), track("jane", 2))
		w.run()
		time.Sleep(time.Minute)
		w.expectSent("jane-1")
		w.stop()
		if _, err := w.pipeline.Release(t.Context(), w.log.deadLetter("jane-1")); !errors.Is(err, ErrStopped) {
			t.Errorf("a pipeline that has stopped: %v", err)
		}
		w.options.OnDead = OnDeadContinue
		w.restart()
		time.Sleep(time.Minute)
		w.expectSent("jane-1", "jane-2")
		if held, err := w.pipeline.Retry(t.Context(), w.log.deadLetter("jane-1")); held || err != nil {
			t.Errorf("it is held: %v, %v", held, err)
		}
		if got := w.log.parkedIDs(); len(got) > 0 {
			t.Errorf("still parked: %v", got)
		}
		w.stop()
	})
}

// Calls that wait for an operator for too long become dead letters as others do, and those are held in their places too.
func TestWhatWaitsForAnOperatorForTooLongIsHeldAsADeadLetterInItsPlace(t *testing.T) {
	for _, down := range []bool{false, true} {
		t.Run(fmt.Sprintf("the destination is down %v", down), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{OnDead: OnDeadBlock, Order: adapter.OrderStrict, MaxBacklogAge: time.Hour})
				w.refuse("jane-1")
				if down {
					w.answer = func(string, int) httpclient.Response { return httpclient.Response{Err: fasthttp.ErrDialTimeout} }
				}
				w.accept(identify("jane", 1), track("jane", 2), track("jane", 3))
				w.run()
				time.Sleep(2 * time.Hour)
				w.accept(track("jane", 4))
				time.Sleep(10 * time.Minute)
				if n := w.metric("aka_blocking_dead_letters", "vendor"); n != 3 || len(w.log.dead) != 3 {
					t.Fatalf("%v dead letters hold up others, of %d", n, len(w.log.dead))
				}
				w.set(func() { w.answer = nil })
				w.stop()
				w.restart()
				before := len(w.sent())
				w.retry("jane-3") // it waits for those before it
				w.retry("jane-2")
				time.Sleep(10 * time.Minute)
				if got := w.sent()[before:]; len(got) > 0 {
					t.Errorf("sent before its turn: %v", got)
				}
				w.retry("jane-1")
				time.Sleep(10 * time.Minute)
				if got := w.sentLast(4); !slices.Equal(got, []string{"jane-1", "jane-2", "jane-3", "jane-4"}) {
					t.Errorf("sent last: %v", got)
				}
				w.stop()
			})
		})
	}
}

func TestOnDeadBlock_WithoutSpaceADeadLetterBlocksNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{OnDead: OnDeadBlock, Window: 20, Concurrency: Fixed(4)})
		w.answer = func(string, int) httpclient.Response { return httpclient.Response{Status: 400} }
		w.run()
		for i := range 50 {
			w.accept(identify(fmt.Sprint("u", i), 1))
			time.Sleep(time.Second)
		}
		w.set(func() { w.answer = nil })
		for i := range 50 {
			w.accept(track(fmt.Sprint("u", 49-i), 2))
		}
		time.Sleep(time.Second)
		w.expectOutcomes(map[string]int{"dead/refused": 50, "delivered": 30})
		if n := w.logs.FilterField(zap.Bool("blocks_others", false)).Len(); n != 30 {
			t.Errorf("%d lines say so", n)
		}
		time.Sleep(10 * time.Minute)
		if n := w.logs.FilterMessageSnippet("too many calls are blocked").Len(); n != 1 {
			t.Errorf("%d lines say that the destination waits for its operator", n)
		}
		for i := range 20 {
			w.release(fmt.Sprint("u", i, "-1"))
		}
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"dead/refused": 50, "delivered": 50})
		w.stop()
	})
}

// They age out together, or are discarded while their destination is not configured.
func TestOnDeadBlock_ManyDeadLettersThatAreGoneBlockBriefly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{OnDead: OnDeadBlock})
		w.answer = func(id string, _ int) httpclient.Response {
			if strings.HasSuffix(id, "-1") {
				return httpclient.Response{Status: 400}
			}
			return httpclient.Response{Status: 200}
		}
		for i := range 50 {
			w.accept(identify(fmt.Sprint("u", i), 1), track(fmt.Sprint("u", i), 2))
		}
		w.run()
		time.Sleep(time.Second)
		w.expectOutcomes(map[string]int{"dead/refused": 50})
		for _, d := range w.log.deadLetters()[:40] {
			w.log.discard(d.ID)
		}
		time.Sleep(expiryCheck)
		w.expectOutcomes(map[string]int{"dead/refused": 50, "delivered": 40})
		w.stop()
	})
}

// As while its destination was not configured. The oldest dead letter is still there, and is no sign of the others.
func TestOnDeadBlock_ADeadLetterThatWentDuringAStopBlocksNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{OnDead: OnDeadBlock})
		w.refuse("john-1", "jane-1")
		w.run()
		for _, who := range []string{"john", "jane"} {
			w.accept(identify(who, 1), track(who, 2))
			time.Sleep(time.Minute)
		}
		w.stop()
		w.log.discard(w.log.deadLetter("jane-1"))
		w.restart()
		time.Sleep(10 * time.Minute)
		w.expectSent("john-1", "jane-1", "jane-2")
		w.release("john-1")
		time.Sleep(time.Minute)
		w.expectSent("john-1", "jane-1", "jane-2", "john-2")
		w.stop()
	})
}

func TestOnDeadBlock_DeadLettersThatComeTogetherStayWithinTheSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{OnDead: OnDeadBlock, Window: 20, Concurrency: Fixed(20)})
		w.answer = func(string, int) httpclient.Response { return httpclient.Response{Status: 400} }
		w.run()
		for _, n := range []int{15, 45} {
			var calls []journal.Entry
			for i := range n {
				calls = append(calls, identify(fmt.Sprint(n, "-", i), 1))
			}
			w.log.setStoreDeadErr(errors.New("full")) // until all wait for it
			w.accept(calls...)
			time.Sleep(time.Minute)
			w.log.setStoreDeadErr(nil)
			time.Sleep(time.Minute)
		}
		if n := w.metric("aka_blocking_dead_letters", "vendor"); n != 20 {
			t.Errorf("%v dead letters hold up others", n)
		}
		w.expectOutcomes(map[string]int{"dead/refused": 60})
		w.stop()
	})
}

// Its place takes a while to be kept, as on a slow disk or a full one. It is a dead letter already.
func TestACallDiesOnceHoweverLongItsPlaceTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{OnDead: OnDeadBlock, Order: adapter.OrderStrict, MaxBacklogAge: time.Hour})
		w.refuse("jane-1")
		w.accept(identify("jane", 1), track("jane", 2), track("jane", 3))
		w.run()
		time.Sleep(59 * time.Minute)
		w.setParkErr(errors.New("full"))
		time.Sleep(3 * time.Minute)
		if n := len(w.log.deadLetters()); n != 3 {
			t.Errorf("%d dead letters of 3 calls", n)
		}
		w.stop()
	})
}

// A decision that is on its way to the disk is the only one.
func TestWhileADeadLetterIsDecidedAboutNothingElseIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{OnDead: OnDeadBlock})
		w.refuse("jane-1")
		w.accept(identify("jane", 1), track("jane", 2))
		w.run()
		time.Sleep(5 * time.Second)
		w.setParkErr(errors.New("full"))
		w.refuse()
		deadLetter, first := w.log.deadLetter("jane-1"), make(chan error, 1)
		go func() {
			_, err := w.pipeline.Retry(t.Context(), deadLetter)
			first <- err
		}()
		synctest.Wait()
		for _, do := range []func(context.Context, uint64) (bool, error){w.pipeline.Retry, w.pipeline.Release} {
			if blocks, err := do(t.Context(), deadLetter); blocks || !errors.Is(err, ErrDeciding) {
				t.Errorf("blocks: %v, %v", blocks, err)
			}
		}
		w.setParkErr(nil)
		if err := <-first; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		w.expectSent("jane-1", "jane-1", "jane-2")
		w.stop()
	})
}

func (w *world) setParkErr(err error) {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	w.log.parkErr = err
}

// The write that takes a dead letter out of its place may be done although it fails.
func TestAReleaseWhoseWriteSeemedToFailIsCarriedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{OnDead: OnDeadBlock})
		w.refuse("jane-1")
		w.accept(identify("jane", 1), track("jane", 2))
		w.run()
		time.Sleep(5 * time.Second)
		w.log.mu.Lock()
		w.log.unparkTimesOut = true
		w.log.mu.Unlock()
		w.log.setUnparkErr(errors.New("full"))
		time.AfterFunc(3*time.Second, func() { w.log.setUnparkErr(nil) })
		w.release("jane-1")
		time.Sleep(time.Minute)
		w.expectSent("jane-1", "jane-2")
		w.stop()
	})
}
