package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// writeKey is what all calls identify themselves with.
var writeKey = "bench-write-key"

// traffic is what a person, or several, send: one request after the other, each after the one before was answered.
type traffic struct {
	requests []request
	people   int // in each request
	zipped   bool
}

// recordBytes is about what the journal keeps of a call beside its JSON.
const recordBytes = 100

// callBytes is about what one call takes in the journal.
func (t traffic) callBytes() int {
	bytes, calls := t.size()
	return bytes/calls + recordBytes
}

// size is how many bytes the bodies of a whole story have, and how many calls they are. It is the same for everyone.
func (t traffic) size() (bytes, calls int) {
	for _, r := range t.requests {
		bytes += len(r.bytes) - r.head
		calls += r.calls
	}
	return bytes, calls
}

// request is one as bytes, in which the numbers of its people are still to be written.
type request struct {
	bytes  []byte
	head   int // its length
	places []place
	calls  int
}

// place is where the number of the first person plus this one belongs.
type place struct{ at, person int }

// digits is how long a number is, however small.
const digits = 9

// mark stands for a person's number in what a request is made of.
func mark(person int) string { return fmt.Sprintf("@%0*d", digits-1, person) }

// newRequest makes a request of a body that has marks.
func newRequest(base *url.URL, path string, body []byte, calls int) request {
	head := fmt.Sprintf("POST %s%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Basic %s\r\nContent-Type: application/json\r\n%s %d\r\n\r\n",
		strings.TrimSuffix(base.Path, "/"), path, base.Host, base64.StdEncoding.EncodeToString([]byte(writeKey+":")), contentLength, len(body))
	r := request{bytes: append([]byte(head), body...), head: len(head), calls: calls}
	for at := len(head); ; at += digits {
		next := bytes.IndexByte(r.bytes[at:], '@')
		if next < 0 {
			return r
		}
		at += next
		person, err := strconv.Atoi(string(r.bytes[at+1 : at+digits]))
		if err != nil {
			panic(err) // a mark is what mark made
		}
		r.places = append(r.places, place{at, person})
	}
}

const contentLength = "Content-Length:"

// zip is the request for the people from first on, its body as gzip.
func (r *request) zip(first int) []byte {
	plain := r.fill(nil, first)
	var body bytes.Buffer
	zipper, err := gzip.NewWriterLevel(&body, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is one of the package's own
	}
	_, _ = zipper.Write(plain[r.head:]) // a Buffer takes everything
	_ = zipper.Close()
	head, _, _ := strings.Cut(string(plain[:r.head]), contentLength)
	return fmt.Appendf(nil, "%sContent-Encoding: gzip\r\n%s %d\r\n\r\n%s", head, contentLength, body.Len(), body.Bytes())
}

// fill writes the request for the people from first on, into what it returns.
func (r *request) fill(buffer []byte, first int) []byte {
	buffer = append(buffer[:0], r.bytes...)
	for _, p := range r.places {
		number := first + p.person
		for i := p.at + digits - 1; i >= p.at; i-- {
			buffer[i] = byte('0' + number%10)
			number /= 10
		}
	}
	return buffer
}

// trafficMaker makes traffic for the server at base. The integrations are "" for every destination.
type trafficMaker func(base *url.URL, integrations string) traffic

// toNobody is for calls that no destination wants.
const toNobody = `,"integrations":{"All":false}`

const contextJSON = `{"ip":"203.0.113.7","locale":"en-GB","library":{"name":"analytics.js","version":"2.11.1"},` +
	`"userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"}`

// aliasCall is some 400 bytes.
func aliasCall(person, step int, integrations string) string {
	return fmt.Sprintf(`{"type":"alias","messageId":"bench-%[1]s-%[2]d","previousId":"%[1]s-old","userId":"%[1]s-new","context":%[3]s%[4]s}`,
		mark(person), step, contextJSON, integrations)
}

var aliasRanks = []int{0}

// aliases is one call per request.
func aliases(base *url.URL, integrations string) traffic {
	body := []byte(aliasCall(0, 0, integrations))
	return traffic{requests: []request{newRequest(base, "/v1/alias", body, 1)}, people: 1}
}

// batchCalls is how many calls a batch has.
const batchCalls = 100

// aliasBatches is a hundred of them per request.
func aliasBatches(base *url.URL, integrations string) traffic {
	calls := make([]string, batchCalls)
	for i := range calls {
		calls[i] = aliasCall(i, 0, integrations)
	}
	return traffic{requests: []request{batch(base, calls)}, people: batchCalls}
}

func batch(base *url.URL, calls []string) request {
	return newRequest(base, "/v1/batch", []byte(`{"batch":[`+strings.Join(calls, ",")+`]}`), len(calls))
}

// story is what each person does in mixed traffic: one alias, two identifies, six tracks and a page.
var story = []string{"identify", "track", "track", "track", "alias", "identify", "page", "track", "track", "track"}

const aliasStep = 4

// mixedRanks is the order of the story: only what changes an identity has a place.
var mixedRanks = []int{0, 1, 1, 1, aliasStep, 5, 6, 6, 6, 6}

// mixedCall is a step of the story, some 1,000 bytes but for the alias. Its anonymousId is none that Mixpanel would be told to
// link, so that each call is one delivery.
func mixedCall(person, step int, integrations string) string {
	if step == aliasStep {
		return aliasCall(person, step, integrations)
	}
	when := "new"
	if step < aliasStep {
		when = "old"
	}
	place := fmt.Sprintf("~%s-%d~", mark(person), step)
	own := map[string]string{
		"identify": fmt.Sprintf(`"traits":{"place":%q,"plan":"pro","company":"Initech","title":"Engineer","city":"Berlin","country":"DE","seats":12}`, place),
		"track":    fmt.Sprintf(`"event":"Order Viewed","properties":{"place":%q,"order":"50314b8e9bcf000000000000","total":27.5,"currency":"EUR","coupon":"hasbros","products":3,"gift":false}`, place),
		"page":     fmt.Sprintf(`"name":"Pricing","properties":{"place":%q,"title":"Pricing","url":"https://app.example/pricing?ref=mail","path":"/pricing","referrer":"https://www.example/"}`, place),
	}[story[step]]
	return fmt.Sprintf(`{"type":%q,"messageId":"bench-%s-%d","userId":"%s-%s","anonymousId":"8f2c4a10-0000-1000-8000-000%s",%s,"context":%s%s}`,
		story[step], mark(person), step, mark(person), when, mark(person), own, wideContext, integrations)
}

// wideContext is what browsers send.
var wideContext = strings.TrimSuffix(contextJSON, "}") + `,"timezone":"Europe/Berlin","screen":{"width":2560,"height":1440,"density":2},` +
	`"page":{"path":"/pricing","referrer":"https://www.example/","search":"?ref=mail","title":"Pricing","url":"https://app.example/pricing?ref=mail"},` +
	`"campaign":{"name":"spring","source":"mail","medium":"newsletter","term":"","content":"header"}}`

// mixed is the story, one call per request.
func mixed(base *url.URL, integrations string) traffic {
	t := traffic{people: 1}
	for step, kind := range story {
		t.requests = append(t.requests, newRequest(base, "/v1/"+kind, []byte(mixedCall(0, step, integrations)), 1))
	}
	return t
}

// mixedBatches is ten people's stories per request.
func mixedBatches(base *url.URL, integrations string) traffic {
	var calls []string
	people := batchCalls / len(story)
	for person := range people {
		for step := range story {
			calls = append(calls, mixedCall(person, step, integrations))
		}
	}
	return traffic{requests: []request{batch(base, calls)}, people: people}
}

// zippedBatches is the same as gzip. It must be prepared.
func zippedBatches(base *url.URL, integrations string) traffic {
	t := mixedBatches(base, integrations)
	t.zipped = true
	return t
}
