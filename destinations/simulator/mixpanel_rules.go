package simulator

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fieldError is what is wrong with one record.
type fieldError struct{ field, message string }

func (e *fieldError) String() string { return strings.TrimSpace(e.field + " " + e.message) }

// forbiddenIDs can be neither a distinct_id nor an $insert_id:
// https://docs.mixpanel.com/reference/import-events#propertiesdistinct_id
var forbiddenIDs = []string{
	"00000000-0000-0000-0000-000000000000", "anon", "anonymous", "nil", "none", "null", "n/a", "na", "undefined", "unknown",
	"<nil>", "0", "-1", "true", "false", "[]", "{}",
}

func isForbidden(id string) bool { return slices.Contains(forbiddenIDs, strings.ToLower(id)) }

var insertIDFormat = regexp.MustCompile(`^[A-Za-z0-9-]{1,36}$`)

// mixpanelEvent is an event as read, good or not.
type mixpanelEvent struct {
	name       string
	properties map[string]any
	insertID   string
	at         time.Time
	verb       *verb // set for $identify, $create_alias and $merge
}

// readImported reads and checks an event as /import does with strict=1.
func readImported(in *request, i int) (mixpanelEvent, *fieldError) {
	event, wrong := readEvent(in, i)
	switch {
	case in.fails(i):
		return event, &fieldError{"", "simulated fault"}
	case wrong != nil || event.verb != nil:
		return event, wrong
	case event.properties["time"] == nil:
		return event, &fieldError{"properties.time", "missing"}
	case event.insertID == "":
		return event, &fieldError{"properties.$insert_id", "missing"}
	case !insertIDFormat.MatchString(event.insertID), isForbidden(event.insertID):
		return event, &fieldError{"properties.$insert_id", "invalid: up to 36 letters, digits and dashes, and no forbidden value"}
	}
	return event, nil
}

// readEvent reads and checks an event as /track does, which needs no time and no $insert_id.
func readEvent(in *request, i int) (mixpanelEvent, *fieldError) {
	event := mixpanelEvent{at: in.now}
	object, _ := in.items[i].value.(map[string]any)
	event.name, _ = object["event"].(string)
	event.properties, _ = object["properties"].(map[string]any)
	event.insertID = text(event.properties["$insert_id"])
	switch {
	case object == nil:
		return event, &fieldError{"", "not an object"}
	case event.name == "":
		return event, &fieldError{"event", "missing or not a string"}
	case event.properties == nil:
		return event, &fieldError{"properties", "missing or not an object"}
	case in.items[i].bytes > mixpanelMaxRecord:
		return event, &fieldError{"", "over 1048576 bytes"}
	}
	if !fits(event.properties, 0) {
		return event, checkSizes("properties", event.properties, 0)
	}
	if wrong := event.readTime(in.now); wrong != nil {
		return event, wrong
	}
	if isVerb(event.name) {
		var wrong *fieldError
		event.verb, wrong = readVerb(event)
		return event, wrong
	}
	return event, checkIDs(event.properties, "distinct_id", "$user_id", "$device_id")
}

// record is what is kept of an event.
func (e mixpanelEvent) record(in *request) Record {
	record := Record{At: in.now, Time: e.at, Kind: "event", Event: e.name}
	if e.verb != nil {
		record.Kind, record.Event = strings.TrimPrefix(e.name, "$"), ""
		record.IDs = []string{e.verb.old, e.verb.new}
		return record
	}
	for _, name := range []string{"$device_id", "$user_id", "distinct_id"} {
		if id := cut255(text(e.properties[name])); id != "" && !slices.Contains(record.IDs, id) {
			record.IDs = append(record.IDs, id)
		}
	}
	return record
}

// isNobodys tells that the event says that it has no user, by an empty distinct_id.
func (e mixpanelEvent) isNobodys() bool { return e.properties["distinct_id"] == "" }

// year1971 in milliseconds is no time before the year 2969 in seconds, so it tells the two apart.
var year1971 = time.Date(1971, 1, 1, 0, 0, 0, 0, time.UTC)

// readTime takes seconds or milliseconds, from 1971 to an hour from now. What lies ahead becomes now.
func (e *mixpanelEvent) readTime(now time.Time) *fieldError {
	value := e.properties["time"]
	if value == nil {
		return nil
	}
	number, ok := value.(json.Number)
	if !ok {
		return &fieldError{"properties.time", "not a number"}
	}
	n, err := number.Float64()
	if err == nil && math.Abs(n) < float64(year1971.UnixMilli()) {
		n *= 1000
	}
	if err != nil || n < float64(year1971.UnixMilli()) || n > float64(now.Add(time.Hour).UnixMilli()) {
		return &fieldError{"properties.time", "not between 1971 and an hour from now"}
	}
	e.at = time.UnixMilli(int64(n)).UTC()
	if e.at.After(now) {
		e.at = now
	}
	return nil
}

// checkIDs checks the ids that are there.
func checkIDs(properties map[string]any, names ...string) *fieldError {
	for _, name := range names {
		value := properties[name]
		switch id := text(value); {
		case value == nil:
		case id == "" && value != "":
			return &fieldError{"properties." + name, "not a string"}
		case isForbidden(id):
			return &fieldError{"properties." + name, "a forbidden value"}
		}
	}
	return nil
}

// fits reports whether checkSizes finds nothing.
func fits(value any, depth int) bool {
	switch v := value.(type) {
	case map[string]any:
		if len(v) > 255 || depth > 3 {
			return false
		}
		for _, inner := range v {
			if !fits(inner, depth+1) {
				return false
			}
		}
	case []any:
		return len(v) <= 255 && !slices.ContainsFunc(v, func(inner any) bool { return !fits(inner, depth) })
	}
	return true
}

// checkSizes checks the members of objects and arrays, and how deep they are nested.
func checkSizes(path string, value any, depth int) *fieldError {
	switch v := value.(type) {
	case map[string]any:
		if len(v) > 255 || depth > 3 {
			return &fieldError{path, "over 255 members or nested over 3 deep"}
		}
		for name, inner := range v {
			if wrong := checkSizes(path+"."+name, inner, depth+1); wrong != nil {
				return wrong
			}
		}
	case []any:
		if len(v) > 255 {
			return &fieldError{path, "over 255 elements"}
		}
		for _, inner := range v {
			if wrong := checkSizes(path, inner, depth); wrong != nil {
				return wrong
			}
		}
	}
	return nil
}

// profileOperations are what /engage and /groups know.
var profileOperations = []string{"$set", "$set_once", "$add", "$append", "$union", "$remove", "$unset", "$delete"}

// readUpdate reads and checks an update that needs the given ids.
func readUpdate(in *request, i int, ids ...string) (map[string]any, *fieldError) {
	update, ok := in.items[i].value.(map[string]any)
	switch {
	case !ok:
		return nil, &fieldError{"", "not an object"}
	case in.items[i].token == "":
		return nil, &fieldError{"$token", "missing or empty"}
	case in.items[i].bytes > mixpanelMaxRecord:
		return nil, &fieldError{"", "over 1048576 bytes"}
	}
	for _, name := range ids {
		if id := text(update[name]); id == "" || isForbidden(id) {
			return nil, &fieldError{name, "missing, not a string or a forbidden value"}
		}
	}
	known := 0
	for _, operation := range profileOperations {
		value, present := update[operation]
		if !present {
			continue
		}
		known++
		if wrong := checkOperation(operation, value); wrong != nil {
			return nil, wrong
		}
	}
	if known == 0 {
		return nil, &fieldError{"", "no operation such as $set"}
	}
	return update, nil
}

func checkOperation(operation string, value any) *fieldError {
	object, isObject := value.(map[string]any)
	_, isArray := value.([]any)
	switch operation {
	case "$delete":
	case "$unset":
		if !isArray {
			return &fieldError{"$unset", "not an array"}
		}
	default:
		if !isObject {
			return &fieldError{operation, "not an object"}
		}
	}
	for _, inner := range object {
		_, isList := inner.([]any)
		if operation == "$add" && !isFinite(inner) {
			return &fieldError{"$add", "not a number"}
		}
		if operation == "$union" && !isList {
			return &fieldError{"$union", "not an array"}
		}
	}
	return nil
}

// updateProfile does a checked update's operations to what is stored under the id.
func updateProfile(g *graph, id string, update map[string]any) {
	n := g.node(id)
	if g.peopleOnly {
		return
	}
	if _, ok := update["$delete"]; ok {
		clear(n.properties)
		return
	}
	members := func(operation string) map[string]any {
		object, _ := update[operation].(map[string]any)
		return object
	}
	for name, value := range members("$set") {
		g.set(id, name, value)
	}
	for name, value := range members("$set_once") {
		if n.properties[name] == nil {
			g.set(id, name, value)
		}
	}
	for name, value := range members("$add") {
		g.set(id, name, sum(n.properties[name], value))
	}
	for name, value := range members("$append") {
		g.set(id, name, slices.Concat(list(n.properties[name]), []any{value}))
	}
	for name, value := range members("$union") {
		g.set(id, name, union(list(n.properties[name]), list(value)))
	}
	for name, value := range members("$remove") {
		g.set(id, name, without(list(n.properties[name]), value))
	}
	for _, name := range list(update["$unset"]) {
		delete(n.properties, text(name))
	}
}

func isFinite(value any) bool {
	number, ok := value.(json.Number)
	if !ok {
		return false
	}
	_, err := number.Float64()
	return err == nil
}

// sum adds what is finite; anything else counts as nothing.
func sum(a, b any) json.Number {
	total := 0.0
	for _, value := range []any{a, b} {
		if isFinite(value) {
			number, _ := value.(json.Number).Float64()
			total += number
		}
	}
	total = max(-math.MaxFloat64, min(total, math.MaxFloat64))
	return json.Number(strconv.FormatFloat(total, 'g', -1, 64))
}

func union(all, more []any) []any {
	all = slices.Clone(all)
	for _, value := range more {
		if !contains(all, value) {
			all = append(all, value)
		}
	}
	return all
}

func without(all []any, value any) []any {
	return slices.DeleteFunc(slices.Clone(all), func(v any) bool { return reflect.DeepEqual(v, value) })
}

func contains(all []any, value any) bool {
	return slices.ContainsFunc(all, func(v any) bool { return reflect.DeepEqual(v, value) })
}

// readVerb reads the two ids of an event that changes an identity. It needs neither time nor $insert_id.
func readVerb(event mixpanelEvent) (*verb, *fieldError) {
	v := &verb{name: event.name}
	var oldField, newField any
	switch event.name {
	case "$identify":
		oldField, newField = event.properties["$anon_id"], event.properties["$identified_id"]
	case "$create_alias":
		oldField, newField = event.properties["distinct_id"], event.properties["alias"]
	case "$merge":
		pair := list(event.properties["$distinct_ids"])
		if len(pair) != 2 {
			return v, &fieldError{"properties.$distinct_ids", "not an array of two ids"}
		}
		oldField, newField = pair[0], pair[1]
	}
	v.old, v.new = cut255(text(oldField)), cut255(text(newField))
	for _, id := range []string{v.old, v.new} {
		if id == "" || isForbidden(id) {
			return v, &fieldError{"properties", fmt.Sprintf("%s needs two ids that are no forbidden values", event.name)}
		}
	}
	return v, nil
}
