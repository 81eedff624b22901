package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"

	"aka/router/journal"
	"aka/router/quarantine"
)

// problem is why a request was refused.
type problem struct {
	status int
	// code is a constant lower_snake_case word, for programs; message is for people.
	code, message string
}

// Error returns the message.
func (p *problem) Error() string { return p.message }

// errorBody is the form of every error, the same that SDKs get.
type errorBody struct {
	Success bool   `json:"success"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Error   string `json:"error"`
	// Count is how many dead letters, held aliases or rows were done before the error.
	Count int `json:"count,omitempty"`
}

// partly is an error that came after some of the work was done.
type partly struct {
	error
	count int
}

// Unwrap returns the error itself.
func (p *partly) Unwrap() error { return p.error }

// answer makes a handler of a function whose result is shown as JSON.
func (s *Server) answer(handle func(r *http.Request) (any, error)) http.Handler {
	return s.answerTo(func(_ http.ResponseWriter, r *http.Request) (any, error) { return handle(r) })
}

// answerTo is answer for a function that sets how long the request may take. It writes nothing itself.
func (s *Server) answerTo(handle func(w http.ResponseWriter, r *http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			// There is nothing to be read any more, and who works for longer than that may take must not be stopped by it.
			_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		}
		result, err := handle(w, r)
		// The work may have taken longer than an answer may.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
		if err != nil {
			s.refuse(w, err)
			return
		}
		writeJSON(w, http.StatusOK, result)
	})
}

func (s *Server) refuse(w http.ResponseWriter, err error) {
	p := problemOf(err)
	if p.status == http.StatusInternalServerError {
		s.log.Error("admin request failed", zap.String("hint", "check that the journal works"), zap.Error(err))
	}
	body := errorBody{Code: p.code, Message: p.message, Error: p.message}
	if done := (*partly)(nil); errors.As(err, &done) {
		body.Count = done.count
	}
	writeJSON(w, p.status, body)
}

// problemOf finds the status and the code of an error.
func problemOf(err error) *problem {
	if p := (*problem)(nil); errors.As(err, &p) {
		return p
	}
	message := err.Error()
	switch {
	case errors.Is(err, journal.ErrNoDeadLetter):
		return &problem{http.StatusNotFound, "not_found", "there is no dead letter of this id; it may have been replayed or discarded"}
	case errors.Is(err, quarantine.ErrNotHeld):
		return &problem{http.StatusNotFound, "not_found", "there is no held alias of this id; it may have been decided about"}
	case errors.Is(err, journal.ErrNoAutoDecision):
		return &problem{http.StatusNotFound, "not_found", "there is no automatic decision of this number; it may have ended"}
	case errors.Is(err, journal.ErrTooManyAutoDecisions):
		return &problem{http.StatusConflict, "too_many_decisions", message}
	case errors.Is(err, journal.ErrNoDropped):
		return &problem{http.StatusNotFound, "not_found", "there is no dropped call of this id; it may have been replayed or discarded"}
	case errors.Is(err, journal.ErrRemoved):
		return &problem{http.StatusConflict, "destination_gone", message}
	case errors.Is(err, journal.ErrDamaged):
		return &problem{http.StatusInternalServerError, "damaged", message + "; it can only be discarded"}
	case errors.Is(err, journal.ErrFull):
		return &problem{http.StatusServiceUnavailable, "journal_full", message}
	case errors.Is(err, journal.ErrClosed), errors.Is(err, journal.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return &problem{http.StatusServiceUnavailable, "journal_unavailable", message}
	case errors.Is(err, ErrNoDestination):
		return &problem{http.StatusNotFound, "not_found", message}
	case errors.Is(err, ErrConfigured), errors.Is(err, ErrDry):
		return &problem{http.StatusConflict, "configured", message}
	case errors.Is(err, ErrBadConfig):
		return &problem{http.StatusUnprocessableEntity, "invalid_config", message}
	case errors.Is(err, ErrNotNow):
		return &problem{http.StatusServiceUnavailable, "try_again", message}
	case errors.Is(err, context.Canceled):
		return &problem{http.StatusServiceUnavailable, "stopped", "stopped before all was done"}
	}
	return &problem{http.StatusInternalServerError, "internal", message}
}

func refuse(w http.ResponseWriter, p *problem) {
	writeJSON(w, p.status, errorBody{Code: p.code, Message: p.message, Error: p.message})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body)
}
