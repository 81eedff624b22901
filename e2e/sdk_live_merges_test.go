//go:build sdks

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"aka/e2e/harness"
)

// Held aliases are grouped by rule and source on the page. One click refuses a whole group, and one approves the other.
func TestHeldAliasesAreDecidedAboutByGroupOnThePage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Setup{Destinations: mergers()[:1], More: "merges: { new_user_grace: 0s, max_ids: 3 }"})
	w.Start()
	const strangers, owners = 3, 2
	w.holdStrangers(strangers)
	w.holdManyIDs(owners)
	w.untilHeld(strangers+owners, "kissmetrics")
	p := openLiveOf(w)

	p.show("#/merges")
	p.untilShown(".counts", "5 in all")
	p.untilShown(".letter", "kissmetrics ■ known_users 3 from test")
	p.untilShown(".letter", "kissmetrics ■ max_ids 2 from test")
	if groups := p.text(".letter"); len(groups) != 2 {
		t.Errorf("the groups are %q", groups)
	}
	p.click(".letter button", "Examples")
	p.untilShown(".letter-more li", "1 calls wait")

	p.click(".letter button", "Refuse 3")
	p.untilShown("dialog", "3 aliases are dropped")
	p.click("dialog button", "Refuse")
	p.untilShown(".counts", "2 in all")
	p.w.Until("what waited behind the refused ones is sent", func() bool { return w.tookAll("event other-%d Waited", strangers) })
	if took := took(w.Account("kissmetrics")); slices.Contains(took, "event owner-0 Waited") {
		t.Errorf("calls behind the other group are sent: %q", took)
	}

	p.click(".letter button", "Approve 2")
	p.untilShown("dialog", "A merge cannot be undone there.")
	p.click("dialog button", "Cancel")
	p.click(".letter button", "Approve 2")
	p.click("dialog .danger", "Approve")
	p.untilShown(".counts", "No alias is held.")
	w.UntilAllEnded()
	if !w.tookAll("alias third-%d@example.com owner-%[1]d", owners) || !w.tookAll("event owner-%d Waited", owners) {
		t.Errorf("what was approved is not sent: %q", took(w.Account("kissmetrics")))
	}
	for n := range strangers {
		w.expectApart("kissmetrics", fmt.Sprint("user-", n), fmt.Sprint("other-", n))
	}

	p.show("#/merges?id=owner-1")
	for _, verdict := range []string{"held", "approved", "sent"} {
		p.untilShown(".merges li", "kissmetrics "+verdict)
	}
	for _, row := range p.text(".merges li") {
		if !strings.Contains(row, "owner-1") {
			t.Errorf("the ledger of owner-1 has %q", row)
		}
	}
	p.choose("Id", "user-2")
	p.click(".bar button", "Look")
	p.untilShown(".merges li", "kissmetrics refused user-2")
	p.untilShown(".merges li", "kissmetrics held user-2")
	if rows := p.text(".merges li"); len(rows) != 2 {
		t.Errorf("the ledger of user-2 has %q", rows)
	}
	p.close()
}

// holdStrangers has aliases of two known users held, with a call behind each.
func (w *world) holdStrangers(count int) {
	w.t.Helper()
	for n := range count {
		w.call("identify", `{"userId":"user-%d","traits":{"plan":"pro"}}`, n)
		w.call("identify", `{"userId":"other-%d","traits":{"plan":"pro"}}`, n)
		w.call("alias", `{"previousId":"user-%d","userId":"other-%d"}`, n, n)
		w.call("track", `{"userId":"other-%d","event":"Waited"}`, n)
	}
}

// holdManyIDs has an alias of each owner's third e-mail held, with a call behind it.
func (w *world) holdManyIDs(owners int) {
	w.t.Helper()
	for n := range owners {
		for _, mail := range []string{"first", "second", "third"} {
			w.call("alias", `{"previousId":"%s-%d@example.com","userId":"owner-%d"}`, mail, n, n)
		}
		w.call("track", `{"userId":"owner-%d","event":"Waited"}`, n)
	}
}

// tookAll reports whether Kissmetrics has taken what a format says of each of so many numbers.
func (w *world) tookAll(format string, count int) bool {
	lines := took(w.Account("kissmetrics"))
	for n := range count {
		if !slices.Contains(lines, fmt.Sprintf(format, n)) {
			return false
		}
	}
	return true
}
