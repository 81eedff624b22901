package admin

import (
	"context"
	"net/http"

	"aka/router/delivery"
)

// DestinationList is how all destinations do.
type DestinationList struct {
	Destinations []delivery.Status `json:"destinations"`
}

// statuses shows how the destinations do.
type statuses struct {
	status       func(ctx context.Context) []delivery.Status
	destinations func() []string
}

func (h *statuses) list(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	return DestinationList{h.status(r.Context())}, nil
}

func (h *statuses) show(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	name := r.PathValue("name")
	for _, status := range h.status(r.Context()) {
		if status.Name == name {
			return status, nil
		}
	}
	if problem := oneOf("destination", name, h.destinations()); problem != nil {
		problem.status = http.StatusNotFound
		return nil, problem
	}
	return nil, &problem{http.StatusServiceUnavailable, "try_again", name + " is starting, or stopping"}
}
