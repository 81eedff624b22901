package httpclient

import (
	"net/http"
	"strconv"
)

// rateLimitPrefix is what the names of the headers of a rate limit begin with. No standard has them; many vendors do.
const rateLimitPrefix = "X-RateLimit-"

// rateLimitHeaders are their values as they came.
type rateLimitHeaders struct{ limit, remaining, reset []byte }

// read takes what comes first of a name.
func (h *rateLimitHeaders) read(name, value []byte) {
	switch {
	case isNamed(name, "Limit") && h.limit == nil:
		h.limit = value
	case isNamed(name, "Remaining") && h.remaining == nil:
		h.remaining = value
	case isNamed(name, "Reset") && h.reset == nil:
		h.reset = value
	}
}

// numbers returns what the headers say. What is no number says nothing.
func (h *rateLimitHeaders) numbers() (r RateLimit) {
	if len(h.reset) > 0 {
		if reset, err := strconv.ParseUint(string(h.reset), 10, 40); err == nil {
			r.Reset = int(reset)
		}
	}
	if len(h.limit) == 0 || len(h.remaining) == 0 {
		return r // as of most vendors, and an error would take memory
	}
	limit, err := strconv.ParseUint(string(h.limit), 10, 31)
	remaining, also := strconv.ParseUint(string(h.remaining), 10, 31)
	if err != nil || also != nil {
		return r
	}
	return RateLimit{Known: true, Limit: int(limit), Remaining: int(remaining), Reset: r.Reset}
}

func rateLimitOf(head http.Header) RateLimit {
	of := func(name string) []byte { return []byte(head.Get(rateLimitPrefix + name)) }
	h := rateLimitHeaders{of("Limit"), of("Remaining"), of("Reset")}
	return h.numbers()
}
