package explain

import (
	"slices"
	"strings"
	"testing"

	"aka/router/config"
)

const edited = `
sources: { website: { write_key: dev } }
destinations:
  plain: { type: kissmetrics, settings: { api_key: k } }
  vero:
    settings: { auth_token: token-2 }
    filter: type != "page" and not properties.internal
    transform:
      - { drop: [properties.card] }
      - { when: type == "page", drop: [properties.b] }
      - { set: { properties.mail: '=sha256(properties.mail.address)' }, when: properties.mail != nil }
`

// One destination gets the call as it came, the other its copy; a failing step shows nothing of the call.
func TestExplain_ShowsFilterAndTransform(t *testing.T) {
	c := load(t, edited, config.LoadOptions{})
	for body, want := range map[string]string{
		`{"type":"page","userId":"jane"}`:                                                     "plain=send vero=drop filtered_by_destination",
		`{"type":"track","event":"e","userId":"jane","properties":{"internal":true}}`:         "plain=send vero=drop filtered_by_destination",
		`{"type":"track","event":"e","userId":"jane","properties":{"internal":"4111"}}`:       "plain=send vero=reject rejected",
		`{"type":"track","event":"e","userId":"jane","properties":{"card":"4111","a":1}}`:     "plain=send vero=send",
		`{"type":"track","event":"e","userId":"jane","properties":{"mail":"4111@email.com"}}`: "plain=send vero=reject rejected",
	} {
		explained, err := Body(c, []byte(body), Options{})
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		if err := explained.WriteText(&text); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(outcomes(explained), " "); got != want {
			t.Errorf("%s: %s", body, got)
		}
		plain, vero, _ := strings.Cut(text.String(), "  vero ")
		if strings.Contains(vero, "4111") || strings.Contains(body, "4111") && !strings.Contains(plain, "4111") {
			t.Errorf("%s: it shows\n%s", body, text.String())
		}
		if d := explained.Calls[0].Destinations[1]; d.Outcome == OutcomeSend &&
			(!slices.Equal(d.Transform, []string{"transform[0].drop"}) || !strings.Contains(vero, "edited by transform[0].drop")) {
			t.Errorf("%s: %v\n%s", body, d.Transform, vero)
		}
	}
}
