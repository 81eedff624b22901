package explain

import (
	"slices"
	"strings"
	"testing"

	"aka/router/config"
)

const overwritten = `{"type":"alias","messageId":"m1","userId":"u","previousId":"u","anonymousId":"0191c2f4-1111-4111-8111-111111111111"}`

// Explain repairs what the ingress repairs.
func TestExplainRepairsAnAliasOfADevice(t *testing.T) {
	device := website
	device.Device = true
	for _, c := range []struct {
		name, config string
		options      Options
		want         []string
		diagnostics  string
	}{
		{"a device's", explained, device, []string{"kissmetrics=send", "mixpanel=drop alias_unsupported_by_simplified_id_merge", "vero=drop previous_id_is_anonymous"}, "previous_id_overwritten_by_sdk"},
		{"a server's", explained, website, []string{"kissmetrics=drop same_ids", "mixpanel=drop same_ids", "vero=drop same_ids"}, ""},
		{"a source that says no", strings.Replace(explained, "write_key: website-key", "write_key: website-key, repair_alias: false", 1), device,
			[]string{"kissmetrics=drop same_ids", "mixpanel=drop same_ids", "vero=drop same_ids"}, ""},
	} {
		explanation, err := Body(load(t, c.config, config.LoadOptions{}), []byte(overwritten), c.options)
		if err != nil {
			t.Fatal(err)
		}
		if got := outcomes(explanation); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q", c.name, got)
		}
		call := explanation.Calls[0]
		var codes []string
		for _, warning := range call.Warnings {
			codes = append(codes, warning.Code)
		}
		if got := strings.Join(codes, " "); got != c.diagnostics {
			t.Errorf("%s: %q", c.name, got)
		}
		for _, d := range call.Destinations {
			if lost := slices.Contains(d.Diagnostics, "new_id_lost_in_browser"); lost != (c.diagnostics != "") {
				t.Errorf("%s: %s: %+v", c.name, d.Name, d)
			}
			if c.name == "a server's" && d.Note != noteServer {
				t.Errorf("%s: the note is %q", d.Name, d.Note)
			}
		}
	}
}

// A memory that identifies tell of links knows whether one is news, and says so when the alias's turn comes.
func TestExplainLeavesItToAMemoryThatKnowsLinks(t *testing.T) {
	remembering := strings.Replace(explained, "id_merge: simplified }", "id_merge: original }, remember_merges: true", 1)
	device := website
	device.Device = true
	explanation, err := Body(load(t, remembering, config.LoadOptions{}), []byte(overwritten), device)
	if err != nil {
		t.Fatal(err)
	}
	if d := explanation.Calls[0].Destinations[1]; d.Name != "mixpanel" || len(d.Diagnostics) > 0 || d.Note != noteMemory+"; "+noteLinked {
		t.Errorf("%+v", d)
	}
}
