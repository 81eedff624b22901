package harness

import (
	"bytes"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Workload is the calls that each person sends. They are the same for all people, but for ids: one id before an alias, another one
// after it.
type Workload struct {
	// Kinds are the types of the calls: a step each, ten at most.
	Kinds []string
	// Ranks are the order of the steps. Steps of the same rank may come in any order.
	Ranks []int
	// Call returns a step as JSON, made with MessageID, OldID and NewID. All but an alias have the step's Mark, too.
	Call func(person, step int) string
}

// Steps returns the number of calls of each person.
func (w *Workload) Steps() int { return len(w.Kinds) }

// AliasStep returns the step that changes the id.
func (w *Workload) AliasStep() int { return slices.Index(w.Kinds, "alias") }

// Step is one call of one person.
type Step struct{ Person, Index int }

// String returns the messageId of the step's call.
func (s Step) String() string { return fmt.Sprintf("p%0*d-%d", digits, s.Person, s.Index) }

var messageID = regexp.MustCompile(`^p(\d{9})-(\d)$`)

// ParseStep returns the step of a call, by its messageId.
func ParseStep(id string) (Step, error) {
	parts := messageID.FindStringSubmatch(id)
	if parts == nil {
		return Step{}, fmt.Errorf("%w: messageId %q", ErrUnknown, id)
	}
	person, _ := strconv.Atoi(parts[1])
	index, _ := strconv.Atoi(parts[2])
	return Step{person, index}, nil
}

// digits is the length of a person's number, with zeros in front.
const digits = 9

// Number is a placeholder in a call: a request that is sent has the person's number there.
func Number(person int) string { return fmt.Sprintf("@%0*d", digits-1, person) }

// Mark names a step in any vendor's words: it is a property or a trait that vendors get as it is.
func Mark(person, step int) string { return fmt.Sprintf("~%s-%d~", Number(person), step) }

// MessageID is a step's messageId. ParseStep reads it.
func MessageID(person, step int) string { return fmt.Sprintf("p%s-%d", Number(person), step) }

// OldID is a person's id before the alias.
func OldID(person int) string { return Number(person) + "-old" }

// NewID is a person's id after the alias.
func NewID(person int) string { return Number(person) + "-new" }

// Find reports each step in a vendor's request, or in a part of one. It returns whether there was one.
func (w *Workload) Find(text []byte, report func(Step)) (found bool) {
	const length = digits + 4
	rest := text
	for {
		start := bytes.IndexByte(rest, '~')
		if start < 0 || len(rest) < start+length {
			return found || w.findAlias(text, report)
		}
		rest = rest[start:]
		person, ok := number(rest[1:])
		if !ok || rest[length-1] != '~' {
			rest = rest[1:]
			continue
		}
		report(Step{person, int(rest[digits+2] - '0')})
		rest, found = rest[length:], true
	}
}

// findAlias finds an alias, which is sent to vendors as two ids and nothing else.
func (w *Workload) findAlias(text []byte, report func(Step)) bool {
	at := bytes.Index(text, []byte("-old"))
	if at < digits {
		return false
	}
	person, ok := number(text[at-digits:])
	if ok {
		report(Step{person, w.AliasStep()})
	}
	return ok
}

// number reads a person's number at the start of a text.
func number(text []byte) (n int, ok bool) {
	if len(text) < digits {
		return 0, false
	}
	for _, c := range text[:digits] {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

var basicKinds = []string{"track", "identify", "track", "alias", "identify", "track", "track"}

// Basic is seven small calls, with an alias in the middle.
var Basic = &Workload{
	Kinds: basicKinds,
	Ranks: []int{0, 1, 2, 3, 4, 5, 5},
	Call: func(person, step int) string {
		id := OldID(person)
		if step > slices.Index(basicKinds, "alias") {
			id = NewID(person)
		}
		own := map[string]string{
			"track":    fmt.Sprintf(`"userId":"%s","event":"Step %d","properties":{"step":"%s"}`, id, step, Mark(person, step)),
			"identify": fmt.Sprintf(`"userId":"%s","traits":{"step":"%s"}`, id, Mark(person, step)),
			"alias":    fmt.Sprintf(`"previousId":"%s","userId":"%s"`, OldID(person), NewID(person)),
		}
		kind := basicKinds[step]
		return fmt.Sprintf(`{"type":"%s","messageId":"%s",%s,%s}`, kind, MessageID(person, step), own[kind], DeviceContext(step))
	},
}

// firstClock is the clock of a device at its first step, in microseconds since 1970.
const firstClock = 1_800_000_000_000_000

// DeviceContext is the context of a call by which its device's clock orders it, as aka.js writes it. Of a server's call it says
// nothing. Every device makes a step each millisecond.
func DeviceContext(step int) string {
	return fmt.Sprintf(`"context":{"aka":{"seq":%d}}`, firstClock+1000*int64(step))
}

// Traffic is the requests of a person, or of several people together. Each is sent when the one before is answered.
type Traffic struct {
	Requests []Request
	People   int // in each request
	// Zipped compresses the requests with gzip, before the load starts: as many as can be sent in its Duration.
	Zipped bool
}

// Size returns the bytes of all requests' bodies, and the number of calls in them. It is the same for all people.
func (t Traffic) Size() (bytes, calls int) {
	for _, r := range t.Requests {
		bytes += len(r.bytes) - r.head
		calls += len(r.Steps)
	}
	return bytes, calls
}

// Singles has one call in each request. The URL is the server's, with the write key as its user.
func (w *Workload) Singles(base *url.URL) Traffic {
	t := Traffic{People: 1}
	for step, kind := range w.Kinds {
		t.Requests = append(t.Requests, newRequest(base, "/v1/"+kind, w.Call(0, step), Step{0, step}))
	}
	return t
}

// Batches has the calls of so many people in each request. Each of the parts, which are steps, is a request; without parts, all
// steps are one request.
func (w *Workload) Batches(base *url.URL, people int, parts ...[]int) Traffic {
	return w.batches(base, "/v1/batch", people, parts)
}

// DeviceBatches are Batches that browsers send: aka puts the calls of each in the order of its clock.
func (w *Workload) DeviceBatches(base *url.URL, people int, parts ...[]int) Traffic {
	return w.batches(base, "/v1/b", people, parts)
}

func (w *Workload) batches(base *url.URL, path string, people int, parts [][]int) Traffic {
	if len(parts) == 0 {
		parts = [][]int{make([]int, w.Steps())}
		for step := range parts[0] {
			parts[0][step] = step
		}
	}
	t := Traffic{People: people}
	for _, part := range parts {
		var calls []string
		var steps []Step
		for person := range people {
			for _, step := range part {
				calls, steps = append(calls, w.Call(person, step)), append(steps, Step{person, step})
			}
		}
		t.Requests = append(t.Requests, newRequest(base, path, `{"batch":[`+strings.Join(calls, ",")+`]}`, steps...))
	}
	return t
}
