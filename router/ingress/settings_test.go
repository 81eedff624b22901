package ingress

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"aka/destinations/adapter"
)

const testSettings = `{"integrations":{"Segment.io":{"apiKey":"` + testKey + `"}},"metrics":{"sampleRate":0}}`

func TestSettingsNameOneIntegrationAndTheKey(t *testing.T) {
	s := start(t, testConfig())
	for _, path := range []string{
		"/v1/projects/%s/settings", "/projects/%s/settings", "/v1/projects/projects/%s/settings", "/projects/projects/%s/settings/",
		"//v1//projects//%s//settings//",
	} {
		path = strings.Replace(path, "%s", testKey, 1)
		for base, want := range map[string]string{"": testSettings, "/cio": strings.Replace(testSettings, serviceSegment, serviceCustomerIO, 1)} {
			got := s.send(t, "GET", base+path, "")
			h := got.Header
			if got.StatusCode != 200 || string(got.body) != want || h.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %d %s %v", base+path, got.StatusCode, got.body, h)
			}
			if h.Get("Cache-Control") != "public, max-age=120" || h.Get("Vary") != "Origin" {
				t.Errorf("%s: %v", base+path, h)
			}
		}
	}
	got := s.send(t, "HEAD", "/v1/projects/"+testKey+"/settings", "")
	if got.StatusCode != 200 || len(got.body) > 0 || got.ContentLength != int64(len(testSettings)) {
		t.Errorf("%d %s %d", got.StatusCode, got.body, got.ContentLength)
	}
	got = s.send(t, "POST", "/v1/projects/"+testKey+"/settings", "")
	if got.StatusCode != 405 || got.code(t) != "method_not_allowed" || got.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

func TestSettingsWithoutAKeyInThePathTakeTheRequests(t *testing.T) {
	s := start(t, testConfig())
	for _, path := range []string{"/v1/projects", "/projects/", "/v1/projects/settings", "/projects/projects/settings", "/projects/projects"} {
		for _, header := range []string{"X-Write-Key: " + testKey, basic(testKey + ":")} {
			got := s.send(t, "GET", path, "", header)
			// Nothing of the URL tells it from another source's.
			if got.StatusCode != 200 || string(got.body) != testSettings || got.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %s %v", path, got.StatusCode, got.body, got.Header)
			}
		}
		if got := s.send(t, "GET", path+"?writeKey="+testKey, ""); got.StatusCode != 200 || string(got.body) != testSettings {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
		if got := s.send(t, "GET", path, ""); got.StatusCode != 401 || got.code(t) != "missing_write_key" {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
	}
}

func TestSettingsTakeAnyWriteKeyLiterally(t *testing.T) {
	config := testConfig()
	keys := []string{"id:s3cret", `a"b\<é>`, "a b+c", "a%20b", "ab/cd==", "settings"}
	for _, key := range keys[1:] {
		config.Sources["source of "+key] = Source{WriteKey: adapter.NewSecret(key)}
	}
	s := start(t, config)
	for _, key := range keys {
		got := s.send(t, "GET", "/v1/projects/"+url.PathEscape(key)+"/settings", "")
		var settings settingsAnswer
		if err := json.Unmarshal(got.body, &settings); err != nil || settings.Integrations[serviceSegment].APIKey != key {
			t.Errorf("%q: %d %s (%v)", key, got.StatusCode, got.body, err)
		}
	}
}

func TestSettingsOfAnUnknownKeyAre404(t *testing.T) {
	s := start(t, testConfig())
	const origin = "https://shop.example"
	for _, path := range []string{
		"/v1/projects/wrong/settings", "/cio/v1/projects/wrong/settings", "/v1/projects/" + testKey[:5] + "/settings",
		"/v1/projects/" + strings.Repeat("k", 5000) + "/settings", "/projects?writeKey=wrong",
		// The key in the path is the one that counts.
		"/v1/projects/wrong/settings?writeKey=" + testKey,
	} {
		got := s.send(t, "GET", path, "", "Origin: "+origin)
		if got.StatusCode != 404 || got.code(t) != "unknown_write_key" || got.Header.Get("Access-Control-Allow-Origin") != origin {
			t.Errorf("%.50s: %d %s %v", path, got.StatusCode, got.body, got.Header)
		}
	}
	for _, path := range []string{"/v1/projects/" + testKey, "/v1/projects/" + testKey + "/settings/x", "/v1/Projects/" + testKey + "/settings", "/v1/projects/%2e%2e/settings"} {
		if got := s.send(t, "GET", path, ""); got.StatusCode != 404 || got.code(t) != "not_found" {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
	}
}

func TestSettingsAreForTheSourcesOriginsOnly(t *testing.T) {
	s := start(t, testConfig())
	for _, path := range []string{"/v1/projects/pages-key/settings", "/sourceConfig?writeKey=pages-key"} {
		for origin, status := range map[string]int{"https://app.example": 200, "https://evil.example": 401} {
			got := s.send(t, "GET", path, "", "Origin: "+origin)
			h := got.Header
			if got.StatusCode != status || h.Get("Access-Control-Allow-Origin") != origin || len(h.Values("Vary")) != 1 || h.Get("Vary") != "Origin" {
				t.Errorf("%s from %s: %d %s %v", path, origin, got.StatusCode, got.body, h)
			}
		}
	}
}

func TestTheSourceConfigOfRudderStack(t *testing.T) {
	s := start(t, testConfig())
	const want = `{"source":{"id":"website","name":"website","config":{"statsCollection":{"errors":{"enabled":false},"metrics":{"enabled":false}}},"enabled":true,"destinations":[]}}`
	for _, path := range []string{"/sourceConfig", "/sourceConfig/", "/v1/sourceConfig", "/cio/sourceConfig"} {
		for _, got := range []answer{
			s.send(t, "GET", path+"?p=npm&v=3.34.1&writeKey="+testKey, ""),
			s.send(t, "GET", path, "", basic(testKey+":")),
		} {
			if got.StatusCode != 200 || string(got.body) != want || got.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %d %s %v", path, got.StatusCode, got.body, got.Header)
			}
		}
	}
	if got := s.send(t, "GET", "/sourceConfig/", "", basic("wrong:")); got.StatusCode != 401 || got.code(t) != "unknown_write_key" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	if got := s.send(t, "GET", "/sourceConfig/", ""); got.StatusCode != 401 || got.code(t) != "missing_write_key" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}
