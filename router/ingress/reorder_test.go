package ingress

import (
	"fmt"
	"testing"
	"time"

	"aka/destinations/adapter"
)

// The calls of a browser or phone are held for their source's window. The answer does not wait for it.
func TestADevicesCallIsHeldForItsSourcesWindow(t *testing.T) {
	long, off := MaxReorderWindow, time.Duration(0)
	config := testConfig()
	config.Sources["long"] = Source{WriteKey: adapter.NewSecret("long-key"), ReorderWindow: &long}
	config.Sources["off"] = Source{WriteKey: adapter.NewSecret("off-key"), ReorderWindow: &off}
	now := time.Now().UTC()
	stamped := fmt.Sprintf(`{"type":"page","userId":"u","timestamp":%q}`, now.Format(time.RFC3339Nano))
	for _, c := range []struct {
		name, path, key, body, origin string
		want                          time.Duration
	}{
		{"a phone", "/v1/p", testKey, stamped, "", DefaultReorderWindow},
		{"a browser", "/v1/page", testKey, stamped, "https://app.example", DefaultReorderWindow},
		{"a batch of a browser", "/v1/batch", testKey, `{"batch":[` + stamped + `]}`, "https://app.example", DefaultReorderWindow},
		{"a server", "/v1/page", testKey, stamped, "", 0},
		{"a server's batch", "/v1/batch", testKey, `{"batch":[` + stamped + `]}`, "", 0},
		{"without a time", "/v1/p", testKey, `{"userId":"u"}`, "", 0},
		{"another source's", "/v1/p", "long-key", stamped, "", MaxReorderWindow},
		{"where it is off", "/v1/p", "off-key", stamped, "", 0},
		{"a call with another source's key", "/v1/b", testKey, `{"batch":[{"writeKey":"long-key",` + stamped[1:] + `]}`, "", MaxReorderWindow},
	} {
		s := start(t, config)
		headers := []string{"X-Write-Key: " + c.key}
		if c.origin != "" {
			headers = append(headers, "Origin: "+c.origin)
		}
		if got := s.send(t, "POST", c.path, c.body, headers...); got.StatusCode != 200 || len(s.entries) != 1 {
			t.Fatalf("%s: %d %s", c.name, got.StatusCode, got.body)
		}
		e := &s.entries[0]
		if e.ReorderWindow != c.want {
			t.Errorf("%s: held for %v, not %v", c.name, e.ReorderWindow, c.want)
		}
		if c.want > 0 && e.Clock != now.UnixMicro() {
			t.Errorf("%s: the clock is %d, not %d", c.name, e.Clock, now.UnixMicro())
		}
	}
}
