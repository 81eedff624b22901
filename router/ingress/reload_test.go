package ingress

import (
	"net/netip"
	"testing"

	"aka/destinations/adapter"
)

func TestAReloadReplacesWhoMaySend(t *testing.T) {
	s := start(t, testConfig())
	next := testConfig()
	next.Sources = map[string]Source{
		"website": {WriteKey: adapter.NewSecret("another-key")},
		"shop":    {WriteKey: adapter.NewSecret(testKey), IP: "drop"},
	}
	next.TrustedProxies = []Network{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}}
	reload(t, s, next)
	if got := s.post(t, "/v1/alias", call); got.StatusCode != 200 || s.entries[0].Source != "shop" {
		t.Errorf("%d %s, of %v", got.StatusCode, got.body, s.entries)
	}
	if got := s.send(t, "POST", "/v1/alias", call, "X-Write-Key: another-key"); got.StatusCode != 200 || s.entries[1].Source != "website" {
		t.Errorf("%d %s, of %v", got.StatusCode, got.body, s.entries)
	}
	if got := s.send(t, "POST", "/v1/alias", call, "X-Write-Key: pages-key"); got.StatusCode != 401 || got.code(t) != "unknown_write_key" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	s.wantCount(t, 1, "calls_received_total", "source=shop", "type=alias")
}

func TestAReloadThatFailsChangesNothing(t *testing.T) {
	s := start(t, testConfig())
	next := testConfig()
	next.Sources = map[string]Source{"website": {}}
	if _, err := s.server.Prepare(next); err == nil {
		t.Fatal("a source without a write key was taken")
	}
	if got := s.post(t, "/v1/alias", call); got.StatusCode != 200 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

func TestASourceKeepsWhatItOwesOverAReloadUnlessItsRateIsAnother(t *testing.T) {
	config := testConfig()
	rate := func(perSecond float64) Config {
		website := config.Sources["website"]
		website.Rate = perSecond
		config.Sources["website"] = website
		return config
	}
	s := start(t, rate(0.001))
	if got := s.post(t, "/v1/batch", batchOfTracks(40)); got.StatusCode != 200 {
		t.Fatalf("%d %s", got.StatusCode, got.body)
	}
	for _, c := range []struct {
		rate   float64
		status int
	}{{0.001, 429}, {0.002, 200}, {0, 200}} {
		reload(t, s, rate(c.rate))
		if got := s.post(t, "/v1/alias", call); got.StatusCode != c.status {
			t.Errorf("at %v per second: %d %s", c.rate, got.StatusCode, got.body)
		}
	}
}

func TestWhileDrainingCallsAreRefusedAndSettingsAnswered(t *testing.T) {
	s := start(t, testConfig())
	s.server.Drain(true)
	got := s.post(t, "/v1/alias", call)
	if got.StatusCode != 503 || got.code(t) != "draining" || got.Header.Get("Retry-After") == "" || !got.Close {
		t.Errorf("%d %s %v", got.StatusCode, got.body, got.Header)
	}
	s.wantCount(t, 1, "calls_rejected_total", "code=draining", "source=website")
	if got := s.send(t, "GET", "/v1/projects/"+testKey+"/settings", ""); got.StatusCode != 200 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	s.server.Drain(false)
	if got := s.post(t, "/v1/alias", call); got.StatusCode != 200 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

func reload(t *testing.T, s *stand, config Config) {
	t.Helper()
	commit, err := s.server.Prepare(config)
	if err != nil {
		t.Fatal(err)
	}
	commit()
}
