package http

import (
	"maps"

	"aka/destinations/adapter"
	"aka/router/expression"
)

// probe makes the request with the secrets, and with made-up ones.
func (c *compiler) probe() *adapter.Probe {
	section := c.config.Probe
	if !section.Request.IsSet() {
		return nil
	}
	own, ok := c.probeRequest()
	if !ok {
		return nil
	}
	probe := &adapter.Probe{Request: own, Keys: section.Keys, Advice: section.Advice}
	if len(c.secrets) == 0 {
		return probe
	}
	secrets, mistakes := c.secrets, c.mistakes
	c.secrets = maps.Clone(secrets)
	for name := range secrets {
		c.secrets[name] = adapter.MadeUp
	}
	if control, ok := c.probeRequest(); ok {
		probe.Control = &control
	}
	c.secrets, c.mistakes = secrets, mistakes
	return probe
}

func (c *compiler) probeRequest() (adapter.Request, bool) {
	section, before := c.config.Probe, len(c.mistakes)
	r := &request{key: "probe"}
	c.compose(r, "probe", parts{section.Request, section.JSONBody, section.FormBody, section.Query, section.Headers})
	if len(c.mistakes) > before {
		return adapter.Request{}, false
	}
	made, err := r.make(c.base, &run{env: &expression.Env{}})
	if err != nil {
		c.add("probe", section.Request.Node(), "cannot be made without a call: %v", err)
		return made, false
	}
	return made, true
}
