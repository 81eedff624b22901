package simulator

import (
	"maps"
	"net/http"
	"strings"
	"time"
)

// cioAppPath is that of the App API: what https://docs.customer.io/integrations/api/app/tag/customers says of reading a person's
// attributes and activities. Of activities there are events only. An unknown key gets 401 here, a host of the wrong region too.
const cioAppPath = "/v1/customers/"

func isCIOApp(path string) bool { return strings.HasPrefix(path, cioAppPath) }

// app answers what a person has.
func (c *customerIO) app(in *request) answer {
	id, about, ok := strings.Cut(strings.TrimPrefix(in.path, cioAppPath), "/")
	key, isBearer := strings.CutPrefix(in.header.Get("Authorization"), "Bearer ")
	kind := in.query.Get("id_type")
	if kind == "" {
		kind = "id"
	}
	switch {
	case !ok || about != "attributes" && about != "activities":
		return cioAppError(http.StatusNotFound)
	case in.method != http.MethodGet:
		return cioAppError(http.StatusMethodNotAllowed)
	case !isBearer || key == "" || c.set.AppAPIKey != "" && key != c.set.AppAPIKey || c.set.Host != c.set.Region:
		return cioAppError(http.StatusUnauthorized)
	case !c.set.allows(kind):
		return cioAppError(http.StatusBadRequest)
	}
	person := c.people.person(c.set.ref(kind, id))
	if person == nil {
		return cioAppError(http.StatusNotFound)
	}
	if about == "activities" {
		return jsonAnswer(http.StatusOK, map[string]any{"activities": person.activities(in), "next": ""})
	}
	return jsonAnswer(http.StatusOK, map[string]any{"customer": map[string]any{
		"id": person.identifiers["id"], "attributes": person.readable(), "devices": []any{},
	}})
}

func cioAppError(status int) answer {
	return jsonAnswer(status, map[string]any{"errors": []any{map[string]any{"detail": http.StatusText(status)}}})
}

// readable are the attributes and identifiers, as texts.
func (c *cioPerson) readable() map[string]any {
	all := maps.Clone(c.attributes)
	for name, value := range all {
		if text := text(value); text != "" {
			all[name] = text
		}
	}
	for kind, value := range c.identifiers {
		all[kind] = value
	}
	all["cio_id"] = c.cioID
	return all
}

// activities are the events that are seen by now, the last first.
func (c *cioPerson) activities(in *request) []any {
	const limit = 10 // where the question has none, and here in any case
	all := []any{}
	kind, name := in.query.Get("type"), in.query.Get("name")
	for i := len(c.events) - 1; i >= 0 && len(all) < limit; i-- {
		event := c.events[i]
		if event.from.After(in.now) || kind != "" && kind != "event" || name != "" && name != event.name {
			continue
		}
		all = append(all, map[string]any{"type": "event", "name": event.name, "timestamp": event.at.Truncate(time.Second).Unix()})
	}
	return all
}
