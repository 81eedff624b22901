//go:build sdks

package e2e

import (
	"encoding/json"
	"reflect"
	"strconv"

	analytics "gopkg.in/segmentio/analytics-go.v3"
)

// sdk is one that is run as it is published: through its public API, with its own defaults, and only told another host.
type sdk struct {
	name    string
	library string // what it calls itself in context.library, as name/version; not always the version it is
	start   func(w *world, url string, batch int) client

	// tries is how often it sends a batch before it gives it up.
	tries int
	// waits are the answers whose Retry-After it follows.
	waits []int
}

// client is an SDK that runs.
type client interface {
	// send has the SDK send a batch of calls, in order. What became of those before must have been asked for.
	send(calls []call)
	// reports waits until the SDK has said what became of each.
	reports() []report
	// close has the SDK end as its users would have it.
	close()
}

// call is a call in the words of the Segment specification, which are the SDKs' own.
type call map[string]any

// report is what an SDK says of a call.
type report struct {
	MessageID string `json:"messageId"`
	Error     string `json:"error"` // empty when it believes the call delivered
}

// sdks are those that run here.
var sdks = []sdk{
	{"analytics-node", "@segment/analytics-node/3.1.0", driver("analytics-node.mjs"), 11, []int{429}},
	{"analytics-node-1", "@segment/analytics-node/1.3.0", driver("analytics-node-1.mjs"), 4, nil},
	{"analytics-node-6", "analytics-node/6.2.0", driver("analytics-node-6.mjs"), 4, nil},
	{"cdp-analytics-node", "@customerio/cdp-analytics-node/1.0.0-beta.22", driver("cdp-analytics-node.mjs"), 4, nil},
	{"rudder-sdk-node", "analytics-node/3.0.13", driver("rudder-sdk-node.mjs"), 4, []int{429, 503}},
	{"analytics-go", "analytics-go/3.0.0", startGo, 10, nil},
}

// jitsu lacks what it takes to be one of sdks.
var jitsu = sdk{"jitsu-js", "@jitsu/js/1.11.0", driver("jitsu-js.mjs"), 1, nil}

// outlasts reports whether the SDK goes on trying for longer than it takes aka to be started again. The others try four times
// within two seconds.
func (s *sdk) outlasts() bool { return s.tries >= 10 }

// driver is a program in sdksDir that runs an SDK in Node: driver.mjs says how.
func driver(name string) func(w *world, url string, batch int) client {
	return func(w *world, url string, batch int) client {
		w.t.Helper()
		return &driven{script: w.startScript(name, url, writeKey, strconv.Itoa(batch))}
	}
}

// driven is an SDK in a program of its own.
type driven struct{ *script }

func (d *driven) send(calls []call) { d.w.t.Helper(); d.write(calls) }

func (d *driven) reports() (all []report) {
	d.w.t.Helper()
	d.read(&all)
	return all
}

// startGo runs Segment's Go SDK in this process.
func startGo(w *world, url string, batch int) client {
	w.t.Helper()
	g := &goSDK{w: w, reported: make(chan report, batch)}
	var err error
	g.client, err = analytics.NewWithConfig(writeKey, analytics.Config{Endpoint: url, BatchSize: batch, Logger: discardLogger{}, Callback: g})
	if err != nil {
		w.t.Fatal(err)
	}
	return g
}

// goSDK is analytics-go. It is its own callback.
type goSDK struct {
	w        *world
	client   analytics.Client
	sent     int
	reported chan report
}

func (g *goSDK) send(calls []call) {
	g.w.t.Helper()
	for _, c := range calls {
		if err := g.client.Enqueue(g.message(c)); err != nil {
			g.w.t.Fatal(err)
		}
	}
	g.sent = len(calls)
}

// message returns a call as the SDK has it.
func (g *goSDK) message(c call) analytics.Message {
	g.w.t.Helper()
	types := map[any]analytics.Message{
		"alias": &analytics.Alias{}, "group": &analytics.Group{}, "identify": &analytics.Identify{},
		"page": &analytics.Page{}, "screen": &analytics.Screen{}, "track": &analytics.Track{},
	}
	message := types[c["type"]]
	text, err := json.Marshal(c)
	if err == nil {
		err = json.Unmarshal(text, message)
	}
	if err != nil {
		g.w.t.Fatal(err)
	}
	return message
}

func (g *goSDK) reports() []report {
	g.w.t.Helper()
	all := make([]report, g.sent)
	for i := range all {
		select {
		case all[i] = <-g.reported:
		case <-g.w.Ctx.Done():
			g.w.t.Fatalf("analytics-go says nothing of call %d: %v", i, g.w.Ctx.Err())
		}
	}
	return all
}

// Success is called for each call of a batch, in order.
func (g *goSDK) Success(m analytics.Message) { g.reported <- report{MessageID: messageID(m)} }

// Failure is called for each call of a batch, in order.
func (g *goSDK) Failure(m analytics.Message, err error) {
	g.reported <- report{MessageID: messageID(m), Error: err.Error()}
}

func messageID(m analytics.Message) string {
	return reflect.ValueOf(m).FieldByName("MessageId").String()
}

func (g *goSDK) close() {
	g.w.t.Helper()
	if err := g.client.Close(); err != nil {
		g.w.t.Error(err)
	}
}
