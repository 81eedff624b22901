package kissmetrics

import (
	"errors"

	"aka/destinations/adapter"
)

// endpoint is where Kissmetrics takes data (https://support.kissmetrics.io/reference/api-specifications-1).
const endpoint = "https://trk.kissmetrics.io"

// Config is the `settings` section of a Kissmetrics destination. The default of endpoint is https://trk.kissmetrics.io.
type Config struct {
	adapter.Common `yaml:",inline"`
	// APIKey is the product's API key. Required. Kissmetrics answers 200 to a wrong key too.
	APIKey adapter.Secret `yaml:"api_key"`
	// PrefixProperties puts a track's event before the name of each of its properties, as "event - property". Kissmetrics
	// stores all properties of a person in one place, where equal names overwrite each other. Properties of pages, screens and
	// groups always begin with "Page - ", "Screen - " and "Group - ". Default false.
	PrefixProperties bool `yaml:"prefix_properties"`
	// AliasOnIdentify says whether every identify merges its anonymousId with its userId, as an alias does. Two people who
	// share a browser then become one permanently. Default false.
	AliasOnIdentify bool `yaml:"alias_on_identify"`
	// PageEvents says which pages and screens become events: all, named, categorized or none. Default all.
	PageEvents adapter.PageEvents `yaml:"page_events"`
}

// New builds the adapter. Its error lists every mistake in the settings.
func New(settings adapter.Settings) (adapter.Adapter, error) {
	config := Config{PageEvents: adapter.PagesAll}
	problems := []error{settings.Decode(&config)}
	if !config.APIKey.IsSet() {
		problems = append(problems, adapter.Required("api_key"))
	}
	problems = append(problems, config.PageEvents.Check())
	base, err := config.BaseURL(endpoint)
	if err := errors.Join(append(problems, err)...); err != nil {
		return nil, err
	}
	return &translator{Config: config, base: base}, nil
}
