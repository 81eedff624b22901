package segment

import "aka/destinations/adapter"

// Verify implements adapter.Verifier. The upstream's API takes calls and reads none back.
func (t *translator) Verify(story adapter.Story) adapter.Verification {
	return adapter.Verification{
		Story:  story,
		Setup:  "flavor " + string(t.Flavor),
		Unread: "the upstream's API takes calls, and reads none back",
		Look: []string{
			"in " + lookedAt[t.Flavor] + ": an identify and the track " + adapter.BeforeEvent + " of " + story.Old,
			"then an alias with the previousId " + story.Old + " and the userId " + story.New,
			"then an identify and the track " + adapter.AfterEvent + " of " + story.New,
			"what your destinations there made of both ids: they decide what an alias does",
		},
	}
}

// lookedAt is where each upstream shows the calls that come.
var lookedAt = map[Flavor]string{
	FlavorSegment:     "the source's debugger",
	FlavorRudderStack: "the source's live events",
	FlavorJitsu:       "the site's live events",
	FlavorCustomerIO:  "the source at Customer.io",
	FlavorAka:         "the page at the other aka's admin address",
}
