package mixpanel

import (
	"errors"
	"net/http"
	"net/url"

	"aka/destinations/adapter"
)

// Mixpanel's limits on one request (https://docs.mixpanel.com/reference/import-events, .../profile-set). How much a request
// of profiles may hold in all is not said, so it is held to what a single one may.
const (
	maxRecords      = 2000
	maxEventBytes   = 10_000_000
	maxProfileBytes = 1_000_000
)

// endpoint is one of Mixpanel's addresses and the way in which it takes records.
type endpoint struct {
	url    string
	header map[string]string
	// batch is nil where each record goes alone, as the form field `data`.
	batch *adapter.Batch
}

// connect fills in the endpoints. The identity commands that /track takes go alone, each with its own answer: they cannot be
// undone, and of several records /track says only whether any was good. Events and profiles say themselves where the person
// is; commands and groups cannot, hence ip=0: otherwise they would seem to be where aka runs.
func (t *translator) connect(base string) {
	strict := "0"
	if t.Strict {
		strict = "1"
	}
	importQuery := url.Values{"strict": {strict}}
	if t.ServiceAccount != nil {
		importQuery.Set("project_id", t.ServiceAccount.ProjectID)
	}
	profileQuery := url.Values{"strict": {strict}, "verbose": {"1"}}
	plain := map[string]string{"Content-Type": "application/json"}
	t.commands = endpoint{
		url:    base + "/track?ip=0&verbose=1",
		header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
	}
	t.events = endpoint{
		url: base + "/import?" + importQuery.Encode(),
		header: map[string]string{
			"Authorization":    t.authorization(),
			"Content-Type":     "application/json",
			"Content-Encoding": "gzip",
		},
		batch: &adapter.Batch{Key: "import", MaxItems: maxRecords, MaxBytes: maxEventBytes},
	}
	t.profiles = endpoint{
		url:    base + "/engage?" + profileQuery.Encode(),
		header: plain,
		batch:  &adapter.Batch{Key: "engage", MaxItems: maxRecords, MaxBytes: maxProfileBytes},
	}
	t.groups = endpoint{
		url:    base + "/groups?ip=0&" + profileQuery.Encode(),
		header: plain,
		batch:  &adapter.Batch{Key: "groups", MaxItems: maxRecords, MaxBytes: maxProfileBytes},
	}
}

func (e endpoint) request(body []byte) adapter.Request {
	if e.batch == nil {
		body = adapter.AppendEscaped(append(make([]byte, 0, len("data=")+2*len(body)), "data="...), body)
	}
	return adapter.Request{Method: http.MethodPost, URL: e.url, Header: e.header, Body: body, Batch: e.batch}
}

// sending gathers the requests of one call, until they are too many bytes or one goes wrong.
type sending struct {
	requests []adapter.Request
	bytes    int
	err      error
}

func (s *sending) add(e endpoint, record any) {
	if s.err != nil {
		return
	}
	body, err := adapter.Encode(record)
	if err != nil {
		s.err = errors.New("call: holds a value that is not JSON")
		return
	}
	if s.bytes += len(body); s.bytes > adapter.MaxBytes {
		s.err = adapter.ErrTooLarge
		return
	}
	s.requests = append(s.requests, e.request(body))
}

// outcome sends what was gathered, or drops the call with the reason when that is nothing.
func (s *sending) outcome(otherwise adapter.Reason) adapter.Outcome {
	switch {
	case s.err != nil:
		return adapter.Reject(s.err)
	case len(s.requests) == 0:
		return adapter.Drop(otherwise)
	}
	return adapter.Send(s.requests...)
}

// send is the outcome of a call that becomes one record.
func (t *translator) send(to endpoint, record adapter.Object) adapter.Outcome {
	var s sending
	s.add(to, record)
	return s.outcome(adapter.NothingToSend)
}
