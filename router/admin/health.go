package admin

import (
	"context"
	"net/http"
	"time"
)

// checkTimeout is the longest that the readiness waits for the journal: probes give up soon.
const checkTimeout = 2 * time.Second

func alive(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]bool{"healthy": true})
}

// readiness is the answer of /readyz. A check says "ok", or what is wrong.
type readiness struct {
	Ready  bool              `json:"ready"`
	Checks map[string]string `json:"checks"`
}

// health reports whether calls can be taken.
type health struct {
	journal Journal
	started func() error
}

func (h *health) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
	defer cancel()
	answer := readiness{Ready: true, Checks: map[string]string{}}
	answer.add("journal", h.journal.Writable(ctx))
	answer.add("started", h.started())
	status := http.StatusOK
	if !answer.Ready {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, answer)
}

func (r *readiness) add(check string, err error) {
	r.Checks[check] = "ok"
	if err != nil {
		r.Ready = false
		r.Checks[check] = err.Error()
	}
}
