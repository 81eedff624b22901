package simulator

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"aka/router/segment"
)

// What https://docs.mixpanel.com/reference/import-events and /reference/profile-set allow per request and per record.
const (
	mixpanelMaxRecords = 2000
	mixpanelMaxImport  = 10 << 20 // bytes, uncompressed
	mixpanelMaxRecord  = 1 << 20  // bytes
)

// mixpanel is https://docs.mixpanel.com/reference: /import, which checks and says so with strict=1; /track, /engage and
// /groups, which answer 200 whatever they are sent, and say 1 for data of a project that does not exist.
//
// Its pages do not say what a request with more than 2000 records gets; here it is 413. Nor what /engage and /groups say
// to strict=1; here status 0 comes with failed_records, as at /import, and the other records are taken. Nor whether
// $merge is honoured where the project token is the credential; here it is not. Nor what /import says to an empty list with
// credentials that are right; here it is 200. Of the Query API, /api/query/engage reads profiles by their ids.
type mixpanel struct {
	state   *accountState
	options Options
	ids     idMerge
}

func newMixpanel(b *accountState, options Options) vendor {
	return &mixpanel{state: b, options: options, ids: newIDMerge(options.IDMerge, b.graph)}
}

func checkIDMerge(options Options) error {
	if !slices.Contains([]string{"legacy", "original", "simplified"}, options.IDMerge) {
		return fmt.Errorf("id_merge %q is not one of legacy, original, simplified", options.IDMerge)
	}
	return nil
}

// decode reads a JSON array, JSON lines, or the form parameter data, whose JSON may be in base64.
func (m *mixpanel) decode(in *request) ([]item, error) {
	if in.isGzip() {
		if mixpanelPath(in) != "/import" {
			return nil, errors.New("gzip is not supported here")
		}
		if err := in.gunzip(); err != nil {
			return nil, err
		}
	}
	if mixpanelPath(in) == mixpanelQueryPath {
		return nil, nil
	}
	if one, ok := oneRecord(in); ok {
		return []item{one}, nil
	}
	records, err := mixpanelRecords(in)
	if err != nil {
		return nil, err
	}
	items := make([]item, len(records))
	for i, raw := range records {
		if items[i], err = mixpanelItem(raw); err != nil {
			return nil, err
		}
	}
	return items, nil
}

// oneRecord reads a JSON array of one record at once, which is cheaper.
func oneRecord(in *request) (item, bool) {
	if !strings.HasPrefix(in.header.Get("Content-Type"), "application/json") || !bytes.HasPrefix(in.body, []byte("[")) {
		return item{}, false
	}
	value, ok := segment.DecodeValue(in.body)
	if array, _ := value.([]any); ok && len(array) == 1 {
		return itemOf(array[0], len(in.body)-len("[]")), true
	}
	return item{}, false
}

func mixpanelPath(in *request) string { return strings.TrimSuffix(in.path, "/") }

func mixpanelRecords(in *request) ([]json.RawMessage, error) {
	contentType := in.header.Get("Content-Type")
	switch {
	case mixpanelPath(in) == "/import" && strings.HasPrefix(contentType, "application/x-ndjson"):
		return jsonLines(in.body), nil
	case mixpanelPath(in) == "/import":
		return jsonArray(in.body)
	case strings.HasPrefix(contentType, "application/json"):
		return jsonArrayOrOne(in.body)
	}
	parameters, err := in.parameters()
	if err != nil {
		return nil, err
	}
	data := []byte(parameters.Get("data"))
	if decoded, err := base64.StdEncoding.DecodeString(string(data)); err == nil {
		data = decoded
	}
	return jsonArrayOrOne(data)
}

func jsonLines(body []byte) []json.RawMessage {
	var records []json.RawMessage
	for line := range bytes.Lines(body) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			records = append(records, line)
		}
	}
	return records
}

func jsonArray(body []byte) ([]json.RawMessage, error) {
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		return nil, errors.New("the body is not a JSON array")
	}
	var records []json.RawMessage
	return records, json.Unmarshal(body, &records)
}

func jsonArrayOrOne(body []byte) ([]json.RawMessage, error) {
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		return jsonArray(body)
	}
	if !json.Valid(body) {
		return nil, errors.New("the data is not JSON")
	}
	return []json.RawMessage{body}, nil
}

// mixpanelItem decodes a record. Events have their token in the properties, updates at the top.
func mixpanelItem(raw json.RawMessage) (item, error) {
	value, err := decodeJSON(raw)
	if err != nil {
		return item{}, err
	}
	return itemOf(value, len(raw)), nil
}

func itemOf(value any, bytes int) item {
	record := item{value: value, bytes: bytes}
	object, _ := value.(map[string]any)
	if object != nil {
		record.token = takeSecret(object, "$token")
	}
	if properties, ok := object["properties"].(map[string]any); ok {
		record.token = takeSecret(properties, "token")
	}
	return record
}

func (m *mixpanel) handle(in *request) answer {
	path := mixpanelPath(in)
	switch {
	case path == mixpanelQueryPath && in.method == http.MethodPost:
		return m.queryProfiles(in)
	case path != "/import" && path != "/track" && path != "/engage" && path != "/groups":
		return jsonAnswer(http.StatusNotFound, map[string]any{"error": "no such endpoint", "status": 0})
	case in.method != http.MethodPost:
		return jsonAnswer(http.StatusMethodNotAllowed, map[string]any{"error": "only POST", "status": 0})
	case path == "/import":
		return m.importEvents(in)
	case len(in.items) > mixpanelMaxRecords:
		return tooManyRecords()
	case in.malformed != nil:
		return mixpanelVerdict(in, 0, []failedRecord{{Message: in.malformed.Error()}})
	case path == "/track":
		return m.each(in, m.trackEvent)
	case path == "/engage":
		return m.each(in, m.profile)
	}
	return m.each(in, m.group)
}

func tooManyRecords() answer {
	return jsonAnswer(http.StatusRequestEntityTooLarge, map[string]any{
		"code": http.StatusRequestEntityTooLarge, "error": "request exceeds the limit of 2000 records",
	})
}

// failedRecord is a record that an answer names as refused.
type failedRecord struct {
	Index    int    `json:"index"`
	InsertID string `json:"insert_id"`
	Field    string `json:"field"`
	Message  string `json:"message"`
}

// importEvents takes the good events of a request and, with strict=1, names the others in a 400.
func (m *mixpanel) importEvents(in *request) answer {
	login, refused := m.login(in)
	switch {
	case refused != nil:
		return *refused
	case len(in.body) > mixpanelMaxImport:
		return jsonAnswer(http.StatusRequestEntityTooLarge, map[string]any{
			"code": http.StatusRequestEntityTooLarge, "error": "request exceeds the limit of 10485760 bytes",
		})
	case len(in.items) > mixpanelMaxRecords:
		return tooManyRecords()
	case in.malformed != nil:
		return importAnswer(http.StatusBadRequest, 0, nil, "the body cannot be read: "+in.malformed.Error())
	}
	failed := []failedRecord{}
	for i := range in.items {
		event, wrong := readImported(in, i)
		if wrong == nil {
			m.take(in, event, login)
			continue
		}
		failed = append(failed, failedRecord{i, event.insertID, wrong.field, wrong.message})
		if !isStrict(in) {
			m.state.refuse(event.record(in), wrong.String())
		}
	}
	if len(failed) == 0 || !isStrict(in) {
		if len(in.items) == 1 {
			return importedOne
		}
		return importAnswer(http.StatusOK, len(in.items), nil, "")
	}
	return importAnswer(http.StatusBadRequest, len(in.items)-len(failed), failed, "some data points in the request failed validation")
}

// importedOne answers an import of one good event.
var importedOne = importAnswer(http.StatusOK, 1, nil, "")

func importAnswer(code, imported int, failed []failedRecord, problem string) answer {
	body := map[string]any{"code": code, "num_records_imported": imported, "status": "OK"}
	if code != http.StatusOK {
		body["status"], body["error"] = http.StatusText(code), problem
	}
	if failed != nil {
		body["failed_records"] = failed
	}
	return jsonAnswer(code, body)
}

// login is how an event came: what its endpoint and credential allow it.
type login struct {
	// merge tells that $merge may be honoured.
	merge bool
	// refusal is why a $merge is not, where merge is false.
	refusal string
}

// login reads the Basic credentials of /import: the token or the secret with an empty password, or a service account
// together with its project_id.
func (m *mixpanel) login(in *request) (login, *answer) {
	user, password, ok := (&http.Request{Header: in.header}).BasicAuth()
	project := in.query.Get("project_id")
	o := m.options
	anybody := o.Token == "" && o.APISecret == "" && o.ServiceUser == ""
	full := login{merge: true}
	switch {
	case !ok || user == "":
	case password != "" && project == "" && (anybody || user == o.ServiceUser):
		refused := importAnswer(http.StatusBadRequest, 0, nil, "a service account needs the query parameter project_id")
		return login{}, &refused
	case anybody:
		return full, nil
	case password == "" && o.Token != "" && user == o.Token:
		return login{refusal: "merge_needs_secret"}, nil
	case password == "" && o.APISecret != "" && user == o.APISecret:
		return full, nil
	case password != "" && user == o.ServiceUser && password == o.ServiceSecret && (o.ProjectID == "" || project == o.ProjectID):
		return full, nil
	}
	refused := jsonAnswer(http.StatusUnauthorized, map[string]any{
		"code": http.StatusUnauthorized, "error": "invalid credentials", "status": "Unauthorized",
	})
	return login{}, &refused
}

// each hands every record of a request to take, which returns what is wrong with it, and answers as /track, /engage and
// /groups do.
func (m *mixpanel) each(in *request, take func(*request, int) *fieldError) answer {
	failed := []failedRecord{}
	for i := range in.items {
		wrong := &fieldError{"", "simulated fault"}
		if !in.fails(i) {
			wrong = take(in, i)
		}
		if wrong != nil {
			failed = append(failed, failedRecord{Index: i, Field: wrong.field, Message: wrong.String()})
		}
	}
	good := len(in.items) - len(failed)
	if good > 0 && !isStrict(in) {
		for _, record := range failed {
			m.state.refuse(Record{At: in.now, Time: in.now}, record.Message)
		}
	}
	return mixpanelVerdict(in, good, failed)
}

// isStrict reports whether an endpoint is to say what is wrong; /track does not know how.
func isStrict(in *request) bool {
	return in.query.Get("strict") == "1" && mixpanelPath(in) != "/track"
}

// mixpanelVerdict is 200 always: 1 when at least one record is good, else 0. Strictly, a single bad one makes it 0.
func mixpanelVerdict(in *request, good int, failed []failedRecord) answer {
	strict := isStrict(in)
	status := 1
	if good == 0 || strict && len(failed) > 0 {
		status = 0
	}
	if in.query.Get("verbose") != "1" {
		return textAnswer(http.StatusOK, fmt.Sprint(status))
	}
	body := map[string]any{"status": status, "error": nil}
	if status == 0 {
		body["error"] = "no records"
		if len(failed) > 0 {
			body["error"] = failed[0].Message
		}
	}
	if status == 0 && strict && in.malformed == nil {
		body["failed_records"], body["num_good_events"] = failed, good
	}
	return jsonAnswer(http.StatusOK, body)
}

// trackEvent takes an event that came to /track. An old one is thrown away, and so is one of an unknown project: both
// count as good.
func (m *mixpanel) trackEvent(in *request, i int) *fieldError {
	event, wrong := readEvent(in, i)
	switch {
	case wrong != nil:
		return wrong
	case in.items[i].token == "":
		return &fieldError{"properties.token", "missing or empty"}
	case m.isForeign(in, i):
		m.state.refuse(event.record(in), "unknown_token")
	case event.at.Before(in.now.Add(-5 * 24 * time.Hour)):
		m.state.refuse(event.record(in), "older_than_5_days")
	default:
		m.take(in, event, login{refusal: "merge_needs_import"})
	}
	return nil
}

func (m *mixpanel) isForeign(in *request, i int) bool {
	return m.options.Token != "" && in.items[i].token != m.options.Token
}

// take lets a good event have its effect: an identity changes, or a person did something.
func (m *mixpanel) take(in *request, event mixpanelEvent, login login) {
	record := event.record(in)
	switch {
	case event.verb != nil && m.state.graph.full():
		m.state.refuse(record, "simulator_full")
	case event.verb != nil && event.name == "$merge" && !login.merge:
		m.state.refuse(record, login.refusal)
	case event.verb != nil:
		m.verb(record, *event.verb)
	case event.properties["$ignore"] == true:
		m.state.refuse(record, "ignore_property")
	default:
		m.credit(in, event)
	}
}

// verb changes an identity. A repeat of what holds already is a duplicate, not a refusal.
func (m *mixpanel) verb(record Record, v verb) {
	switch reason := m.ids.apply(v); reason {
	case "":
		m.state.ingest(record)
	case repeatedVerb:
		m.state.duplicates++
	default:
		m.state.refuse(record, reason)
	}
}

// credit stores an ordinary event. Mixpanel takes two for one when event, distinct_id, time and $insert_id are the same.
func (m *mixpanel) credit(in *request, event mixpanelEvent) {
	record := event.record(in)
	distinctID := m.ids.distinctID(event.properties)
	if distinctID == "" && !event.isNobodys() {
		distinctID = "ip:" + in.remote // Mixpanel makes an id of the sender's address: all such people are one
	}
	if m.state.remembersKeys() {
		record.Key = fmt.Sprintf("%q|%q|%d|%s", event.name, distinctID, event.at.UnixMilli(), event.insertID)
	}
	if event.insertID != "" && m.state.isDuplicate(record) {
		return
	}
	m.state.ingest(record)
	if distinctID == "" {
		return
	}
	if reason := m.ids.link(event.properties); reason != "" {
		m.state.refuse(record, reason)
	}
	m.state.graph.credit(m.ids.home(distinctID), event.name)
}

// profile takes an update of a person's properties. An update never links ids.
func (m *mixpanel) profile(in *request, i int) *fieldError {
	update, wrong := readUpdate(in, i, "$distinct_id")
	if wrong != nil {
		return wrong
	}
	id := cut255(text(update["$distinct_id"]))
	record := Record{At: in.now, Time: in.now, Kind: "profile", IDs: []string{id}}
	if m.isForeign(in, i) {
		m.state.refuse(record, "unknown_token")
		return nil
	}
	m.state.ingest(record)
	updateProfile(m.state.graph, m.ids.profileHome(id), update)
	return nil
}

// group takes an update of a group's properties: a record, and nothing in the graph of people.
func (m *mixpanel) group(in *request, i int) *fieldError {
	update, wrong := readUpdate(in, i, "$group_key", "$group_id")
	if wrong != nil {
		return wrong
	}
	record := Record{At: in.now, Time: in.now, Kind: "group", IDs: []string{text(update["$group_key"]), text(update["$group_id"])}}
	if m.isForeign(in, i) {
		m.state.refuse(record, "unknown_token")
		return nil
	}
	m.state.ingest(record)
	return nil
}
