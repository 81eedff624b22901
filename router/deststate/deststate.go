// Package deststate names the states of a destination. Metrics, JSON, the CLI, the live page and the docs take their words from
// its one table.
package deststate

import "slices"

// State is the state of a destination as metrics and JSON have it.
type State string

// The states. A destination is in one; where several hold, it is in the one that says most: Removed, Paused, what the breaker
// says, Filling, OK.
const (
	OK         State = "ok"
	Probing    State = "probing"
	Down       State = "down"
	AuthFailed State = "auth_failed"
	Refusing   State = "refusing"
	Paused     State = "paused"
	Filling    State = "filling"
	Removed    State = "removed"
)

// row is a state's words: a name for text and a sentence.
type row struct {
	state          State
	name, sentence string
}

var table = []row{
	{OK, "ok", "It takes calls."},
	{Probing, "probing", "One call at a time is sent, to see whether it takes calls again."},
	{Down, "down", "Its exchanges fail, and calls wait. It is probed until it takes calls again."},
	{AuthFailed, "credentials refused", "It answers 401 or 403, and calls wait. Correct its settings and reload."},
	{Refusing, "refuses every call", "It answers 402, 404 or the like to every call, and calls wait. Check the account and the endpoint."},
	{Paused, "paused", "An operator paused it, and calls wait until it is resumed."},
	{Filling, "backlog filling", "It takes calls more slowly than they come, and its backlog is over delivery.backlog_alarm."},
	{Removed, "removed", "It is no longer in the config. Its calls wait until it is configured again or forgotten."},
}

// All returns every state, in the order in which they are listed.
func All() []State {
	all := make([]State, len(table))
	for i, r := range table {
		all[i] = r.state
	}
	return all
}

// Name returns the state's name for people, or the state itself where it is not one of All.
func (s State) Name() string {
	if r := s.row(); r != nil {
		return r.name
	}
	return string(s)
}

// Sentence returns what the state means and what to do about it; "" where it is not one of All.
func (s State) Sentence() string {
	if r := s.row(); r != nil {
		return r.sentence
	}
	return ""
}

func (s State) row() *row {
	if i := slices.IndexFunc(table, func(r row) bool { return r.state == s }); i >= 0 {
		return &table[i]
	}
	return nil
}
