package ingress

// rules are what can be replaced while calls come in: who may send, and whose word counts on who called.
type rules struct {
	keys    keyring
	trusted trusted
}

// Reload goes by the config's sources and trusted proxies from now on. Requests that are being answered go by those that they
// began with. A source of the same name and rate keeps what it owes. Nothing else of the config is looked at. It fails as
// New does, and changes nothing then.
func (s *Server) Reload(config Config) error {
	keys, err := newKeyring(config.Sources, s.metrics)
	if err != nil {
		return err
	}
	keys.keepLimiters(s.rules.Load().keys)
	s.rules.Store(&rules{keys, config.TrustedProxies})
	return nil
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
