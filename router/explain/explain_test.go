package explain

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"aka/destinations/adapter"
	"aka/router/config"
	"aka/router/config/configtest"
	"aka/router/segment"
)

const explained = `
sources:
  app: { write_key: app-key, destinations: [vero] }
  website: { write_key: website-key }
destinations:
  kissmetrics: { settings: { api_key: kissmetrics-key } }
  mixpanel: { settings: { token: mixpanel-token, id_merge: simplified } }
  vero: { settings: { auth_token: vero-token } }
`

// website is how most of these bodies arrive.
var website = Options{Source: "website", ReceivedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}

func explainText(t *testing.T, body string, options Options) string {
	t.Helper()
	explanation, err := Body(load(t, explained, config.LoadOptions{}), []byte(body), options)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := explanation.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// outcomes are the words of each call and destination, in order: "vero=send", "vero=drop same_ids".
func outcomes(e *Explanation) (all []string) {
	for _, call := range e.Calls {
		if call.Rejected != nil {
			all = append(all, call.Rejected.Code)
		}
		for _, d := range call.Destinations {
			all = append(all, strings.TrimSuffix(d.Name+"="+d.Outcome+" "+string(d.Reason), " "))
		}
	}
	return all
}

func TestExplainShowsAnAliasAtEachDestination(t *testing.T) {
	body := `{"type":"alias","messageId":"m1","previousId":"jen@email.com","userId":"507f191e81"}`
	explanation, err := Body(load(t, explained, config.LoadOptions{}), []byte(body), website)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"source": "website", "calls": [{
		"index": 0, "type": "alias", "message_id": "m1", "rejected": null,
		"destinations": [
			{"name": "kissmetrics", "outcome": "send",
				"note": "its turn decides: remember_merges may drop it, and the rules of merges that need its memory may hold or drop it",
				"requests": [{"method": "GET", "url": "https://trk.kissmetrics.io/a",
				"query": {"_k": "<secret>", "_n": "507f191e81", "_p": "jen@email.com"}}]},
			{"name": "mixpanel", "outcome": "drop", "reason": "alias_unsupported_by_simplified_id_merge",
				"why": "Mixpanel cannot merge two users in a project with simplified id merge: send one userId per person; for a device, see the setting link_on_alias"},
			{"name": "vero", "outcome": "send",
				"note": "its turn decides: remember_merges may drop it, and the rules of merges that need its memory may hold or drop it",
				"requests": [{"method": "PUT", "url": "https://api.getvero.com/api/v2/users/reidentify",
				"headers": {"Content-Type": "application/json"},
				"json": {"auth_token": "<secret>", "id": "jen@email.com", "new_id": "507f191e81"}}]}
		]}]}`
	got, err := json.Marshal(explanation)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(decodeJSON(t, got), decodeJSON(t, []byte(want))) {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func decodeJSON(t *testing.T, text []byte) (value any) {
	t.Helper()
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestExplainReadsForPeople(t *testing.T) {
	got := explainText(t, `{"batch":[
		{"type":"alias","messageId":"m1","previousId":"jen@email.com","userId":"507f191e81"},
		{"type":"track","userId":"jane"}
	]}`, website)
	want := `call 0  alias  message m1
  kissmetrics  send    GET https://trk.kissmetrics.io/a
                         query   _k = <secret>
                         query   _n = 507f191e81
                         query   _p = jen@email.com
               note: its turn decides: remember_merges may drop it, and the rules of merges that need its memory may hold or drop it
  mixpanel     drop    alias_unsupported_by_simplified_id_merge: Mixpanel cannot merge two users in a project with simplified id merge: send one userId per person; for a device, see the setting link_on_alias
  vero         send    PUT https://api.getvero.com/api/v2/users/reidentify
                         header  Content-Type: application/json
                         json    {
                                   "auth_token": "<secret>",
                                   "id": "jen@email.com",
                                   "new_id": "507f191e81"
                                 }
               note: its turn decides: remember_merges may drop it, and the rules of merges that need its memory may hold or drop it

call 1  -  message -
  refused  missing_event: event: expected the name of the event, a string that is not empty
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestExplainSaysThatThereIsNoCall(t *testing.T) {
	for _, body := range []string{`[]`, `{"batch":[]}`} {
		if got := explainText(t, body, website); got != "the body holds no call\n" {
			t.Errorf("%s: got %q", body, got)
		}
	}
}

func TestExplainReadsWhatIsWrongWithACall(t *testing.T) {
	got := explainText(t, `{"type":"track","userId":"jane","event":"$merge"}`, website)
	want := "  mixpanel     reject  rejected: the call cannot be translated for this vendor: correct what the error names\n" +
		"                       event: $identify, $create_alias and $merge are Mixpanel's identity commands; send an alias or identify call\n"
	if !strings.Contains(got, want) {
		t.Errorf("got\n%s\nwant in it\n%s", got, want)
	}
}

func TestExplainSaysWhyNothingWouldBeSent(t *testing.T) {
	config := load(t, explained, config.LoadOptions{})
	for name, c := range map[string]struct {
		body, source string
		want         []string
	}{
		"same ids": {
			`{"type":"alias","previousId":"jane","userId":"jane"}`, "app",
			[]string{"kissmetrics=drop filtered_by_source", "mixpanel=drop filtered_by_source", "vero=drop same_ids"},
		},
		"integrations": {
			`{"type":"alias","previousId":"a","userId":"jane","integrations":{"All":false,"Vero":true}}`, "website",
			[]string{"kissmetrics=drop filtered_by_integrations", "mixpanel=drop filtered_by_integrations", "vero=send"},
		},
		"malformed options": {
			`{"type":"identify","userId":"jane","integrations":{"All":false,"Vero":{"tags":7}}}`, "website",
			[]string{"kissmetrics=drop filtered_by_integrations", "mixpanel=drop filtered_by_integrations", "vero=send"},
		},
		"refused calls between others": {
			`{"batch":[{"type":"what"},{"type":"alias","previousId":"a","userId":"a"},7,{"type":"alias","previousId":"b","userId":"b"},{}]}`, "app",
			[]string{
				"invalid_type",
				"kissmetrics=drop filtered_by_source", "mixpanel=drop filtered_by_source", "vero=drop same_ids",
				"invalid_call",
				"kissmetrics=drop filtered_by_source", "mixpanel=drop filtered_by_source", "vero=drop same_ids",
				"invalid_type",
			},
		},
		"one call that is refused": {`{"type":"alias"}`, "app", []string{"missing_user_id"}},
	} {
		explanation, err := Body(config, []byte(c.body), Options{Source: c.source})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := outcomes(explanation); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, c.want)
		}
		for i, call := range explanation.Calls {
			if call.Index != i {
				t.Errorf("%s: call %d stands at %d", name, call.Index, i)
			}
		}
	}
}

func TestExplainTakesOneCallABatchAndAnArray(t *testing.T) {
	call := `{"type":"alias","messageId":"m1","previousId":"a","userId":"b"}`
	single := explainText(t, call, website)
	for _, body := range []string{`{"batch":[` + call + `]}`, " [\n" + call + "]\n", "\xef\xbb\xbf[" + call + "]"} {
		if got := explainText(t, body, website); got != single {
			t.Errorf("%s\n got %s\nwant %s", body, got, single)
		}
	}
}

func TestExplainTakesALineForEachBody(t *testing.T) {
	alias := func(user string) string { return `{"type":"alias","previousId":"a","userId":"` + user + `"}` }
	lines := alias("b") + "\n\n{\"type\":\n[" + alias("a") + "," + alias("c") + "]\r\n" + `{"writeKey":"app-key","batch":[` + alias("d") + `]}`
	explanation, err := Body(load(t, explained, config.LoadOptions{}), []byte(lines), Options{Source: "app"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"kissmetrics=drop filtered_by_source", "mixpanel=drop filtered_by_source", "vero=send", "invalid_json",
		"kissmetrics=drop filtered_by_source", "mixpanel=drop filtered_by_source", "vero=drop same_ids",
		"kissmetrics=drop filtered_by_source", "mixpanel=drop filtered_by_source", "vero=send",
		"kissmetrics=drop filtered_by_source", "mixpanel=drop filtered_by_source", "vero=send",
	}
	if got := outcomes(explanation); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	for i, call := range explanation.Calls {
		if call.Index != i {
			t.Errorf("call %d has the position %d", i, call.Index)
		}
	}
	for _, body := range []string{"{\n" + alias("b") + "\n", `{"type":` + "\n" + `"track"`} {
		if _, err := Body(load(t, explained, config.LoadOptions{}), []byte(body), website); !isRefused(err, notJSON) {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestExplainTakesThePathsType(t *testing.T) {
	explanation, err := Body(load(t, explained, config.LoadOptions{}), []byte(`{"type":"track","previousId":"a","userId":"b"}`),
		Options{Source: "app", Type: segment.Alias})
	if err != nil {
		t.Fatal(err)
	}
	if got := explanation.Calls[0]; got.Type != "alias" || len(got.Warnings) != 1 || got.Warnings[0].Code != "type_mismatch" {
		t.Errorf("got %+v", got)
	}
}

func TestExplainFilesACallUnderItsOwnWriteKey(t *testing.T) {
	body := `{"writeKey":"website-key","batch":[{"type":"page","userId":"a"},{"type":"page","userId":"b","writeKey":"app-key"}]}`
	explanation, err := Body(load(t, explained, config.LoadOptions{}), []byte(body), Options{})
	if err != nil {
		t.Fatal(err)
	}
	first, second := explanation.Calls[0], explanation.Calls[1]
	if first.Source != "" || second.Source != "app" || second.Destinations[1].Reason != "filtered_by_source" || first.Destinations[1].Reason == "filtered_by_source" {
		t.Errorf("%+v", explanation)
	}
	if text := explainText(t, body, website); !strings.Contains(text, "  source   app\n") {
		t.Error(text)
	}
}

func TestExplainShowsWarnings(t *testing.T) {
	text := explainText(t, `{"type":"track","event":"E","userId":"b","timestamp":"yesterday","traits":"{}"}`, website)
	for _, want := range []string{"  warning  unreadable_timestamp: timestamp: ", "  warning  invalid_traits: traits: "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
}

func TestExplainRefusesAWholeBodyAsTheIngressWould(t *testing.T) {
	config := load(t, explained+"limits: { batch_calls: 1 }\n", config.LoadOptions{})
	call := `{"type":"alias","previousId":"a","userId":"b"}`
	for body, want := range map[string]string{
		"[" + call + "," + call + "]": "too_many_calls",
		`{"type":`:                    "invalid_json",
		"":                            "invalid_json",
	} {
		_, err := Body(config, []byte(body), website)
		if refused := (*segment.Error)(nil); !errors.As(err, &refused) || refused.Code != want {
			t.Errorf("%s: got %v, not %s", body, err, want)
		}
	}
}

func TestExplainFindsTheSource(t *testing.T) {
	several := load(t, explained, config.LoadOptions{})
	single := load(t, configtest.Minimal, config.LoadOptions{})
	call := func(key string) []byte {
		return []byte(`{"type":"alias","previousId":"a","userId":"b","writeKey":"` + key + `"}`)
	}
	for name, c := range map[string]struct {
		config      *config.Config
		key, source string
		want        string
	}{
		"by its name":           {several, "website-key", "app", "app"},
		"by the body's key":     {several, "website-key", "", "website"},
		"the only one":          {single, "", "", "website"},
		"the only one, any key": {single, "other", "", "website"},
		"an unknown name":       {several, "", "blog", `no source is named "blog"; there are app, website`},
		"none to choose":        {several, "other", "", "the body holds no known write key: name one of the sources app, website"},
	} {
		explanation, err := Body(c.config, call(c.key), Options{Source: c.source})
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = explanation.Source
		}
		if got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

func TestExplainShowsSecretsOnlyWhenTold(t *testing.T) {
	body := `{"type":"track","userId":"jane","event":"Bought"}`
	shown := website
	shown.ShowSecrets = true
	masked, open := explainText(t, body, website), explainText(t, body, shown)
	for _, secret := range []string{"kissmetrics-key", "mixpanel-token", "vero-token"} {
		if strings.Contains(masked, secret) {
			t.Errorf("%s is shown:\n%s", secret, masked)
		}
		credentials := base64.StdEncoding.EncodeToString([]byte(secret + ":"))
		if strings.Contains(masked, credentials) {
			t.Errorf("%s is shown as credentials:\n%s", secret, masked)
		}
		if !strings.Contains(open, secret) && !strings.Contains(open, credentials) {
			t.Errorf("%s is not shown:\n%s", secret, open)
		}
	}
}

func TestExplainShowsSeveralRequestsInTheirOrder(t *testing.T) {
	got := explainText(t, `{"type":"identify","messageId":"m1","userId":"jane","integrations":{"All":false,"Vero":{"tags":{"add":["vip"]}}}}`, website)
	first, then := strings.Index(got, "send    POST https://api.getvero.com/api/v2/users/track"), strings.Index(got, "then    PUT https://api.getvero.com/api/v2/users/tags/edit")
	if first < 0 || then < first {
		t.Errorf("got\n%s", got)
	}
}

func TestExplainShowsJSONThatMeansTheSame(t *testing.T) {
	const odd = "a\x1b\u200b\U000e0001z" // of one and of two UTF-16 units
	shown := jsonText([]any{odd}, "")
	if got := decodeJSON(t, []byte(shown)); !reflect.DeepEqual(got, []any{odd}) || strings.Contains(shown, odd) {
		t.Errorf("got %q, shown as %s", got, shown)
	}
}

func TestExplainDoesWithAddressesWhatTheSourceDoes(t *testing.T) {
	config := load(t, strings.NewReplacer("app-key, destinations: [vero]", "app-key, ip: drop", "website-key", "website-key, ip: anonymize").Replace(explained), config.LoadOptions{})
	call := `{"type":"track","event":"e","messageId":"m1","userId":"jane","context":{"direct":true,"ip":"198.51.100.9"}%s}`
	for _, c := range []struct{ source, key, ip string }{
		{"website", "", "198.51.100.0"},
		{"website", "app-key", "198.51.100.0"},
		{"", "website-key", "198.51.100.0"},
		{"app", "", ""},
		{"app", "website-key", ""},
		{"", "app-key", ""},
	} {
		single := fmt.Sprintf(call, `,"writeKey":"`+c.key+`"`)
		for _, body := range []string{single, "[" + single + "]", `{"batch":[` + fmt.Sprintf(call, "") + `],"writeKey":"` + c.key + `"}`} {
			explanation, err := Body(config, []byte(body), Options{Source: c.source, ReceivedAt: website.ReceivedAt})
			if err != nil {
				t.Fatal(err)
			}
			shown, err := json.Marshal(explanation)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(shown), "198.51.100.9") || c.ip != "" && !strings.Contains(string(shown), c.ip) {
				t.Errorf("%s by %q: %s", body, c.source, shown)
			}
		}
	}
}

func FuzzExplain(f *testing.F) {
	for _, body := range []string{
		`{"type":"alias","previousId":"a","userId":"b"}`,
		`[{"type":"track","event":"x\u001b[1m","userId":"b","properties":{"a\nb":"\u009b"}},7]`,
		`{"batch":[{"type":"identify","userId":"b","traits":{"a":NaN}}],"context":{"ip":"1.2.3.4"}}`,
	} {
		f.Add([]byte(body))
	}
	config, err := config.Load(configtest.Write(f, explained), config.LoadOptions{Lookup: configtest.Lookup})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		explanation, err := Body(config, body, website)
		if err != nil {
			return
		}
		for _, call := range explanation.Calls {
			checkExplained(t, call)
		}
		var out bytes.Buffer
		if err := explanation.WriteText(&out); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsFunc(out.String(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
			t.Fatalf("the text holds what a terminal acts on: %q", out.String())
		}
		if _, err := json.Marshal(explanation); err != nil {
			t.Fatal(err)
		}
	})
}

// checkExplained checks that each destination has either requests or a reason.
func checkExplained(t *testing.T, call Call) {
	if (call.Rejected == nil) == (len(call.Destinations) == 0) {
		t.Fatalf("call %d has both or neither of a rejection and destinations", call.Index)
	}
	for _, d := range call.Destinations {
		if (d.Outcome == OutcomeSend) == (len(d.Requests) == 0) || (d.Outcome == OutcomeSend) != (d.Reason == adapter.Reason("")) {
			t.Fatalf("got %+v", d)
		}
	}
}

func TestExplainSaysThatAMemoryOfMergesMayDropAnAlias(t *testing.T) {
	text := explained // Mixpanel's mode drops the alias
	for callType, want := range map[string]int{"alias": 2, "identify": 0} {
		body := fmt.Sprintf(`{"type":%q,"previousId":"a","userId":"b"}`, callType)
		explanation, err := Body(load(t, text, config.LoadOptions{}), []byte(body), website)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range explanation.Calls[0].Destinations {
			if noted := d.Note == noteMemory; noted != (want > 0 && d.Name != "mixpanel") {
				t.Errorf("%s at %s: %q", callType, d.Name, d.Note)
			}
		}
		var text strings.Builder
		if err := explanation.WriteText(&text); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(text.String(), "note: "+noteMemory); got != want {
			t.Errorf("%s: %d notes in\n%s", callType, got, text.String())
		}
	}
}

func TestExplainMarksTheRequestThatMerges(t *testing.T) {
	text := strings.Replace(explained, "api_key: kissmetrics-key", "api_key: kissmetrics-key, alias_on_identify: true", 1)
	body := `{"type":"identify","userId":"u-1","anonymousId":"a-1","integrations":{"All":false,"Kissmetrics":true}}`
	explanation, err := Body(load(t, text, config.LoadOptions{}), []byte(body), website)
	if err != nil {
		t.Fatal(err)
	}
	requests := explanation.Calls[0].Destinations[0].Requests
	if len(requests) != 2 || requests[0].Merges || !requests[1].Merges {
		t.Errorf("got %+v", requests)
	}
	var shown strings.Builder
	if err := explanation.WriteText(&shown); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(shown.String(), "the rules of merges may leave this request out"); got != 1 {
		t.Errorf("%d marks in\n%s", got, shown.String())
	}
}

// The rules that need no memory are asked: of what the call alone says.
func TestExplainAsksTheRulesThatNeedNoMemory(t *testing.T) {
	for name, c := range map[string]struct{ rules, body, want string }{
		"a blocked id":       {"blocked_ids: [test-*]", `{"type":"alias","previousId":"test-1","userId":"jane"}`, "drop merge_blocked_pattern [{blocked_ids drop}] "},
		"swapped ids":        {"direction: drop", `{"type":"alias","previousId":"jane","userId":"phone","anonymousId":"phone"}`, "drop merge_direction [{direction drop}] " + noteDirection},
		"swapped by pattern": {"direction: hold", `{"type":"alias","previousId":"jane","userId":"anon-1"}`, "send  [{direction hold}] the rule direction holds it until an operator decides; " + noteMemory},
		"only counted":       {"direction: observe", `{"type":"alias","previousId":"jane","userId":"anon-1"}`, "send  [{direction observe}] the rule direction fires and only counts it; " + noteMemory},
		"in order":           {"blocked_ids: [test-*]", `{"type":"alias","previousId":"anon-1","userId":"jane"}`, "send  [] " + noteMemory},
		"an identify":        {"blocked_ids: [test-*]", `{"type":"identify","userId":"test-1","anonymousId":"a"}`, "send  [{blocked_ids drop}] the rule blocked_ids leaves out the request that merges two ids"},
	} {
		text := strings.Replace(explained, "api_key: kissmetrics-key", "api_key: kissmetrics-key, alias_on_identify: true", 1) + "ids: { device: [anon-*] }\nmerges: { " + c.rules + " }\n"
		explanation, err := Body(load(t, text, config.LoadOptions{}), []byte(c.body), website)
		if err != nil {
			t.Fatal(err)
		}
		d := explanation.Calls[0].Destinations[0]
		if got := fmt.Sprint(d.Outcome, " ", d.Reason, " ", d.Rules, " ", d.Note); d.Name != "kissmetrics" || got != c.want {
			t.Errorf("%s: got %s\nwant %s", name, got, c.want)
		}
		for _, r := range d.Requests {
			if r.Merges {
				t.Errorf("%s: a request that is left out is shown", name)
			}
		}
	}
}

// A bad option keeps nothing from going. Explain shows its path, and none of what the sender wrote.
func TestExplainNamesAnOptionThatMakesNoSense(t *testing.T) {
	body := `{"type":"alias","previousId":"a","userId":"b","integrations":{"All":false,"Vero":{"tags":{"add":"vip","remove":["old"]}}}}`
	explanation, err := Body(load(t, explained, config.LoadOptions{}), []byte(body), website)
	if err != nil {
		t.Fatal(err)
	}
	vero := explanation.Calls[0].Destinations[2]
	if vero.Outcome != OutcomeSend || len(vero.Requests) != 2 {
		t.Errorf("got %+v", vero)
	}
	want := "ignored_option: integrations.Vero.tags.add"
	if len(vero.Diagnostics) != 1 || vero.Diagnostics[0] != want {
		t.Errorf("diagnostics %q", vero.Diagnostics)
	}
	if text := explainText(t, body, website); !strings.Contains(text, "note: "+want) || strings.Contains(text, "vip") {
		t.Error(text)
	}
}

// The memory decides when the call's turn comes, and explain has none.
func TestExplainSaysThatAnAliasOfAUsedIDMayGo(t *testing.T) {
	body := `{"type":"alias","anonymousId":"a-1","userId":"507f191e81","integrations":{"All":false,"Vero":true}}`
	for text, want := range map[string]string{
		explained: noteIfUsed,
		strings.Replace(explained, "vero: { settings", "vero: { remember_merges: false, settings", 1): "",
	} {
		explanation, err := Body(load(t, text, config.LoadOptions{}), []byte(body), website)
		if err != nil {
			t.Fatal(err)
		}
		vero := explanation.Calls[0].Destinations[2]
		if vero.Outcome != OutcomeDrop || vero.Reason != adapter.PreviousIDIsAnonymous || vero.Note != want || len(vero.Requests) > 0 {
			t.Errorf("got %+v", vero)
		}
	}
}

func TestExplainSaysThatADryDestinationSendsNothing(t *testing.T) {
	for keys, want := range map[string]string{"vero: { mode: dry, settings": "vero~dry", "vero: { mode: dry, from_start: true, settings": "vero~dry"} {
		text := strings.Replace(explained, "vero: { settings", keys, 1)
		explanation, err := Body(load(t, text, config.LoadOptions{}), []byte(`{"type":"track","userId":"jane","event":"Signed Up"}`), website)
		if err != nil {
			t.Fatal(err)
		}
		all := explanation.Calls[0].Destinations
		if vero := all[len(all)-1]; len(all) != 3 || vero.Name != want || vero.Outcome != OutcomeSend || vero.Note != noteDry || len(vero.Requests) != 1 {
			t.Errorf("%s: got %+v", keys, all)
		}
	}
}
