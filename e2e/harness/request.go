package harness

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// Request is an HTTP request as bytes, with slots for the numbers of its people.
type Request struct {
	// Steps are its calls, of people from 0 on.
	Steps []Step

	bytes []byte
	head  int // its length
	slots []slot
}

// slot is the position of a number: that of the first person, plus this one.
type slot struct{ at, person int }

const contentLength = "Content-Length:"

// newRequest makes a request of a body that was made with Number.
func newRequest(base *url.URL, path, body string, steps ...Step) Request {
	head := fmt.Sprintf("POST %s%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Basic %s\r\nContent-Type: application/json\r\n%s %d\r\n\r\n",
		strings.TrimSuffix(base.Path, "/"), path, base.Host, base64.StdEncoding.EncodeToString([]byte(base.User.Username()+":")), contentLength, len(body))
	r := Request{Steps: steps, bytes: []byte(head + body), head: len(head)}
	for at := r.head; ; at += digits {
		next := bytes.IndexByte(r.bytes[at:], '@')
		if next < 0 {
			return r
		}
		at += next
		person, err := strconv.Atoi(string(r.bytes[at+1 : at+digits]))
		if err != nil {
			panic(err) // the workload has an @ of its own
		}
		r.slots = append(r.slots, slot{at, person})
	}
}

// Fill writes the request of the people from first on into the buffer, and returns that.
func (r *Request) Fill(buffer []byte, first int) []byte {
	buffer = append(buffer[:0], r.bytes...)
	for _, s := range r.slots {
		number := first + s.person
		for i := s.at + digits - 1; i >= s.at; i-- {
			buffer[i] = byte('0' + number%10)
			number /= 10
		}
	}
	return buffer
}

// Body returns the body for the people from first on.
func (r *Request) Body(first int) []byte { return r.Fill(nil, first)[r.head:] }

// Zip returns the request of the people from first on, with its body compressed.
func (r *Request) Zip(first int) []byte {
	plain := r.Fill(nil, first)
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
