package segment

import "aka/destinations/adapter"

// Verify implements adapter.Verifier. The upstream's API takes calls and reads none back.
func (t *translator) Verify(story adapter.Story) adapter.Verification {
	return adapter.Verification{
		Story:  story,
		Setup:  "flavor " + string(t.Flavor),
		Unread: "the upstream's API takes calls, and reads none back",
		Look: []string{
			lookedAt[t.Flavor] + ": an identify and the track " + adapter.BeforeEvent + " of " + story.Old,
			"Then an alias with the previousId " + story.Old + " and the userId " + story.New,
			"Then an identify and the track " + adapter.AfterEvent + " of " + story.New,
			"What the alias does to people, your destinations there decide: look there for both ids",
		},
	}
}

// lookedAt is where each upstream shows the calls that come.
var lookedAt = map[Flavor]string{
	FlavorSegment:     "The source's debugger",
	FlavorRudderStack: "The source's live events",
	FlavorJitsu:       "The site's live events",
	FlavorCustomerIO:  "The source at Customer.io",
	FlavorAka:         "The page at the other aka's admin address",
}
