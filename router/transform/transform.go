package transform

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"aka/router/expression"
	"aka/router/segment"
)

// Program is a destination's filter and transform, compiled. Nil lets every call through as it is. It is safe for concurrent use.
type Program struct {
	// ofHeader is the filter where a call's header is enough for it, and ofCall where it is not; nil for none.
	ofHeader, ofCall *expression.Program

	steps  []step
	digest string
}

// step is one edit, and its condition.
type step struct {
	name string // such as transform[2].set
	when *expression.Program
	edit edit
}

// edit changes the members of a call.
type edit interface{ do(e *editing) error }

// Digest is the same for programs that do the same with every call; "" for nil.
func (p *Program) Digest() string {
	if p == nil {
		return ""
	}
	return p.digest
}

// Filters reports whether there is a filter.
func (p *Program) Filters() bool { return p != nil && (p.ofHeader != nil || p.ofCall != nil) }

// Transforms reports whether there is a transform.
func (p *Program) Transforms() bool { return p != nil && len(p.steps) > 0 }

// envs are what header filters read, so that one costs no memory.
var envs = sync.Pool{New: func() any { return &expression.Env{} }}

// PassesHeader reports whether the filter lets a call through, as far as its header says. The filter of a call's other members is left
// to Passes. The error holds nothing of the call.
func (p *Program) PassesHeader(h *segment.Header) (bool, error) {
	if p == nil || p.ofHeader == nil {
		return true, nil
	}
	env := envs.Get().(*expression.Env)
	env.SetHeader(h)
	passes, err := p.ofHeader.Truth(env)
	envs.Put(env)
	return passes, of("filter", err)
}

// Passes reports whether the filter lets a call through that PassesHeader has let through. The error holds nothing of the call.
func (p *Program) Passes(call *segment.Call) (bool, error) {
	if p == nil || p.ofCall == nil {
		return true, nil
	}
	passes, err := p.ofCall.Truth(expression.OfCall(call))
	return passes, of("filter", err)
}

// of says which part of the config an error is of.
func of(part string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", part, err)
}

var errNoEvent = errors.New("a track needs an event, which is a text")

// Apply returns the call as the transform edits it: the call itself where there is nothing to do, else a copy. The error says which step
// has failed, and holds nothing of the call.
func (p *Program) Apply(call *segment.Call) (*segment.Call, error) {
	edited, _, err := p.Trace(call)
	return edited, err
}

// Trace is Apply that returns the names of the steps whose conditions held, too, such as "transform[2].set".
func (p *Program) Trace(call *segment.Call) (edited *segment.Call, done []string, err error) {
	if !p.Transforms() {
		return call, nil, nil
	}
	defer func() {
		if cause := recover(); cause != nil { // its text may hold what the call holds
			edited, done, err = nil, nil, fmt.Errorf("transform: panicked with a %T", cause)
		}
	}()
	e := (*editing)(nil) // until a step edits the call
	for i := range p.steps {
		s := &p.steps[i]
		holds, err := s.holds(call, e)
		if err != nil {
			return nil, done, of(s.name+": when", err)
		}
		if !holds {
			continue
		}
		if e == nil {
			e = newEditing(call)
		}
		if err := s.edit.do(e); err != nil {
			return nil, done, of(s.name, err)
		}
		done = append(done, s.name)
	}
	if e == nil {
		return call, nil, nil
	}
	edited = e.call()
	if edited.Type == segment.Track && strings.TrimSpace(edited.Event) == "" {
		return nil, done, of("transform", errNoEvent)
	}
	return edited, done, nil
}

// holds reports whether the step's condition is true of a call as it is now.
func (s *step) holds(call *segment.Call, e *editing) (bool, error) {
	if s.when == nil {
		return true, nil
	}
	if e != nil {
		call = e.call()
	}
	return s.when.Truth(expression.OfCall(call))
}
