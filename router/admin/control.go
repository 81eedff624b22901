package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// Operations is what can be done with what runs.
type Operations interface {
	// Pause keeps a destination from being sent anything, or lets it go on, over restarts too.
	Pause(destination string, paused bool) error
	// ResumeAnyway has a destination that refuses every call be sent the calls that wait, which may become dead letters. refusing
	// is false when it is in another state.
	ResumeAnyway(ctx context.Context, destination string) (refusing bool, err error)
	// Forget drops the calls that wait for a removed destination, and returns how many there were.
	Forget(ctx context.Context, destination string) (calls uint64, err error)
	// Reload applies the config file as it is now, and returns what that has changed, as JSON.
	Reload() (any, error)
	// Drain takes no more calls and ends the process when all have been delivered; CancelDrain takes calls again; Draining
	// says how far it is.
	Drain() error
	CancelDrain() error
	Draining() Draining
	// Drained is closed when a drain has come to its end.
	Drained() <-chan struct{}
}

// Errors of a Control.
var (
	// ErrNoDestination tells that there is none of that name.
	ErrNoDestination = errors.New("no such destination")
	// ErrDry tells that a destination keeps its calls until it is live.
	ErrDry = errors.New("the destination is dry: set its mode to live and reload")
	// ErrConfigured tells that a destination is in the config, so that it cannot be forgotten.
	ErrConfigured = errors.New("the destination is configured: take it out of the config and reload first")
	// ErrBadConfig tells that the config's file cannot be gone by.
	ErrBadConfig = errors.New("the config was not reloaded, and the old one stays")
)

// Draining is how far a drain has come.
type Draining struct {
	// Draining tells that no calls are taken; Done that all that were have ended, and the process is about to.
	Draining bool `json:"draining"`
	Done     bool `json:"done"`
	// Waiting is how many calls have not ended, by destination; one where none waits is not listed.
	Waiting map[string]uint64 `json:"waiting"`
	// Paused are those of them that are paused: nothing of theirs will end before they are resumed.
	Paused []string `json:"paused"`
}

// Paused is the answer to a pause or a resumption.
type Paused struct {
	Destination string `json:"destination"`
	Paused      bool   `json:"paused"`
}

// Forgotten is the answer when a destination was forgotten.
type Forgotten struct {
	Destination string `json:"destination"`
	// Calls is how many waited for it.
	Calls uint64 `json:"calls"`
}

// Resumed is the answer to a resumption with anyway=true.
type Resumed struct {
	Destination string `json:"destination"`
	// Refusing reports whether the destination refused every call; else nothing has changed.
	Refusing bool `json:"refusing"`
}

// control does with what runs what its operator asks for.
type control struct {
	operations Operations
	reloads    atomic.Int64 // that are under way, or wait for those before
}

func (h *control) pause(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	return h.setPaused(r, true)
}

func (h *control) resume(r *http.Request) (any, error) {
	query, err := readQuery(r, "anyway")
	if err != nil {
		return nil, err
	}
	switch anyway := query["anyway"]; anyway {
	case "", "false":
		return h.setPaused(r, false)
	case "true":
		name := r.PathValue("name")
		refusing, err := h.operations.ResumeAnyway(r.Context(), name)
		if err != nil {
			return nil, err
		}
		return Resumed{name, refusing}, nil
	default:
		return nil, &problem{http.StatusBadRequest, "invalid_anyway", fmt.Sprintf("anyway: expected true or false, not %q", anyway)}
	}
}

func (h *control) setPaused(r *http.Request, paused bool) (any, error) {
	name := r.PathValue("name")
	if err := h.operations.Pause(name, paused); err != nil {
		return nil, err
	}
	return Paused{name, paused}, nil
}

func (h *control) forget(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	name := r.PathValue("name")
	calls, err := h.operations.Forget(r.Context(), name)
	if err != nil {
		return nil, err
	}
	return Forgotten{name, calls}, nil
}

// reloadPatience is how long an answer waits for a reload: what is in flight at a destination that changes may take as long as
// that one's timeout.
const reloadPatience = 25 * time.Second

// maxReloads bounds how many are asked for at once: they go one after the other.
const maxReloads = 8

func (h *control) reload(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	if h.reloads.Add(1) > maxReloads {
		h.reloads.Add(-1)
		return nil, fmt.Errorf("%w: %d reloads are asked for already", ErrNotNow, maxReloads)
	}
	type outcome struct {
		done any
		err  error
	}
	reloaded := make(chan outcome, 1)
	go func() {
		defer h.reloads.Add(-1)
		done, err := h.operations.Reload()
		reloaded <- outcome{done, err}
	}()
	select {
	case o := <-reloaded:
		return o.done, o.err
	case <-time.After(reloadPatience):
		return nil, &problem{http.StatusServiceUnavailable, "reloading", "the reload is under way: it waits for what is in flight; the log says when it is done, or what is wrong with the config"}
	}
}

func (h *control) drain(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	if err := h.operations.Drain(); err != nil {
		return nil, err
	}
	return h.operations.Draining(), nil
}

func (h *control) cancelDrain(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	if err := h.operations.CancelDrain(); err != nil {
		return nil, err
	}
	return h.operations.Draining(), nil
}

// drainPatience is how long who asks with wait=true waits for the end of the drain.
const drainPatience = time.Second

// showDrain answers at the end of the drain those who wait for it: the process ends only then.
func (h *control) showDrain(r *http.Request) (any, error) {
	query, err := readQuery(r, "wait")
	if err != nil {
		return nil, err
	}
	switch wait := query["wait"]; wait {
	default:
		return nil, &problem{http.StatusBadRequest, "invalid_wait", fmt.Sprintf("wait: expected true or false, not %q", wait)}
	case "", "false":
	case "true":
		select {
		case <-h.operations.Drained():
		case <-time.After(drainPatience):
		case <-r.Context().Done():
		}
	}
	return h.operations.Draining(), nil
}
