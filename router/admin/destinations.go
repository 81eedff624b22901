package admin

import (
	"net/http"

	"aka/router/delivery"
)

// DestinationList is how all destinations do.
type DestinationList struct {
	Destinations []delivery.Status `json:"destinations"`
}

func (s *Server) listDestinations(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	return DestinationList{s.Status(r.Context())}, nil
}

func (s *Server) showDestination(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	name := r.PathValue("name")
	for _, status := range s.Status(r.Context()) {
		if status.Name == name {
			return status, nil
		}
	}
	if problem := oneOf("destination", name, s.Destinations()); problem != nil {
		problem.status = http.StatusNotFound
		return nil, problem
	}
	return nil, &problem{http.StatusServiceUnavailable, "try_again", name + " is starting, or stopping"}
}
