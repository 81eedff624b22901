package ingress

import "aka/router/segment"

// rules are what can be replaced while calls come in: who may send, and whose word counts on who called.
type rules struct {
	keys    keyring
	trusted trusted
	admit   func(writeKey string) (segment.IPPolicy, bool) // the keyring's, made once
}

func newRules(keys keyring, proxies []Network) *rules { return &rules{keys, proxies, keys.admit} }

// Prepare returns what makes the server use the config's sources and trusted proxies. Requests that are being answered then
// use those that they began with. A source of the same name and rate keeps what it owes. Nothing else of the config is
// looked at. It fails as New does.
func (s *Server) Prepare(config Config) (commit func(), err error) {
	keys, err := newKeyring(config.Sources, s.metrics)
	if err != nil {
		return nil, err
	}
	return func() {
		keys.keepLimiters(s.rules.Load().keys)
		s.rules.Store(newRules(keys, config.TrustedProxies))
	}, nil
}

// keepLimiters goes on with the limiters of the sources that were there before with the same rate.
func (k keyring) keepLimiters(before keyring) {
	limiters := map[string]*limiter{}
	for _, s := range before {
		limiters[s.name] = s.limiter
	}
	for _, s := range k {
		if old := limiters[s.name]; old != nil && s.limiter != nil && old.call == s.limiter.call {
			s.limiter = old
		}
	}
}

// Drain refuses calls from now on, with 503, or takes them again. What was asked before is answered as ever.
func (s *Server) Drain(draining bool) { s.draining.Store(draining) }
