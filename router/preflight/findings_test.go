package preflight

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"aka/destinations/adapter"
	"aka/router/mergerules"
)

// mistake is a few calls, and the one case that they make.
type mistake struct {
	config string // beside shop's, in place of it where it has sources
	calls  []string
	kind   Kind
	ids    []string
	reason string
	// at are the endings: "destination outcome reason people".
	at  []string
	fix []string
	// lines are those of the calls that are shown.
	lines []int
}

const device = "11111111-0000-4000-8000-000000000000"

// fromBrowser is a call as analytics.js sends it.
func fromBrowser(millis int, fields string) string {
	at := fmt.Sprintf("2026-01-01T10:00:00.%03dZ", millis)
	return fmt.Sprintf(`%s,"context":{"library":{"name":"analytics.js"}},"timestamp":%q,"sentAt":%q,"receivedAt":%q`, fields, at, at, at)
}

var mistakes = map[string]mistake{
	"the call's integrations part a person": {
		calls: []string{
			`"type":"track","event":"E","userId":"guest-1"`,
			`"type":"track","event":"E","userId":"usr_9"`,
			`"type":"alias","previousId":"guest-1","userId":"usr_9","integrations":{"All":true,"Mixpanel":false}`,
		},
		config: strings.Replace(shop, "  vero: { settings: { auth_token: v } }\n", "", 1),
		kind:   VendorsDiffer, ids: []string{"guest-1", "usr_9"}, lines: []int{3},
		at: []string{"kissmetrics delivered  one", "mixpanel dropped filtered_by_integrations apart"},
	},
	"the new id of a rename is in use": {
		calls: []string{`"type":"track","event":"E","userId":"guest-1"`, `"type":"track","event":"E","userId":"usr_9"`, `"type":"alias","previousId":"guest-1","userId":"usr_9"`},
		config: `
sources: { website: { write_key: write-key-of-the-test } }
destinations: { vero: { settings: { auth_token: v } } }
`,
		kind: AliasRefused, ids: []string{"guest-1", "usr_9"}, reason: "refused", lines: []int{3}, at: []string{"vero dead refused apart"},
	},
	"an id that Mixpanel gives once": {
		calls: []string{
			`"type":"alias","previousId":"guest-1","userId":"usr_9"`, `"type":"alias","previousId":"guest-2","userId":"usr_9"`,
		},
		config: `
sources: { website: { write_key: write-key-of-the-test } }
destinations: { mixpanel: { settings: { token: t, id_merge: legacy } } }
`,
		kind: AliasRefused, ids: []string{"guest-2", "usr_9"}, reason: "alias_taken", lines: []int{2}, at: []string{"mixpanel dropped alias_taken unknown"},
	},
	"what Mixpanel would throw away in silence": {
		calls: []string{
			`"type":"alias","previousId":"guest-1","userId":"usr_9"`, `"type":"alias","previousId":"guest-2","userId":"usr_9"`,
		},
		config: `
sources: { website: { write_key: write-key-of-the-test } }
destinations: { mixpanel: { remember_merges: false, settings: { token: t, id_merge: legacy } } }
`,
		kind: AliasRefused, ids: []string{"guest-2", "usr_9"}, reason: "errAliasAlreadyExists", lines: []int{2}, at: []string{"mixpanel delivered  unknown"},
	},
	"an alias that the browser's SDK has overwritten": {
		config: shop + "merges: { known_users: allow }\n",
		calls:  []string{`"type":"alias","previousId":"usr_9","userId":"usr_9","anonymousId":"` + device + `"`},
		kind:   OverwrittenAlias, ids: []string{device, "usr_9"}, lines: []int{1},
		at: []string{"kissmetrics dropped same_ids unknown", "mixpanel dropped same_ids unknown", "vero dropped same_ids unknown"},
	},
	"the same, at a source that repairs none": {
		config: strings.Replace(shop, "write_key: write-key-of-the-test", "write_key: write-key-of-the-test, repair_alias: false", 1),
		calls:  []string{fromBrowser(1, `"type":"alias","previousId":"usr_9","userId":"usr_9","anonymousId":"`+device+`"`)},
		kind:   OverwrittenAlias, ids: []string{device, "usr_9"}, lines: []int{1}, fix: []string{"sources: { website: { repair_alias: true } }"},
		at: []string{"kissmetrics dropped same_ids unknown", "mixpanel dropped same_ids unknown", "vero dropped same_ids unknown"},
	},
	"an alias that the browser's SDK has reversed": {
		calls: []string{
			fromBrowser(1, `"type":"alias","previousId":"usr_9","userId":"old-1","anonymousId":"`+device+`"`),
			fromBrowser(100, `"type":"identify","userId":"usr_9","anonymousId":"`+device+`"`),
		},
		kind: ReversedAlias, ids: []string{"usr_9", "old-1"}, lines: []int{1},
		at: []string{"kissmetrics dropped reversed_in_browser unknown", "mixpanel dropped reversed_in_browser unknown", "vero dropped reversed_in_browser unknown"},
	},
	"a person of too many ids": {
		config: `
sources: { website: { write_key: write-key-of-the-test } }
merges: { max_ids: 3, known_users: allow }
destinations: { kissmetrics: { settings: { api_key: k } } }
`,
		calls: []string{
			`"type":"alias","previousId":"guest-1","userId":"usr_9"`, `"type":"alias","previousId":"guest-2","userId":"usr_9"`, `"type":"alias","previousId":"guest-3","userId":"usr_9"`,
		},
		kind: TooManyIDs, ids: []string{"usr_9", "guest-3"}, lines: []int{3}, at: []string{"kissmetrics held merge_expired unknown"},
		fix: []string{"merges: { max_ids_verdict: drop }", `merges: { blocked_ids: ["usr_9"] }   # if many people share the id`},
	},
	"the same, where the rule allows it": {
		config: `
sources: { website: { write_key: write-key-of-the-test } }
merges: { max_ids: 3, max_ids_verdict: allow, known_users: allow }
destinations: { kissmetrics: { settings: { api_key: k } } }
`,
		calls: []string{
			`"type":"alias","previousId":"guest-1","userId":"usr_9"`, `"type":"alias","previousId":"guest-2","userId":"usr_9"`, `"type":"alias","previousId":"guest-3","userId":"usr_9"`,
		},
		kind: TooManyIDs, ids: []string{"usr_9", "guest-3", "guest-1", "guest-2"}, lines: []int{1, 2, 3}, at: []string{"kissmetrics delivered  one"},
		fix: []string{"merges: { max_ids_verdict: drop }", `merges: { blocked_ids: ["usr_9"] }   # if many people share the id`},
	},
	"two known users": {
		config: `
sources: { website: { write_key: write-key-of-the-test } }
merges: { known_users: observe }
destinations: { kissmetrics: { settings: { api_key: k } } }
`,
		calls: []string{
			`"type":"identify","userId":"usr_1","traits":{"a":1},"receivedAt":"2026-01-01T08:00:00Z"`, `"type":"identify","userId":"usr_2","traits":{"a":1},"receivedAt":"2026-01-01T09:00:00Z"`,
			`"type":"alias","previousId":"usr_1","userId":"usr_2","receivedAt":"2026-01-01T10:00:00Z"`,
		},
		kind: KnownUsers, ids: []string{"usr_1", "usr_2"}, lines: []int{3}, at: []string{"kissmetrics delivered  one"}, fix: []string{"merges: { known_users: drop }"},
	},
}

func TestACaseHasItsCallsItsEndAndWhatCorrectsIt(t *testing.T) {
	for name, m := range mistakes {
		t.Run(name, func(t *testing.T) {
			report := reportOf(t, orShop(m.config), numbered(m.calls))
			if len(report.Findings) != 1 || report.Findings[0].Kind != m.kind || len(report.Findings[0].Cases) != 1 {
				t.Fatalf("%+v", report.Findings)
			}
			c := report.Findings[0].Cases[0]
			var lines []int
			for _, call := range c.Calls {
				lines = append(lines, call.Line)
			}
			var at []string
			for _, e := range c.At {
				at = append(at, fmt.Sprintf("%s %s %s %s", e.Destination, e.Outcome, e.Reason, e.People))
			}
			if !slices.Equal(c.IDs, m.ids) || c.Reason != m.reason || !slices.Equal(lines, m.lines) || !slices.Equal(at, m.at) || !slices.Equal(c.Fix, m.fix) {
				t.Errorf("ids %q, reason %q, lines %v,\nat %q,\nfix %q", c.IDs, c.Reason, lines, at, c.Fix)
			}
		})
	}
}

func orShop(config string) string {
	if config == "" {
		return shop
	}
	return config
}

// numbered gives calls their ids and, where they have none, times.
func numbered(calls []string) string {
	text := ""
	for i, call := range calls {
		if !strings.Contains(call, `"receivedAt"`) {
			call += fmt.Sprintf(`,"receivedAt":"2026-01-01T10:00:0%dZ"`, i+1)
		}
		text += fmt.Sprintf("{\"messageId\":\"m%d\",%s}\n", i, call)
	}
	return text
}

// What a config decides about an id is no finding any longer.
func TestAConfigWithTheLineOfASharedIDHasNoFinding(t *testing.T) {
	var calls []string
	for i := range 25 {
		calls = append(calls, fmt.Sprintf(`"type":"alias","previousId":"usr_%02d","userId":"office*@example.com","receivedAt":"2026-01-01T10:00:00Z"`, i))
	}
	text := numbered(calls)
	report := reportOf(t, shop, text)
	if len(report.Findings) != 1 || report.Findings[0].Kind != SharedID || report.Findings[0].Cases[0].MoreIDs != 25 {
		t.Fatalf("%+v", report.Findings)
	}
	fix := report.Findings[0].Cases[0].Fix
	if want := []string{`merges: { blocked_ids: ["office?@example.com"] }`}; !slices.Equal(fix, want) {
		t.Fatalf("%q, expected %q", fix, want)
	}
	if report := reportOf(t, shop+fix[0]+"\n", text); !report.Clean {
		t.Errorf("%+v", report.Findings)
	}
}

// A rule costs the same, whatever its verdict is.
func TestTheCostOfARuleDoesNotDependOnItsVerdict(t *testing.T) {
	calls := numbered([]string{
		`"type":"identify","userId":"usr_1","traits":{"a":1},"receivedAt":"2026-01-01T08:00:00Z"`, `"type":"identify","userId":"usr_2","traits":{"a":1},"receivedAt":"2026-01-01T08:00:00Z"`,
		`"type":"alias","previousId":"usr_1","userId":"usr_2","receivedAt":"2026-01-01T10:00:00Z"`,
	})
	for _, verdict := range mergerules.Verdicts {
		config := fmt.Sprintf(`
sources: { website: { write_key: write-key-of-the-test } }
merges: { known_users: %s }
destinations: { kissmetrics: { settings: { api_key: k } } }
`, verdict)
		d := reportOf(t, config, calls).Destinations[0]
		cost := *d.rule(mergerules.KnownUsers)
		if want := (RuleCost{Rule: mergerules.KnownUsers, Verdict: verdict, Fires: 1, Aliases: 1}); cost != want {
			t.Errorf("%s: %+v", verdict, cost)
		}
		people, held := 1, 0
		if verdict == mergerules.Hold || verdict == mergerules.Drop {
			people = 2
		}
		if verdict == mergerules.Hold {
			held = 1
		}
		if d.People != people || d.PeopleBefore != 2 || d.Held != held {
			t.Errorf("%s: %+v", verdict, d)
		}
	}
}

// What a vendor's rule does to every alias of a kind is a count, and no finding.
func TestWhatAVendorDoesToEveryoneIsACount(t *testing.T) {
	report := reportOf(t, `
sources: { website: { write_key: write-key-of-the-test } }
destinations:
  kissmetrics: { settings: { api_key: k } }
  mixpanel: { settings: { token: t, id_merge: simplified } }
`, numbered([]string{
		`"type":"track","event":"E","userId":"guest-1"`, `"type":"track","event":"E","userId":"usr_1"`, `"type":"alias","previousId":"guest-1","userId":"usr_1"`,
	}))
	want := []Parted{{[2]string{"kissmetrics", "mixpanel"}, 1}}
	if !report.Clean || !slices.Equal(report.Parted, want) || report.Destinations[1].Aliases[adapter.AliasUnsupported] != 1 || *report.Destinations[1].BilledEvents != 2 {
		t.Errorf("%+v", report)
	}
}
