package router

import (
	"strings"
	"testing"

	"aka/router/config"
	"aka/router/config/configtest"
)

// mapping is a config with a destination of its own making.
const mapping = `
sources: { website: { write_key: dev } }
destinations:
  acme:
    type: http
    settings:
      endpoint: https://api.acme.example
      secrets: { token: t0ken }
      calls: { track: { send: [{ request: "POST /people/{userId}", json: { key: =secrets.token, name: =trim(event) } }] } }
`

func loaded(t *testing.T, text string) map[string]*config.Destination {
	t.Helper()
	c, err := config.Load(configtest.Write(t, text), config.LoadOptions{Lookup: configtest.Lookup})
	if err != nil {
		t.Fatal(err)
	}
	return c.Destinations
}

// A reload must leave a destination alone whose settings are what they were: to replace it would end what is in flight.
func TestAnUnchangedDestinationIsUnchangedWhateverItsVendor(t *testing.T) {
	for _, text := range []string{configtest.Minimal, mapping} {
		before, after := loaded(t, text), loaded(t, "# moved down by a line\n"+text)
		for name := range before {
			if got := changeOf(before[name], after[name]); got != unchanged {
				t.Errorf("%s: change %d", name, got)
			}
		}
	}
}

func TestAChangedMappingReplacesItsDestination(t *testing.T) {
	before := loaded(t, mapping)["acme"]
	for old, by := range map[string]string{"trim(event)": "lower(event)", "t0ken": "another", "POST": "PUT", "api.acme": "eu.acme", "name:": "title:"} {
		after := loaded(t, strings.Replace(mapping, old, by, 1))["acme"]
		if got := changeOf(before, after); got != replaced {
			t.Errorf("%s instead of %s: change %d", by, old, got)
		}
	}
}
