package mixpanel

import (
	"maps"
	"net/http"

	"aka/destinations/adapter"
)

// Probe implements adapter.Prober. It imports no events, an empty list, which /import answers by the credentials that come
// with it (https://docs.mixpanel.com/troubleshooting/errors/401-unauthorized).
func (t *translator) Probe() adapter.Probe {
	own := adapter.Request{Method: http.MethodPost, URL: t.events.url, Header: maps.Clone(t.events.header), Body: []byte("[]")}
	delete(own.Header, "Content-Encoding")
	control := own
	control.Header = maps.Clone(own.Header)
	control.Header["Authorization"] = t.madeUp()
	advice := "The region has to be the project's"
	if t.ServiceAccount != nil {
		advice += ", and the service account an owner or admin of it"
	}
	return adapter.Probe{Request: own, Control: &control, Keys: t.credentialKeys(), Advice: advice, Unknown: t.unknown()}
}

// madeUp are credentials of the same kind that no project has.
func (t *translator) madeUp() string {
	c := Config{Token: adapter.NewSecret(adapter.MadeUp)}
	if t.ServiceAccount != nil {
		c.ServiceAccount = &ServiceAccount{Username: adapter.MadeUp, Secret: adapter.NewSecret(adapter.MadeUp)}
	}
	return c.authorization()
}

func (t *translator) credentialKeys() []string {
	switch {
	case t.ServiceAccount != nil:
		return []string{"service_account.username", "service_account.secret", "service_account.project_id"}
	case t.APISecret.IsSet():
		return []string{"api_secret"}
	}
	return []string{"token"}
}

// unknown is what events alone do not tell: the credentials of profiles are the token, whatever those of events are.
func (t *translator) unknown() string {
	text := "Mixpanel does not say whether id_merge is the project's"
	if t.ServiceAccount != nil || t.APISecret.IsSet() {
		return text + ", nor whether the token, which profiles and aliases go by, is a project's at all"
	}
	return text
}
