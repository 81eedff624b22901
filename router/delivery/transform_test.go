package delivery

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"aka/destinations/adapter"
	"aka/router/journal"
	"aka/router/mergerules"
	"aka/router/segment"
	"aka/router/transform/transformtest"
)

// with gives a call another JSON.
func with(e journal.Entry, json string) journal.Entry {
	e.JSON = []byte(json)
	return e
}

func (w *world) edits(text string) { w.destination.Transform = transformtest.Compile(w.t, text) }

func TestFilter_LeavesOutCallsOfAnyTypeByHeaderOrWhole(t *testing.T) {
	for name, filter := range map[string]string{
		"header": `filter: not (userId == "jane" and type != "identify")`,
		"whole":  `filter: not (userId == "jane" and type != "identify") or properties.vip`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{})
				w.edits(filter)
				w.accept(identify("jane", 1), track("jane", 2), alias("device", "jane", 3), track("joe", 4))
				w.run()
				time.Sleep(time.Minute)
				w.expectSent("jane-1", "joe-4")
				w.expectOutcomes(map[string]int{"delivered": 2, "dropped/filtered_by_destination": 2})
				w.stop()
			})
		})
	}
}

// What does not reach the destination's vendor says nothing of who is a user there, and of what was merged.
func TestFilter_AFilteredCallTeachesTheMemoryNothing(t *testing.T) {
	for name, c := range map[string]struct {
		filter string
		held   int
		ended  map[string]int
	}{
		"none":   {"{}", 1, map[string]int{"delivered": 3, "dropped/already_merged": 1}},
		"header": {`filter: not (messageId in ["joe-2", "jane-3"])`, 0, map[string]int{"delivered": 3, "dropped/filtered_by_destination": 2}},
		"whole":  {`filter: not (messageId in ["joe-2", "jane-3"]) or properties.vip`, 0, map[string]int{"delivered": 3, "dropped/filtered_by_destination": 2}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newMergingWorld(t, adapter.MergeJoins)
				w.merges, w.vendor.aliasesOnly = mergerules.DefaultOptions, true
				w.edits(c.filter)
				w.run()
				w.accept(identify("jane", 1), identify("joe", 2), alias("device", "jane", 3))
				time.Sleep(time.Hour)
				w.accept(alias("device", "jane", 4))
				time.Sleep(time.Hour)
				w.accept(alias("joe", "jane", 5)) // of two users, where both are known
				time.Sleep(time.Hour)
				if held := w.held(); len(held) != c.held || len(held) == 1 && held[0].Rule != "known_users" {
					t.Errorf("held: %+v", held)
				}
				w.expectOutcomes(c.ended)
				w.stop()
			})
		})
	}
}

// An identify that passes names a user, though its transform leaves the vendor nothing to take.
func TestFilter_AnIdentifyThatPassesNamesAUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMergingWorld(t, adapter.MergeJoins)
		w.merges, w.vendor.aliasesOnly, w.vendor.drop = mergerules.DefaultOptions, true, "joe-2"
		w.edits("filter: type != \"page\" and not context.internal\ntransform: [{ drop: [traits] }]")
		w.run()
		w.accept(identify("jane", 1), identify("joe", 2))
		time.Sleep(time.Hour)
		w.accept(alias("joe", "jane", 3))
		time.Sleep(time.Hour)
		if held := w.held(); len(held) != 1 || held[0].Rule != "known_users" {
			t.Errorf("held: %+v", held)
		}
		w.stop()
	})
}

func TestFilter_OneThatFailsRejectsTheCallAndSendsNothing(t *testing.T) {
	const secret = `{"type":"track","event":"x","properties":{"card":"4111-secret"}}`
	for name, text := range map[string]string{
		"header":    `filter: num(userId) + 1 > 0`,
		"whole":     `filter: properties.card + 1 > 0 or num(properties.card) + 1 > 0`,
		"condition": `transform: [{ when: properties.card.last == "1", drop: [properties.card] }]`,
		"step":      `transform: [{ set: { properties.card: '=sha256(properties.card.last)' } }]`,
		"no value":  `transform: [{ set: { properties.card: '=sha256(email(properties.card))' } }]`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{})
				w.edits(text)
				w.accept(with(track("jane", 1), secret))
				w.run()
				time.Sleep(time.Minute)
				w.expectSent()
				w.expectOutcomes(map[string]int{"dead/rejected": 1})
				w.stop()
				w.log.mu.Lock()
				defer w.log.mu.Unlock()
				if d := w.log.dead[0]; !strings.HasPrefix(d.Detail, "filter: ") && !strings.HasPrefix(d.Detail, "transform[0].") || strings.Contains(d.Detail, "4111") || strings.Contains(d.Detail, "jane") {
					t.Errorf("the detail is %q", d.Detail)
				}
			})
		})
	}
}

// The calls wait on disk and in memory while their filter changes: each meets the new one, and goes once.
func TestFilter_CallsThatWaitMeetTheNewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{OnDead: OnDeadBlock})
		w.edits(`filter: type != "group"`)
		w.refuse("jane-1")
		w.accept(track("jane", 1), identify("jane", 2), track("joe", 3))
		w.run()
		time.Sleep(time.Hour)
		w.stop()
		w.expectOutcomes(map[string]int{"delivered": 1, "dead/refused": 1})
		w.refuse()
		w.edits(`filter: type != "identify"`)
		w.restart()
		w.accept(call(segment.Group, "jane", "", 4))
		time.Sleep(time.Minute)
		w.retry("jane-1")
		time.Sleep(time.Minute)
		if got := w.sentLast(2); strings.Join(got, " ") != "jane-1 jane-4" {
			t.Errorf("sent %v", got)
		}
		w.expectOutcomes(map[string]int{"delivered": 2, "dropped/filtered_by_destination": 1})
		w.stop()
	})
}

// Nothing waits any more for a dead letter that the new filter leaves out.
func TestFilter_ADeadLetterThatItLeavesOutBlocksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{OnDead: OnDeadBlock})
		w.refuse("jane-1")
		w.accept(track("jane", 1), identify("jane", 2))
		w.run()
		time.Sleep(time.Hour)
		w.stop()
		w.expectSent("jane-1")
		w.refuse()
		w.edits(`filter: messageId != "jane-1"`)
		w.restart()
		time.Sleep(time.Minute)
		w.expectSent("jane-1", "jane-2")
		w.expectOutcomes(map[string]int{"delivered": 1})
		w.stop()
	})
}

func TestFilter_DropsCanBeKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.keptDrops = []string{"filtered_by_destination"}
		w.edits(`filter: type != "alias" and not properties.internal`)
		w.accept(alias("device", "jane", 1), with(track("jane", 2), `{"type":"track","event":"x","properties":{"internal":true}}`), track("jane", 3))
		w.run()
		time.Sleep(time.Minute)
		if got := w.keptIDs(); got != "[jane-1/filtered_by_destination jane-2/filtered_by_destination]" {
			t.Errorf("kept %s", got)
		}
		w.expectSent("jane-3")
		w.stop()
	})
}

func TestFilter_ADryRunFiltersToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.destination.Dry = true
		w.edits("filter: type != \"alias\"\ntransform: [{ when: userId == \"joe\", set: { event: drop me } }]")
		w.accept(alias("device", "jane", 1), track("jane", 2), track("joe", 3))
		w.run()
		time.Sleep(time.Minute)
		w.expectSent()
		w.expectOutcomes(map[string]int{"would_send": 1, "dropped/filtered_by_destination": 1, "dropped/nothing_to_send": 1})
		w.stop()
	})
}

// seeing notes what it gets of calls.
type seeing struct {
	*testVendor
	mu   sync.Mutex
	seen []string
}

func (v *seeing) note(what string, c *segment.Call) {
	v.mu.Lock()
	defer v.mu.Unlock()
	card, _ := c.Properties["card"].(string)
	v.seen = append(v.seen, what+" "+c.Event+card+"|"+string(c.JSON()))
}

func (v *seeing) Translate(c *segment.Call) adapter.Outcome {
	v.note("translate", c)
	return v.testVendor.Translate(c)
}

func (v *seeing) Next(c *segment.Call, answered []adapter.Answered) adapter.Outcome {
	v.note("next", c)
	return v.testVendor.Next(c, answered)
}

func (v *seeing) Merges(c *segment.Call) (adapter.Merge, bool) {
	v.note("merges", c)
	return v.testVendor.Merges(c)
}

// The adapter gets the edited call wherever it is asked about it.
func TestTransform_TheAdapterNeverSeesWhatWasDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMergingWorld(t, adapter.MergeJoins)
		w.vendor.asks = true
		vendor := &seeing{testVendor: w.vendor}
		w.destination.Adapter = vendor
		w.edits("transform:\n  - { drop: [properties.card] }\n  - { set: { event: edited } }")
		const json = `{"type":"track","event":"x","properties":{"card":"4111","a":1}}`
		w.accept(with(track("jane", 1), json))
		w.run()
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"delivered": 1})
		want := `edited|{"event":"edited","properties":{"a":1},"type":"track"}`
		for _, what := range []string{"translate", "next", "merges"} {
			found := false
			for _, seen := range vendor.seen {
				found = found || seen == what+" "+want
			}
			if !found || strings.Contains(strings.Join(vendor.seen, " "), "4111") {
				t.Errorf("%s: saw %q", what, vendor.seen)
			}
		}
		if got := w.log.frames[0].Entries[0].JSON; !bytes.Equal(got, []byte(json)) {
			t.Errorf("the log has %s", got)
		}
		w.stop()
	})
}
