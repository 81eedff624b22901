package ingress

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// warningsIn returns the warnings of an answer as "index code", and how many more there are.
func warningsIn(t *testing.T, got answer) (warnings []string, unlisted int) {
	t.Helper()
	var form struct {
		Success  bool
		Warnings []struct {
			Index         int
			Code, Message string
		}
		Unlisted int `json:"warnings_unlisted"`
	}
	if err := json.Unmarshal(got.body, &form); err != nil || got.StatusCode != http.StatusOK || !form.Success {
		t.Fatalf("%d %s: %v", got.StatusCode, got.body, err)
	}
	for _, w := range form.Warnings {
		if w.Message == "" {
			t.Errorf("%s has no message", w.Code)
		}
		warnings = append(warnings, fmt.Sprint(w.Index, " ", w.Code))
	}
	return warnings, form.Unlisted
}

func TestACallThatIsDroppedEverywhereIsToldSo(t *testing.T) {
	s := start(t, testConfig())
	for _, c := range []struct{ path, body, want string }{
		{"alias", `{"userId":"x"}`, "missing_previous_id"},
		{"alias", `{"previousId":"x"}`, "missing_user_id"},
		{"alias", `{"anonymousId":"x"}`, "missing_user_id"},
		{"alias", `{"userId":"x","previousId":"x"}`, "same_ids"},
		{"alias", `{"userId":"x","previousId":"null"}`, "blocked_id"},
		{"alias", `{"userId":"x","previous_id":"y"}`, "misspelled_id missing_previous_id"},
		{"alias", `{"userId":"x","previousId":"y"}`, ""},
		{"alias", `{"userId":"x","anonymousId":"y"}`, ""},
		{"a", `{"userId":"x"}`, "missing_previous_id"},
		{"identify", `{"userId":"undefined"}`, "blocked_id"},
		{"identify", `{"userId":"x","anonymousId":"00000000-0000-0000-0000-000000000000"}`, "blocked_id"},
		{"track", `{"userId":" NULL ","event":"E"}`, "blocked_id"},
		{"page", `{"userId":0}`, "blocked_id"},
		{"screen", `{"anonymousId":"` + strings.Repeat("x", 256) + `"}`, "id_too_long"},
		{"group", `{"userId":"n\u200bull","groupId":"g"}`, "blocked_id"},
		{"group", `{"userId":"x","groupId":"null"}`, "blocked_id"},
		{"group", `{"userId":"x","groupId":"g"}`, ""},
		{"identify", `{"userId":"x","traits":"{}"}`, "invalid_traits"},
		{"track", `{"userId":"x","event":"E","properties":[1,2]}`, "invalid_properties"},
		{"track", `{"userId":"x","event":"E","timestamp":"yesterday"}`, "unreadable_timestamp"},
	} {
		got := s.post(t, "/v1/"+c.path, c.body)
		single, _ := warningsIn(t, got)
		want := ""
		for _, code := range strings.Fields(c.want) {
			want += " 0 " + code
		}
		if text := strings.Join(single, " "); text != strings.TrimSpace(want) {
			t.Errorf("%s %s: %q, not %q", c.path, c.body, text, want)
		}
		if c.want == "" && string(got.body) != `{"success":true}` {
			t.Errorf("%s %s: %s", c.path, c.body, got.body)
		}
	}
	s.wantCount(t, 3, "warnings_total", "code=missing_previous_id", "source=website")
	s.wantCount(t, 0, "warnings_total", "code=missing_previous_id", "source=pages")
}

func TestABatchListsItsWarningsByTheirIndex(t *testing.T) {
	s := start(t, testConfig())
	got := s.post(t, "/v1/batch", `{"batch":[{},{"type":"alias","userId":"a"},`+call+`,7,{"type":"alias","userId":"b","previousId":"b"}],"context":7}`)
	warnings, _ := warningsIn(t, got)
	if text := strings.Join(warnings, ", "); text != "-1 invalid_context, 1 missing_previous_id, 4 same_ids" {
		t.Errorf("%s", got.body)
	}
	var form struct {
		Accepted int
		Rejected []segment.Rejection
	}
	if err := json.Unmarshal(got.body, &form); err != nil || form.Accepted != 3 || len(form.Rejected) != 2 {
		t.Errorf("%s", got.body)
	}
	useless := `{"type":"alias","userId":"x"}`
	warnings, unlisted := warningsIn(t, s.post(t, "/v1/batch", `{"batch":[`+strings.Repeat(useless+",", 149)+useless+`]}`))
	if len(warnings) != 100 || unlisted != 50 {
		t.Errorf("%d listed, %d not", len(warnings), unlisted)
	}
	s.wantCount(t, 151, "warnings_total", "code=missing_previous_id", "source=website")
	if got := s.post(t, "/v1/batch", `{"batch":[`+call+`]}`); strings.Contains(string(got.body), "warnings") {
		t.Errorf("%s", got.body)
	}
}

func TestAnImportKeepsTheTimesOfItsCalls(t *testing.T) {
	s := start(t, testConfig())
	stored := `{"type":"track","userId":"h","event":"E","timestamp":"2020-01-24T06:29:02.358Z","sentAt":"2020-01-24T06:29:02.359Z"`
	for _, path := range []string{"/v1/import", "/import/"} {
		s.entries, s.seen = nil, nil
		got, _ := warningsIn(t, s.post(t, path, `{"batch":[`+stored+`,"receivedAt":"2020-01-24T06:29:02.403Z"},`+stored+`}]}`))
		if strings.Join(got, ", ") != "1 large_clock_skew" {
			t.Errorf("%s: %v", path, got)
		}
		if kept := s.entries[0].Timestamp; kept.Format(time.RFC3339Nano) != "2020-01-24T06:29:02.402Z" {
			t.Errorf("%s: %v", path, kept)
		}
	}
	s.entries = nil
	s.post(t, "/v1/batch", `{"batch":[`+stored+`,"receivedAt":"2020-01-24T06:29:02.403Z"}]}`)
	if s.entries[0].Timestamp.Year() < 2026 {
		t.Error("another path takes receivedAt for the time of arrival")
	}
}

func TestWarningsOfWhatIsNotAcceptedAreNotCounted(t *testing.T) {
	s := start(t, testConfig())
	s.fail(fmt.Errorf("disk"))
	s.post(t, "/v1/alias", `{"userId":"x","traits":7}`)
	s.wantCount(t, 0, "warnings_total", "code=invalid_traits", "source=website")
	if s.logs.FilterMessage("calls accepted with warnings").Len() > 0 {
		t.Error("a warning is logged")
	}
}

func TestWarningsAreLoggedNowAndThen(t *testing.T) {
	s := start(t, testConfig())
	for range 5 {
		s.post(t, "/v1/alias", `{"userId":"x"}`)
		s.send(t, "POST", "/v1/alias", `{"userId":"x","previousId":"y","traits":7}`, "X-Write-Key: pages-key")
	}
	lines := s.logs.FilterMessage("calls accepted with warnings").All()
	if len(lines) != 2 {
		t.Fatalf("%d lines", len(lines))
	}
	if got := lines[0].ContextMap(); got["source"] != "website" || got["code"] != "missing_previous_id" || got["warnings"] != int64(1) || got["hint"] == "" {
		t.Error(got)
	}
}

func TestAWrongWriteKeyIsLoggedNowAndThen(t *testing.T) {
	s := start(t, testConfig())
	for range 3 {
		s.send(t, "POST", "/v1/alias", call, "X-Write-Key: wr0ng")
		s.send(t, "POST", "/v1/alias?writeKey=wr0ng", call)
		s.send(t, "POST", "/v1/alias", call)
		s.send(t, "GET", "/v1/projects/wr0ng/settings", "")
		s.send(t, "GET", "/sourceConfig?writeKey=wr0ng", "")
		s.send(t, "POST", "/v1/alias", call, "X-Write-Key: pages-key", "Origin: https://evil.example")
	}
	lines := s.logs.FilterMessage("requests refused for write key or origin").All()
	codes := map[any]int{}
	for _, line := range lines {
		codes[line.ContextMap()["code"]]++
		if text := fmt.Sprint(line.ContextMap()); strings.Contains(text, "wr0ng") || strings.Contains(text, "evil") {
			t.Error(text)
		}
	}
	// The settings have a line of their own.
	if len(lines) != 4 || codes["unknown_write_key"] != 2 || codes["missing_write_key"] != 1 || codes["origin_not_allowed"] != 1 {
		t.Error(codes)
	}
}

func TestAnOccasionIsLoggedAgainWithWhatCameMeanwhile(t *testing.T) {
	now := time.Unix(1_767_323_045, 0)
	o := &occasion{now: func() time.Time { return now }}
	expect := func(want int64) {
		t.Helper()
		if since, isDue := o.add(2); since != want || isDue != (want > 0) {
			t.Errorf("%d %v, not %d", since, isDue, want)
		}
	}
	expect(2)
	expect(0)
	expect(0)
	now = now.Add(logEvery)
	expect(6)
	expect(0)
}

func TestEachReasonOfTheGuardIsAWarning(t *testing.T) {
	for _, reason := range useless {
		if adapter.Reason(reason).Explain() == "" {
			t.Errorf("%s has no sentence", reason)
		}
	}
}

// Long placeholders are reported as short ones are, wherever they stand.
func TestLongPlaceholdersAreReported(t *testing.T) {
	s := start(t, testConfig())
	for _, body := range []string{
		`{"userId":"507f191e810c19729de860ea","previousId":"[object HTMLInputElement]"}`,
		`{"userId":"507f191e810c19729de860ea","previousId":"undefined_undefined"}`,
		`{"userId":"507f191e810c19729de860ea","previousId":"{{ customer.identifier }}"}`,
		`{"userId":"507f191e810c19729de860ea","previousId":"0x00000000000000000000000000000000"}`,
	} {
		single, _ := warningsIn(t, s.post(t, "/v1/alias", body))
		if len(single) != 1 || single[0] != "0 blocked_id" {
			t.Errorf("%s: %v", body, single)
		}
	}
	single, _ := warningsIn(t, s.post(t, "/v1/group", `{"userId":"507f191e810c19729de860ea","groupId":"null"}`))
	if len(single) != 1 || single[0] != "0 blocked_id" {
		t.Errorf("a group: %v", single)
	}
}
