package segment

import (
	"net/http"

	"aka/destinations/adapter"
)

// Probe implements adapter.Prober: a batch of nothing. Segment answers 200 to every key.
func (t *translator) Probe() adapter.Probe {
	ask := func(authorization string) adapter.Request {
		header := map[string]string{"Authorization": authorization, "Content-Type": "application/json"}
		if t.Flavor == FlavorCustomerIO {
			header["X-Strict-Mode"] = "1"
		}
		return adapter.Request{Method: http.MethodPost, URL: t.base + batchPath, Header: header, Body: []byte(`{"batch":[]}`)}
	}
	control := ask(basic(adapter.MadeUp))
	return adapter.Probe{
		Request: ask(t.header["Authorization"]),
		Control: &control,
		Keys:    []string{"write_key"},
		Advice:  "The endpoint has to be the one of the key's source, and the source has to be on",
		Unknown: unknowns[t.Flavor],
	}
}

var unknowns = map[Flavor]string{
	FlavorSegment:     "Segment answers 200 to every write key, and to every region: see whether the calls arrive in the source's debugger",
	FlavorRudderStack: "RudderStack may not look at the key of an empty batch",
	FlavorJitsu:       "Jitsu does not say whether the stream has a destination",
	FlavorCustomerIO:  "aka does not compare the region with the workspace's",
}
