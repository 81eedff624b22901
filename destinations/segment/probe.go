package segment

import (
	"net/http"
	"net/url"

	"aka/destinations/adapter"
)

// sourcesURL is where Segment's own library in browsers gets a source's settings, by the write key: 404 is a key of no source.
const sourcesURL = "https://cdn.segment.com/v1/projects/"

// Probe implements adapter.Prober: a batch of nothing. Segment answers 200 to that whatever the key, so there the source's settings are
// asked for, unless something else stands at the endpoint.
func (t *translator) Probe() adapter.Probe {
	if t.Flavor == FlavorSegment && t.Endpoint == "" {
		return t.probeSource()
	}
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

// probeSource asks Segment for the settings of the write key's source.
func (t *translator) probeSource() adapter.Probe {
	ask := func(key string) adapter.Request {
		return adapter.Request{Method: http.MethodGet, URL: sourcesURL + url.PathEscape(key) + "/settings"}
	}
	control := ask(adapter.MadeUp)
	return adapter.Probe{
		Request: ask(t.WriteKey.Reveal()),
		Control: &control,
		Keys:    []string{"write_key"},
		Advice:  "The key has to be the one of a source that is on",
		Unknown: "Segment does not say in which region the workspace is: see whether the calls arrive in the source's debugger",
		Read: func(own, control adapter.Answer) (adapter.Finding, string) {
			switch {
			case control.Status != http.StatusNotFound:
				return "", ""
			case own.Status == http.StatusOK:
				return adapter.Accepted, ""
			case own.Status == http.StatusNotFound:
				return adapter.NotAccepted, ""
			}
			return "", ""
		},
	}
}

var unknowns = map[Flavor]string{
	FlavorSegment:     "Segment answers 200 to every write key: see whether the calls arrive in the source's debugger",
	FlavorRudderStack: "RudderStack may not look at the key of an empty batch",
	FlavorJitsu:       "Jitsu does not say whether the stream has a destination",
	FlavorCustomerIO:  "aka does not compare the region with the workspace's",
}
