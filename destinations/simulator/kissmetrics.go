package simulator

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pixel is the 43-byte GIF that Kissmetrics answers everything with.
const pixel = "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff" +
	"\x21\xf9\x04\x01\x00\x00\x00\x00" + "\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b"

// firstKissmetricsTime is the oldest time that Kissmetrics takes.
var firstKissmetricsTime = time.Date(2009, 1, 1, 0, 0, 0, 0, time.UTC)

// kissmetrics is https://support.kissmetrics.io/reference: /e for events, /s for properties, /a for aliases. It answers
// 200 with a pixel whatever it is sent; what was wrong is only seen in the refusals.
type kissmetrics struct {
	state *accountState
	token string
}

func newKissmetrics(b *accountState, options Options) vendor {
	return &kissmetrics{state: b, token: options.Token}
}

// decode reads the query and a form body as one record.
func (k *kissmetrics) decode(in *request) ([]item, error) {
	parameters, err := in.parameters()
	record := map[string]any{}
	for name, values := range parameters {
		record[name] = values[0]
	}
	token := takeSecret(record, "_k")
	return []item{{value: record, token: token, bytes: len(in.body)}}, err
}

func (k *kissmetrics) handle(in *request) answer {
	record, reason := k.read(in)
	switch {
	case reason != "":
		k.state.refuse(record.Record, reason)
	case record.Kind == "event":
		k.event(record)
	case record.Kind == "profile":
		k.properties(record)
	default:
		k.alias(record)
	}
	return answer{status: http.StatusOK, contentType: "image/gif", body: []byte(pixel)}
}

// kissmetricsRecord is one call, its parameters read.
type kissmetricsRecord struct {
	Record
	person, name string
	properties   map[string]any
}

var kissmetricsKinds = map[string]string{"/e": "event", "/s": "profile", "/a": "alias"}

// read returns the call and why it is thrown away, or "".
func (k *kissmetrics) read(in *request) (kissmetricsRecord, string) {
	parameters := in.items[0].value.(map[string]any)
	parameter := func(name string) string { return text(parameters[name]) }
	r := kissmetricsRecord{
		Record: Record{At: in.now, Kind: kissmetricsKinds[in.path]},
		person: cut255(parameter("_p")),
		name:   cut255(parameter("_n")),
	}
	r.Time = kissmetricsTime(parameter("_t"), parameter("_d"), in.now)
	r.IDs = []string{r.person}
	switch r.Kind {
	case "event":
		r.name = withoutPunctuation(r.name)
		r.Event = r.name
	case "alias":
		r.IDs = []string{r.person, r.name}
	case "profile":
		r.properties = ownProperties(parameters)
	}
	return r, k.wrong(in, &r)
}

func (k *kissmetrics) wrong(in *request, r *kissmetricsRecord) string {
	switch {
	case in.malformed != nil:
		return "malformed"
	case r.Kind == "":
		return "unknown_path"
	case in.method != http.MethodGet && in.method != http.MethodPost:
		return "unknown_method"
	case r.Kind == "alias" && in.method != http.MethodGet:
		return "alias_by_post" // only GET is documented for /a; counting on more would lose merges
	case in.items[0].token == "" || k.token != "" && in.items[0].token != k.token:
		return "unknown_key"
	case r.person == "":
		return "missing_person"
	case r.name == "" && r.Kind != "profile":
		return "missing_name"
	case r.Time.Before(firstKissmetricsTime):
		return "before_2009"
	case in.fails(0):
		return "fault"
	}
	return ""
}

// event is known by identity, name and second: a second event of that name in that second is lost, whatever its properties.
func (k *kissmetrics) event(r kissmetricsRecord) {
	if k.state.remembersKeys() {
		r.Key = fmt.Sprintf("%s|%s|%d", r.person, strings.ToLower(r.name), r.Time.Unix())
	}
	if k.state.isDuplicate(r.Record) {
		return
	}
	k.state.ingest(r.Record)
	k.state.graph.credit(r.person, r.name)
}

// properties go by identity, second, and the properties with their values.
func (k *kissmetrics) properties(r kissmetricsRecord) {
	names := slices.Sorted(maps.Keys(r.properties))
	if k.state.remembersKeys() {
		r.Key = fmt.Sprintf("%s|%d", r.person, r.Time.Unix())
		for _, name := range names {
			r.Key += fmt.Sprintf("|%q=%q", strings.ToLower(name), r.properties[name])
		}
	}
	if k.state.isDuplicate(r.Record) {
		return
	}
	k.state.ingest(r.Record)
	for _, name := range names {
		k.state.graph.set(r.person, withoutPunctuation(name), r.properties[name])
		if k.state.peopleOnly {
			break // the person is known
		}
	}
}

// alias makes one person of two, and nothing undoes it. Neither side is the first, and what arrived before is theirs as well.
func (k *kissmetrics) alias(r kissmetricsRecord) {
	graph := k.state.graph
	known := graph.has(r.person) && graph.has(r.name)
	if known && graph.resolve(r.person) == graph.resolve(r.name) {
		k.state.duplicates++
		return
	}
	k.state.ingest(r.Record)
	graph.union(r.person, r.name)
}

// ownProperties are the parameters that are not the API's own.
func ownProperties(parameters map[string]any) map[string]any {
	own := map[string]any{}
	for name, value := range parameters {
		if !strings.HasPrefix(name, "_") {
			own[cut255(name)] = value
		}
	}
	return own
}

// kissmetricsTime is _t in seconds, where _d=1 asks to go by it, else the time of arrival.
func kissmetricsTime(t, d string, now time.Time) time.Time {
	seconds, err := strconv.ParseInt(t, 10, 64)
	if err != nil || d != "1" || !isYear(seconds) {
		return now
	}
	return time.Unix(seconds, 0).UTC()
}

// isYear reports whether the seconds since 1970 are in a year from 1 to 9999, as JSON needs it.
func isYear(seconds int64) bool { return seconds >= -62135596800 && seconds <= 253402300799 }

var punctuation = strings.NewReplacer(",", " ", ":", " ")

// withoutPunctuation is what Kissmetrics makes of names: commas and colons become spaces.
func withoutPunctuation(name string) string {
	return punctuation.Replace(name)
}

// cut255 is what a vendor leaves of a longer string: strangers with a common start become one.
func cut255(s string) string {
	if len(s) > 255 {
		return s[:255]
	}
	return s
}
