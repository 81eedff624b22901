package simulator

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// segmentBase is the path of the API's version below the account's address.
const segmentBase = "/v1"

// segmentUpstream is Segment's HTTP Tracking API of
// https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/, and what speaks it: RudderStack's data plane,
// Jitsu's ingest, Customer.io's Pipelines, and aka. Most of them answer 200 to much that they throw away; that is in the refusals.
//
// What an upstream's own destinations make of a call is not simulated. Its people are here those that an alias names: the two ids are
// one person, as a destination with a merge would take it. An alias without a previousId joins nothing: upstreams differ in whether
// they take the anonymousId instead.
type segmentUpstream struct {
	state *accountState
	set   Segment
	token string

	second    time.Time // of the requests counted
	perSecond int
}

func newSegment(b *accountState, options Options) vendor {
	b.seen.span = 24 * time.Hour
	return &segmentUpstream{state: b, set: options.Segment.withDefaults(), token: options.Token}
}

// segmentTypes are the calls, as in an item's type and in the path of one call.
var segmentTypes = map[string]bool{"identify": true, "track": true, "page": true, "screen": true, "group": true, "alias": true}

// decode reads the items of a batch, or a body that is one call, with the envelope's members under their own.
func (s *segmentUpstream) decode(in *request) ([]item, error) {
	if in.method != http.MethodPost {
		return nil, nil
	}
	if in.isGzip() {
		if s.set.Flavor == "customerio" && s.set.Gzip == "refused" {
			return nil, errors.New("a compressed body")
		}
		if err := in.gunzip(); err != nil {
			return nil, err
		}
	}
	if one := s.endpoint(in.path); segmentTypes[one] {
		value, err := decodeJSON(in.body)
		object, ok := value.(map[string]any)
		if err != nil || !ok {
			return nil, errors.Join(err, errors.New("the body is not an object"))
		}
		object["type"] = one
		return []item{{value: object, token: takeSecret(object, "writeKey"), bytes: len(in.body)}}, nil
	}
	return s.decodeBatch(in.body)
}

func (s *segmentUpstream) decodeBatch(body []byte) ([]item, error) {
	var envelope map[string]json.RawMessage
	if err := json.Unmarshal(body, &envelope); err != nil {
		return nil, err
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(envelope["batch"], &elements); err != nil {
		return nil, err
	}
	shared := map[string]any{}
	for _, name := range []string{"context", "integrations", "sentAt", "writeKey"} {
		if raw, ok := envelope[name]; ok {
			value, err := decodeJSON(raw)
			if err != nil {
				return nil, err
			}
			shared[name] = value
		}
	}
	key := takeSecret(shared, "writeKey")
	delete(shared, "writeKey")
	items := make([]item, len(elements))
	for i, raw := range elements {
		value, err := decodeJSON(raw)
		if err != nil {
			return nil, err
		}
		items[i] = item{value: value, token: key, bytes: len(raw)}
		if object, ok := value.(map[string]any); ok {
			if own := takeSecret(object, "writeKey"); own != "" {
				items[i].token = own
			}
			s.share(object, shared)
		}
	}
	return items, nil
}

// share lays what the envelope says under what an item says. At Customer.io only the envelope's integrations count, for all items, and
// its context where the item's is ignored.
func (s *segmentUpstream) share(object, shared map[string]any) {
	if s.set.Flavor == "customerio" {
		delete(object, "integrations")
		if s.set.BatchContext == "ignored" {
			delete(object, "context")
		}
	}
	for name, value := range shared {
		own, isObject := object[name].(map[string]any)
		under, ok := value.(map[string]any)
		switch {
		case object[name] == nil:
			object[name] = value
		case isObject && ok:
			for member, inner := range under {
				if _, has := own[member]; !has {
					own[member] = inner
				}
			}
		}
	}
}

// jitsuBase is the path of single calls of servers at Jitsu (https://docs.jitsu.com/sending-data/http).
const jitsuBase = "/api/s/s2s/"

// endpoint is a path without what comes before its last word, such as batch or alias.
func (s *segmentUpstream) endpoint(path string) string {
	if one, ok := strings.CutPrefix(path, jitsuBase); ok && s.set.Flavor == "jitsu" && segmentTypes[one] {
		return one
	}
	return strings.TrimPrefix(path, segmentBase+"/")
}

func (s *segmentUpstream) handle(in *request) answer {
	if settings, ok := strings.CutPrefix(in.path, segmentBase+"/projects/"); ok && in.method == http.MethodGet {
		return s.settings(strings.TrimSuffix(settings, "/settings"))
	}
	path := s.endpoint(in.path)
	switch {
	case path != "batch" && path != "import" && !segmentTypes[path]:
		return textAnswer(http.StatusNotFound, "404 page not found")
	case in.method != http.MethodPost:
		return textAnswer(http.StatusMethodNotAllowed, "Method Not Allowed")
	case s.isTooFast(in.now):
		out := textAnswer(http.StatusTooManyRequests, "Too Many Requests")
		out.header = map[string]string{"Retry-After": "1", "X-RateLimit-Reset": strconv.FormatInt(in.now.Truncate(time.Second).Unix()+1, 10)}
		return out
	}
	return s.accept(in)
}

// settings reports whether a write key is a source's, as Segment's CDN does.
func (s *segmentUpstream) settings(key string) answer {
	if s.set.Flavor != "segment" || s.token != "" && key != s.token {
		return textAnswer(http.StatusNotFound, "Cannot GET settings")
	}
	return jsonAnswer(http.StatusOK, map[string]any{"integrations": map[string]any{"Segment.io": map[string]any{"apiKey": secret}}})
}

// isTooFast counts a request and reports whether it is more than the second has room for.
func (s *segmentUpstream) isTooFast(now time.Time) bool {
	if second := now.Truncate(time.Second); !second.Equal(s.second) {
		s.second, s.perSecond = second, 0
	}
	s.perSecond++
	return s.set.Rate > 0 && s.perSecond > s.set.Rate
}

// accept answers as the flavor does, and takes what it does not refuse.
func (s *segmentUpstream) accept(in *request) answer {
	limits, known := s.set.limits(), s.knows(in)
	malformed := in.malformed != nil
	switch s.set.Flavor {
	case "rudderstack":
		switch {
		case !known && !(len(in.items) == 0 && s.set.EmptyBatch == "invalid"):
			return textAnswer(http.StatusUnauthorized, "Invalid Write Key")
		case s.set.SourceOff:
			return textAnswer(http.StatusNotFound, "Source is disabled")
		case len(in.body) > limits.body:
			return textAnswer(http.StatusRequestEntityTooLarge, "Request size exceeds max limit")
		case malformed || len(in.items) == 0:
			return textAnswer(http.StatusBadRequest, "Invalid JSON")
		case s.someone(in, isNameless) || s.hasFailed(in):
			return textAnswer(http.StatusBadRequest, "request neither has anonymousId nor userId")
		}
		s.takeAll(in, limits)
		return answer{status: http.StatusOK, contentType: "application/json", body: []byte(`"OK"`)}
	case "jitsu":
		switch {
		case malformed:
			return jsonAnswer(http.StatusBadRequest, map[string]any{"error": "Error parsing JSON"})
		case !known:
			return jsonAnswer(http.StatusUnauthorized, map[string]any{"error": "stream not found"})
		}
		return s.jitsu(in, limits)
	case "customerio":
		return s.pipelines(in, limits, known)
	case "aka":
		switch {
		case !known:
			return jsonAnswer(http.StatusUnauthorized, map[string]any{"success": false, "error": map[string]any{"code": "unauthorized"}})
		case malformed || s.someone(in, isNameless) || s.hasFailed(in):
			return jsonAnswer(http.StatusBadRequest, map[string]any{"success": false, "error": map[string]any{"code": "invalid_call"}})
		case s.someone(in, func(one item) bool { return one.bytes > limits.call }):
			return jsonAnswer(http.StatusRequestEntityTooLarge, map[string]any{"success": false, "error": map[string]any{"code": "too_large"}})
		}
		s.takeAll(in, limits)
		return jsonAnswer(http.StatusOK, map[string]any{"success": true})
	}
	switch {
	case malformed, len(in.body) > limits.body, len(in.items) > limits.items, s.hasFailed(in):
		return jsonAnswer(http.StatusBadRequest, map[string]any{"success": false})
	case !known || s.isElsewhere():
		s.throwAway(in, "unknown source")
	default:
		s.takeAll(in, limits)
	}
	return jsonAnswer(http.StatusOK, map[string]any{"success": true})
}

// pipelines answers 200 to everything, unless the sender asks for more.
func (s *segmentUpstream) pipelines(in *request, limits segmentLimits, known bool) answer {
	invalid := in.malformed != nil || len(in.body) > limits.body || s.someone(in, isNameless) || s.hasFailed(in)
	strict := in.header.Get("X-Strict-Mode") == "1"
	switch {
	case strict && !known:
		return textAnswer(http.StatusUnauthorized, "Unauthorized")
	case strict && invalid:
		return textAnswer(http.StatusBadRequest, "Bad Request")
	case !known || s.isElsewhere():
		s.throwAway(in, "unknown source")
	case in.malformed != nil || len(in.body) > limits.body:
		s.throwAway(in, "unreadable")
	default:
		s.takeAll(in, limits)
	}
	return textAnswer(http.StatusOK, "")
}

// jitsu takes what it can, and names the others by their messageIds, as it writes them.
func (s *segmentUpstream) jitsu(in *request, limits segmentLimits) answer {
	problems := []string{}
	for i, one := range in.items {
		object, ok := one.value.(map[string]any)
		problem := ""
		switch {
		case !ok:
			problem = "not an object"
		case in.fails(i):
			problem = "simulated fault"
		case !segmentTypes[text(object["type"])]:
			problem = "unknown type"
		}
		if problem == "" {
			s.take(in, one, limits)
			continue
		}
		problems = append(problems, fmt.Sprintf("Message ID: %s: %s", jitsuID(text(object["messageId"])), problem))
	}
	report := map[string]any{"ok": len(problems) == 0, "receivedEvents": len(in.items), "okEvents": len(in.items) - len(problems)}
	if len(problems) > 0 {
		report["errors"] = problems
	}
	return jsonAnswer(http.StatusOK, report)
}

// jitsuID is a messageId as Jitsu writes it: at most 64 characters, of letters, digits, dots, dashes and underscores.
func jitsuID(id string) string {
	kept := []rune{}
	for _, r := range id {
		if len(kept) == 64 {
			break
		}
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_') {
			r = '_'
		}
		kept = append(kept, r)
	}
	return string(kept)
}

// knows checks the write key: the user of Basic credentials, whose password is empty; in the body; at Jitsu in a header or in the
// query, too.
func (s *segmentUpstream) knows(in *request) bool {
	key, password, ok := (&http.Request{Header: in.header}).BasicAuth()
	if ok && password != "" {
		return false
	}
	if given := cmp.Or(in.header.Get("X-Write-Key"), in.query.Get("writeKey")); !ok && s.set.Flavor == "jitsu" {
		key, ok = given, given != ""
	}
	if !ok && len(in.items) > 0 && (s.set.Flavor == "segment" || s.set.Flavor == "jitsu") {
		key, ok = in.items[0].token, in.items[0].token != ""
	}
	return ok && key != "" && (s.token == "" || key == s.token)
}

// isElsewhere reports whether the host is not that of the workspace.
func (s *segmentUpstream) isElsewhere() bool {
	return s.set.Host != s.set.Region
}

func (s *segmentUpstream) someone(in *request, is func(item) bool) bool {
	for _, one := range in.items {
		if is(one) {
			return true
		}
	}
	return false
}

func isNameless(one item) bool {
	object, ok := one.value.(map[string]any)
	return !ok || text(object["userId"]) == "" && text(object["anonymousId"]) == ""
}

func (s *segmentUpstream) hasFailed(in *request) bool {
	for i := range in.items {
		if in.fails(i) {
			return true
		}
	}
	return false
}

func (s *segmentUpstream) takeAll(in *request, limits segmentLimits) {
	for _, one := range in.items {
		s.take(in, one, limits)
	}
}

func (s *segmentUpstream) throwAway(in *request, reason string) {
	for _, one := range in.items {
		if object, ok := one.value.(map[string]any); ok {
			s.state.refuse(s.record(in, object), reason)
		}
	}
}

// maxMessageID is how long a messageId may be at Segment, in characters.
const maxMessageID = 100

// take takes a call, or throws it away without a word.
func (s *segmentUpstream) take(in *request, one item, limits segmentLimits) {
	object, ok := one.value.(map[string]any)
	if !ok {
		return
	}
	r := s.record(in, object)
	reason := ""
	switch kind := text(object["type"]); {
	case limits.call > 0 && one.bytes > limits.call:
		reason = "too large"
	case !segmentTypes[kind]:
		reason = "unknown type"
	case isNameless(one):
		reason = "no id"
	case s.set.Flavor == "segment" && s.set.LongMessageIDs == "refused" && len([]rune(r.Key)) >= maxMessageID:
		reason = "messageId too long"
	case s.set.Flavor == "customerio" && kind == "alias" && !strings.HasSuffix(in.path, "/alias"):
		reason = "no alias in a batch"
	}
	switch {
	case reason != "":
		s.state.refuse(r, reason)
	case s.set.deduplicates() && r.Key != "" && s.state.isDuplicate(r):
	default:
		s.keep(r, object)
	}
}

// record is a call as the upstream understands it.
func (s *segmentUpstream) record(in *request, object map[string]any) Record {
	r := Record{At: in.now, Time: s.time(in.now, object), Key: text(object["messageId"])}
	userID, anonymousID, previousID := text(object["userId"]), text(object["anonymousId"]), text(object["previousId"])
	switch kind := text(object["type"]); kind {
	case "alias":
		r.Kind, r.IDs = kind, []string{previousID, userID}
	case "identify":
		r.Kind = "profile"
	case "group":
		r.Kind = kind
	default:
		r.Kind, r.Event = "event", text(object["event"])
		if kind != "track" {
			r.Event = strings.TrimSpace(kind + " " + text(object["name"]))
		}
	}
	if r.IDs == nil {
		for _, id := range []string{anonymousID, userID} {
			if id != "" {
				r.IDs = append(r.IDs, id)
			}
		}
	}
	return r
}

// keep notes what a call says of people: who has an event or traits, and which two ids are one person.
func (s *segmentUpstream) keep(r Record, object map[string]any) {
	if r.Kind == "alias" && (r.IDs[0] == "" || r.IDs[1] == "" || r.IDs[0] == r.IDs[1]) {
		s.state.refuse(r, "an alias of one id")
		return
	}
	s.state.ingest(r)
	who := r.IDs[len(r.IDs)-1]
	switch r.Kind {
	case "alias":
		s.state.graph.union(r.IDs[0], r.IDs[1])
	case "event":
		s.state.graph.credit(who, r.Event)
	case "profile":
		s.state.graph.node(who)
		traits, _ := object["traits"].(map[string]any)
		for name, value := range traits {
			s.state.graph.set(who, name, value)
		}
	}
}

// time is when a call happened, as the upstream computes it. Each corrects the sender's clock in its own way, where the call says when
// it was sent.
func (s *segmentUpstream) time(now time.Time, object map[string]any) time.Time {
	original, hasOriginal := wireTime(object["originalTimestamp"])
	given, hasGiven := wireTime(object["timestamp"])
	sent, wasSent := wireTime(object["sentAt"])
	happened, known := given, hasGiven
	switch s.set.Flavor {
	case "customerio":
		wasSent = wasSent && s.set.SentAt == "corrects"
	case "rudderstack":
		if hasGiven {
			return given
		}
		happened, known = original, hasOriginal
	case "jitsu":
		wasSent = wasSent && now.Sub(sent).Abs() >= 5*time.Minute
	case "aka":
		if hasOriginal {
			happened, known = original, true
		}
	}
	switch {
	case !known:
		return now
	case wasSent:
		return now.Add(-sent.Sub(happened))
	case s.set.Flavor == "segment" && s.set.NoSentAt == "now":
		return now
	}
	return happened
}

func wireTime(value any) (time.Time, bool) {
	at, err := time.Parse(time.RFC3339, text(value))
	return at, err == nil
}
