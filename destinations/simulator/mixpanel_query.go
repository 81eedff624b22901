package simulator

import (
	"encoding/json"
	"net/http"
	"slices"
)

// mixpanelQueryPath is that of https://docs.mixpanel.com/reference/engage-query. Of its parameters there are distinct_id and
// distinct_ids. The pages do not say by which ids a merged profile is found; here it is by each of them.
const mixpanelQueryPath = "/api/query/engage"

// queryProfiles answers the profiles of some ids. It takes the credentials of /import, but not the token.
func (m *mixpanel) queryProfiles(in *request) answer {
	login, refused := m.login(in)
	if refused != nil || !login.merge {
		return jsonAnswer(http.StatusUnauthorized, map[string]any{"error": "Unauthorized", "status": "error"})
	}
	parameters, err := in.parameters()
	ids := []string{parameters.Get("distinct_id")}
	if many := parameters.Get("distinct_ids"); err == nil && many != "" {
		err = json.Unmarshal([]byte(many), &ids)
	}
	if err != nil {
		return jsonAnswer(http.StatusBadRequest, map[string]any{"error": "the parameters cannot be read", "status": "error"})
	}
	results := []any{}
	for _, person := range m.state.graph.people() {
		isAsked := func(id string) bool { return slices.Contains(ids, id) }
		if len(person.Properties) > 0 && slices.ContainsFunc(person.IDs, isAsked) {
			results = append(results, map[string]any{"$distinct_id": person.IDs[0], "$properties": person.Properties})
		}
	}
	return jsonAnswer(http.StatusOK, map[string]any{"page": 0, "page_size": 1000, "results": results, "status": "ok", "total": len(results)})
}
