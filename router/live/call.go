package live

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"aka/router/journal"
	"aka/router/segment"
)

// State is where a call stands at one destination.
type State string

// The states. A call that a destination has not come to yet is in none of them.
const (
	// Waiting is behind another call of the same person.
	Waiting State = "waiting"
	// Queued is its turn: it waits for its batch, the rate, or a destination that is not well.
	Queued State = "queued"
	// Sending is in an exchange.
	Sending State = "sending"
	// Retrying has failed, and is tried again at Next.
	Retrying State = "retrying"
	// Parked is on disk, because it fails while others pass or is behind such a call.
	Parked State = "parked"
	// Blocking is a dead letter behind which others wait until it is replayed or discarded.
	Blocking State = "blocking"
	// Held is an alias that a merge rule holds until it is approved or refused.
	Held State = "held"
	// Delivered, Dropped and Dead are ends.
	Delivered State = "delivered"
	Dropped   State = "dropped"
	Dead      State = "dead"
	// WouldSend is the end of a call at a dry destination that would be sent there.
	WouldSend State = "would_send"
)

// States lists every state.
var States = []State{Waiting, Queued, Sending, Retrying, Parked, Blocking, Held, Delivered, Dropped, Dead, WouldSend}

// isFailure reports whether a call in the state is worth being taken up for it.
func (s State) isFailure() bool {
	return s == Retrying || s == Parked || s == Blocking || s == Held || s == Dead
}

// Step is something that happened to a call at a destination, and the state that it is in since.
type Step struct {
	Destination string    `json:"destination"`
	State       State     `json:"state"`
	At          time.Time `json:"at"`
	// Reason is why it was dropped or is dead, one of the closed set of reasons; of a delivery, what the adapter noted.
	Reason string `json:"reason,omitempty"`
	// Note is beside the outcome: new_id_lost_in_browser where the call is a repaired alias that may hide a new id, or
	// ignored_option with the paths of its options that make no sense.
	Note string `json:"note,omitempty"`
	// Detail is what the vendor or the adapter said, bounded and with secrets masked.
	Detail string `json:"detail,omitempty"`
	// Status is that of the answer, 0 when there is none; Took is how long the exchange took, in seconds.
	Status int     `json:"status,omitempty"`
	Took   float64 `json:"took_seconds,omitempty"`
	// Attempt counts the exchanges from 1. Batch is how many calls the exchange has.
	Attempt int `json:"attempt,omitempty"`
	Batch   int `json:"batch,omitempty"`
	// Request is which of the call's Requests it is about, from 1, where there are several.
	Request  int `json:"request,omitempty"`
	Requests int `json:"requests,omitempty"`
	// More tells that there may be more of them, by what the vendor answers.
	More bool `json:"more,omitempty"`
	// Next is when it is tried again.
	Next *time.Time `json:"next,omitempty"`
	// Behind is the call that it waits for; there may be more before that.
	Behind *Other `json:"behind,omitempty"`
	// DeadLetter is the id of its dead letter.
	DeadLetter uint64 `json:"dead_letter,omitempty"`
}

// Other names a call.
type Other struct {
	ID        string `json:"id"`
	Type      string `json:"type"`
	MessageID string `json:"message_id"`
}

// Call is a call as it is shown in a list. Long ids and names are cut and end in "…".
type Call struct {
	// ID is the call's place in the log.
	ID          string `json:"id"`
	Type        string `json:"type"`
	MessageID   string `json:"message_id"`
	UserID      string `json:"user_id,omitempty"`
	AnonymousID string `json:"anonymous_id,omitempty"`
	PreviousID  string `json:"previous_id,omitempty"`
	GroupID     string `json:"group_id,omitempty"`
	// Name is a track's event, or a page's or screen's name.
	Name   string `json:"name,omitempty"`
	Source string `json:"source"`
	// Target is the only destination that it is for, where a dead letter was replayed, for the Replays-th time.
	Target  string `json:"target,omitempty"`
	Replays int    `json:"replays,omitempty"`
	// ReceivedAt is when it was accepted, Timestamp when it happened.
	ReceivedAt time.Time `json:"received_at"`
	Timestamp  time.Time `json:"timestamp"`
	// Diagnostics are what was odd about it: previous_id_overwritten_by_sdk, and new_id_lost_in_browser where a destination notes
	// that.
	Diagnostics []string `json:"diagnostics,omitempty"`
	// Destinations are the last steps, by destination. One that is not among them has not read the call yet, unless the call is
	// Partial.
	Destinations []Step `json:"destinations"`
	// Partial tells that the call was not recorded from its acceptance on: it is older than the recording, or was passed over at
	// first. Of a destination that is not among Destinations, nothing is known: the call may have ended there.
	Partial bool `json:"partial,omitempty"`
}

// Detail is all that is remembered of a call.
type Detail struct {
	Call
	// Steps are what happened to it, oldest first. Omitted is how many are missing in the middle.
	Steps   []Step `json:"steps"`
	Omitted int    `json:"omitted,omitempty"`
	// JSON is the call as the SDK sent it. It is missing where that is too large to be remembered.
	JSON json.RawMessage `json:"call,omitempty"`
	// Entry is the same, for programs; nil where it is too large.
	Entry *journal.Entry `json:"-"`
}

const (
	// maxJSON is the largest call whose JSON is remembered.
	maxJSON = 32 << 10
	// maxText bounds ids and names that are shown. No id that is sent anywhere is longer.
	maxText = 256
	// maxSteps bounds what is remembered of one call: the first steps and the last ones.
	maxSteps, firstSteps = 60, 20
	// recordBytes and stepBytes are what a record and a step take beside their texts.
	recordBytes, stepBytes = 600, 250
)

// record is a call that is remembered.
type record struct {
	pos      journal.Position
	entry    journal.Entry // its own copy
	hasJSON  bool
	partial  bool   // steps before the first may be missing
	steps    []Step // oldest first
	omitted  int
	last     []Step // of each destination, in the order in which they came to it
	name     atomic.Pointer[string]
	size     int
	revision uint64
}

func newRecord(pos journal.Position, e *journal.Entry) *record {
	c := &record{pos: pos, entry: *e, hasJSON: len(e.JSON)+len(e.Routing) <= maxJSON}
	own := &c.entry
	for _, s := range [...]*string{&own.Source, &own.Target, &own.MessageID, &own.UserID, &own.AnonymousID, &own.PreviousID, &own.GroupID} {
		if c.hasJSON {
			*s = strings.Clone(*s)
		} else {
			*s = cut(strings.Clone((*s)[:min(len(*s), 2*maxText)]))
		}
		c.size += len(*s)
	}
	if c.hasJSON {
		own.JSON, own.Routing = bytes.Clone(own.JSON), bytes.Clone(own.Routing)
	} else {
		own.JSON, own.Routing = nil, nil
	}
	c.size += recordBytes + len(own.JSON) + len(own.Routing)
	return c
}

// add takes a step in, and returns what it takes more.
func (c *record) add(s Step) (bytes int) {
	before := c.size
	if i := slices.IndexFunc(c.last, func(l Step) bool { return l.Destination == s.Destination }); i >= 0 {
		c.last[i] = s
	} else {
		c.last = append(c.last, s)
		c.size += stepBytes
	}
	if len(c.steps) == maxSteps {
		c.size -= sizeOf(&c.steps[firstSteps])
		c.steps = slices.Delete(c.steps, firstSteps, firstSteps+1)
		c.omitted++
	}
	c.steps = append(c.steps, s)
	c.size += sizeOf(&s)
	return c.size - before
}

func sizeOf(s *Step) int { return stepBytes + len(s.Detail) }

// shown is the record as it is shown in a list. Its name is found out later: that may take a while.
func (c *record) shown() Call {
	e := &c.entry
	call := Call{
		ID: c.pos.String(), Type: e.Type.String(), MessageID: cut(e.MessageID), UserID: cut(e.UserID), AnonymousID: cut(e.AnonymousID),
		PreviousID: cut(e.PreviousID), GroupID: cut(e.GroupID), Source: e.Source, Target: e.Target,
		ReceivedAt: e.ReceivedAt, Timestamp: e.Timestamp, Destinations: slices.Clone(c.last), Partial: c.partial,
	}
	if call.Destinations == nil {
		call.Destinations = []Step{}
	}
	if e.Replayed != nil {
		call.Replays = e.Replayed.Times
	}
	call.Diagnostics = c.diagnostics()
	return call
}

func (c *record) diagnostics() (codes []string) {
	if c.entry.PreviousIDRepaired {
		codes = append(codes, segment.PreviousIDOverwritten)
	}
	if slices.ContainsFunc(c.last, func(s Step) bool { return s.Note == segment.NewIDLost }) {
		codes = append(codes, segment.NewIDLost)
	}
	return codes
}

// findName decodes the call for its name, once.
func (c *record) findName() string {
	if cached := c.name.Load(); cached != nil {
		return *cached
	}
	name := ""
	if c.hasJSON {
		if call, err := c.entry.Decode(); err == nil {
			for _, text := range []string{call.Event, call.Name, call.Category} {
				if name == "" {
					name = cut(strings.Clone(text))
				}
			}
		}
	}
	c.name.Store(&name)
	return name
}

// cut bounds a text, and leaves no half of a character.
func cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	end := maxText
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}
