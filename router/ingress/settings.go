package ingress

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

const (
	// The SDKs send nothing unless they find their own service's name in the settings.
	serviceSegment    = "Segment.io"
	serviceCustomerIO = "Customer.io Data Pipelines"

	cacheSettings = "public, max-age=120"
)

// refusedUnknownSettings is Segment's answer about settings that it does not have.
var refusedUnknownSettings = &refusal{fasthttp.StatusNotFound, refusedUnknownKey.code, refusedUnknownKey.message}

// settingsAnswer is what Segment's SDKs for browsers and phones ask for before they send. It names one integration, as more
// make the browser's load code from Segment, and no apiHost, as that would take the place of the app's own. Everything else
// is optional to all of them (plan, middlewareSettings, consentSettings, edgeFunction) and here it has nothing to say.
type settingsAnswer struct {
	Integrations map[string]serviceSettings `json:"integrations"`
	Metrics      sdkMetrics                 `json:"metrics"`
}

// serviceSettings hold the write key that the SDK puts into its calls: without one here they come without any.
type serviceSettings struct {
	APIKey string `json:"apiKey"`
}

// sdkMetrics switch off what an SDK reports of itself, which otherwise goes to Segment.
type sdkMetrics struct {
	SampleRate int `json:"sampleRate"`
}

// settings answers for the write key in the path. React Native's SDK takes the URL as it was typed, and so may leave the key
// to the rest of the request.
func (s *Server) settings(ctx *fasthttp.RequestCtx, e endpoint) {
	key, cache := e.key, cacheSettings
	if len(key) == 0 {
		_, key = s.rules.Load().keys.sourceOf(ctx, nil)
		key, cache = bytes.TrimSuffix(key, []byte{':'}), cacheNothing
	}
	if _, refused := s.reader(ctx, key); refused != nil {
		if refused == refusedUnknownKey {
			refused = refusedUnknownSettings
		}
		s.unauthorized.report(s.log, nil, refused)
		refuse(ctx, refused)
		return
	}
	cacheFor(ctx, cache)
	respond(ctx, settingsAnswer{Integrations: map[string]serviceSettings{e.service: {APIKey: string(key)}}})
}

// sourceAnswer is what RudderStack's SDKs ask for before they send. They read id, config, enabled and destinations; without
// destinations they load nothing.
type sourceAnswer struct {
	Source sourceConfig `json:"source"`
}

type sourceConfig struct {
	ID           string       `json:"id"`
	Name         string       `json:"name"`
	Config       sourceSwitch `json:"config"`
	Enabled      bool         `json:"enabled"`
	Destinations []string     `json:"destinations"`
}

// sourceSwitch switches off what an SDK reports of itself. Android's fails at its first start where it is not there.
type sourceSwitch struct {
	StatsCollection struct {
		Errors  onOff `json:"errors"`
		Metrics onOff `json:"metrics"`
	} `json:"statsCollection"`
}

type onOff struct {
	Enabled bool `json:"enabled"`
}

func (s *Server) sourceConfig(ctx *fasthttp.RequestCtx, _ endpoint) {
	_, key := s.rules.Load().keys.sourceOf(ctx, nil)
	from, refused := s.reader(ctx, key)
	if refused != nil {
		s.unauthorized.report(s.log, nil, refused)
		refuse(ctx, refused)
		return
	}
	cacheFor(ctx, cacheNothing)
	respond(ctx, sourceAnswer{sourceConfig{ID: from.name, Name: from.name, Enabled: true, Destinations: []string{}}})
}

// reader returns the source of a write key, if it may be read from where the request comes.
func (s *Server) reader(ctx *fasthttp.RequestCtx, key []byte) (*source, *refusal) {
	if len(key) == 0 {
		return nil, refusedMissingKey
	}
	from := s.rules.Load().keys.find(key)
	switch {
	case from == nil:
		return nil, refusedUnknownKey
	case !from.allows(ctx.Request.Header.Peek(fasthttp.HeaderOrigin)):
		return nil, refusedOrigin
	}
	return from, nil
}
