package ingress

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// withOwnKey is the call with a write key of its own.
func withOwnKey(id, key string) string {
	return `{"type":"identify","userId":"` + id + `","writeKey":"` + key + `"}`
}

func TestCredentialsOfSomebodyElseDoNotEndTheSearch(t *testing.T) {
	staging := basic("staging:hunter2")
	withKey := withOwnKey("u", testKey)
	for name, c := range map[string]struct {
		path, body string
		headers    []string
	}{
		"a single call":      {"/v1/t", `{"userId":"u","event":"E","writeKey":"` + testKey + `"}`, []string{staging}},
		"a batch":            {"/v1/batch", `{"writeKey":"` + testKey + `","batch":[` + call + `]}`, []string{staging}},
		"a batch's call":     {"/v1/batch", `{"batch":[` + withKey + `]}`, []string{staging}},
		"a query":            {"/v1/i?writeKey=" + testKey, `{"userId":"u"}`, []string{staging}},
		"a beacon":           {"/beacon/v1/batch?writeKey=" + testKey, `{"batch":[` + call + `]}`, []string{staging}},
		"a proxy's key":      {"/v1/i", withKey, []string{"X-Write-Key: proxy", staging}},
		"behind another":     {"/v1/i", `{"userId":"u"}`, []string{"X-Write-Key: proxy", basic(testKey)}},
		"a query of nothing": {"/v1/i?writeKey=x", withKey, []string{staging}},
		"a pixel":            {"/v1/pixel/identify?userId=u&writeKey=" + testKey, "", []string{staging}},
		"a pixel's data":     {"/v1/pixel/identify?data=" + strings.ReplaceAll(withKey, `"`, "%22"), "", []string{staging}},
	} {
		s := start(t, testConfig())
		method := "POST"
		if c.body == "" {
			method = "GET"
		}
		if got := s.send(t, method, c.path, c.body, c.headers...); got.StatusCode != 200 {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
		}
		if len(s.entries) != 1 || s.entries[0].Source != "website" {
			t.Errorf("%s: %+v", name, s.entries)
		}
	}
}

func TestWhatReadsFindsItsKeyBehindSomebodyElses(t *testing.T) {
	s := start(t, testConfig())
	for _, path := range []string{"/sourceConfig?writeKey=" + testKey, "/v1/projects?writeKey=" + testKey} {
		if got := s.send(t, "GET", path, "", basic("staging:hunter2")); got.StatusCode != 200 {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
	}
}

func TestAndroidsSourceConfigReportsNothing(t *testing.T) {
	s := start(t, testConfig())
	got := s.send(t, "GET", "/sourceConfig?p=android&v=1.26.0&writeKey="+testKey, "")
	const want = `"config":{"statsCollection":{"errors":{"enabled":false},"metrics":{"enabled":false}}}`
	if got.StatusCode != 200 || !strings.Contains(string(got.body), want) {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

func TestACallIsFiledUnderItsOwnWriteKey(t *testing.T) {
	config := testConfig()
	config.Sources["quiet"] = Source{WriteKey: adapter.NewSecret("quiet-key"), IP: segment.DropIP}
	s := start(t, config)
	own := func(body string, headers ...string) map[string]string {
		t.Helper()
		s.entries, s.seen = nil, nil
		got := s.send(t, "POST", "/v1/batch", body, headers...)
		var form struct{ Rejected []segment.Rejection }
		if err := json.Unmarshal(got.body, &form); err != nil || got.StatusCode != 200 {
			t.Fatalf("%d %s", got.StatusCode, got.body)
		}
		filed := map[string]string{}
		for _, e := range s.entries {
			filed[e.UserID] = e.Source
		}
		for _, r := range form.Rejected {
			filed[fmt.Sprint(r.Index)] = r.Code
		}
		return filed
	}
	for _, c := range []struct {
		name, body, header string
		want               map[string]string
	}{
		{"each its own", `{"batch":[` + withOwnKey("k1", testKey) + `,` + withOwnKey("k2", "quiet-key") + `]}`, "", map[string]string{"k1": "website", "k2": "quiet"}},
		{"beside the batch's", `{"writeKey":"` + testKey + `","batch":[` + withOwnKey("k3", "quiet-key") + `,` + withOwnKey("k4", "x") + `]}`, "",
			map[string]string{"k3": "quiet", "1": "unknown_write_key"}},
		{"beside the header's", `{"batch":[` + withOwnKey("k5", "quiet-key") + `,{"type":"page","userId":"k6"}]}`, "X-Write-Key: " + testKey,
			map[string]string{"k5": "quiet", "k6": "website"}},
		{"as Basic has it", `{"batch":[` + withOwnKey("k7", testKey) + `]}`, basic(testKey + ":"), map[string]string{"k7": "website"}},
	} {
		headers := []string{}
		if c.header != "" {
			headers = append(headers, c.header)
		}
		if got := own(c.body, headers...); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v, not %v", c.name, got, c.want)
		}
	}
	s.wantCount(t, 3, "calls_received_total", "source=quiet", "type=identify")
	s.wantCount(t, 2, "calls_received_total", "source=website", "type=identify")
	s.wantCount(t, 1, "calls_rejected_total", "code=unknown_write_key", "source=website")

	// The origin and the address are judged by its own source as well.
	body := `{"writeKey":"` + testKey + `","context":{"ip":"198.51.100.9"},"batch":[` + withOwnKey("k8", "pages-key") + `,` + withOwnKey("k9", "quiet-key") + `]}`
	if got := own(body, "Origin: https://evil.example"); fmt.Sprint(got) != "map[0:origin_not_allowed k9:quiet]" {
		t.Error(got)
	}
	if text := string(s.entries[0].JSON); strings.Contains(text, "198.51.100.9") || strings.Contains(text, "quiet-key") {
		t.Error(text)
	}
}

func TestTheRateIsThatOfTheCallsOwnSource(t *testing.T) {
	config := testConfig()
	config.Sources["slow"] = Source{WriteKey: adapter.NewSecret("slow-key"), Rate: 1}
	s := start(t, config)
	body := `{"writeKey":"` + testKey + `","batch":[` + withOwnKey("a", "slow-key") + `,` + withOwnKey("b", "slow-key") + `,` + withOwnKey("c", testKey) + `]}`
	if got := s.send(t, "POST", "/v1/batch", body); got.StatusCode != 200 || len(s.entries) != 3 {
		t.Fatalf("a batch larger than the rate is taken too: %d %s", got.StatusCode, got.body)
	}
	if got := s.send(t, "POST", "/v1/batch", body); got.StatusCode != 429 || got.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	if got := s.post(t, "/v1/alias", call); got.StatusCode != 200 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}
