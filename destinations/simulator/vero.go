package simulator

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// veroBase is the path of the API's version below the account's address.
const veroBase = "/api/v2"

// veroWindow is how long Vero remembers an event to drop its like.
const veroWindow = 5 * time.Minute

// vero is https://help.getvero.com/api-reference: a profile per id, and a rename instead of a merge.
//
// Its pages do not say what becomes of a rename to an id that exists; here it is refused with 400, so that an alias that
// came too late is seen. Nor do they say what an edit, tags, an unsubscribe, a resubscribe or a delete of somebody unknown
// do; here they are refused with 404, as a rename is.
type vero struct {
	state *accountState
	token string
}

func newVero(b *accountState, options Options) vendor {
	b.seen.span = veroWindow
	return &vero{state: b, token: options.Token}
}

// decode reads the body as one JSON object. The credential stands in it or in the query.
func (v *vero) decode(in *request) ([]item, error) {
	value, err := decodeJSON(in.body)
	if err != nil {
		return nil, err
	}
	record := item{value: value, bytes: len(in.body)}
	if object, ok := value.(map[string]any); ok {
		for _, name := range []string{"tracking_api_key", "auth_token"} {
			if token := takeSecret(object, name); token != "" {
				record.token = token
			}
		}
	}
	return []item{record}, nil
}

// veroCall is one call: its body and the profile that it names.
type veroCall struct {
	Record
	body map[string]any
	id   string // the profile's
}

// veroActions are the calls, by method and path.
var veroActions = map[string]func(*vero, *veroCall) (status int, problem string){
	"POST /users/track":       (*vero).track,
	"PUT /users/reidentify":   (*vero).reidentify,
	"PUT /users/edit":         (*vero).edit,
	"PUT /users/tags/edit":    (*vero).tags,
	"POST /users/unsubscribe": (*vero).unsubscribe,
	"POST /users/resubscribe": (*vero).resubscribe,
	"POST /users/delete":      (*vero).delete,
	"POST /events/track":      (*vero).event,
}

func (v *vero) handle(in *request) answer {
	path, ok := strings.CutPrefix(in.path, veroBase)
	action := veroActions[in.method+" "+strings.TrimSuffix(path, ".json")]
	if !ok || action == nil {
		return veroAnswer(http.StatusNotFound, "Not found.")
	}
	if in.malformed != nil || len(in.items) == 0 {
		return veroAnswer(http.StatusBadRequest, "The body is not one JSON value.")
	}
	if !v.knows(in) {
		return veroAnswer(http.StatusUnauthorized, "The auth_token is missing or unknown.")
	}
	body, ok := in.items[0].value.(map[string]any)
	if !ok {
		return veroAnswer(http.StatusBadRequest, "The body is not a JSON object.")
	}
	if in.fails(0) {
		return veroAnswer(http.StatusBadRequest, "Simulated fault.")
	}
	return veroAnswer(action(v, &veroCall{Record: Record{At: in.now, Time: in.now}, body: body}))
}

// veroTaken answers what was taken.
var veroTaken = jsonAnswer(http.StatusOK, map[string]any{"status": http.StatusOK, "message": veroSuccess})

func veroAnswer(status int, message string) answer {
	if status == http.StatusOK && message == veroSuccess {
		return veroTaken
	}
	return jsonAnswer(status, map[string]any{"status": status, "message": message})
}

func (v *vero) knows(in *request) bool {
	token := in.items[0].token
	for _, name := range []string{"tracking_api_key", "auth_token"} {
		if token == "" {
			token = in.query.Get(name)
		}
	}
	return token != "" && (v.token == "" || token == v.token)
}

const veroSuccess = "Success."

// track creates or updates a profile. Without an id the email is the id.
func (v *vero) track(call *veroCall) (int, string) {
	if problem := call.name(call.body); problem != "" {
		return http.StatusBadRequest, problem
	}
	if problem := wrongObject(call.body, "data"); problem != "" {
		return http.StatusBadRequest, problem
	}
	v.update(call, call.body["data"])
	if email := text(call.body["email"]); email != "" {
		v.state.graph.set(call.id, "email", email)
	}
	return v.took(call, "profile")
}

// reidentify renames a profile. The old id is free afterwards, so a repeat finds no profile.
func (v *vero) reidentify(call *veroCall) (int, string) {
	oldID, newID := text(call.body["id"]), text(call.body["new_id"])
	graph := v.state.graph
	switch {
	case oldID == "" || newID == "":
		return http.StatusBadRequest, "The id and new_id are required."
	case isTooLong(oldID) || isTooLong(newID):
		return http.StatusBadRequest, "An id is too long."
	case !graph.has(oldID):
		return http.StatusNotFound, "No user has this id."
	case graph.has(newID):
		return http.StatusBadRequest, "The new_id is taken."
	}
	graph.rename(oldID, newID)
	call.IDs = []string{oldID, newID}
	return v.took(call, "reidentify")
}

// isTooLong reports whether an id, an email or an event's name is longer than Vero takes. It counts characters.
func isTooLong(text string) bool { return utf8.RuneCountInString(text) >= 255 }

func (v *vero) edit(call *veroCall) (int, string) {
	if status, problem := v.find(call); problem != "" {
		return status, problem
	}
	if problem := wrongObject(call.body, "changes"); problem != "" {
		return http.StatusBadRequest, problem
	}
	v.update(call, call.body["changes"])
	return v.took(call, "edit")
}

func (v *vero) tags(call *veroCall) (int, string) {
	if status, problem := v.find(call); problem != "" {
		return status, problem
	}
	tags := map[string]bool{}
	for _, tag := range list(v.state.graph.node(call.id).properties["tags"]) {
		tags[text(tag)] = true
	}
	for _, tag := range list(call.body["add"]) {
		tags[text(tag)] = true
	}
	for _, tag := range list(call.body["remove"]) {
		delete(tags, text(tag))
	}
	var all []any
	for _, tag := range slices.Sorted(maps.Keys(tags)) {
		all = append(all, tag)
	}
	v.state.graph.set(call.id, "tags", all)
	return v.took(call, "tags")
}

func (v *vero) unsubscribe(call *veroCall) (int, string) {
	return v.subscription(call, "unsubscribe", true)
}

func (v *vero) resubscribe(call *veroCall) (int, string) {
	return v.subscription(call, "resubscribe", false)
}

func (v *vero) subscription(call *veroCall, kind string, unsubscribed bool) (int, string) {
	if status, problem := v.find(call); problem != "" {
		return status, problem
	}
	v.state.graph.set(call.id, "unsubscribed", unsubscribed)
	return v.took(call, kind)
}

func (v *vero) delete(call *veroCall) (int, string) {
	if status, problem := v.find(call); problem != "" {
		return status, problem
	}
	v.state.graph.remove(call.id)
	return v.took(call, "delete")
}

// event credits an event to a profile, which it creates. The like of an event of the last five minutes is dropped with
// the answer of a success.
func (v *vero) event(call *veroCall) (int, string) {
	identity, ok := call.body["identity"].(map[string]any)
	if !ok {
		return http.StatusBadRequest, "The identity is required."
	}
	if problem := call.name(identity); problem != "" {
		return http.StatusBadRequest, problem
	}
	call.Event = text(call.body["event_name"])
	if call.Event == "" || isTooLong(call.Event) {
		return http.StatusBadRequest, "The event_name is required and at most 254 characters long."
	}
	for _, member := range []string{"data", "extras"} {
		if problem := wrongObject(call.body, member); problem != "" {
			return http.StatusBadRequest, problem
		}
	}
	call.Time = veroTime(call)
	call.Key = veroKey(call)
	if v.state.isDuplicate(call.Record) {
		return http.StatusOK, veroSuccess
	}
	v.state.graph.credit(call.id, call.Event)
	if email := text(identity["email"]); email != "" {
		v.state.graph.set(call.id, "email", email)
	}
	return v.took(call, "event")
}

// name reads which profile the call is about.
func (c *veroCall) name(from map[string]any) (problem string) {
	id, email := text(from["id"]), text(from["email"])
	switch {
	case id == "" && email == "":
		return "An id or an email is required."
	case isTooLong(id) || isTooLong(email):
		return "The id and email are at most 254 characters long."
	case email != "" && !strings.Contains(email, "@"):
		return "The email is not valid."
	}
	c.id = id
	if id == "" {
		c.id = email
	}
	c.IDs = []string{c.id}
	return ""
}

// find names the profile of a call that does not create one.
func (v *vero) find(call *veroCall) (status int, problem string) {
	if problem := call.name(call.body); problem != "" {
		return http.StatusBadRequest, problem
	}
	if !v.state.graph.has(call.id) {
		return http.StatusNotFound, "No user has this id."
	}
	return http.StatusOK, ""
}

// update sets the members of an object on the profile, and creates it.
func (v *vero) update(call *veroCall, data any) {
	v.state.graph.node(call.id)
	object, _ := data.(map[string]any)
	if v.state.peopleOnly {
		return
	}
	for name, value := range object {
		v.state.graph.set(call.id, name, value)
	}
}

// took notes a call and answers it with success.
func (v *vero) took(call *veroCall, kind string) (int, string) {
	call.Kind = kind
	v.state.ingest(call.Record)
	return http.StatusOK, veroSuccess
}

// veroTime is extras.created_at, as ISO 8601 or in seconds, else the time of arrival.
func veroTime(call *veroCall) time.Time {
	extras, _ := call.body["extras"].(map[string]any)
	switch created := extras["created_at"].(type) {
	case string:
		if t, err := time.Parse(time.RFC3339, created); err == nil && isYear(t.Unix()) {
			return t.UTC()
		}
	case json.Number:
		if seconds, err := created.Int64(); err == nil && isYear(seconds) {
			return time.Unix(seconds, 0).UTC()
		}
	}
	return call.At
}

// veroKey is event, id and data; the check_id counts only where there is no data. Names go by their letters: case does
// not count, and a space is an underscore.
func veroKey(call *veroCall) string {
	what, hasData := call.body["data"]
	if !hasData {
		extras, _ := call.body["extras"].(map[string]any)
		what = extras["check_id"]
	}
	content, _ := json.Marshal(what)
	sum := sha256.Sum256(content)
	name := strings.ReplaceAll(strings.ToLower(call.Event), " ", "_")
	return fmt.Sprintf("%s|%s|%s", name, call.id, hex.EncodeToString(sum[:8]))
}

// wrongObject returns what is wrong with a member that must be an object where it is there.
func wrongObject(body map[string]any, name string) (problem string) {
	if value := body[name]; value != nil {
		if _, ok := value.(map[string]any); !ok {
			return "The " + name + " is not an object."
		}
	}
	return ""
}

// list returns an array, or nothing.
func list(value any) []any {
	all, _ := value.([]any)
	return all
}
