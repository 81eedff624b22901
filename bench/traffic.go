package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

const writeKey = "bench-write-key"

// traffic is what a person, or several, send: one request after the other, each after the one before was answered.
type traffic struct {
	name     string
	requests []request
	// people is how many of them are in each request, ranks the order of each one's steps, as crowd.NewTally takes it.
	people int
	ranks  []int
}

func (t traffic) calls() (n int) {
	for _, r := range t.requests {
		n += r.calls
	}
	return n
}

// request is one as bytes, in which the numbers of its people are still to be written.
type request struct {
	bytes  []byte
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
	head := fmt.Sprintf("POST %s%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Basic %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		strings.TrimSuffix(base.Path, "/"), path, base.Host, base64.StdEncoding.EncodeToString([]byte(writeKey+":")), len(body))
	r := request{bytes: append([]byte(head), body...), calls: calls}
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

const contextJSON = `{"ip":"203.0.113.7","locale":"en-GB","library":{"name":"analytics.js","version":"2.11.1"},` +
	`"userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"}`

// aliasCall is some 400 bytes.
func aliasCall(person int, integrations string) string {
	return fmt.Sprintf(`{"type":"alias","messageId":"bench-%[1]s-0","previousId":"%[1]s-old","userId":"%[1]s-new","context":%s%s}`,
		mark(person), contextJSON, integrations)
}

// toNobody is for calls that no destination wants.
const toNobody = `,"integrations":{"All":false}`

// aliases is one call per request.
func aliases(base *url.URL, integrations string) traffic {
	body := []byte(aliasCall(0, integrations))
	return traffic{"alias", []request{newRequest(base, "/v1/alias", body, 1)}, 1, []int{0}}
}

// aliasBatches is a hundred of them per request.
func aliasBatches(base *url.URL, integrations string) traffic {
	const people = 100
	calls := make([]string, people)
	for i := range calls {
		calls[i] = aliasCall(i, integrations)
	}
	body := []byte(`{"batch":[` + strings.Join(calls, ",") + `]}`)
	return traffic{"alias batches", []request{newRequest(base, "/v1/batch", body, people)}, people, []int{0}}
}
