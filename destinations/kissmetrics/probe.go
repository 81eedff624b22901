package kissmetrics

import "aka/destinations/adapter"

// Probe implements adapter.Prober. Nothing that Kissmetrics takes is harmless, and it answers every key alike
// (https://support.kissmetrics.io/reference/api-specifications-1), so that only the way there can be tried: an event without a key
// belongs to no person.
func (t *translator) Probe() adapter.Probe {
	return adapter.Reach(t.base+"/e", "Kissmetrics answers every API key with success, a wrong one too: look for a first event in the account")
}
