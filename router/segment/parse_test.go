package segment

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// refusal returns the code of Parse's error; "" when there is none.
func refusal(t *testing.T, body string, options Options) string {
	t.Helper()
	options.ReceivedAt = receivedAt
	result, err := Parse([]byte(body), options)
	if err == nil {
		return ""
	}
	var problem *Error
	if !errors.As(err, &problem) || !slices.Contains(Codes, problem.Code) || problem.Message == "" {
		t.Fatalf("not a listed error: %#v", err)
	}
	if len(result.Messages) > 0 || len(result.Rejected) > 0 {
		t.Fatal("a refused body has calls")
	}
	return problem.Code
}

func parseBatch(t *testing.T, body string) *Result {
	t.Helper()
	result, err := Parse([]byte(body), Options{Batch: true, ReceivedAt: receivedAt})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func warningsOf(t *testing.T, body string, options Options) (codes []string) {
	t.Helper()
	options.ReceivedAt = receivedAt
	result, err := Parse([]byte(body), options)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range result.Warnings {
		if !slices.Contains(WarningCodes, d.Code) {
			t.Fatalf("%s is not listed", d.Code)
		}
		codes = append(codes, d.Code)
	}
	return codes
}

func TestIDsAreTrimmedTextOrDigits(t *testing.T) {
	for given, want := range map[string]string{
		`"u1"`:                     "u1",
		`"  u1\t"`:                 "u1",
		`"\u00a0u1\u2003"`:         "u1",
		`"\ud83d\ude00"`:           "😀",
		`42`:                       "42",
		`-42`:                      "-42",
		`9007199254740993`:         "9007199254740993",
		`123456789012345678901234`: "123456789012345678901234",
		`1.0`:                      "1",
		`1e3`:                      "1000",
		`12.50E1`:                  "125",
		`1.5`:                      "1.5",
		`0.0010`:                   "0.001",
		`15e-3`:                    "0.015",
		`-0.0`:                     "0",
		`0e5`:                      "0",
	} {
		m := parseOne(t, `{"type":"page","anonymousId":"a","userId":`+given+`}`)
		if m.UserID != want {
			t.Errorf("userId %s: %q, not %q", given, m.UserID, want)
		}
	}
}

func TestNullEmptyAndAbsentAreTheSame(t *testing.T) {
	for _, blank := range []string{`null`, `""`, `" "`} {
		m := parseOne(t, `{"type":"alias","userId":`+blank+`,"to":"new","previousId":`+blank+`,"from":"old","messageId":`+blank+`}`)
		if m.UserID != "new" || m.PreviousID != "old" || m.MessageID == "" || m.PreviousIDDefaulted {
			t.Errorf("%s: %+v", blank, m.Header)
		}
	}
}

func TestIDsOfOtherKindsAreRefusedByField(t *testing.T) {
	for _, value := range []string{`true`, `{}`, `[]`, `["u"]`, `1e999999999`, `1e-600`} {
		for field, code := range map[string]string{
			"userId": "invalid_user_id", "anonymousId": "invalid_anonymous_id", "previousId": "invalid_previous_id",
			"from": "invalid_previous_id", "to": "invalid_user_id", "groupId": "invalid_group_id", "messageId": "invalid_message_id",
		} {
			body := fmt.Sprintf(`{"type":"alias","%s":%s}`, field, value)
			if got := refusal(t, body, Options{}); got != code {
				t.Errorf("%s: %q, not %q", body, got, code)
			}
		}
	}
}

func TestAnIDThatIsNotUTF8IsRefused(t *testing.T) {
	for field, code := range map[string]string{
		"userId": "invalid_user_id", "anonymousId": "invalid_anonymous_id", "previousId": "invalid_previous_id",
		"from": "invalid_previous_id", "to": "invalid_user_id", "groupId": "invalid_group_id", "messageId": "invalid_message_id",
	} {
		for _, id := range []string{"J\xf6rg", "J\xe4rg", `J\ud800rg`, `J\ude00rg`, `\ud83d\ud83d`, "J\xed\xa0\x80rg"} {
			call := fmt.Sprintf(`{"type":"alias","userId":"u","previousId":"p","%s":"%s"}`, field, id)
			if field == "from" || field == "to" {
				call = fmt.Sprintf(`{"type":"alias","%s":"%s"}`, field, id)
			}
			if got := refusal(t, call, Options{}); got != code {
				t.Errorf("%q: %q, not %q", call, got, code)
			}
			result := parseBatch(t, `{"batch":[`+call+`,{"type":"alias","userId":"u","previousId":"p"}]}`)
			want := []Rejection{{0, code, field + ": not valid UTF-8"}}
			if len(result.Messages) != 1 || !slices.Equal(result.Rejected, want) {
				t.Errorf("%q in a batch: %+v", call, result.Rejected)
			}
		}
	}
	m := parseOne(t, "{\"type\":\"page\",\"userId\":\"\\ud83d\\ude00\",\"name\":\"J\xf6rg\"}")
	if call, err := m.Decode(); err != nil || m.UserID != "😀" || call.Name != "J\ufffdrg" {
		t.Errorf("%v: %+v", err, call)
	}
}

func TestAnAliasFindsItsPreviousID(t *testing.T) {
	for body, want := range map[string]Header{
		`{"userId":"u","previousId":"p","from":"f","anonymousId":"a"}`: {UserID: "u", PreviousID: "p", AnonymousID: "a"},
		`{"userId":"u","from":"f","anonymousId":"a"}`:                  {UserID: "u", PreviousID: "f", AnonymousID: "a"},
		`{"userId":"u","anonymousId":"a"}`:                             {UserID: "u", PreviousID: "a", AnonymousID: "a", PreviousIDDefaulted: true},
		`{"userId":"u"}`:                                               {UserID: "u"},
		`{"previousId":"p"}`:                                           {PreviousID: "p"},
		`{"from":12,"to":"t"}`:                                         {UserID: "t", PreviousID: "12"},
	} {
		result, err := Parse([]byte(body), Options{Type: Alias, ReceivedAt: receivedAt})
		if err != nil {
			t.Fatal(err)
		}
		got := result.Messages[0].Header
		got.MessageID, got.Type, got.Timestamp, got.ReceivedAt = "", 0, time.Time{}, time.Time{}
		if got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", body, got, want)
		}
	}
}

func TestOnlyAnAliasHasAPreviousID(t *testing.T) {
	m := parseOne(t, `{"type":"track","event":"e","userId":"u","previousId":{},"from":"Paris"}`)
	if m.PreviousID != "" {
		t.Errorf("previousId %q", m.PreviousID)
	}
}

func TestCallsThatCanNeverBeTaken(t *testing.T) {
	long := strings.Repeat("m", 257)
	for body, code := range map[string]string{
		``:                              "invalid_json",
		`   `:                           "invalid_json",
		`{`:                             "invalid_json",
		`{"type":"page"} x`:             "invalid_json",
		`{"a":01}`:                      "invalid_json",
		`{"a":"` + "\n" + `"}`:          "invalid_json",
		`[]`:                            "invalid_call",
		`"track"`:                       "invalid_call",
		`null`:                          "invalid_call",
		`{}`:                            "invalid_type",
		`{"userId":"u"}`:                "invalid_type",
		`{"type":7,"userId":"u"}`:       "invalid_type",
		`{"type":"delete"}`:             "invalid_type",
		`{"type":"page"}`:               "missing_user_id",
		`{"type":"alias","to":""}`:      "missing_user_id",
		`{"type":"page","from":"f"}`:    "missing_user_id",
		`{"type":"track","userId":"u"}`: "missing_event",
		`{"type":"track","userId":"u","event":" "}`:                               "missing_event",
		`{"type":"track","userId":"u","event":7}`:                                 "missing_event",
		`{"type":"page","userId":"u","messageId":"` + long + `"}`:                 "message_id_too_long",
		`{"type":"page","userId":"u","x":` + nested(64) + `}`:                     "too_deep",
		`{"type":"page","userId":"u","x":"` + strings.Repeat("x", 512<<10) + `"}`: "call_too_large",
	} {
		if got := refusal(t, body, Options{}); got != code {
			t.Errorf("%.80s: %q, not %q", body, got, code)
		}
	}
}

func TestLimitsAreTheLastThatPass(t *testing.T) {
	long := strings.Repeat("m", 256)
	call := `{"type":"page","userId":"u","messageId":"` + long + `","brackets":"[[[[[{\"","x":` + nested(63) + `,"pad":"`
	call += strings.Repeat("x", 512<<10-len(call)-2) + `"}`
	if got := refusal(t, call, Options{}); got != "" {
		t.Error(got)
	}
	if got := refusal(t, strings.Replace(call, `"pad":"`, `"pad":"x`, 1), Options{}); got != "call_too_large" {
		t.Error(got)
	}
	if got := refusal(t, call, Options{Limits: StrictLimits}); got != "call_too_large" {
		t.Error(got)
	}
}

func TestWhatIsKeptBesideTheJSONIsBounded(t *testing.T) {
	long := strings.Repeat("x", 64<<10)
	for _, member := range []string{`"userId":"` + long + `"`, `"groupId":"` + long + `"`, `"integrations":{"Vero":"` + long + `"}`} {
		if got := refusal(t, `{"type":"page","anonymousId":"a",`+member+`}`, Options{}); got != "call_too_large" {
			t.Errorf("%.20s: %q", member, got)
		}
	}
	if got := refusal(t, `{"type":"page","userId":"`+long[:60<<10]+`"}`, Options{}); got != "" {
		t.Error(got)
	}
}

func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

func TestMonstrousNestingIsRefused(t *testing.T) {
	for _, monster := range []string{nested(9_990), nested(100_000), strings.Repeat("[", 1<<20), strings.Repeat(`{"a":`, 1<<18)} {
		if got := refusal(t, `{"type":"page","userId":"u","x":`+monster+`}`, Options{}); got != "too_deep" && got != "invalid_json" {
			t.Errorf("%.20s: %q", monster, got)
		}
		if got := refusal(t, `{"batch":[],"context":{"x":`+monster+`}}`, Options{Batch: true}); got != "too_deep" && got != "invalid_json" {
			t.Errorf("%.20s: %q", monster, got)
		}
	}
}

func TestThePathDecidesTheType(t *testing.T) {
	body := `{"type":"identify","userId":"u","previousId":"p"}`
	result, err := Parse([]byte(body), Options{Type: Alias, ReceivedAt: receivedAt})
	if err != nil {
		t.Fatal(err)
	}
	m := result.Messages[0]
	if m.Type != Alias || m.PreviousID != "p" || string(m.JSON) != body {
		t.Errorf("%+v %s", m.Header, m.JSON)
	}
	if got := warningsOf(t, body, Options{Type: Alias}); !slices.Equal(got, []string{"type_mismatch"}) {
		t.Error(got)
	}
	for _, same := range []string{`{"type":"ALIAS","userId":"u"}`, `{"userId":"u"}`, `{"type":null,"userId":"u","action":"click"}`} {
		if got := warningsOf(t, same, Options{Type: Alias}); got != nil {
			t.Errorf("%s: %v", same, got)
		}
	}
}

func TestInABatchTheItemDecidesItsType(t *testing.T) {
	result := parseBatch(t, `{"batch":[
		{"type":"ALIAS","userId":"u","previousId":"p"},
		{"action":"Identify","userId":"u"},
		{"type":"","action":"page","userId":"u"}]}`)
	var types []Type
	for _, m := range result.Messages {
		types = append(types, m.Type)
	}
	if !slices.Equal(types, []Type{Alias, Identify, Page}) {
		t.Error(types)
	}
}

func TestABadCallCostsTheBatchOnlyItself(t *testing.T) {
	result := parseBatch(t, `{"batch":[
		{"type":"page","userId":"u0"}, 7, {"type":"page"}, {"type":"track","userId":"u3"}, {"type":"x","userId":"u4"}, [], null,
		{"type":"page","userId":"u7","x":`+nested(64)+`}, {"type":"page","userId":"u8","x":"`+strings.Repeat("x", 512<<10)+`"},
		{"type":"page","userId":"u9"}]}`)
	var kept []string
	for _, m := range result.Messages {
		kept = append(kept, m.UserID)
	}
	if !slices.Equal(kept, []string{"u0", "u9"}) {
		t.Errorf("kept %v", kept)
	}
	var rejected []string
	for _, r := range result.Rejected {
		rejected = append(rejected, fmt.Sprint(r.Index, " ", r.Code))
		if r.Message == "" || strings.Contains(r.Message, "u3") {
			t.Errorf("message %q", r.Message)
		}
	}
	want := []string{"1 invalid_call", "2 missing_user_id", "3 missing_event", "4 invalid_type", "5 invalid_call", "6 invalid_call", "7 too_deep", "8 call_too_large"}
	if !slices.Equal(rejected, want) {
		t.Errorf("rejected %v", rejected)
	}
}

func TestEnvelopesThatAreNone(t *testing.T) {
	for body, code := range map[string]string{
		`[]`:             "invalid_batch",
		`7`:              "invalid_batch",
		`{}`:             "invalid_batch",
		`{"batch":{}}`:   "invalid_batch",
		`{"batch":null}`: "invalid_batch",
		`{"batch":[{}`:   "invalid_json",
		`{"batch":[]}]`:  "invalid_json",
		`{"batch":[` + strings.Repeat(`0,`, 5000) + `0]}`: "too_many_calls",
		`{"context":{"x":` + nested(64) + `},"batch":[]}`: "too_deep",
		`{"batch":[]}`: "",
	} {
		if got := refusal(t, body, Options{Batch: true}); got != code {
			t.Errorf("%.60s: %q, not %q", body, got, code)
		}
	}
}

func TestASmallEnvelopeCannotBecomeAHugeBatch(t *testing.T) {
	calls := strings.Repeat(`{"type":"page","userId":"u"},`, 4999) + `{"type":"page","userId":"u"}`
	for _, member := range []string{"context", "integrations"} {
		body := fmt.Sprintf(`{"%s":{"x":"%s"},"batch":[%s]}`, member, strings.Repeat("x", 100_000), calls)
		if got := refusal(t, body, Options{Batch: true}); got != "envelope_too_large" {
			t.Errorf("%s: %q", member, got)
		}
	}
}

func TestAnEnvelopeAtMostDoublesALargeBody(t *testing.T) {
	context := strings.Repeat("c", 3_000)
	batch := func(calls, padding int) string {
		call := `{"type":"page","userId":"u","x":"` + strings.Repeat("x", padding) + `"}`
		return fmt.Sprintf(`{"context":{"c":"%s"},"batch":[%s%s]}`, context, strings.Repeat(call+",", calls-1), call)
	}
	for name, c := range map[string]struct {
		body, want string
	}{
		"an SDK's largest batch":      {batch(250, 100), ""},
		"as many as may be added":     {batch(340, 0), ""},
		"small calls":                 {batch(5_000, 0), "envelope_too_large"},
		"calls larger than what's on": {batch(3_000, 3_000), ""},
	} {
		if got := refusal(t, c.body, Options{Batch: true}); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestTheWriteKeyIsTheBodysElseTheFirstCalls(t *testing.T) {
	for body, want := range map[string]string{
		`{"writeKey":"k","batch":[{"writeKey":"m"}]}`:   "k",
		`{"batch":[{"writeKey":"m"},{"writeKey":"n"}]}`: "m",
		`{"batch":[{},{"writeKey":"n"}]}`:               "",
		`{"writeKey":"a","writeKey":"b","batch":[]}`:    "b",
		`{"writeKey":7,"batch":[]}`:                     "",
		`{"writeKey":"k","batch":7}`:                    "k",
		`{"writeKey":"k","batch":[`:                     "k",
		`{"write\u004bey":"k\u0021","batch":[]}`:        "k!",
	} {
		result, _ := Parse([]byte(body), Options{Batch: true, ReceivedAt: receivedAt})
		if result.WriteKey != want {
			t.Errorf("%s: %q, not %q", body, result.WriteKey, want)
		}
	}
	result, err := Parse([]byte(`{"type":"page","writeKey":"k"}`), Options{ReceivedAt: receivedAt})
	if err == nil || result.WriteKey != "k" {
		t.Errorf("%v %q", err, result.WriteKey)
	}
}

func TestNoCallIsLookedAtBeforeItsWriteKeyIsAdmitted(t *testing.T) {
	for _, c := range []struct {
		body, key string
		batch     bool
	}{
		{`{"type":"page","userId":"u","writeKey":"k"}`, "k", false},
		{`{"type":"nothing"}`, "", false},
		{`{"batch":[{"writeKey":"m"},{"type":"page","userId":"u"}]}`, "m", true},
		{`{"batch":[{"x":NaN}],"writeKey":"k"}`, "k", true},
		{`{"batch":[` + strings.Repeat("7,", 6000) + `7]}`, "", true},
	} {
		asked := []string{}
		result, err := Parse([]byte(c.body), Options{Batch: c.batch, Admit: func(key string) (IPPolicy, bool) {
			asked = append(asked, key)
			return KeepIP, false
		}})
		if err != ErrNotAdmitted || !slices.Equal(asked, []string{c.key}) || result.WriteKey != c.key || len(result.Rejected) > 0 {
			t.Errorf("%.60s: %v, asked about %q, %+v", c.body, err, asked, result)
		}
	}
	result, err := Parse([]byte(`{"batch":[{"type":"page","userId":"u"}],"writeKey":"k"}`), Options{Batch: true, Admit: func(key string) (IPPolicy, bool) { return KeepIP, key == "k" }})
	if err != nil || len(result.Messages) != 1 {
		t.Errorf("%v %+v", err, result)
	}
}

func TestAMissingMessageIDIsMade(t *testing.T) {
	v4 := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for range 1000 {
		id := parseOne(t, `{"type":"page","userId":"u"}`).MessageID
		if !v4.MatchString(id) || seen[id] {
			t.Fatal(id)
		}
		seen[id] = true
	}
	if id := parseOne(t, `{"type":"page","userId":"u","messageId":12}`).MessageID; id != "12" {
		t.Error(id)
	}
}

func TestTheLastOfADuplicateWinsEverywhere(t *testing.T) {
	m := parseOne(t, `{"type":"track","type":"page","userId":"a","userId":"b","name":"x","name":"y",
		"context":{"ip":"1"},"context":{"ip":"2","ip":"3"},"integrations":{"Vero":true},"integrations":{"Vero":true,"Vero":false}}`)
	call, err := m.Decode()
	if err != nil {
		t.Fatal(err)
	}
	if m.Type != Page || m.UserID != "b" || call.Fields()["userId"] != "b" || call.Name != "y" || call.Context()["ip"] != "3" {
		t.Errorf("%+v %+v", m.Header, call.Fields())
	}
	if Route(m.Routing, []string{"Vero"}, false).Enabled {
		t.Error("the first one won")
	}
	if m := parseOne(t, `{"type":"page","anonymousId":"a","userId":"u","userId":null}`); m.UserID != "" {
		t.Error("the last one was null")
	}
}

func TestTheCallIsKeptByteForByte(t *testing.T) {
	call := "{ \"type\" :\"page\",\n \"userId\":\"u\\u0031\", \"big\":12345678901234567890.10, \"odd\":\"\xff\", \"unknown\":[1, 2] }"
	if got := string(parseOne(t, "\xef\xbb\xbf  "+call+"\n").JSON); got != call {
		t.Errorf("\n got %q\nwant %q", got, call)
	}
	result := parseBatch(t, `{"batch":[ `+call+` ,`+call+`]}`)
	if string(result.Messages[0].JSON) != call || string(result.Messages[1].JSON) != call {
		t.Errorf("%s and %s", result.Messages[0].JSON, result.Messages[1].JSON)
	}
}

func TestNoWriteKeyIsKept(t *testing.T) {
	for call, want := range map[string]string{
		`{"writeKey":"k","type":"page","userId":"u"}`:                         `{"type":"page","userId":"u"}`,
		`{"type":"page","writeKey":"k","userId":"u"}`:                         `{"type":"page","userId":"u"}`,
		`{"type":"page","userId":"u","writeKey":"k"}`:                         `{"type":"page","userId":"u"}`,
		`{ "writeKey" : "k" , "type":"page", "userId":"u" }`:                  `{ "type":"page", "userId":"u" }`,
		`{"type":"page" , "writeKey" : "k" , "userId":"u" , "x":1e3}`:         `{"type":"page" , "userId":"u" , "x":1e3}`,
		`{"writeKey":"k","writeKey":["k"],"type":"page","userId":"u"}`:        `{"type":"page","userId":"u"}`,
		`{"type":"page","writeKey":"k","writeKey":{},"userId":"u"}`:           `{"type":"page","userId":"u"}`,
		`{"writeKey":"k","type":"page","writeK\u0065y":7,"userId":"u"}`:       `{"type":"page","userId":"u"}`,
		`{"writeKey":"k","type":"page","userId":"u","x":{"writeKey":"mine"}}`: `{"type":"page","userId":"u","x":{"writeKey":"mine"}}`,
		`{"writeKey":"k,}","context":{"a":1},"type":"page","userId":"u"}`:     `{"context":{"a":1},"type":"page","userId":"u"}`,
		`{"type":"page","context":{"a":1},"writeKey":"k","userId":"u"}`:       `{"type":"page","context":{"a":1},"userId":"u"}`,
	} {
		if got := string(parseOne(t, call).JSON); got != want {
			t.Errorf("%s:\n got %s\nwant %s", call, got, want)
		}
		result := parseBatch(t, `{"batch":[`+call+`],"context":{"b":2},"writeKey":"k"}`)
		merged := strings.Replace(want, `{"a":1}`, `{"b":2,"a":1}`, 1)
		if merged == want {
			merged = strings.TrimSuffix(want, "}") + `,"context":{"b":2}}`
		}
		if got := string(result.Messages[0].JSON); got != merged || result.WriteKey != "k" {
			t.Errorf("%s in a batch:\n got %s\nwant %s", call, got, merged)
		}
	}
	if got := refusal(t, `{"writeKey":"k"}`, Options{}); got != "invalid_type" {
		t.Error(got)
	}
}

func TestTheResultDoesNotAliasTheBody(t *testing.T) {
	body := []byte(`{"writeKey":"k","context":{"a":1},"integrations":{"Vero":{"tags":[]}},"batch":[{"type":"page","userId":"user","messageId":"m"},{"type":"page"}]}`)
	once, err := Parse(body, Options{Batch: true, ReceivedAt: receivedAt})
	if err != nil {
		t.Fatal(err)
	}
	before := fmt.Sprintf("%+v", once)
	clear(body)
	if after := fmt.Sprintf("%+v", once); after != before {
		t.Errorf("\n got %s\nwant %s", after, before)
	}
}

func TestNotNumbersAreReadAsNull(t *testing.T) {
	body := `{"type":"track","userId":"u","event":"NaN \" Infinity","properties":{"a":NaN,"b":[Infinity,-Infinity],"c":-1}}`
	m := parseOne(t, body)
	want := `{"type":"track","userId":"u","event":"NaN \" Infinity","properties":{"a":null,"b":[null,null],"c":-1}}`
	if string(m.JSON) != want {
		t.Errorf("%s", m.JSON)
	}
	if got := warningsOf(t, body, Options{}); !slices.Equal(got, []string{"not_a_number"}) {
		t.Error(got)
	}
	for _, broken := range []string{`{"type":"page","userId":"u","a":xNaN}`, `{"type":"page","userId":"u","a":NaN`, `{"a":-NaN}`} {
		if got := refusal(t, broken, Options{}); got != "invalid_json" {
			t.Errorf("%s: %q", broken, got)
		}
	}
}

func TestTheEnvelopesContextLiesUnderTheCalls(t *testing.T) {
	for call, want := range map[string]string{
		`{"type":"page","userId":"u"}`:                                     `{"type":"page","userId":"u","context":{"library":{"name":"go"},"ip":"1"}}`,
		`{"type":"page","context":null,"userId":"u"}`:                      `{"type":"page","context":{"library":{"name":"go"},"ip":"1"},"userId":"u"}`,
		`{"context":[],"type":"page","userId":"u"}`:                        `{"context":{"library":{"name":"go"},"ip":"1"},"type":"page","userId":"u"}`,
		`{"context": { } ,"type":"page","userId":"u"}`:                     `{"context": {"library":{"name":"go"},"ip":"1"} ,"type":"page","userId":"u"}`,
		`{"context": {"ip":"2"},"type":"page","userId":"u"}`:               `{"context": {"library":{"name":"go"},"ip":"1","ip":"2"},"type":"page","userId":"u"}`,
		`{"context":{"a":1},"context":{"b":2},"type":"page","userId":"u"}`: `{"context":{"a":1},"context":{"library":{"name":"go"},"ip":"1","b":2},"type":"page","userId":"u"}`,
		`{"context":"odd","type":"page","userId":"u"}`:                     `{"context":{"library":{"name":"go"},"ip":"1"},"type":"page","userId":"u"}`,
	} {
		result := parseBatch(t, `{"batch":[`+call+`],"context": { "library":{"name":"go"},"ip":"1" }}`)
		m := result.Messages[0]
		squeezed := strings.NewReplacer("{ ", "{", " }", "}").Replace(string(m.JSON))
		if squeezed != want {
			t.Errorf("%s:\n got %s\nwant %s", call, squeezed, want)
		}
		decoded, err := m.Decode()
		if err != nil || decoded.Context()["library"] == nil {
			t.Errorf("%s: %v %v", call, err, decoded)
		}
		if strings.Contains(call, `"2"`) && decoded.Context()["ip"] != "2" {
			t.Error("the call's own ip did not win")
		}
	}
}

func TestAnEmptyEnvelopeContextChangesNothing(t *testing.T) {
	for _, context := range []string{`null`, `[]`, `{}`, `{ }`, `"x"`, `[1]`} {
		call := `{"type":"page","userId":"u"}`
		result := parseBatch(t, `{"batch":[`+call+`],"context":`+context+`}`)
		if got := string(result.Messages[0].JSON); got != call {
			t.Errorf("%s: %s", context, got)
		}
		if odd := len(result.Warnings) > 0; odd != (context == `"x"` || context == `[1]`) {
			t.Errorf("%s: %v", context, result.Warnings)
		}
	}
}

func TestAnEnvelopesSpacesAreNotWeighedWithEachCall(t *testing.T) {
	call := `{"type":"page","userId":"u"}`
	spaces := `{` + strings.Repeat(" ", DefaultLimits.CallBytes) + `}`
	for _, member := range []string{"context", "integrations"} {
		result := parseBatch(t, `{"`+member+`":`+spaces+`,"batch":[`+strings.Repeat(call+",", 9)+call+`]}`)
		if len(result.Messages) != 10 {
			t.Fatalf("%s: %v", member, result.Rejected)
		}
		for _, m := range result.Messages {
			if string(m.JSON) != call || m.Routing != nil {
				t.Errorf("%s: %s, %s", member, m.JSON, m.Routing)
			}
		}
	}
}

func TestMessagesNeverShowTheBody(t *testing.T) {
	secret := "s3cr3t"
	for _, body := range []string{
		`{"type":"` + secret + `"}`, `{"userId":["` + secret + `"],"type":"page"}`, `{"` + secret, secret, `"` + secret + `"`,
		`{"type":"page","userId":"u","messageId":"` + strings.Repeat(secret, 100) + `"}`,
	} {
		for _, batch := range []string{body, `{"batch":[` + body + `]}`} {
			result, err := Parse([]byte(batch), Options{Batch: batch != body, ReceivedAt: receivedAt})
			if err == nil && len(result.Rejected) == 0 {
				t.Fatalf("%.60s was taken", batch)
			}
			if shown := fmt.Sprint(err, result.Rejected); strings.Contains(shown, secret) {
				t.Error(shown)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		benchAlias, benchTrack, `{"batch":[{"type":"page","userId":1e3,"context":{"a":NaN}},{}],"context":{"b":1},"integrations":{"Vero":false},"sentAt":"2026-01-02"}`,
		`{"type":"alias","to":"\ud800","from":" x ","_metadata":{"bundled":["Vero","Segment.io"]}}`, "\xef\xbb\xbf{\"batch\":[]}", `[[[[`, `{"batch":[{"context":[],"context":null}]}`,
		`{"writeKey":"a", "writeKey":"b" ,"type":"page","context":{"a":1},"writeKey":"c","userId":"u"}`,
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, body []byte, batch bool) {
		given := bytes.Clone(body)
		result, err := Parse(body, Options{Batch: batch, ReceivedAt: receivedAt})
		if !bytes.Equal(given, body) {
			t.Fatal("the body was changed")
		}
		if err != nil {
			if len(result.Messages)+len(result.Rejected) > 0 {
				t.Fatal("a refused body has calls")
			}
			return
		}
		clear(body)
		for _, m := range result.Messages {
			mustHold(t, m)
		}
	})
}

// mustHold checks what every message promises.
func mustHold(t *testing.T, m Message) {
	t.Helper()
	for _, id := range []string{m.UserID, m.AnonymousID, m.PreviousID, m.GroupID, m.MessageID} {
		if id != strings.TrimSpace(id) || strings.ToValidUTF8(id, "") != id {
			t.Fatalf("id %q", id)
		}
	}
	switch {
	case !json.Valid(m.JSON):
		t.Fatalf("not JSON: %q", m.JSON)
	case m.Type == 0 || m.MessageID == "":
		t.Fatalf("header %+v", m.Header)
	case m.UserID == "" && m.AnonymousID == "" && (m.PreviousID == "" || m.Type != Alias):
		t.Fatalf("nobody: %+v", m.Header)
	case m.Timestamp.After(receivedAt) || m.Timestamp.Unix() < 0:
		t.Fatalf("timestamp %v", m.Timestamp)
	case m.Routing != nil && !json.Valid(m.Routing):
		t.Fatalf("routing: %q", m.Routing)
	}
	call, err := m.Decode()
	if err != nil {
		t.Fatalf("%v: %q", err, m.JSON)
	}
	if _, there := call.Fields()["writeKey"]; there {
		t.Fatalf("a write key is kept: %q", m.JSON)
	}
	again, _ := m.Decode()
	if written(t, call) != written(t, again) {
		t.Fatal("Decode is not stable")
	}
	mustSurvive(t, m, call)
}

// mustSurvive parses a message's own JSON again: the same call must come out.
func mustSurvive(t *testing.T, m Message, call *Call) {
	t.Helper()
	result, err := Parse(m.JSON, Options{Type: m.Type, ReceivedAt: receivedAt})
	if err != nil {
		t.Fatalf("the kept call is refused: %v: %q", err, m.JSON)
	}
	again := result.Messages[0]
	if again.UserID != m.UserID || again.PreviousID != m.PreviousID || again.AnonymousID != m.AnonymousID || !bytes.Equal(again.JSON, m.JSON) {
		t.Fatalf("\n got %+v\nwant %+v", again, m)
	}
	decoded, err := again.Decode()
	if err != nil || fmt.Sprint(decoded.Fields()) != fmt.Sprint(call.Fields()) {
		t.Fatalf("%v: %v", err, decoded)
	}
}

func TestInvalidJSONSaysWhere(t *testing.T) {
	for body, want := range map[string]string{
		"":                                "body: empty",
		" \r\n":                           "body: empty",
		"\xef\xbb\xbf":                    "body: empty",
		"{":                               "body: not JSON at byte 1",
		`{"userId":jane}`:                 "body: not JSON at byte 10",
		`{"userId":"jane",}`:              "body: not JSON at byte 16",
		"userId=jane":                     "body: not JSON at byte 0",
		`{"userId":"jane"}  {}`:           "body: something follows the JSON at byte 19",
		`{"userId":"jane"}}`:              "body: something follows the JSON at byte 17",
		"\xef\xbb\xbf{]":                  "body: not JSON at byte 1",
		`{"batch":[{"a":Infinity},nope]}`: "body: not JSON at byte 15",
	} {
		for _, batch := range []bool{false, true} {
			if _, err := Parse([]byte(body), Options{Batch: batch}); err == nil || err.Error() != want {
				t.Errorf("%q, batch %v: got %v, want %s", body, batch, err, want)
			}
		}
	}
}

func TestALargeBatchIsReadAsSmallOnesAre(t *testing.T) {
	parse := func(calls []string) *Result {
		body := `{"context":{"app":"a"},"batch":[` + strings.Join(calls, ", ") + `],"sentAt":"2026-01-02T03:04:04Z","writeKey":"k"}`
		result, err := Parse([]byte(body), Options{Batch: true, ReceivedAt: receivedAt})
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	var calls []string
	for i := range 2 * fewCalls {
		calls = append(calls,
			fmt.Sprintf(`{"type":"alias","messageId":"m%d","userId":%d,"previousId":"p","writeKey":"k","context":{"n":%d}}`, i, i, i),
			`{"type":"track","userId":"u","messageId":"no event"}`, `[{"type":"alias"}]`, benchAlias)
	}
	large, small := parse(calls), &Result{WriteKey: "k"}
	for start := 0; start < len(calls); start += fewCalls {
		part := parse(calls[start : start+fewCalls])
		small.Messages = append(small.Messages, part.Messages...)
		for _, r := range part.Rejected {
			r.Index += start
			small.Rejected = append(small.Rejected, r)
		}
	}
	if len(large.Messages) != 4*fewCalls || !reflect.DeepEqual(large, small) {
		t.Errorf("%d calls and %d rejected, not %d and %d", len(large.Messages), len(large.Rejected), len(small.Messages), len(small.Rejected))
	}
}

// written is a call with all of its objects.
func written(t *testing.T, call *Call) string {
	t.Helper()
	text, err := json.Marshal([]any{call, call.Context()})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
