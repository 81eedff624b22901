package admin

import (
	"net/http"

	"aka/router/live"
	"aka/router/merges"
)

// Identity is what is known of an id.
type Identity struct {
	ID string `json:"id"`
	// Destinations say which ids it was merged with there.
	Destinations []MergesAt `json:"destinations"`
	// Calls are those that touched it, newest first, as far as they are recorded: see Live.
	Calls []live.Call `json:"calls"`
}

// MergesAt is what one destination remembers of the merges of an id, and of those that it was merged with.
type MergesAt struct {
	Destination string `json:"destination"`
	// Remembers is false where remember_merges is off.
	Remembers bool                `json:"remembers"`
	Merges    []merges.Remembered `json:"merges"`
	// More tells that there are others.
	More bool `json:"more,omitempty"`
}

func (h *liveCalls) identity(r *http.Request) (any, error) {
	query, err := readQuery(r, "id")
	if err != nil {
		return nil, err
	}
	id := ""
	if problem := readText(&id, "id", query["id"]); problem != nil {
		return nil, problem
	}
	h.recorder.Activate()
	calls := h.recorder.Calls(live.Filter{ID: id}, usualCalls)
	if calls == nil {
		calls = []live.Call{}
	}
	// Matching digests to ids takes the ids: the recorded calls have many.
	return Identity{ID: id, Destinations: h.merges(r.Context(), id, h.recorder.IDs()), Calls: calls}, nil
}
