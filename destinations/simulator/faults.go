package simulator

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Phase says when a fault strikes.
type Phase string

const (
	// Before the vendor has done anything: nothing of the exchange is taken. The default.
	Before Phase = "before"
	// After the vendor has taken what the exchange holds: only the answer suffers.
	After Phase = "after"
)

// Fault is something that goes wrong with exchanges. Its fields combine; a delay always comes first.
type Fault struct {
	// Delay is how long the vendor does nothing at first. In JSON a string such as "150ms".
	Delay time.Duration `json:"-"`
	// When is when Hang, Reset, Status and Page strike. Default: before.
	When Phase `json:"when,omitempty"`
	// Hang gives no answer until the faults are cleared, when the exchange goes on, or the client goes away.
	Hang bool `json:"hang,omitempty"`
	// Reset breaks the connection instead of answering. Before, and without Delay, ID and Match on any fault, it does so
	// without reading the body.
	Reset bool `json:"reset,omitempty"`
	// Status is answered instead of the vendor's own, with an empty body unless Body or BodyBytes say otherwise.
	Status int `json:"status,omitempty"`
	// Page answers with a web page in the vendor's place, as a firewall or a login does: with status 200, unless Status says
	// otherwise.
	Page bool `json:"page,omitempty"`
	// FailRecords are the indexes of records that the vendor refuses as if they were wrong, in the way in which it
	// refuses: some vendors say so, Kissmetrics does not.
	FailRecords []int `json:"fail_records,omitempty"`
	// Header is added to the answer, over what is there: Retry-After, Location, Content-Type, Content-Encoding.
	Header map[string]string `json:"header,omitempty"`
	// Body is answered instead of the vendor's own.
	Body string `json:"body,omitempty"`
	// BodyBytes stretches the answer's body to this many bytes, by repeating it.
	BodyBytes int64 `json:"body_bytes,omitempty"`
	// Endless repeats the answer's body until the client goes away. With a Drip of hours it stalls behind its first byte.
	Endless bool `json:"endless,omitempty"`
	// Drip sends the answer's body a byte at a time with this pause between. In JSON a string such as "10ms".
	Drip time.Duration `json:"-"`

	// Times is how many exchanges meet the fault; 0 is every one until it is cleared.
	Times int `json:"times,omitempty"`
	// Probability is the chance that an exchange meets the fault, from the account's seeded dice; 0 is always.
	Probability float64 `json:"probability,omitempty"`
	// Path restricts the fault to exchanges whose path holds it, such as "/import".
	Path string `json:"path,omitempty"`
	// ID restricts the fault to exchanges with this text as a whole value somewhere in their records.
	ID string `json:"id,omitempty"`
	// Match restricts the fault to exchanges for which it returns true. It is asked once for every exchange that the
	// other restrictions let through, one at a time, and must not call the account.
	Match func(Exchange) bool `json:"-"`

	released <-chan struct{} // closed when faults are cleared
}

// faultJSON writes durations as text.
type faultJSON struct {
	Fault
	Delay string `json:"delay,omitempty"`
	Drip  string `json:"drip,omitempty"`
}

func (f Fault) wire() faultJSON {
	wire := faultJSON{Fault: f}
	if f.Delay != 0 {
		wire.Delay = f.Delay.String()
	}
	if f.Drip != 0 {
		wire.Drip = f.Drip.String()
	}
	return wire
}

// parseFaults reads one fault or an array of them, strictly.
func parseFaults(body []byte) ([]Fault, error) {
	body = bytes.TrimSpace(body)
	if !bytes.HasPrefix(body, []byte("[")) {
		body = slices.Concat([]byte("["), body, []byte("]"))
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	var wires []faultJSON
	if err := decoder.Decode(&wires); err != nil {
		return nil, fmt.Errorf("faults: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("faults: more than one JSON value")
	}
	all := make([]Fault, len(wires))
	for i, wire := range wires {
		fault, err := wire.fault()
		if err != nil {
			return nil, err
		}
		all[i] = fault
	}
	return all, nil
}

func (wire faultJSON) fault() (Fault, error) {
	var err error
	fault := wire.Fault
	if fault.Delay, err = time.ParseDuration(cmp.Or(wire.Delay, "0")); err != nil {
		return fault, fmt.Errorf("fault: delay: %w", err)
	}
	if fault.Drip, err = time.ParseDuration(cmp.Or(wire.Drip, "0")); err != nil {
		return fault, fmt.Errorf("fault: drip: %w", err)
	}
	return fault, nil
}

// check returns what is impossible about a fault.
func (f Fault) check() error {
	switch {
	case f.When != "" && f.When != Before && f.When != After:
		return fmt.Errorf("fault: when %q is not one of before, after", f.When)
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("fault: status %d is not one of 200 to 599", f.Status)
	case f.Endless && f.BodyBytes > 0:
		return errors.New("fault: body_bytes of an endless body")
	case f.Delay < 0 || f.Drip < 0 || f.Times < 0 || f.BodyBytes < 0:
		return errors.New("fault: delay, drip, times and body_bytes cannot be negative")
	case !(f.Probability >= 0 && f.Probability <= 1): // NaN too
		return fmt.Errorf("fault: probability %v is not between 0 and 1", f.Probability)
	case f.String() == "":
		return errors.New("fault: it does nothing")
	}
	return nil
}

// String says in a few words what the fault does, such as "delay 1s, status 503".
func (f Fault) String() string {
	var does []string
	add := func(is bool, format string, args ...any) {
		if is {
			does = append(does, fmt.Sprintf(format, args...))
		}
	}
	when := cmp.Or(f.When, Before)
	add(f.Delay > 0, "delay %s", f.Delay)
	add(f.Hang, "hang %s", when)
	add(f.Reset, "reset %s", when)
	add(f.Status > 0, "status %d %s", f.Status, when)
	add(f.Page, "web page %s", when)
	add(len(f.FailRecords) > 0, "fail records %v", f.FailRecords)
	add(len(f.Header) > 0, "headers")
	add(f.Body != "", "body")
	add(f.BodyBytes > 0, "body of %d bytes", f.BodyBytes)
	add(f.Endless, "endless body")
	add(f.Drip > 0, "drip %s", f.Drip)
	return strings.Join(does, ", ")
}

// hang waits until the faults are cleared and reports whether they were: false when the client or the simulator went away.
func (f *Fault) hang(ctx context.Context) bool {
	select {
	case <-f.released:
		return true
	case <-ctx.Done():
		return false
	}
}

// replaces reports whether something else is answered than what the vendor says.
func (f *Fault) replaces() bool { return f.Status != 0 || f.Page }

const page = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in to go on.</body></html>\n"

// shape does to the vendor's answer what the fault says.
func (f *Fault) shape(out answer) answer {
	switch {
	case f.Page:
		out = answer{status: cmp.Or(f.Status, http.StatusOK), contentType: "text/html; charset=utf-8", body: []byte(page)}
	case f.Status != 0:
		out = textAnswer(f.Status, "")
	}
	if f.Body != "" {
		out.body = []byte(f.Body)
	}
	// These statuses have no body, whatever the fault says.
	if out.status != http.StatusNoContent && out.status != http.StatusNotModified {
		out.size, out.drip, out.endless = f.BodyBytes, f.Drip, f.Endless
	}
	out.header = f.Header
	return out
}

// faults are an account's, in the order in which they are tried.
type faults struct {
	mu        sync.Mutex
	permanent []*Fault
	acted     int
	dice      *rand.Rand
	released  chan struct{}
}

func newFaults(seed uint64) *faults {
	return &faults{dice: rand.New(rand.NewPCG(seed, seed)), released: make(chan struct{})}
}

func (f *faults) add(all []Fault) error {
	for _, fault := range all {
		if err := fault.check(); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fault := range all {
		fault.released = f.released
		f.permanent = append(f.permanent, &fault)
	}
	return nil
}

func (f *faults) list() []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]Fault, len(f.permanent))
	for i, fault := range f.permanent {
		all[i] = *fault
	}
	return all
}

func (f *faults) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.permanent = nil
	close(f.released)
	f.released = make(chan struct{})
}

func (f *faults) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.acted
}

// readFirst reports whether the fault for an exchange with this path can only be chosen when its body is known.
func (f *faults) readFirst(path string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fault := range f.permanent {
		if strings.Contains(path, fault.Path) && (fault.ID != "" || fault.Match != nil) {
			return true
		}
	}
	return false
}

// take returns a copy of the first fault that applies to the exchange, used up by one, or nil.
func (f *faults) take(exchange Exchange) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, fault := range f.permanent {
		if !f.applies(fault, exchange) {
			continue
		}
		taken := *fault
		f.acted++
		if fault.Times == 1 {
			f.permanent = slices.Delete(f.permanent, i, i+1)
		} else if fault.Times > 1 {
			fault.Times--
		}
		return &taken
	}
	return nil
}

func (f *faults) applies(fault *Fault, exchange Exchange) bool {
	return strings.Contains(exchange.Path, fault.Path) &&
		(fault.ID == "" || holds(exchange.Records, fault.ID)) &&
		(fault.Match == nil || fault.Match(exchange)) &&
		(fault.Probability == 0 || f.dice.Float64() < fault.Probability)
}

// holds reports whether the text is a whole value somewhere in what was decoded.
func holds(value any, id string) bool {
	switch v := value.(type) {
	case map[string]any:
		for _, inner := range v {
			if holds(inner, id) {
				return true
			}
		}
		return false
	case []any:
		return slices.ContainsFunc(v, func(inner any) bool { return holds(inner, id) })
	}
	return text(value) == id
}
