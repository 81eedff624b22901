// Package kissmetrics translates calls to Kissmetrics' tracking API: events to /e, properties of people to /s, aliases to
// /a. Kissmetrics answers 200 with an image to everything, wrong or not, so whatever it would not take is refused here.
package kissmetrics

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// Vendor is Kissmetrics in the table of destinations. Calls carry their own time, so only what changes identity needs order.
var Vendor = adapter.Vendor{
	Names:  []string{"KISSmetrics", "Kissmetrics", "KISSMETRICS"},
	Order:  adapter.OrderIdentity,
	New:    New,
	Stable: true,
}

const (
	// maxQuery is the longest query in bytes that goes in a URL; longer ones go as a form.
	maxQuery = 2048
	// maxProducts bounds the requests that one order becomes.
	maxProducts = 1000
	// billingAmount is the property that Kissmetrics' revenue reports read.
	billingAmount = "Billing Amount"
)

// earliest is the oldest time that Kissmetrics keeps (https://support.kissmetrics.io/docs/technical-notes-on-events-and-properties).
var earliest = time.Date(2009, 1, 1, 0, 0, 0, 0, time.UTC)

var formHeader = map[string]string{"Content-Type": "application/x-www-form-urlencoded"}

type translator struct {
	Config
	base string
}

// Translate implements adapter.Adapter. There is no Judge: any 2xx but a web page's is a success (adapter.Answer.Verdict). Nothing
// says that the image stays as it is.
func (t *translator) Translate(call *segment.Call) adapter.Outcome {
	if call.Type == segment.Alias {
		return adapter.Send(t.alias(call, call.PreviousID, call.UserID))
	}
	if call.Timestamp.Before(earliest) {
		return adapter.Reject(errors.New("timestamp: Kissmetrics takes nothing from before 2009"))
	}
	switch call.Type {
	case segment.Identify:
		return t.identify(call)
	case segment.Track:
		return t.track(call)
	case segment.Page, segment.Screen:
		return t.page(call)
	case segment.Group:
		return t.group(call)
	}
	return adapter.Reject(errors.New("type: not one that Kissmetrics takes"))
}

// alias merges two identities. Which is which does not matter to Kissmetrics; the merge cannot be undone.
func (t *translator) alias(call *segment.Call, previousID, userID string) adapter.Request {
	p := t.sender(call)
	p["_p"] = previousID
	p["_n"] = userID
	var room [maxQuery]byte
	query := p.appendTo(room[:0])
	if len(query) > maxQuery {
		// /a is documented for GET only, and without the user agent it always fits.
		delete(p, "_ua")
		query = p.appendTo(room[:0])
	}
	return t.get("/a", query)
}

func (t *translator) identify(call *segment.Call) adapter.Outcome {
	set, f := t.person(call, 0), newFlattener()
	f.object(set, "", adapter.PersonTraits(call))
	f.known(set, "id", call.UserID)
	if f.written == 0 {
		return adapter.Drop(adapter.NothingToSend)
	}
	requests := []adapter.Request{t.request("/s", set)}
	if t.aliasesOn(call) {
		alias := t.alias(call, call.AnonymousID, call.UserID)
		alias.Merges = true
		requests = append(requests, alias)
	}
	return f.outcome(requests)
}

// aliasesOn reports whether an identify merges its two ids.
func (t *translator) aliasesOn(call *segment.Call) bool {
	return t.AliasOnIdentify && call.UserID != "" && call.AnonymousID != "" && call.UserID != call.AnonymousID
}

func (t *translator) track(call *segment.Call) adapter.Outcome {
	name := strings.TrimSpace(call.Event)
	prefix := ""
	if t.PrefixProperties {
		prefix = bareKey(name) + " - "
	}
	if adapter.IsOrder(name) {
		return t.order(call, name, prefix)
	}
	event, f := t.event(call, name), newFlattener()
	f.event(event, prefix, call.Properties)
	f.known(event, billingAmount, revenueOf(call))
	return f.outcome([]adapter.Request{t.request("/e", event)})
}

// order sends the products of an order apart: an event has one value for each property. Their times differ, because
// Kissmetrics takes properties of one person in one second for repetitions of each other.
func (t *translator) order(call *segment.Call, name, prefix string) adapter.Outcome {
	products, _ := call.Properties["products"].([]any)
	if len(products) > maxProducts {
		return adapter.Reject(fmt.Errorf("properties.products: more than %d", maxProducts))
	}
	properties := maps.Clone(call.Properties)
	if products != nil {
		delete(properties, "products")
	}
	event, f := t.event(call, name), newFlattener()
	f.event(event, prefix, properties)
	f.known(event, billingAmount, revenueOf(call))
	requests := []adapter.Request{t.request("/e", event)}
	for i, product := range products {
		fields, _ := product.(map[string]any)
		set, before := t.person(call, i), f.written
		if f.object(set, prefix, fields); f.written > before {
			requests = append(requests, t.request("/s", set))
		}
	}
	return f.outcome(requests)
}

func (t *translator) page(call *segment.Call) adapter.Outcome {
	if !t.PageEvents.Takes(call) {
		return adapter.Drop(adapter.PageEventsOff)
	}
	kind := adapter.PageKind(call)
	name := "Loaded a " + kind
	if subject := cmp.Or(adapter.PageName(call), adapter.PageCategory(call)); subject != "" {
		name = "Viewed " + subject + " " + kind
	}
	event, f := t.event(call, name), newFlattener()
	f.event(event, kind+" - ", adapter.PageProperties(call))
	return f.outcome([]adapter.Request{t.request("/e", event)})
}

// group sets what is known of the group on the person: Kissmetrics knows no groups.
func (t *translator) group(call *segment.Call) adapter.Outcome {
	set, f := t.person(call, 0), newFlattener()
	f.known(set, "Group - id", call.GroupID)
	f.object(set, "Group - ", call.Traits)
	if f.written == 0 {
		return adapter.Drop(adapter.NothingToSend)
	}
	return f.outcome([]adapter.Request{t.request("/s", set)})
}

// revenueOf returns what a track earned as text, "" for nothing. Kissmetrics takes "$9.99" for text.
func revenueOf(call *segment.Call) string {
	amount, _ := adapter.Revenue(call.Event, call.Properties)
	return amount.String()
}

// event returns the parameters of an event, without its properties.
func (t *translator) event(call *segment.Call, name string) parameters {
	p := t.person(call, 0)
	p["_n"] = adapter.Cut(name, maxName)
	return p
}

// person returns the parameters of whatever happens to a person, so many seconds after the call. Without _d=1 Kissmetrics
// ignores _t and takes the time of arrival, so that a retry would count as another event.
func (t *translator) person(call *segment.Call, seconds int) parameters {
	p := t.sender(call)
	p["_p"] = cmp.Or(call.UserID, call.AnonymousID)
	p["_t"] = strconv.FormatInt(call.Timestamp.Unix()+int64(seconds), 10)
	p["_d"] = "1"
	return p
}

// sender returns the parameters of every request.
func (t *translator) sender(call *segment.Call) parameters {
	p := parameters{"_k": t.APIKey.Reveal()}
	if ip, err := netip.ParseAddr(adapter.Text(call.Context()["ip"])); err == nil {
		p["_ip"] = ip.String()
	}
	if agent := adapter.Text(call.Context()["userAgent"]); agent != "" {
		p["_ua"] = adapter.Cut(agent, maxValue)
	}
	return p
}

func (t *translator) request(path string, p parameters) adapter.Request {
	var room [maxQuery]byte
	query := p.appendTo(room[:0])
	if len(query) <= maxQuery {
		return t.get(path, query)
	}
	return adapter.Request{
		Method: http.MethodPost,
		URL:    t.base + path,
		Header: formHeader,
		Body:   slices.Clone(query),
	}
}

// parameters are those of one request, by name.
type parameters map[string]string

// appendTo writes them as a query, in the order of their names, as url.Values does.
func (p parameters) appendTo(query []byte) []byte {
	var few [32]string
	names := few[:0]
	for name := range p {
		names = append(names, name)
	}
	slices.Sort(names)
	start := len(query)
	for _, name := range names {
		if len(query) > start {
			query = append(query, '&')
		}
		query = append(adapter.AppendEscaped(query, name), '=')
		query = adapter.AppendEscaped(query, p[name])
	}
	return query
}

func (t *translator) get(path string, query []byte) adapter.Request {
	return adapter.Request{Method: http.MethodGet, URL: t.base + path + "?" + string(query)}
}
