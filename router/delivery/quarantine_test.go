package delivery

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aka/destinations/adapter"
	"aka/router/httpclient"
	"aka/router/journal"
	"aka/router/journal/ledger"
	"aka/router/mergerules"
	"aka/router/quarantine"
)

// newHoldingWorld is a destination whose merge rules have their defaults, and that knows these users for an hour.
func newHoldingWorld(t *testing.T, o Options, users ...string) *world {
	w := newGuardedWorld(t, o)
	w.run()
	w.know(users...)
	return w
}

// newGuardedWorld is a destination whose merge rules have their defaults.
func newGuardedWorld(t *testing.T, o Options) *world {
	w := newWorld(t, o)
	w.vendor.rule = adapter.MergeJoins
	w.destination.RememberMerges = true
	w.merges = mergerules.DefaultOptions
	w.people = knownUsers{}
	return w
}

// knownUsers is since when ids are users.
type knownUsers map[string]time.Time

func (knownUsers) IsSame(a, b string) bool { return a == b }

func (k knownUsers) Person(id string) mergerules.Person {
	since, ok := k[id]
	return mergerules.Person{IDs: 1, HasUser: ok, IsUser: ok, UserSince: since, UserSource: "web"}
}

// know has the destination know these users for an hour.
func (w *world) know(users ...string) {
	now := time.Now()
	time.Sleep(time.Hour)
	w.set(func() {
		for _, user := range users {
			w.people[user] = now
		}
	})
}

func (w *world) held() []quarantine.Held {
	w.t.Helper()
	held, more, err := w.pipeline.Held(w.t.Context(), quarantine.Filter{}, 100_000)
	if err != nil || more {
		w.t.Fatal(more, err)
	}
	return held
}

func (w *world) expectHeld(n int) {
	w.t.Helper()
	if held := w.held(); len(held) != n || int(w.metric("aka_merges_held", "vendor")) != n {
		w.t.Errorf("held are %d, %v by the metric, want %d: %+v", len(held), w.metric("aka_merges_held", "vendor"), n, held)
	}
}

func (w *world) approve(f quarantine.Filter) int {
	w.t.Helper()
	done, err := w.pipeline.ApproveHeld(w.t.Context(), f, quarantine.MaxDecided)
	if err != nil {
		w.t.Fatal(err)
	}
	return done.Count
}

func (w *world) refuseHeld(f quarantine.Filter) int {
	w.t.Helper()
	done, err := w.pipeline.RefuseHeld(w.t.Context(), f, quarantine.MaxDecided)
	if err != nil {
		w.t.Fatal(err)
	}
	return done.Count
}

// A held alias blocks both its people, and no others, until it is decided about.
func TestQuarantine_BlocksBothPeopleUntilADecision(t *testing.T) {
	for _, approve := range []bool{true, false} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprint(approve, restart), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newHoldingWorld(t, Options{}, "ann", "bob", "eve")
					w.accept(alias("ann", "bob", 1), track("ann", 2), track("bob", 3), track("eve", 4))
					time.Sleep(time.Minute)
					w.expectSent("eve-4")
					w.expectHeld(1)
					held := w.held()[0]
					if held.Rule != "known_users" || held.Waiting != 2 || held.ID >= 1e15 || held.From.IDs != 1 || held.From.UserSince.IsZero() || held.To.UserSince.IsZero() {
						t.Errorf("held: %+v", held)
					}
					if restart {
						w.stop()
						w.restart()
						time.Sleep(time.Minute)
						w.expectHeld(1)
						if again := w.held()[0]; again.Waiting != 2 || fmt.Sprint(again.ID, again.HeldAt.Equal(held.HeldAt), again.From.IDs, again.To.UserSource) != fmt.Sprint(held.ID, true, 1, "web") {
							t.Errorf("after a restart it is %+v, was %+v", again, held)
						}
					}
					if approve {
						if w.approve(quarantine.Filter{IDs: []uint64{held.ID}}) != 1 {
							t.Error("it was not approved")
						}
					} else if w.refuseHeld(quarantine.Filter{Rule: "known_users"}) != 1 {
						t.Error("it was not refused")
					}
					time.Sleep(time.Minute)
					w.expectHeld(0)
					got := w.sentLast(len(w.sent()) - 1)
					if approve && got[0] != "bob-1" || len(got) != map[bool]int{true: 3, false: 2}[approve] {
						t.Errorf("then were sent %v", got)
					}
					if ended := w.ended(); !approve && ended["dropped/merge_refused"] != 1 {
						t.Errorf("ended: %v", ended)
					}
					if n := len(w.log.parkedIDs()); n > 0 {
						t.Errorf("%d calls are left on disk", n)
					}
					w.stop()
				})
			})
		}
	}
}

// A crash takes no alias past the rules: that the run before may have sent any call of the backlog is no try.
func TestQuarantine_AfterACrashTheRulesAreAskedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHoldingWorld(t, Options{Concurrency: Fixed(1)}, "ann", "bob", "eve")
		w.set(func() { w.answer = func(string, int) httpclient.Response { return httpclient.Response{Status: 503} } })
		w.accept(track("ann", 1), alias("ann", "bob", 2), track("eve", 3))
		time.Sleep(time.Second)
		saved := w.log.saved()
		w.stop()
		w.set(func() { w.answer = nil })
		w.log.setSaved(saved)
		w.restart() // as if it had been killed
		time.Sleep(time.Hour)
		w.expectHeld(1)
		for _, e := range w.sent() {
			if e.id == "bob-2" {
				t.Error("the alias was sent")
			}
		}
		w.stop()
	})
}

// An alias about which no operator decides gets the default verdict in time.
func TestQuarantine_TheDefaultVerdictComesInTime(t *testing.T) {
	for _, approve := range []bool{true, false} {
		t.Run(fmt.Sprint(approve), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newGuardedWorld(t, Options{})
				w.set(func() {
					if approve {
						w.merges.Quarantine.Then = mergerules.Approve
					}
				})
				w.run()
				w.know("ann", "bob")
				w.accept(alias("ann", "bob", 1), track("ann", 2))
				time.Sleep(24*time.Hour - time.Minute)
				w.expectHeld(1)
				time.Sleep(2 * time.Minute)
				w.expectHeld(0)
				ended := w.ended()
				if want := map[bool]int{true: 2, false: 1}[approve]; ended["delivered"] != want || !approve && ended["dropped/merge_expired"] != 1 {
					t.Errorf("ended: %v", ended)
				}
				w.stop()
			})
		})
	}
}

// A crash after a decision carries it out, a crash before forgets it, and nothing is sent that was refused.
func TestQuarantine_ADecisionOutlivesACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHoldingWorld(t, Options{}, "ann", "bob")
		w.accept(alias("ann", "bob", 1), track("ann", 2))
		time.Sleep(time.Minute)
		w.log.setUnparkErr(errors.New("no space")) // the refusal is stored, and its end is not
		if w.refuseHeld(quarantine.Filter{}) != 1 {
			t.Error("it was not refused")
		}
		w.stop()
		w.log.setUnparkErr(nil)
		w.restart()
		time.Sleep(time.Minute)
		w.expectHeld(0)
		w.expectSent("ann-2")
		w.stop()
	})
}

// What waits behind held aliases goes to the disk, is bounded there, and comes back in order; others go on meanwhile.
func TestQuarantine_IsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newGuardedWorld(t, Options{Window: 100, Order: adapter.OrderStrict})
		w.set(func() { w.merges.Quarantine.MaxCalls = 1000 })
		w.run()
		for i := range 10 {
			w.know(fmt.Sprint("a", i), fmt.Sprint("b", i))
		}
		for i := range 10 {
			w.accept(alias(fmt.Sprint("a", i), fmt.Sprint("b", i), 1))
			time.Sleep(time.Second)
		}
		for n := range 150 {
			for i := range 10 {
				w.accept(track(fmt.Sprint("a", i), n), track(fmt.Sprint("other", i), n))
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		ended := w.ended()
		if ended["dropped/merge_expired"] == 0 || ended["dropped/merge_expired"] > 5 {
			t.Errorf("ended: %v", ended)
		}
		if left := 10 - ended["dropped/merge_expired"]; len(w.held()) != left {
			t.Errorf("%d are held, want %d", len(w.held()), left)
		}
		w.refuseHeld(quarantine.Filter{})
		time.Sleep(10 * time.Minute)
		if got := w.ended(); got["delivered"] != 3000 || got["dropped/merge_expired"]+got["dropped/merge_refused"] != 10 {
			t.Errorf("ended: %v", got)
		}
		for i := range 10 {
			w.checkOrderOf(fmt.Sprint("a", i))
		}
		w.stop()
	})
}

// A destination that is down while aliases are held takes the others' calls afterwards.
func TestQuarantine_AnOutageMeanwhileStopsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newGuardedWorld(t, Options{Window: 100})
		w.run()
		w.know("ann", "bob")
		w.accept(alias("ann", "bob", 1))
		w.set(func() { w.answer = func(string, int) httpclient.Response { return httpclient.Response{Status: 503} } })
		for n := range 500 {
			w.accept(track("ann", n+2))
		}
		for n := range 50 {
			w.accept(track(fmt.Sprint("other", n), n))
		}
		time.Sleep(10 * time.Minute)
		w.set(func() { w.answer = nil })
		time.Sleep(10 * time.Minute)
		if got := w.delivered(); got != 50 {
			t.Errorf("%d calls were delivered, want all of the others", got)
		}
		w.stop()
	})
}

// Max_backlog_age does not count while calls wait for an operator.
func TestQuarantine_WaitingForAnOperatorIsNoAge(t *testing.T) {
	for _, many := range []int{3, 400} {
		t.Run(fmt.Sprint(many), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newGuardedWorld(t, Options{Window: 100, MaxBacklogAge: time.Hour})
				w.run()
				w.know("ann", "bob")
				w.accept(alias("ann", "bob", 1))
				for n := range many {
					w.accept(track("ann", n+2))
				}
				time.Sleep(20 * time.Hour)
				w.refuseHeld(quarantine.Filter{})
				time.Sleep(10 * time.Minute)
				if got := w.ended(); got["delivered"] != many || got["dropped/merge_refused"] != 1 {
					t.Errorf("ended: %v", got)
				}
				w.stop()
			})
		})
	}
}

// An alias that was tried before is not held any more, and one that is replayed meets the rules anew.
func TestQuarantine_AsksOnceAndAgainForAReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHoldingWorld(t, Options{}, "ann")
		w.answer = func(id string, attempt int) httpclient.Response {
			return httpclient.Response{Status: map[bool]int{true: 400, false: 200}[id == "bob-1"]}
		}
		w.accept(alias("ann", "bob", 1)) // bob is not known yet
		time.Sleep(time.Minute)
		w.know("bob")
		replayed := alias("ann", "bob", 1)
		replayed.Target = "vendor"
		w.accept(replayed)
		time.Sleep(time.Minute)
		w.expectHeld(1)
		w.stop()
	})
}

// A dead letter that is tried again in its place meets the rules anew, as any replay does. What was approved before it died is no
// approval now.
func TestQuarantine_AsksAgainForADeadLetterInItsPlace(t *testing.T) {
	for _, approved := range []bool{false, true} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprint(approved, restart), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newHoldingWorld(t, Options{OnDead: OnDeadBlock}, "ann")
					w.refuse("bob-1")
					if approved {
						w.know("bob")
					}
					w.accept(alias("ann", "bob", 1), track("bob", 2))
					time.Sleep(time.Minute)
					if approved {
						w.approve(quarantine.Filter{})
						time.Sleep(time.Minute)
					}
					if got := w.ended()["dead/refused"]; got != 1 {
						t.Fatalf("ended: %v", w.ended())
					}
					w.know("bob")
					w.refuse()
					if restart {
						w.stop()
						w.restart()
						time.Sleep(time.Minute)
					}
					w.expectHeld(0)
					w.retry("bob-1")
					time.Sleep(time.Minute)
					w.expectHeld(1)
					if left := time.Until(w.held()[0].VerdictAt); left < 23*time.Hour {
						t.Errorf("its verdict comes in %s", left)
					}
					w.approve(quarantine.Filter{})
					time.Sleep(time.Minute)
					if got := w.sentLast(3); !slices.Equal(got, []string{"bob-1", "bob-1", "bob-2"}) {
						t.Errorf("sent last: %v", got)
					}
					w.stop()
				})
			})
		}
	}
}

// The same filters choose what is listed and decided.
func TestQuarantine_Filters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHoldingWorld(t, Options{}, "a1", "a2", "a3", "b1", "b2", "b3")
		for i, source := range []string{"web", "web", "server"} {
			e := alias(fmt.Sprint("a", i+1), fmt.Sprint("b", i+1), 1)
			e.Source = source
			w.accept(e)
			time.Sleep(time.Minute)
		}
		held := w.held()
		similar := []uint64{held[0].AlikeLastHour, held[1].AlikeLastHour, held[2].AlikeLastHour}
		if !slices.Equal(similar, []uint64{0, 1, 0}) {
			t.Errorf("similar: %v", similar)
		}
		if n := w.refuseHeld(quarantine.Filter{Source: "web", Until: held[0].HeldAt}); n != 1 {
			t.Errorf("%d were refused", n)
		}
		if n := w.refuseHeld(quarantine.Filter{Rule: "max_ids"}); n != 0 {
			t.Errorf("%d were refused", n)
		}
		if n := w.approve(quarantine.Filter{Source: "server"}); n != 1 {
			t.Errorf("%d were approved", n)
		}
		time.Sleep(time.Minute)
		w.expectHeld(1)
		w.stop()
	})
}

func TestRecentCountsAnHour(t *testing.T) {
	r, start := newRecent(), time.Unix(1_700_000_100, 0)
	for i := range 5 {
		if n := r.add("a", "web", start.Add(time.Duration(i)*10*time.Minute)); n != i {
			t.Errorf("%d before, want %d", n, i)
		}
	}
	if n := r.add("a", "web", start.Add(65*time.Minute)); n != 4 {
		t.Errorf("%d within the hour, want 4", n)
	}
	if n := r.add("a", "web", start.Add(48*time.Hour)); n != 0 || len(r.counts) != 1 {
		t.Errorf("%d after two days", n)
	}
}

// A decision about an alias that is on disk only fails, and does not say that it is not held.
func TestQuarantine_WhatIsNotReadBackIsDecidedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHoldingWorld(t, Options{}, "ann", "bob")
		w.accept(alias("ann", "bob", 1))
		time.Sleep(time.Minute)
		err := w.pipeline.ask(t.Context(), func() {
			for _, at := range w.pipeline.quarantine.all {
				w.pipeline.parking.leave(follower{at.job, at.queue})
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := w.pipeline.RefuseHeld(t.Context(), quarantine.Filter{}, quarantine.MaxDecided); n.Count != 0 || !errors.Is(err, ErrNotReadBack) {
			t.Errorf("%d were refused, %v", n, err)
		}
		w.stop()
		w.restart()
		time.Sleep(time.Minute)
		if n := w.refuseHeld(quarantine.Filter{}); n != 1 {
			t.Errorf("%d were refused", n)
		}
		w.stop()
	})
}

// newSharedMail is a destination that knows the users user0, user1 and so on, and the e-mail that they share.
func newSharedMail(t *testing.T, o Options, many int) *world {
	known := []string{"mail"}
	for i := range many {
		known = append(known, fmt.Sprint("user", i))
	}
	return newHoldingWorld(t, o, known...)
}

// Aliases of one person are held one after the other. What each has waited behind the others counts, over restarts too.
func TestQuarantine_WhatWaitsBehindAHeldAliasGetsItsVerdictInTime(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprint(restart), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const many = 60
				w := newSharedMail(t, Options{}, many)
				start := time.Now()
				for i := range many {
					w.accept(alias(fmt.Sprint("user", i), "mail", i))
					time.Sleep(10 * time.Minute)
				}
				for time.Since(start) < 20*time.Hour {
					w.expectHeld(1)
					if restart {
						w.stop()
						time.Sleep(time.Minute)
						w.restart()
					}
					time.Sleep(3 * time.Hour)
				}
				for i := range many {
					// Each waits in memory for a minute before it is parked, and that does not count.
					time.Sleep(24*time.Hour + time.Duration(i)*10*time.Minute + 110*time.Second - time.Since(start))
					if got := w.ended()["dropped/merge_expired"]; got != i+1 {
						t.Fatalf("%d have a verdict %s after the first was accepted, want %d", got, time.Since(start), i+1)
					}
					if restart && i%20 == 10 {
						w.stop()
						w.restart()
					}
				}
				w.stop()
			})
		})
	}
}

// Only the time behind a held alias counts, and not what an alias has waited for its vendor.
func TestQuarantine_AnOutageDoesNotCountForTheVerdict(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprint(restart), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newSharedMail(t, Options{Retry: RetryOptions{MaxAge: 30 * 24 * time.Hour}}, 3)
				w.accept(alias("user0", "mail", 0), alias("user1", "mail", 1), alias("user2", "mail", 2))
				time.Sleep(10 * time.Hour)
				w.set(func() { w.answer = func(string, int) httpclient.Response { return httpclient.Response{Status: 503} } })
				w.approve(quarantine.Filter{})
				time.Sleep(10 * time.Hour)
				if restart {
					w.stop()
					w.restart()
				}
				time.Sleep(40 * time.Hour)
				w.expectHeld(0)
				w.set(func() { w.answer = nil })
				time.Sleep(time.Hour)
				w.expectHeld(1)
				left := time.Until(w.held()[0].VerdictAt)
				if left < 12*time.Hour || left > 14*time.Hour+2*time.Minute {
					t.Errorf("its verdict comes in %s", left)
				}
				time.Sleep(left - time.Minute)
				w.expectHeld(1)
				time.Sleep(2 * time.Minute)
				w.expectHeld(0)
				if got := w.ended(); got["delivered"] != 1 || got["dropped/merge_expired"] != 2 {
					t.Errorf("ended: %v", got)
				}
				w.stop()
			})
		})
	}
}

// What an alias has waited before an operator approved it does not count where another rule holds it.
func TestQuarantine_ASecondRuleHasItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSharedMail(t, Options{}, 2)
		w.accept(alias("user0", "mail", 0), alias("user1", "mail", 1))
		time.Sleep(10 * time.Hour)
		w.refuseHeld(quarantine.Filter{})
		time.Sleep(10 * time.Hour)
		w.set(func() { w.merges.MaxIDs = 1 })
		w.expectHeld(1)
		if left := time.Until(w.held()[0].VerdictAt); left > 5*time.Hour {
			t.Errorf("its verdict comes in %s", left)
		}
		w.stop()
		w.restart()
		time.Sleep(time.Minute)
		w.approve(quarantine.Filter{Rule: "known_users"})
		time.Sleep(time.Minute)
		w.expectHeld(1)
		if held := w.held()[0]; held.Rule != "max_ids" || time.Until(held.VerdictAt) < 23*time.Hour {
			t.Errorf("held: %+v", held)
		}
		w.stop()
	})
}

// A reload stops the destination and starts it with the new rules: they are asked again about what is held.
func TestQuarantine_OtherRulesAreAskedAboutWhatIsHeld(t *testing.T) {
	for verdict, want := range map[mergerules.Verdict]map[string]int{
		mergerules.Allow: {"delivered": 2}, mergerules.Observe: {"delivered": 2}, mergerules.Hold: {}, mergerules.Drop: {"delivered": 1, "dropped/merge_known_users": 1},
	} {
		t.Run(string(verdict), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newHoldingWorld(t, Options{}, "ann", "bob")
				w.accept(alias("ann", "bob", 1), track("ann", 2))
				time.Sleep(time.Minute)
				w.expectHeld(1)
				w.stop()
				w.merges.KnownUsers = verdict
				w.restart()
				time.Sleep(time.Minute)
				w.expectOutcomes(want)
				w.expectHeld(map[bool]int{true: 1, false: 0}[verdict == mergerules.Hold])
				w.stop()
			})
		})
	}
}

// What waits on disk behind held aliases is bounded in bytes, too.
func TestQuarantine_IsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newGuardedWorld(t, Options{})
		w.set(func() { w.merges.Quarantine.MaxBytes = 100 << 10 })
		w.run()
		const many, behindEach = 10, 20
		for i := range many {
			w.know(fmt.Sprint("a", i), fmt.Sprint("b", i))
		}
		for i := range many {
			w.accept(alias(fmt.Sprint("a", i), fmt.Sprint("b", i), 0))
			time.Sleep(time.Second)
		}
		text := strings.Repeat("x", 1<<10)
		for n := range behindEach {
			for i := range many {
				large := track(fmt.Sprint("a", i), n+1)
				large.JSON = fmt.Appendf(nil, `{"type":"track","event":"E","properties":{"text":%q}}`, text)
				w.accept(large)
			}
		}
		time.Sleep(parkAfter + time.Minute)
		if held, ended := len(w.held()), w.ended(); held < 3 || held > 4 || ended["dropped/merge_expired"] != many-held {
			t.Errorf("%d are held, and ended have %v", held, ended)
		}
		w.stop()
	})
}

// Calls behind a held alias block their other ids, too: before so many are blocked that reading stops, the oldest block is decided about.
func TestQuarantine_IsBoundedInBlockedIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newGuardedWorld(t, Options{})
		w.know("a0", "b0", "a1", "b1")
		w.run()
		w.accept(alias("a0", "b0", 0))
		time.Sleep(time.Second)
		w.accept(alias("a1", "b1", 0))
		time.Sleep(time.Minute)
		w.expectHeld(2)
		w.stop()
		oldest := w.log.parked[slices.IndexFunc(w.log.parked, func(p *journal.Parked) bool { return p.Entry.PreviousID == "a0" || p.Entry.UserID == "a0" })]
		for i := range nearlyBlockedIDs + 2*maxTaken {
			pos, rank := oldest.Position, oldest.Rank
			pos.Index, rank.Index = pos.Index+1+i, rank.Index+1+i
			e := track("a0", 1+i)
			e.AnonymousID, e.ReceivedAt = fmt.Sprint("device-", i), time.Now()
			w.log.parked = append(w.log.parked, &journal.Parked{Queue: oldest.Queue, Rank: rank, Position: pos, Entry: e})
		}
		w.restart()
		w.pipeline.Pause(true) // or all of them would be sent
		time.Sleep(time.Minute)
		w.stop()
		first := slices.IndexFunc(w.log.ledger, func(e journal.LedgerEntry) bool { return e.Verdict == ledger.Expired })
		if first < 0 || w.log.ledger[first].MessageID != oldest.Entry.MessageID {
			t.Errorf("in the ledger is %+v", w.log.ledger)
		}
		if n := w.metric("aka_quarantine_full_total", "vendor"); n < 1 {
			t.Errorf("the bound counts %v times", n)
		}
	})
}

// An approval is of the rule that held the alias. What the vendor makes of it is asked in its turn.
func TestQuarantine_AnApprovedAliasThatMergesNothingAnyMoreIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newGuardedWorld(t, Options{})
		w.people, w.vendor.aliasesOnly = nil, true // users are those that are remembered
		w.run()
		w.accept(identify("ann", 1), identify("bob", 2))
		time.Sleep(time.Hour)
		w.accept(alias("ann", "bob", 3))
		time.Sleep(time.Minute)
		w.expectHeld(1)
		given := false
		if _, err := w.pipeline.ImportMerges(t.Context(), func() (from, to string, ok bool, err error) {
			ok, given = !given, true
			return "ann", "bob", ok, nil
		}); err != nil {
			t.Fatal(err)
		}
		w.approve(quarantine.Filter{})
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"delivered": 2, "dropped/already_merged": 1})
		w.stop()
	})
}

// Where many aliases are over a bound, they are decided about together, and no more than must be.
func TestQuarantine_ManyOverABoundAreDecidedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newGuardedWorld(t, Options{})
		w.set(func() { w.merges.Quarantine.MaxCalls = 1000 })
		w.run()
		const many, behindEach = 100, 20
		for i := range many {
			w.know(fmt.Sprint("a", i), fmt.Sprint("b", i))
		}
		for i := range many {
			w.accept(alias(fmt.Sprint("a", i), fmt.Sprint("b", i), 0))
		}
		time.Sleep(time.Second)
		for n := range behindEach {
			for i := range many {
				w.accept(track(fmt.Sprint("a", i), n+1))
			}
		}
		waiting := func() (n uint64) {
			for _, h := range w.held() {
				n += h.Waiting
			}
			return n
		}
		time.Sleep(time.Second)
		if n := waiting(); n != many*behindEach {
			t.Fatalf("%d wait", n)
		}
		time.Sleep(parkAfter + 2*time.Second)
		if n := w.ended()["dropped/merge_expired"]; n != 50 {
			t.Errorf("%d have their verdict, want those that are over the bound", n)
		}
		if got := w.metric("aka_quarantine_full_total", "vendor"); got != 50 {
			t.Errorf("aka_quarantine_full_total is %v", got)
		}
		w.expectHeld(50)
		w.stop()
	})
}

// One decision is about so many aliases only, the oldest first, and says how many are left.
func TestQuarantine_ADecisionIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHoldingWorld(t, Options{}, "a0", "b0", "a1", "b1", "a2", "b2", "a3", "b3", "a4", "b4")
		for i := range 5 {
			w.accept(alias(fmt.Sprint("a", i), fmt.Sprint("b", i), 1))
			time.Sleep(time.Minute)
		}
		oldest := w.held()[:3]
		for _, want := range []quarantine.Decided{{Count: 2, Left: 3}, {Count: 0, Left: 3}, {Count: 1, Left: 2}} {
			if got, err := w.pipeline.RefuseHeld(t.Context(), quarantine.Filter{}, want.Count); got != want || err != nil {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
		}
		for _, h := range w.held() {
			if slices.ContainsFunc(oldest, func(o quarantine.Held) bool { return o.ID == h.ID }) {
				t.Errorf("%s is still held", h.MessageID)
			}
		}
		time.Sleep(time.Second)
		w.expectHeld(2)
		w.stop()
	})
}

// What an operator has refused in advance is not sent and not held, also where he has approved it in advance.
func TestQuarantine_ARefusalInAdvanceDropsWhatWouldBeHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHoldingWorld(t, Options{}, "ann", "bob", "dan", "eve", "joe", "kim")
		until := time.Now().Add(time.Hour)
		decide := func(all ...journal.AutoDecision) {
			t.Helper()
			w.log.mu.Lock()
			w.log.decisions = all
			w.log.mu.Unlock()
			if err := w.pipeline.ReloadAutoDecisions(t.Context()); err != nil {
				t.Error(err)
			}
		}
		refusal := journal.AutoDecision{Verdict: ledger.Refused, Rule: "known_users", Source: "s", Until: until}
		approval := journal.AutoDecision{Verdict: ledger.Approved, Rule: "known_users", Until: until}
		decide(refusal, approval)
		w.accept(alias("ann", "bob", 1), track("ann", 2))
		time.Sleep(time.Minute)
		w.expectSent("ann-2")
		w.expectOutcomes(map[string]int{"dropped/merge_refused": 1, "delivered": 1})
		decide(approval)
		w.accept(alias("dan", "eve", 3))
		time.Sleep(2 * time.Hour)
		w.expectSent("ann-2", "eve-3")
		decide(refusal) // it has ended
		w.accept(alias("joe", "kim", 4))
		time.Sleep(time.Minute)
		w.expectHeld(1)
		w.stop()
		var noted []string
		for _, e := range w.log.ledger {
			noted = append(noted, fmt.Sprintf("%s %s by %s %s", e.MessageID, e.Verdict, e.By, e.Reason))
		}
		want := []string{"bob-1 refused by auto_refusal merge_refused", "eve-3 approved by auto_approval ", "eve-3 sent by  ", "kim-4 held by rule "}
		if !slices.Equal(noted, want) {
			t.Errorf("the ledger has %q, want %q", noted, want)
		}
	})
}
