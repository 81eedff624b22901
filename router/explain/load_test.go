package explain

import (
	"testing"

	"aka/router/config"
	"aka/router/config/configtest"
)

func load(t *testing.T, text string, options config.LoadOptions) *config.Config {
	t.Helper()
	if options.Lookup == nil {
		options.Lookup = configtest.Lookup
	}
	loaded, err := config.Load(configtest.Write(t, text), options)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}
