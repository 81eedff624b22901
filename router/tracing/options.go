package tracing

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode"

	"aka/destinations/adapter"
)

// Options is the section of traces, which an OpenTelemetry collector takes.
type Options struct {
	// Endpoint is the collector's URL for OTLP over HTTP, such as http://localhost:4318. The default path is /v1/traces.
	// Without an endpoint, aka traces nothing. Default none.
	Endpoint string `yaml:"endpoint"`
	// Headers are sent with each request to the collector, such as { name: authorization, value: "Bearer ${OTEL_TOKEN}" }.
	// Default none.
	Headers []Header `yaml:"headers"`
	// SampleRatio is the share of calls that are traced. A call is traced at all destinations or at none, also after a restart.
	// 0 to 1. Default 0.01.
	SampleRatio float64 `yaml:"sample_ratio"`
}

// Header is a header of a request.
type Header struct {
	// Name is the name of the header.
	Name string `yaml:"name"`
	// Value is what it says, a secret.
	Value adapter.Secret `yaml:"value"`
}

// DefaultOptions are those of a config that says nothing.
var DefaultOptions = Options{SampleRatio: 0.01}

var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// Check reports what is wrong with the options, by their keys.
func (o Options) Check(report func(key, format string, args ...any)) {
	if o.Endpoint != "" {
		u, err := url.Parse(o.Endpoint)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			report("endpoint", "expected a URL such as http://localhost:4318")
		case u.User != nil || u.RawQuery != "" || u.Fragment != "":
			report("endpoint", "expected a URL without a user, a query and a fragment; credentials belong into otel.headers")
		}
	}
	for i, h := range o.Headers {
		if !headerName.MatchString(h.Name) {
			report(fmt.Sprintf("headers[%d].name", i), "expected the name of a header, not %q", h.Name)
		}
		if value := h.Value.Reveal(); value == "" || strings.ContainsFunc(value, unicode.IsControl) {
			report(fmt.Sprintf("headers[%d].value", i), "expected one line of text")
		}
	}
	if !(o.SampleRatio >= 0 && o.SampleRatio <= 1) {
		report("sample_ratio", "expected 0 to 1, not %v", o.SampleRatio)
	}
}

// url returns where spans are posted.
func (o Options) url() string {
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		return o.Endpoint
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	return u.String()
}
