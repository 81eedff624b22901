package vero

import (
	"errors"

	"aka/destinations/adapter"
)

// endpoint is the base of Vero's Track REST API (https://help.getvero.com/track-api-reference).
const endpoint = "https://api.getvero.com/api/v2"

// Config is the `settings` section of a Vero destination. The default of endpoint is https://api.getvero.com/api/v2. Another
// endpoint includes the version too.
type Config struct {
	adapter.Common `yaml:",inline"`
	// AuthToken is the account's authentication token, or its tracking API key. Required.
	AuthToken adapter.Secret `yaml:"auth_token"`
	// PageEvents says which pages and screens become events: all, named, categorized or none. Default all.
	PageEvents adapter.PageEvents `yaml:"page_events"`
}

// New builds the adapter. Its error lists every mistake in the settings.
func New(settings adapter.Settings) (adapter.Adapter, error) {
	config := Config{PageEvents: adapter.PagesAll}
	problems := []error{settings.Decode(&config)}
	if !config.AuthToken.IsSet() {
		problems = append(problems, adapter.Required("auth_token"))
	}
	problems = append(problems, config.PageEvents.Check())
	base, err := config.BaseURL(endpoint)
	if err := errors.Join(append(problems, err)...); err != nil {
		return nil, err
	}
	return &translator{Config: config, base: base, guard: adapter.NewGuard(config.BlockedIDs)}, nil
}
