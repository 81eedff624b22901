package customerio

import (
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
	}
}
