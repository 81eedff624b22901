package acme

import (
	"errors"

	"aka/destinations/adapter"
)

// endpoint is where Acme takes data (https://acme.example/docs).
const endpoint = "https://api.acme.example/v1"

// Config is the `settings` section of an Acme destination. The default of endpoint is https://api.acme.example/v1.
type Config struct {
	adapter.Common `yaml:",inline"`
	// APIKey is the account's key. Required.
	APIKey adapter.Secret `yaml:"api_key"`
}

// New builds the adapter. Its error lists every mistake in the settings.
func New(settings adapter.Settings) (adapter.Adapter, error) {
	var config Config
	problems := []error{settings.Decode(&config)}
	if !config.APIKey.IsSet() {
		problems = append(problems, adapter.Required("api_key"))
	}
	base, err := config.BaseURL(endpoint)
	if err := errors.Join(append(problems, err)...); err != nil {
		return nil, err
	}
	return &translator{Config: config, base: base}, nil
}
