package vero

import (
	"net/http"

	"aka/destinations/adapter"
)

// Probe implements adapter.Prober. To edit no tags of no profile is refused, but not with 401 where the token is right
// (https://help.getvero.com/track-api-reference).
func (t *translator) Probe() adapter.Probe {
	control := *t
	control.AuthToken = adapter.NewSecret(adapter.MadeUp)
	own, madeUp := t.editNoProfile(), control.editNoProfile()
	return adapter.Probe{Request: own, Control: &madeUp, Keys: []string{"auth_token"}}
}

// editNoProfile cannot fail: all that it encodes is the token.
func (t *translator) editNoProfile() adapter.Request {
	request, _ := t.request(http.MethodPut, "/users/tags/edit", adapter.Object{})
	return request
}
