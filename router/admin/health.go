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

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
	defer cancel()
	answer := readiness{Ready: true, Checks: map[string]string{}}
	answer.add("journal", s.Journal.Writable(ctx))
	answer.add("started", s.Started())
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
