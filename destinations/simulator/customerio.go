package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// customerIO is the Track API of https://docs.customer.io/integrations/api/track: /api/v2/entity and /api/v2/batch, and four
// endpoints of version 1. It answers 200 to much that does nothing; what did nothing is in the refusals, as in the vendor's
// activity log.
//
// Campaigns, segments, deliveries, devices and objects are not kept: such items are checked and recorded only. Items of type
// "delivery" are refused. What the App API reads is in customerio_app.go.
//
// The pages are silent on these points, and here they are so: a body over 500 KB, an entity over 32 KB and a call of version 1
// over 32 KB get 413, an item over 32 KB in a batch is refused alone. An empty batch is 400. A batch whose items are all refused
// is 207, not 400. A host of the wrong region answers 401. The errors of version 1 have the form of version 2. Attributes beyond
// 300 of one person are left out. The limit of an event's name holds for pages and screens too.
type customerIO struct {
	state  *accountState
	set    CustomerIO
	token  string
	people *cioPeople

	second    time.Time // of the requests counted
	perSecond int
}

func newCustomerIO(b *accountState, options Options) vendor {
	set := options.CustomerIO.withDefaults()
	return &customerIO{state: b, set: set, token: options.Token, people: newCIOPeople(set, b, options.MaxRecords)}
}

const (
	cioBatchPath  = "/api/v2/batch"
	cioEntityPath = "/api/v2/entity"
	cioRegionPath = "/api/v1/accounts/region"
	cioPersonPath = "/api/v1/customers/"
)

// decode reads the elements of a batch, or a body that is one item.
func (c *customerIO) decode(in *request) ([]item, error) {
	if in.path == cioRegionPath || isCIOApp(in.path) {
		return nil, nil
	}
	raw := []json.RawMessage{in.body}
	if in.path == cioBatchPath {
		var err error
		if raw, err = cioBatch(in.body); err != nil {
			return nil, err
		}
	}
	items := make([]item, len(raw))
	for i, text := range raw {
		value, err := decodeJSON(text)
		if err != nil {
			return nil, err
		}
		items[i] = item{value: value, bytes: len(text)}
	}
	return items, nil
}

func cioBatch(body []byte) ([]json.RawMessage, error) {
	var envelope map[string]json.RawMessage
	if err := json.Unmarshal(body, &envelope); err != nil {
		return nil, err
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(envelope["batch"], &elements); err != nil || len(elements) == 0 {
		return nil, &cioProblem{"required", "batch", "the batch is not an array with elements"}
	}
	return elements, nil
}

// cioProblem is what is wrong with a body or an item, as an answer says it.
type cioProblem struct{ reason, field, message string }

func (p *cioProblem) Error() string { return fmt.Sprintf("%s: %s: %s", p.reason, p.field, p.message) }

func cioInvalid(field, message string) *cioProblem { return &cioProblem{"invalid", field, message} }

func cioRequired(field string) *cioProblem {
	return &cioProblem{"required", field, "the " + field + " is required"}
}

// cioEndpoint is what is done with a request to one path.
type cioEndpoint struct {
	method string
	serve  func(*customerIO, *request) answer
}

// endpoint returns nil for a path that does not exist.
func (c *customerIO) endpoint(path string) *cioEndpoint {
	switch path {
	case cioRegionPath:
		return &cioEndpoint{http.MethodGet, (*customerIO).region}
	case cioBatchPath:
		return &cioEndpoint{http.MethodPost, (*customerIO).batch}
	case cioEntityPath:
		return &cioEndpoint{http.MethodPost, (*customerIO).entity}
	case "/api/v1/events", "/api/v1/merge_customers":
		return &cioEndpoint{http.MethodPost, (*customerIO).entity}
	}
	person, ok := strings.CutPrefix(path, cioPersonPath)
	switch {
	case !ok || person == "" || person == "/events":
		return nil
	case strings.HasSuffix(person, "/events"):
		return &cioEndpoint{http.MethodPost, (*customerIO).entity}
	}
	return &cioEndpoint{http.MethodPut, (*customerIO).entity}
}

func (c *customerIO) handle(in *request) answer {
	if isCIOApp(in.path) {
		return c.app(in)
	}
	endpoint := c.endpoint(in.path)
	switch {
	case endpoint == nil:
		return cioAnswer(http.StatusNotFound, cioInvalid("path", "no such endpoint"))
	case in.method != endpoint.method:
		return cioAnswer(http.StatusMethodNotAllowed, cioInvalid("method", "only "+endpoint.method))
	case !c.knows(in):
		return cioAnswer(http.StatusUnauthorized, cioInvalid("authorization", "unknown site id or API key"))
	case c.isTooFast(in.now):
		return cioAnswer(http.StatusTooManyRequests, cioInvalid("", "too many requests"))
	}
	return endpoint.serve(c, in)
}

// knows checks the Basic credentials, and that they come to a host that takes them. The host of the US passes on what is the
// EU's; that of the EU does not pass on what is the US's. Both answer where the region is asked for.
func (c *customerIO) knows(in *request) bool {
	site, key, ok := (&http.Request{Header: in.header}).BasicAuth()
	switch {
	case !ok || site == "" || key == "":
		return false
	case c.set.SiteID != "" && site != c.set.SiteID, c.token != "" && key != c.token:
		return false
	}
	return in.path == cioRegionPath || c.set.Host == "us" || c.set.Region == "eu"
}

// isTooFast counts a request and reports whether it is more than the second has room for.
func (c *customerIO) isTooFast(now time.Time) bool {
	if second := now.Truncate(time.Second); !second.Equal(c.second) {
		c.second, c.perSecond = second, 0
	}
	c.perSecond++
	return c.set.Rate > 0 && c.perSecond > c.set.Rate
}

// region says where the account is. The URL is the vendor's own, not the simulator's.
func (c *customerIO) region(*request) answer {
	url := "https://track.customer.io"
	if c.set.Region == "eu" {
		url = "https://track-eu.customer.io"
	}
	return jsonAnswer(http.StatusOK, map[string]any{"url": url, "region": c.set.Region, "environment_id": 1})
}

// kilobytes is in bytes.
func (c *customerIO) kilobytes(n int) int { return n * c.set.Kilobyte }

// What https://docs.customer.io/integrations/api/track allows, in KB.
const (
	cioMaxBatch = 500
	cioMaxItem  = 32
)

// batch takes the good items and names the others in a 207.
func (c *customerIO) batch(in *request) answer {
	if problem := cioMalformed(in); problem != nil {
		return cioAnswer(http.StatusBadRequest, problem)
	}
	if len(in.body) > c.kilobytes(cioMaxBatch) {
		return cioAnswer(http.StatusRequestEntityTooLarge, cioInvalid("batch", "the body is too large"))
	}
	refused := make([]*cioProblem, len(in.items))
	order := make([]int, len(in.items))
	for i := range order {
		order[i] = i
	}
	if c.set.BatchOrder == "reversed" {
		slices.Reverse(order)
	}
	for _, i := range order {
		refused[i] = c.take(in, i, in.items[i].value)
	}
	errors := []map[string]any{}
	for i, problem := range refused {
		if problem != nil {
			shown := problem.wire()
			shown["batch_index"] = i
			errors = append(errors, shown)
		}
	}
	if len(errors) > 0 {
		return jsonAnswer(http.StatusMultiStatus, map[string]any{"errors": errors})
	}
	return jsonAnswer(http.StatusOK, struct{}{})
}

// entity takes one item, of either version.
func (c *customerIO) entity(in *request) answer {
	if problem := cioMalformed(in); problem != nil {
		return cioAnswer(http.StatusBadRequest, problem)
	}
	if len(in.body) > c.kilobytes(cioMaxItem) {
		return cioAnswer(http.StatusRequestEntityTooLarge, cioInvalid("", "the body is too large"))
	}
	value := in.items[0].value
	if in.path != cioEntityPath {
		body, ok := value.(map[string]any)
		if !ok {
			return cioAnswer(http.StatusBadRequest, cioInvalid("", "the body is not an object"))
		}
		value = c.version2(in.path, body)
	}
	if problem := c.take(in, 0, value); problem != nil {
		return cioAnswer(http.StatusBadRequest, problem)
	}
	return jsonAnswer(http.StatusOK, struct{}{})
}

func cioMalformed(in *request) *cioProblem {
	var problem *cioProblem
	switch {
	case errors.As(in.malformed, &problem):
		return problem
	case in.malformed != nil || len(in.items) == 0:
		return &cioProblem{"parse_error", "", "the body is not one JSON value"}
	}
	return nil
}

func (p *cioProblem) wire() map[string]any {
	return map[string]any{"reason": p.reason, "field": p.field, "message": p.message}
}

func cioAnswer(status int, problem *cioProblem) answer {
	return jsonAnswer(status, map[string]any{"errors": []any{problem.wire()}})
}

// version2 is a call of version 1 as an item of version 2.
func (c *customerIO) version2(path string, body map[string]any) map[string]any {
	item := map[string]any{"type": "person"}
	person, ofPerson := strings.CutPrefix(path, cioPersonPath)
	person, isEvent := strings.CutSuffix(person, "/events")
	switch {
	case path == "/api/v1/merge_customers":
		item["action"], item["primary"], item["secondary"] = "merge", body["primary"], body["secondary"]
		return item
	case ofPerson && !isEvent:
		item["action"], item["attributes"] = "identify", body
		copyMember(item, "timestamp", body, "_timestamp")
		copyMember(item, "cio_relationships", body, "cio_relationships")
	default:
		item["action"] = "event"
		if kind := text(body["type"]); kind == "page" || kind == "screen" {
			item["action"] = kind
		}
		copyMember(item, "attributes", body, "data")
		for _, name := range []string{"id", "name", "timestamp"} {
			copyMember(item, name, body, name)
		}
	}
	if ofPerson {
		ref := c.set.byShape(person)
		item["identifiers"] = map[string]any{ref.kind: ref.value}
	} else {
		item["identifiers"] = map[string]any{"anonymous_id": body["anonymous_id"]}
	}
	return item
}

func copyMember(to map[string]any, name string, from map[string]any, member string) {
	if value, ok := from[member]; ok {
		to[name] = value
	}
}

// take checks an item and does what it asks. What does nothing is a refusal, and no problem.
func (c *customerIO) take(in *request, i int, value any) *cioProblem {
	if in.fails(i) {
		return cioInvalid("", "simulated fault")
	}
	call, problem := c.read(in, value, in.items[i].bytes)
	if problem != nil {
		return problem
	}
	if call.key = cioULID(call); call.key != "" && !c.people.isSuppressed(call.who) {
		call.Key = call.key
		if c.state.isDuplicate(call.Record) {
			return nil
		}
	}
	reason, problem := cioActions[call.kind+" "+call.action].do(c.people, call)
	switch {
	case problem != nil:
		return problem
	case reason != "":
		c.state.refuse(call.Record, reason)
	default:
		c.state.ingest(call.Record)
	}
	return nil
}

// graph implements ownPeople.
func (c *customerIO) graph(now time.Time) Graph { return c.people.graph(now) }
