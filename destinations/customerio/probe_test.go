package customerio

import (
	"strings"
	"testing"

	"aka/destinations/adapter"
)

// https://docs.customer.io/integrations/api/track: the host of the US passes on the calls of the EU, and not the other way round.
func TestTheProbeComparesTheRegionWithTheAccounts(t *testing.T) {
	answer := func(status int, body string) adapter.Answer {
		return adapter.Answer{Status: status, Body: []byte(body)}
	}
	us, eu := answer(200, `{"url":"https://track.customer.io","region":"us","environment_id":1}`), answer(200, `{"url":"https://track-eu.customer.io","region":"eu","environment_id":1}`)
	for _, c := range []struct {
		region, endpoint string
		own              adapter.Answer
		finding          adapter.Finding
		sentence         string
	}{
		{"us", "", us, adapter.Accepted, "The region is the account's"},
		{"eu", "", eu, adapter.Accepted, "The region is the account's"},
		{"us", "", eu, adapter.Accepted, "the account is in the region eu"},
		{"eu", "", us, adapter.NotAccepted, ""},
		{"eu", "https://proxy.example.com", us, adapter.Accepted, "the account is in the region us"},
		{"us", "", answer(200, `{"region":"moon"}`), adapter.Accepted, "aka does not compare the region"},
		{"us", "", answer(200, `{}`), adapter.Accepted, "aka does not compare the region"},
		{"us", "", answer(200, `[`), adapter.Accepted, "aka does not compare the region"},
		{"eu", "", answer(401, `{"region":"us"}`), adapter.NotAccepted, ""},
	} {
		config := Config{SiteID: "s1te", APIKey: adapter.NewSecret("k3y"), Region: c.region}
		config.Endpoint = c.endpoint
		finding, sentence := newTranslator(config, regions[c.region]).Probe().ReadAnswers(c.own, answer(401, "{}"))
		if finding != c.finding || !strings.Contains(sentence, c.sentence) {
			t.Errorf("%s %s, %s: %s, %q", c.region, c.endpoint, c.own.Body, finding, sentence)
		}
	}
}
