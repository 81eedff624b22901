package ingress

import (
	"testing"

	"aka/destinations/adapter"
)

const overwritten = `{"type":"alias","messageId":"m1","userId":"u","previousId":"u","anonymousId":"X"}`

// previousIDs returns those in the journal, in order.
func (s *stand) previousIDs() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.entries {
		all = append(all, s.entries[i].PreviousID)
	}
	return all
}

func TestAnOverwrittenPreviousIDIsRepairedWhereADeviceSends(t *testing.T) {
	no := false
	for _, c := range []struct {
		name, path, origin string
		repair             *bool
		body, want         string
	}{
		{"a browser by its origin", "/v1/alias", "https://app.example", nil, overwritten, "X"},
		{"a phone by its path", "/v1/a", "", nil, overwritten, "X"},
		{"a batch of a browser", "/v1/b", "", nil, `{"batch":[` + overwritten + `]}`, "X"},
		{"a server", "/v1/alias", "", nil, overwritten, "u"},
		{"a batch of a server", "/v1/batch", "", nil, `{"batch":[` + overwritten + `]}`, "u"},
		{"a source that says no", "/v1/a", "https://app.example", &no, overwritten, "u"},
	} {
		config := testConfig()
		config.Sources = map[string]Source{"website": {WriteKey: adapter.NewSecret(testKey), RepairAlias: c.repair}}
		s := start(t, config)
		var headers []string
		if c.origin != "" {
			headers = append(headers, "Origin: "+c.origin)
		}
		s.post(t, c.path, c.body, headers...)
		if got := s.previousIDs(); len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: previousId %q, not %s", c.name, got, c.want)
		}
		repairs := 0.0
		if c.want == "X" {
			repairs = 1
		}
		s.wantCount(t, repairs, "warnings_total", "code=previous_id_overwritten_by_sdk", "source=website")
	}
}
