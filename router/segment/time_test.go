package segment

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTimesAsSDKsWriteThem(t *testing.T) {
	for given, want := range map[string]string{
		"2026-01-02T03:04:05Z":             "2026-01-02T03:04:05Z",
		"2026-01-02T03:04:05.6Z":           "2026-01-02T03:04:05.6Z",
		"2026-01-02T03:04:05.678Z":         "2026-01-02T03:04:05.678Z",
		"2026-01-02T03:04:05.123456789Z":   "2026-01-02T03:04:05.123456789Z",
		"2026-01-02T03:04:05.123456+00:00": "2026-01-02T03:04:05.123456Z",
		"2026-01-02T03:04:05+05:30":        "2026-01-01T21:34:05Z",
		"2026-01-02T03:04:05.5-0800":       "2026-01-02T11:04:05.5Z",
		"2026-01-02t03:04:05z":             "2026-01-02T03:04:05Z",
		"2026-01-02 03:04:05Z":             "2026-01-02T03:04:05Z",
		" 2026-01-02T03:04:05Z ":           "2026-01-02T03:04:05Z",
		"2026-01-02":                       "2026-01-02T00:00:00Z",
		// A formatter of Swift's, Ruby's Time#to_s, Python's isoformat.
		"2026-01-02T03:04:05.678:Z":      "2026-01-02T03:04:05.678Z",
		"2026-01-02T03:04:05.678:+02:00": "2026-01-02T01:04:05.678Z",
		"2026-01-02 03:04:05 +0200":      "2026-01-02T01:04:05Z",
		"2026-01-02 03:04:05 UTC":        "2026-01-02T03:04:05Z",
		"2026-01-02T03:04:05.123456":     "2026-01-02T03:04:05.123456Z",
		"2026-01-02 03:04:05":            "2026-01-02T03:04:05Z",
		"2026-01-02T03:04:05,678Z":       "2026-01-02T03:04:05.678Z",
		"2026-01-02T03:04Z":              "2026-01-02T03:04:00Z",
		"2026-01-02T03:04:05-03":         "2026-01-02T06:04:05Z",
		"2026-01-02T03:04:05gmt":         "2026-01-02T03:04:05Z",
		// The digits of a Unix time.
		"1767323045":          "2026-01-02T03:04:05Z",
		"1767323045678":       "2026-01-02T03:04:05.678Z",
		"1767323045678901":    "2026-01-02T03:04:05.678901Z",
		"1767323045678901234": "2026-01-02T03:04:05.678901234Z",
		"1767323045.5":        "2026-01-02T03:04:05.5Z",
		// No times.
		"2026-02-30":                        "",
		"2026-01-02T24:00:00Z":              "",
		"2026-01-02T03:04:05+2":             "",
		"2026-01-02T03:04:05+02000":         "",
		"2026-01-02T03:04:05 CET":           "",
		"2026-01-02T":                       "",
		"2026-01-02Z":                       "",
		"2026-01-02T03:04:05::Z":            "",
		"2026":                              "",
		"20260102":                          "",
		"176732304":                         "",
		"17673230456":                       "",
		"-1767323045":                       "",
		"1767323045.":                       "",
		"1.767.323":                         "",
		"yesterday, all my troubles seemed": "",
		"2026-01-02T03:04:05.123456789012345678901234567890123456789012345678901234567890Z": "",
	} {
		raw, _ := json.Marshal(given)
		got, ok := parseTime(raw)
		if again, _ := json.Marshal(given); string(again) != string(raw) {
			t.Errorf("%q was changed to %s", given, raw)
		}
		text := got.Format(time.RFC3339Nano)
		if !ok {
			text = ""
		}
		if text != want {
			t.Errorf("%q: %q, not %q", given, text, want)
		}
	}
}

func TestNumbersAreUnixTimesOfThisCentury(t *testing.T) {
	for given, want := range map[string]string{
		"1767323045":           "2026-01-02T03:04:05Z",
		"1767323045.25":        "2026-01-02T03:04:05.25Z",
		"1767323045678":        "2026-01-02T03:04:05.678Z",
		"1767323045678.5":      "2026-01-02T03:04:05.6785Z",
		"1767323045678901":     "2026-01-02T03:04:05.678901Z",
		"1767323045678901234":  "2026-01-02T03:04:05.678901234Z",
		"1.767323045e9":        "2026-01-02T03:04:05Z",
		"1.767323045678E+12":   "2026-01-02T03:04:05.678Z",
		"946684800":            "2000-01-01T00:00:00Z",
		"4102444799999":        "2099-12-31T23:59:59.999Z",
		"946684799":            "",
		"4102444800":           "",
		"0":                    "",
		"-1767323045":          "",
		"17":                   "",
		"99999999999":          "",
		"92233720368547758070": "",
		"1e999999999":          "",
	} {
		got, ok := parseTime([]byte(given))
		decoded, decodedOK := TimeOf(json.Number(given))
		if got != decoded || ok != decodedOK {
			t.Errorf("%s: %v undecoded, %v decoded", given, got, decoded)
		}
		if text := got.Format(time.RFC3339Nano); ok != (want != "") || ok && text != want {
			t.Errorf("%s: %s %v, not %s", given, text, ok, want)
		}
	}
}

func TestTimesOfDecodedValues(t *testing.T) {
	want := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, value := range []any{"2026-01-02T03:04:05Z", " 2026-01-02 03:04:05 ", "1767323045", " 1767323045000 ", json.Number("1767323045000")} {
		if got, ok := TimeOf(value); !ok || got != want {
			t.Errorf("%#v: %v %v", value, got, ok)
		}
	}
	for _, value := range []any{nil, true, "", " ", "x", map[string]any{}, []any{"2026-01-02T03:04:05Z"}, json.Number("x"), 1767323045} {
		if got, ok := TimeOf(value); ok || !got.IsZero() {
			t.Errorf("%#v: %v", value, got)
		}
	}
	if got, ok := ParseTime("1767323045"); ok {
		t.Errorf("a number alone is a count of anything: %v", got)
	}
}

func TestTheTimestampIsCorrectedForTheSendersClock(t *testing.T) {
	for fields, want := range map[string]string{
		``:                                   "2026-01-02T03:04:05Z",
		`"timestamp":"2025-12-24T00:00:00Z"`: "2025-12-24T00:00:00Z",
		`"originalTimestamp":"2025-12-24T00:00:00Z"`:                                    "2025-12-24T00:00:00Z",
		`"originalTimestamp":"2025-12-24T00:00:00Z","timestamp":"2025-01-01T00:00:00Z"`: "2025-12-24T00:00:00Z",
		`"originalTimestamp":null,"timestamp":"2025-12-24T00:00:00Z"`:                   "2025-12-24T00:00:00Z",
		`"sentAt":"2026-01-02T03:04:05Z"`:                                               "2026-01-02T03:04:05Z",
		// The sender's clock is an hour slow, then fast, then back in 1970.
		`"timestamp":"2026-01-02T02:00:00Z","sentAt":"2026-01-02T02:04:05Z"`: "2026-01-02T03:00:00Z",
		`"timestamp":"2026-01-02T04:00:00Z","sentAt":"2026-01-02T04:04:05Z"`: "2026-01-02T03:00:00Z",
		`"timestamp":"1970-01-01T00:00:00Z","sentAt":"1970-01-01T00:04:05Z"`: "2026-01-02T03:00:00Z",
		// Never after it was received.
		`"timestamp":"2027-01-01T00:00:00Z"`:                                 "2026-01-02T03:04:05Z",
		`"timestamp":"2026-01-02T02:10:00Z","sentAt":"2026-01-02T02:00:00Z"`: "2026-01-02T03:04:05Z",
		// Absurd.
		`"timestamp":"2026-01-01T00:00:00Z","sentAt":"9999-01-01T00:00:00Z"`: "2026-01-01T00:00:00Z",
		`"timestamp":"0002-01-01T00:00:00Z","sentAt":"2026-01-01T00:00:00Z"`: "2026-01-02T03:04:05Z",
		`"timestamp":"9999-01-01T00:00:00Z","sentAt":"0002-01-01T00:00:00Z"`: "2026-01-02T03:04:05Z",
		`"timestamp":"0001-01-01T00:00:00Z"`:                                 "2026-01-02T03:04:05Z",
		// Unreadable.
		`"timestamp":"x"`: "2026-01-02T03:04:05Z",
		`"timestamp":17`:  "2026-01-02T03:04:05Z",
		`"timestamp":"2025-12-24T00:00:00Z","sentAt":"x"`: "2025-12-24T00:00:00Z",
	} {
		separator := ","
		if fields == "" {
			separator = ""
		}
		m := parseOne(t, `{"type":"page","userId":"u"`+separator+fields+`}`)
		if got := m.Timestamp.Format(time.RFC3339Nano); got != want {
			t.Errorf("%s: %s, not %s", fields, got, want)
		}
		if m.ReceivedAt != receivedAt || m.Timestamp.Location() != time.UTC {
			t.Errorf("%s: %v", fields, m.Header)
		}
	}
}

func TestTheEnvelopesSentAtIsForCallsWithoutTheirOwn(t *testing.T) {
	result := parseBatch(t, `{"sentAt":"2026-01-02T02:04:05Z","batch":[
		{"type":"page","userId":"u","timestamp":"2026-01-02T02:04:00Z"},
		{"type":"page","userId":"u","timestamp":"2026-01-02T02:04:00Z","sentAt":"2026-01-02T02:04:01Z"}]}`)
	for i, want := range []time.Duration{5 * time.Second, time.Second} {
		if got := receivedAt.Sub(result.Messages[i].Timestamp); got != want {
			t.Errorf("call %d: %v, not %v", i, got, want)
		}
	}
}

func TestAnUnreadableTimeIsToldByItsField(t *testing.T) {
	for body, want := range map[string]string{
		`{"batch":[{"type":"page","userId":"u","timestamp":"x","sentAt":7}]}`:                  "0 sentAt, 0 timestamp",
		`{"batch":[{"type":"page","userId":"u","timestamp":1e99}]}`:                            "0 timestamp",
		`{"batch":[{"type":"page","userId":"u"},{"type":"page","userId":"u","timestamp":{}}]}`: "1 timestamp",
		`{"batch":[{"type":"page","userId":"u","originalTimestamp":"12/31/2025"}]}`:            "0 timestamp",
		`{"sentAt":"x","batch":[]}`: "-1 sentAt",
		`{"batch":[{"type":"page","userId":"u","timestamp":null,"sentAt":"","receivedAt":"never"}]}`: "",
	} {
		var got []string
		for _, w := range parseBatch(t, body).Warnings {
			field, _, _ := strings.Cut(w.Message, ":")
			if w.Code != "unreadable_timestamp" {
				t.Errorf("%s: %v", body, w)
			}
			got = append(got, fmt.Sprint(w.Index, " ", field))
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: %q, not %q", body, got, want)
		}
	}
}

func TestAnImportThatWasSentADayAgoIsTold(t *testing.T) {
	for fields, want := range map[string]int{
		`"timestamp":"2026-01-01T00:00:00Z","sentAt":"2026-01-01T03:04:06Z"`: 0,
		`"timestamp":"2026-01-01T00:00:00Z","sentAt":"2026-01-01T03:04:04Z"`: 1,
		`"timestamp":"2026-01-03T00:00:00Z","sentAt":"2026-01-03T03:04:06Z"`: 1, // it may be after it, too
		`"timestamp":"2020-01-24T06:29:02Z","sentAt":"2020-01-24T06:29:03Z"`: 1,
		`"timestamp":"2020-01-24T06:29:02Z"`:                                 0,
		`"sentAt":"2020-01-24T06:29:03Z"`:                                    0,
	} {
		body := `{"type":"page","userId":"u",` + fields + `}`
		if got := warningsOf(t, body, Options{Import: true}); len(got) != want || want > 0 && got[0] != "large_clock_skew" {
			t.Errorf("%s: %v", fields, got)
		}
		if got := warningsOf(t, body, Options{}); len(got) > 0 {
			t.Errorf("%s, from a phone: %v", fields, got)
		}
	}
}

func TestAnImportedCallWasReceivedWhenItSays(t *testing.T) {
	for fields, want := range map[string]string{
		`"originalTimestamp":"2020-01-24T06:29:02.358Z","sentAt":"2020-01-24T06:29:02.359Z","receivedAt":"2020-01-24T06:29:02.403Z"`: "2020-01-24T06:29:02.402Z",
		`"timestamp":"2020-01-24T06:29:02Z","sentAt":1579847343000,"receivedAt":1579850943`:                                          "2020-01-24T07:29:02Z",
		`"timestamp":"2020-01-24T06:29:02Z","receivedAt":"2020-01-24T06:29:03Z"`:                                                     "2020-01-24T06:29:02Z",
		`"receivedAt":"2020-01-24T06:29:03Z"`:                                                                                        "2020-01-24T06:29:03Z",
		// One that says nothing, nothing that can be read, or nothing that can be right.
		`"timestamp":"2026-01-02T02:00:00Z","sentAt":"2026-01-02T02:04:05Z"`:                                     "2026-01-02T03:00:00Z",
		`"timestamp":"2026-01-02T02:00:00Z","sentAt":"2026-01-02T02:04:05Z","receivedAt":null`:                   "2026-01-02T03:00:00Z",
		`"timestamp":"2026-01-02T02:00:00Z","sentAt":"2026-01-02T02:04:05Z","receivedAt":"x"`:                    "2026-01-02T03:00:00Z",
		`"timestamp":"2026-01-02T02:00:00Z","sentAt":"2026-01-02T02:04:05Z","receivedAt":"2027-01-01T00:00:00Z"`: "2026-01-02T03:00:00Z",
		`"timestamp":"2026-01-02T02:00:00Z","sentAt":"2026-01-02T02:04:05Z","receivedAt":"1969-01-01T00:00:00Z"`: "2026-01-02T03:00:00Z",
	} {
		body := []byte(`{"batch":[{"type":"page","userId":"u",` + fields + `}]}`)
		result, err := Parse(body, Options{Batch: true, Import: true, ReceivedAt: receivedAt})
		if err != nil {
			t.Fatal(err)
		}
		m := result.Messages[0]
		if got := m.Timestamp.Format(time.RFC3339Nano); got != want || m.ReceivedAt != receivedAt {
			t.Errorf("%s: %s, not %s", fields, got, want)
		}
		if slices.ContainsFunc(result.Warnings, func(w Warning) bool { return w.Code != "unreadable_timestamp" }) {
			t.Errorf("%s: %v", fields, result.Warnings)
		}
	}
	m := parseOne(t, `{"type":"page","userId":"u","timestamp":"2020-01-24T06:29:02Z","sentAt":"2020-01-24T06:29:03Z","receivedAt":"2020-01-24T06:29:03Z"}`)
	if m.Timestamp.Year() != 2026 {
		t.Errorf("a call that is not imported was received now: %v", m.Timestamp)
	}
}

func TestReceivedAtIsKeptAsTheJournalGivesItBack(t *testing.T) {
	now := time.Now()
	result, err := Parse([]byte(`{"type":"page","userId":"u"}`), Options{ReceivedAt: now})
	if err != nil {
		t.Fatal(err)
	}
	if got := result.Messages[0].ReceivedAt; got != time.Unix(0, now.UnixNano()).UTC() {
		t.Errorf("%v", got)
	}
}

func FuzzTime(f *testing.F) {
	for _, seed := range []string{"2026-01-02T03:04:05.678Z", "2026-01-02", "2026-01-02 03:04:05+0530", "z", "+0530", "2026-01-02T-0000", "2026-01-02T03:04:05.6:Z",
		"2026-01-02 03:04 +02", "1767323045.5", "1.767e12", "2026-01-02T03:04:05,6 GMT"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		raw, err := json.Marshal(given)
		if err != nil {
			return
		}
		before := string(raw)
		got, ok := parseTime(raw)
		if string(raw) != before {
			t.Fatalf("%s was changed to %s", before, raw)
		}
		if ok && got.Location() != time.UTC || !ok && !got.IsZero() {
			t.Fatalf("%q: %v %v", given, got, ok)
		}
		if decoded, decodedOK := TimeOf(text(raw)); len(given) <= maxTimeLength && (decoded != got || decodedOK != ok) {
			t.Fatalf("%q: %v undecoded, %v decoded", given, got, decoded)
		}
		if number := json.Number(given); len(given) < 30 && json.Valid([]byte(given)) && given[0] != '"' {
			if got, ok := TimeOf(number); ok && (got.Year() < 2000 || got.Year() > 2099) {
				t.Fatalf("%s: %v", given, got)
			}
		}
		var want time.Time
		if len(given) <= maxTimeLength && want.UnmarshalText([]byte(given)) == nil && (!ok || !got.Equal(want)) {
			t.Fatalf("%q is RFC 3339, but %v %v", given, got, ok)
		}
		if ok && correctSkew(got, receivedAt, receivedAt).After(receivedAt) {
			t.Fatalf("%q is after it was received", given)
		}
	})
}
