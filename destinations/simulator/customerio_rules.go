package simulator

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// What https://docs.customer.io/integrations/api/track allows. The limits of an event's data and of an object, 100 KB each,
// cannot be met: an item has 32 KB.
const (
	cioMaxID         = 150  // bytes
	cioMaxName       = 150  // bytes of an attribute's name
	cioMaxValue      = 1000 // bytes of an attribute
	cioMaxAttributes = 300
	cioMaxEventName  = 100 // bytes
)

// cioCall is an item as read.
type cioCall struct {
	Record
	kind, action string // "person" or "object", and what is to be done
	body         map[string]any
	attributes   map[string]any

	who                cioRef // the person, or an anonymous one
	primary, secondary cioRef // of a merge
	related            []cioRef
	key                string // an event's ULID
}

// cioAction is how an item is checked beyond its identifiers, and what it does. do returns why it did nothing, or "".
type cioAction struct {
	check func(*customerIO, *cioCall) *cioProblem
	do    func(*cioPeople, *cioCall) (reason string, problem *cioProblem)
}

var (
	cioEventAction  = cioAction{(*customerIO).checkEvent, (*cioPeople).credit}
	cioObjectAction = cioAction{(*customerIO).checkObject, (*cioPeople).relate}
)

// cioActions are by type and action.
var cioActions = map[string]cioAction{
	"person identify":             {(*customerIO).checkIdentify, (*cioPeople).identify},
	"person event":                cioEventAction,
	"person page":                 cioEventAction,
	"person screen":               cioEventAction,
	"person add_device":           {(*customerIO).checkDevice, (*cioPeople).touch},
	"person delete_device":        {(*customerIO).checkDevice, (*cioPeople).find},
	"person add_relationships":    {(*customerIO).checkRelations, (*cioPeople).touch},
	"person delete_relationships": {(*customerIO).checkRelations, (*cioPeople).find},
	"person merge":                {(*customerIO).checkMerge, (*cioPeople).merge},
	"person delete":               {nil, (*cioPeople).delete},
	"person suppress":             {nil, (*cioPeople).suppress},
	"person unsuppress":           {nil, (*cioPeople).unsuppress},
	"object identify":             cioObjectAction,
	"object identify_anonymous":   cioObjectAction,
	"object add_relationships":    cioObjectAction,
	"object delete_relationships": cioObjectAction,
	"object delete":               cioObjectAction,
}

// cioRecordKinds are the kinds of records that do not have their action's name.
var cioRecordKinds = map[string]string{"person identify": "profile", "object identify": "group", "object identify_anonymous": "group"}

// read checks an item and returns it as a call.
func (c *customerIO) read(in *request, value any, bytes int) (*cioCall, *cioProblem) {
	body, ok := value.(map[string]any)
	if !ok {
		return nil, cioInvalid("", "the item is not an object")
	}
	call := &cioCall{body: body, kind: text(body["type"]), action: text(body["action"])}
	call.Record = Record{At: in.now, Time: in.now, Kind: call.action}
	if kind, ok := cioRecordKinds[call.kind+" "+call.action]; ok {
		call.Kind = kind
	}
	action, known := cioActions[call.kind+" "+call.action]
	switch {
	case bytes > c.kilobytes(cioMaxItem):
		return nil, cioInvalid("", "the item is too large")
	case body["type"] == nil:
		return nil, cioRequired("type")
	case body["action"] == nil:
		return nil, cioRequired("action")
	case !known:
		return nil, cioInvalid("action", "no such action of this type")
	}
	if call.kind == "person" && call.action != "merge" {
		var problem *cioProblem
		if call.who, problem = c.identifier(body, "identifiers", c.kindsOf(in, call)); problem != nil {
			return nil, problem
		}
		call.IDs = []string{call.who.String()}
	}
	if problem := c.readCommon(call); problem != nil || action.check == nil {
		return call, problem
	}
	return call, action.check(c, call)
}

// kindsOf are the identifiers that an item may have.
func (c *customerIO) kindsOf(in *request, call *cioCall) []string {
	kinds := []string{"id", "email", "phone", "cio_id"}
	isEvent := call.action == "event" || call.action == "page" || call.action == "screen"
	if isEvent && (c.set.AnonymousEvents == "taken" || in.path == "/api/v1/events") {
		kinds = append(kinds, "anonymous_id")
	}
	return kinds
}

var cioPhone = regexp.MustCompile(`^\+[0-9]{1,15}$`)

// identifier reads an object with exactly one identifier.
func (c *customerIO) identifier(body map[string]any, field string, kinds []string) (cioRef, *cioProblem) {
	if body[field] == nil {
		return cioRef{}, cioRequired(field)
	}
	object, ok := body[field].(map[string]any)
	if !ok || len(object) != 1 {
		return cioRef{}, cioInvalid(field, "not an object with exactly one identifier")
	}
	kind := slices.Collect(maps.Keys(object))[0]
	value, isText := object[kind].(string)
	field += "." + kind
	switch {
	case !slices.Contains(kinds, kind):
		return cioRef{}, cioInvalid(field, "no such identifier here")
	case kind != "anonymous_id" && !c.set.allows(kind):
		return cioRef{}, cioInvalid(field, "the workspace does not identify people by this")
	case !isText || value == "":
		return cioRef{}, cioInvalid(field, "not a text, or empty")
	case kind == "email" && !strings.Contains(value, "@"):
		return cioRef{}, cioInvalid(field, "not an e-mail address")
	case kind == "phone" && !cioPhone.MatchString(value):
		return cioRef{}, cioInvalid(field, "not a phone number such as +14155552671")
	case kind == "id" && len(value) > cioMaxID && c.set.LongIDs == "refused":
		return cioRef{}, cioInvalid(field, "over 150 bytes")
	}
	return c.set.ref(kind, value), nil
}

// ref is an identifier as people are found by it.
func (c CustomerIO) ref(kind, value string) cioRef {
	switch {
	case kind == "email":
		value = strings.ToLower(value)
	case kind == "id" && len(value) > cioMaxID:
		value = value[:cioMaxID]
	}
	return cioRef{kind, value}
}

// readCommon reads the members that several actions have.
func (c *customerIO) readCommon(call *cioCall) *cioProblem {
	if value := call.body["attributes"]; value != nil {
		var ok bool
		if call.attributes, ok = value.(map[string]any); !ok {
			return cioInvalid("attributes", "not an object")
		}
	}
	value := call.body["timestamp"]
	if value == nil {
		return nil
	}
	at, ok := cioTime(value)
	if !ok {
		return cioInvalid("timestamp", "not seconds since 1970 without a fraction")
	}
	call.Time = at
	if c.set.Future == "now" && at.After(call.At) {
		call.Time = call.At
	}
	return nil
}

func cioTime(value any) (time.Time, bool) {
	number, _ := value.(json.Number)
	seconds, err := number.Int64()
	if err != nil || seconds < 0 || !isYear(seconds) {
		return time.Time{}, false
	}
	return time.Unix(seconds, 0).UTC(), true
}

func (c *customerIO) checkIdentify(call *cioCall) *cioProblem {
	for _, kind := range []string{"id", "email", "phone"} {
		value, present := call.attributes[kind]
		if !present || !c.set.allows(kind) {
			continue
		}
		if value == nil || value == "" {
			continue // nothing is claimed
		}
		if _, problem := c.identifier(map[string]any{"attributes": map[string]any{kind: value}}, "attributes", []string{kind}); problem != nil {
			return problem
		}
	}
	if call.body["cio_relationships"] != nil {
		if problem := c.checkRelations(call); problem != nil {
			return problem
		}
	}
	if anonymous := text(call.attributes["anonymous_id"]); anonymous != "" {
		call.IDs = []string{anonymous, call.who.String()}
	}
	return cioAttributes(call)
}

// cioAttributes checks the attributes that are kept: a person's and an object's.
func cioAttributes(call *cioCall) *cioProblem {
	if len(call.attributes) > cioMaxAttributes {
		return cioInvalid("attributes", "over 300 attributes")
	}
	for _, name := range slices.Sorted(maps.Keys(call.attributes)) {
		switch {
		case len(name) > cioMaxName:
			return cioInvalid("attributes", "an attribute's name has over 150 bytes")
		case cioSize(call.attributes[name]) > cioMaxValue:
			return cioInvalid("attributes."+name, "over 1000 bytes")
		}
	}
	return nil
}

// cioSize is a text's length, or that of anything else as JSON.
func cioSize(value any) int {
	if text, ok := value.(string); ok {
		return len(text)
	}
	encoded, _ := json.Marshal(value)
	return len(encoded)
}

func (c *customerIO) checkEvent(call *cioCall) *cioProblem {
	name, isText := call.body["name"].(string)
	id, hasID := call.body["id"]
	switch {
	case call.body["name"] == nil || name == "" && isText:
		return cioRequired("name")
	case !isText:
		return cioInvalid("name", "not a text")
	case len(name) > cioMaxEventName:
		return cioInvalid("name", "over 100 bytes")
	}
	if _, isText := id.(string); hasID && !isText {
		return cioInvalid("id", "not a text")
	}
	call.Event = name
	return nil
}

// cioULIDFormat is a number of 128 bits in 26 letters and digits. Case does not count.
var cioULIDFormat = regexp.MustCompile(`^(?i)[0-7][0-9A-HJKMNP-TV-Z]{25}$`)

// cioULID returns the id by which an event is known when it comes again. Any other id is taken and does nothing.
func cioULID(call *cioCall) string {
	id := text(call.body["id"])
	if call.Event == "" || !cioULIDFormat.MatchString(id) {
		return ""
	}
	return strings.ToUpper(id)
}

func (c *customerIO) checkDevice(call *cioCall) *cioProblem {
	device, ok := call.body["device"].(map[string]any)
	switch {
	case call.body["device"] == nil:
		return cioRequired("device")
	case !ok:
		return cioInvalid("device", "not an object")
	case text(device["token"]) == "":
		return cioRequired("device.token")
	case call.action == "delete_device":
		return nil
	case device["platform"] != "ios" && device["platform"] != "android":
		return cioInvalid("device.platform", "not one of ios, android")
	}
	if _, ok := cioTime(device["last_used"]); device["last_used"] != nil && !ok {
		return cioInvalid("device.last_used", "not seconds since 1970 without a fraction")
	}
	return nil
}

// checkMerge reads the two sides. Only people who are identified merge, and not by their phone.
func (c *customerIO) checkMerge(call *cioCall) (problem *cioProblem) {
	kinds := []string{"id", "email", "cio_id"}
	if call.primary, problem = c.identifier(call.body, "primary", kinds); problem != nil {
		return problem
	}
	if call.secondary, problem = c.identifier(call.body, "secondary", kinds); problem != nil {
		return problem
	}
	call.IDs = []string{call.secondary.String(), call.primary.String()}
	return nil
}

// checkRelations checks the objects that a person is related to.
func (c *customerIO) checkRelations(call *cioCall) *cioProblem {
	relations, problem := cioRelations(call, call.action != "identify")
	for _, relation := range relations {
		if problem := cioObject(relation); problem != nil {
			return problem
		}
	}
	return problem
}

// cioRelations reads cio_relationships, an array of objects with identifiers.
func cioRelations(call *cioCall, required bool) (relations []map[string]any, problem *cioProblem) {
	all, ok := call.body["cio_relationships"].([]any)
	switch {
	case call.body["cio_relationships"] == nil && required:
		return nil, cioRequired("cio_relationships")
	case call.body["cio_relationships"] != nil && !ok:
		return nil, cioInvalid("cio_relationships", "not an array")
	}
	for _, each := range all {
		relation, ok := each.(map[string]any)
		if !ok {
			return nil, cioInvalid("cio_relationships", "not an array of objects")
		}
		relations = append(relations, relation)
	}
	return relations, nil
}

var cioObjectType = regexp.MustCompile(`^[1-9][0-9]*$`)

// cioObject checks the identifiers of an object.
func cioObject(body map[string]any) *cioProblem {
	identifiers, ok := body["identifiers"].(map[string]any)
	kind, _ := identifiers["object_type_id"].(string)
	id, _ := identifiers["object_id"].(string)
	switch {
	case body["identifiers"] == nil:
		return cioRequired("identifiers")
	case !ok:
		return cioInvalid("identifiers", "not an object")
	case id == "":
		return cioRequired("identifiers.object_id")
	case !cioObjectType.MatchString(kind):
		return cioInvalid("identifiers.object_type_id", "not the number of a type, as text")
	}
	return nil
}

func (c *customerIO) checkObject(call *cioCall) *cioProblem {
	if problem := cioObject(call.body); problem != nil {
		return problem
	}
	identifiers, _ := call.body["identifiers"].(map[string]any)
	call.IDs = []string{text(identifiers["object_type_id"]), text(identifiers["object_id"])}
	kinds := []string{"id", "email", "phone", "cio_id"}
	if call.action == "identify_anonymous" {
		kinds = []string{"anonymous_id"}
	}
	relations, problem := cioRelations(call, strings.HasSuffix(call.action, "_relationships"))
	for _, relation := range relations {
		ref, problem := c.identifier(relation, "identifiers", kinds)
		if problem != nil {
			return problem
		}
		call.related = append(call.related, ref)
	}
	if problem != nil {
		return problem
	}
	return cioAttributes(call)
}
