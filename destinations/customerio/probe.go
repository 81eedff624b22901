package customerio

import (
	"encoding/json"
	"net/http"

	"aka/destinations/adapter"
)

// Probe implements adapter.Prober. Customer.io answers credentials with the account's region, and others with 401
// (https://docs.customer.io/integrations/api/track).
func (t *translator) Probe() adapter.Probe {
	ask := func(authorization string) adapter.Request {
		return adapter.Request{Method: http.MethodGet, URL: t.base + regionPath, Header: map[string]string{"Authorization": authorization}}
	}
	control := ask(basic(adapter.MadeUp, adapter.NewSecret(adapter.MadeUp)))
	return adapter.Probe{
		Request: ask(basic(t.SiteID, t.APIKey)),
		Control: &control,
		Keys:    []string{"site_id", "api_key"},
		Advice:  "The region has to be the account's, and the key one of the Track API",
		Unknown: "aka does not compare the region with the account's, nor identifiers with the workspace's",
		Read:    t.readRegion,
	}
}

// readRegion compares the account's region with the setting. Each host says which it is, but that of the EU refuses the calls of a US
// account.
func (t *translator) readRegion(own, _ adapter.Answer) (adapter.Finding, string) {
	var said struct{ Region string }
	if own.Status != http.StatusOK || json.Unmarshal(own.Body, &said) != nil || regions[said.Region] == "" {
		return "", ""
	}
	switch {
	case said.Region == t.Region:
		return "", "The region is the account's. aka does not compare identifiers with the workspace's"
	case t.Region == "eu" && t.Endpoint == "":
		return adapter.NotAccepted, ""
	}
	return "", "But the account is in the region " + said.Region + ": set region to it"
}
