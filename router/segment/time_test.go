package segment

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestTimesAsSDKsWriteThem(t *testing.T) {
	for given, want := range map[string]string{
		"2026-01-02T03:04:05Z":              "2026-01-02T03:04:05Z",
		"2026-01-02T03:04:05.6Z":            "2026-01-02T03:04:05.6Z",
		"2026-01-02T03:04:05.678Z":          "2026-01-02T03:04:05.678Z",
		"2026-01-02T03:04:05.123456789Z":    "2026-01-02T03:04:05.123456789Z",
		"2026-01-02T03:04:05.123456+00:00":  "2026-01-02T03:04:05.123456Z",
		"2026-01-02T03:04:05+05:30":         "2026-01-01T21:34:05Z",
		"2026-01-02T03:04:05.5-0800":        "2026-01-02T11:04:05.5Z",
		"2026-01-02t03:04:05z":              "2026-01-02T03:04:05Z",
		"2026-01-02 03:04:05Z":              "2026-01-02T03:04:05Z",
		" 2026-01-02T03:04:05Z ":            "2026-01-02T03:04:05Z",
		"2026-01-02":                        "2026-01-02T00:00:00Z",
		"2026-02-30":                        "",
		"2026-01-02T03:04:05":               "",
		"2026-01-02T24:00:00Z":              "",
		"2026":                              "",
		"yesterday, all my troubles seemed": "",
		"1767323045":                        "",
		"2026-01-02T03:04:05.123456789012345678901234567890123456789012345678901234567890Z": "",
	} {
		raw, _ := json.Marshal(given)
		got, ok := parseTime(raw)
		text := got.Format(time.RFC3339Nano)
		if !ok {
			text = ""
		}
		if text != want {
			t.Errorf("%q: %q, not %q", given, text, want)
		}
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

func TestAnUnreadableTimeIsCounted(t *testing.T) {
	if got := diagnosticsOf(t, `{"type":"page","userId":"u","timestamp":"x","sentAt":7}`, Options{}); len(got) != 2 || slices.Contains(got, "") {
		t.Error(got)
	}
	result := parseBatch(t, `{"sentAt":"x","batch":[]}`)
	if fmt.Sprint(result.Diagnostics) != "[{-1 invalid_timestamp}]" {
		t.Error(result.Diagnostics)
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
	for _, seed := range []string{"2026-01-02T03:04:05.678Z", "2026-01-02", "2026-01-02 03:04:05+0530", "z", "+0530", "2026-01-02T-0000"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		raw, err := json.Marshal(given)
		if err != nil {
			return
		}
		got, ok := parseTime(raw)
		if ok && got.Location() != time.UTC || !ok && !got.IsZero() {
			t.Fatalf("%q: %v %v", given, got, ok)
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
